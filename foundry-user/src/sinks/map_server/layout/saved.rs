//! The layout in a file, so that places outlive the daemon.
//!
//! Knows: one encoding with a checksum. Must never know: where the file is.
//! Keeps: any bytes give a valid layout or an error; what was gone is forgotten (a new epoch).

use super::{Layout, Node, NodeId, NodeKind, ROOT, Run, WORLD_END};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// First bytes of the file: name and version.
const MAGIC: &[u8; 8] = b"FNDRMAP1";
const HASH: usize = 32;

/// Why a saved layout cannot be used. A new one is made then.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum SavedError {
    #[error("it is not a layout, or not one of this version")]
    Magic,
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it does not decode: {0}")]
    Encoding(#[from] postcard::Error),
    #[error("it contradicts itself: {0}")]
    Invalid(&'static str),
}

#[derive(Serialize, Deserialize)]
struct SavedNode {
    /// Position of the parent in the list; the root is its own.
    parent: u32,
    name: Vec<u8>,
    kind: u8,
    size: u64,
    runs: Vec<(u64, u64)>,
}

const KINDS: [NodeKind; 5] =
    [NodeKind::Directory, NodeKind::File, NodeKind::Process, NodeKind::Symlink, NodeKind::Other];

impl Layout {
    pub(in super::super) fn save(&self) -> Result<Vec<u8>, SavedError> {
        let mut numbers: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut out: Vec<SavedNode> = vec![];
        for (id, node) in (0_u32..).zip(&self.nodes) {
            // A parent comes before its children: nodes are only ever added.
            let parent = numbers.get(&node.parent).copied();
            if node.gone || (id != ROOT && parent.is_none()) {
                continue;
            }
            numbers.insert(id, u32::try_from(out.len()).unwrap_or(u32::MAX));
            let kind = KINDS.iter().position(|kind| *kind == node.kind).unwrap_or(0);
            out.push(SavedNode {
                parent: parent.unwrap_or(0),
                name: node.name.clone(),
                kind: u8::try_from(kind).unwrap_or(0),
                size: node.size,
                runs: node.runs.iter().map(|run| (run.start, run.end)).collect(),
            });
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(postcard::to_stdvec(&out)?);
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        Ok(bytes)
    }

    pub(in super::super) fn restore(bytes: &[u8]) -> Result<Self, SavedError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(SavedError::Magic)?;
        let split = body.len().checked_sub(HASH).ok_or(SavedError::Magic)?;
        let (body, hash) = body.split_at(split);
        if blake3::hash(&bytes[..bytes.len() - HASH]).as_bytes() != hash {
            return Err(SavedError::Checksum);
        }
        let saved: Vec<SavedNode> = postcard::from_bytes(body)?;
        let mut layout = Self { nodes: vec![], leaves: BTreeMap::new() };
        for (id, node) in (0_u32..).zip(saved) {
            layout.admit(id, node)?;
        }
        if layout.nodes.is_empty() {
            return Err(SavedError::Invalid("there is no root"));
        }
        layout.find_free()?;
        Ok(layout)
    }

    fn admit(&mut self, id: NodeId, saved: SavedNode) -> Result<(), SavedError> {
        let kind = *KINDS.get(usize::from(saved.kind)).ok_or(SavedError::Invalid("a kind"))?;
        let runs: Vec<Run> =
            saved.runs.iter().map(|(start, end)| Run { start: *start, end: *end }).collect();
        if runs.iter().any(|run| run.start >= run.end || run.end > WORLD_END) {
            return Err(SavedError::Invalid("a run"));
        }
        if id == ROOT {
            if kind != NodeKind::Directory || runs != [Run { start: 0, end: WORLD_END }] {
                return Err(SavedError::Invalid("the root"));
            }
        } else {
            let parent = self.nodes.get_mut(saved.parent as usize);
            let parent = parent.filter(|parent| parent.kind == NodeKind::Directory);
            let parent = parent.ok_or(SavedError::Invalid("a parent"))?;
            if parent.children.insert(saved.name.clone(), id).is_some() {
                return Err(SavedError::Invalid("a name twice"));
            }
        }
        if kind != NodeKind::Directory && runs.len() > 1 {
            return Err(SavedError::Invalid("a leaf with several runs"));
        }
        let directory = Node::directory(saved.parent, &saved.name);
        let node = Node { kind, size: saved.size, runs, ..directory };
        if let Some(run) = node.run() {
            self.leaves.insert(run.start, id);
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Free is what of a directory's runs no child's run covers.
    fn find_free(&mut self) -> Result<(), SavedError> {
        for id in 0..self.nodes.len() {
            let node = &self.nodes[id];
            if node.kind != NodeKind::Directory {
                continue;
            }
            let mut taken: Vec<Run> = node
                .children
                .values()
                .flat_map(|child| self.nodes[*child as usize].runs.iter().copied())
                .collect();
            taken.sort_by_key(|run| run.start);
            if taken.windows(2).any(|pair| pair[0].end > pair[1].start) {
                return Err(SavedError::Invalid("two runs meet"));
            }
            let mut own = node.runs.clone();
            own.sort_by_key(|run| run.start);
            let mut free = BTreeMap::new();
            let mut rest = taken.into_iter().peekable();
            for run in own {
                let mut at = run.start;
                while let Some(next) = rest.next_if(|next| next.start < run.end) {
                    if next.start < at || next.end > run.end {
                        return Err(SavedError::Invalid("a run outside its directory"));
                    }
                    if at < next.start {
                        free.insert(at, next.start);
                    }
                    at = next.end;
                }
                if at < run.end {
                    free.insert(at, run.end);
                }
            }
            if rest.next().is_some() {
                return Err(SavedError::Invalid("a run outside its directory"));
            }
            self.nodes[id].free = free;
        }
        Ok(())
    }
}
