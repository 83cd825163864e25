//! The world as it stands: who lies where, in which state, and when it changed last.
//!
//! Knows: the layout and the summaries. Must never know: clients, HTTP, how tiles are encoded.
//! Keeps: `seq` grows with every change; a node's `touched` is the seq of its last one.

use super::classes::DATA;
use super::layout::{Layout, NodeId, NodeKind, Placed, ROOT, Run};
use super::summary::{Summary, Writers};
use crate::pipeline::input::ReadFailure;
use foundry_brick::cells::Cell;
use std::sync::Arc;

/// What is known of a node's content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Placed, not folded yet.
    #[default]
    Waiting,
    Folded,
    Unreadable(ReadFailure),
}

impl State {
    pub(super) const fn is_unreadable(self) -> bool {
        matches!(self, Self::Unreadable(_))
    }
}

/// What clients are to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) seq: u64,
    /// Ranges of the curve whose tiles are not what they were.
    pub(super) ranges: Vec<(u64, u64)>,
    /// Directories whose lists are not what they were.
    pub(super) nodes: Vec<NodeId>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.nodes.is_empty()
    }
}

/// Everything the server knows.
#[derive(Debug)]
pub(super) struct World {
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) layout: Layout,
    pub(super) writers: Writers,
    /// The bricks that were there at the start are still being read.
    pub(super) scanning: bool,
    pub(super) folded: u64,
    /// The layout differs from what is saved.
    pub(super) unsaved: bool,
    nodes: Vec<Info>,
}

#[derive(Clone, Debug, Default)]
struct Info {
    touched: u64,
    state: State,
    summary: Option<Arc<Summary>>,
    /// Of a directory: its brick from afar, and what is known of everything below it.
    far: Option<Far>,
    below: Below,
}

/// What a directory's brick says of all that is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Far {
    pub(super) generation: u64,
    /// Bytes, in pages.
    pub(super) size: u64,
    pub(super) top: Cell,
}

/// A directory that is shown as one.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) run: Run,
    pub(super) summary: Summary,
    pub(super) touched: u64,
}

/// The last change below a directory.
#[derive(Clone, Copy, Debug, Default)]
struct Below {
    seq: u64,
    at: u32,
    writer: u8,
}

impl World {
    pub(super) fn new(epoch: u64, layout: Layout) -> Self {
        let nodes = vec![Info::default(); layout.len()];
        Self {
            epoch,
            seq: 1,
            layout,
            writers: Writers::new(),
            scanning: true,
            folded: 0,
            unsaved: true,
            nodes,
        }
    }

    fn info(&mut self, id: NodeId) -> &mut Info {
        let at = id as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(self.layout.len().max(at + 1), Info::default());
        }
        &mut self.nodes[at]
    }

    pub(super) fn state(&self, id: NodeId) -> State {
        self.nodes.get(id as usize).map_or(State::Waiting, |info| info.state)
    }

    pub(super) fn summary(&self, id: NodeId) -> Option<&Arc<Summary>> {
        self.nodes.get(id as usize)?.summary.as_ref()
    }

    pub(super) fn touched(&self, id: NodeId) -> u64 {
        self.nodes.get(id as usize).map_or(0, |info| info.touched)
    }

    /// An artifact has a brick: `parts` are the bytes that changed, `None` for all of them.
    pub(super) fn fold(
        &mut self,
        path: &[u8],
        summary: Summary,
        parts: Option<&[(u64, u64)]>,
    ) -> (NodeId, Change) {
        let kind = match summary.kind {
            foundry_brick::Kind::File => NodeKind::File,
            foundry_brick::Kind::Directory => NodeKind::Directory,
            foundry_brick::Kind::Process => NodeKind::Process,
        };
        let before = self.layout.find(path).and_then(|id| self.layout.node(id)?.run());
        let placed = self.layout.place(path, kind, summary.size);
        let id = placed.node;
        let was = self.state(id);
        let other = |old: &Arc<Summary>| (old.size, &old.label) != (summary.size, &summary.label);
        let resized = self.summary(id).is_none_or(other);
        let info = self.info(id);
        info.state = State::Folded;
        info.summary = Some(Arc::new(summary));
        self.folded += u64::from(was != State::Folded);
        let whole = was != State::Folded || resized;
        let change = self.note(&placed, before, if whole { None } else { parts }, whole);
        (id, change)
    }

    /// The seq, ranges and directories of what has just been done to a node.
    fn note(
        &mut self,
        placed: &Placed,
        before: Option<Run>,
        parts: Option<&[(u64, u64)]>,
        listed: bool,
    ) -> Change {
        self.seq += 1;
        let seq = self.seq;
        self.info(placed.node).touched = seq;
        self.note_above(placed.node);
        let mut change = Change { seq, ..Change::default() };
        let node = self.layout.node(placed.node);
        let run = node.and_then(|node| node.run());
        change.ranges.extend(placed.left.map(|run| (run.start, run.end)));
        if let Some(run) = run {
            match parts.filter(|_| before == Some(run)) {
                Some(parts) => change.ranges.extend(parts.iter().filter_map(|(start, end)| {
                    let range = (run.start + start, run.end.min(run.start.saturating_add(*end)));
                    (range.0 < range.1).then_some(range)
                })),
                None => change.ranges.push((run.start, run.end)),
            }
        }
        change.nodes.clone_from(&placed.directories);
        if let Some(node) = node.filter(|_| listed) {
            change.nodes.push(node.parent);
        }
        change.nodes.sort_unstable();
        change.nodes.dedup();
        for dir in &change.nodes {
            self.info(*dir).touched = seq;
        }
        self.unsaved |= before != run || !placed.directories.is_empty();
        change
    }

    /// Tells all directories above a node that it changed.
    fn note_above(&mut self, id: NodeId) {
        let last = self.summary(id).and_then(|s| s.writers.iter().max_by_key(|w| w.2)).copied();
        let (_, writer, at) = last.unwrap_or_default();
        let (seq, mut up) = (self.seq, id);
        while up != ROOT {
            up = self.layout.node(up).map_or(ROOT, |node| node.parent);
            let below = &mut self.info(up).below;
            below.seq = seq;
            if at >= below.at {
                (below.at, below.writer) = (at, writer);
            }
        }
    }

    /// A directory's brick has another generation. Only from afar that is seen: the tiles at its first
    /// index are named, and of these the ones that show it as a whole.
    pub(super) fn fold_directory(&mut self, path: &[u8], far: Far) -> Change {
        let Some(id) = self.layout.find(path) else { return Change::default() };
        let Some(run) = self.layout.node(id).and_then(|node| node.runs.first().copied()) else {
            return Change::default();
        };
        if self.info(id).far == Some(far) {
            return Change::default();
        }
        self.seq += 1;
        let seq = self.seq;
        let info = self.info(id);
        (info.far, info.below.seq) = (Some(far), seq);
        Change { seq, ranges: vec![(run.start, run.start + 1)], nodes: vec![] }
    }

    /// The outermost directory around a leaf of which all is less than one cell of `level`, as its brick
    /// has it.
    pub(super) fn seen_afar(&self, leaf: NodeId, level: u32) -> Option<Whole> {
        let above = |id: NodeId| self.layout.node(id).map(|node| node.parent);
        let chain = std::iter::successors(above(leaf), |id| above(*id));
        let fits = |id: NodeId| {
            let far = self.nodes.get(id as usize)?.far?;
            let node = self.layout.node(id).filter(|node| !node.gone && id != ROOT)?;
            let [run] = node.runs.as_slice() else { return None };
            let cell = |index: u64| index >> (2 * level);
            (cell(run.start) == cell(run.end - 1)).then_some((id, *run, far))
        };
        let (id, run, far) = chain.map_while(fits).last()?;
        let below = self.nodes.get(id as usize)?.below;
        let first = self.layout.leaves(run.start, run.end).find_map(|(id, _)| self.summary(id));
        let class = first.and_then(|s| s.classes.first()).map_or(DATA, |(_, class)| *class);
        let size = far.size.clamp(1, run.len());
        let summary = Summary {
            generation: far.generation,
            size,
            level,
            cells: vec![far.top],
            classes: vec![(size, class)],
            writers: vec![(size, below.writer, below.at)],
            ..Summary::default()
        };
        Some(Whole { run, summary, touched: below.seq })
    }

    /// An artifact exists, and is not folded yet.
    pub(super) fn expect(&mut self, path: &[u8], kind: NodeKind, size: u64) -> (NodeId, Change) {
        let before = self.layout.find(path).and_then(|id| self.layout.node(id)?.run());
        let placed = self.layout.place(path, kind, size);
        let id = placed.node;
        let change = self.note(&placed, before, None, true);
        (id, change)
    }

    pub(super) fn unreadable(
        &mut self,
        path: &[u8],
        failure: ReadFailure,
    ) -> Option<(NodeId, Change)> {
        let id = self.layout.find(path)?;
        let info = self.info(id);
        let was = std::mem::replace(&mut info.state, State::Unreadable(failure));
        self.folded -= u64::from(was == State::Folded);
        let parent = self.layout.node(id)?.parent;
        let placed = Placed { node: id, directories: vec![parent], left: None };
        let run = self.layout.node(id).and_then(|node| node.run());
        Some((id, self.note(&placed, run, None, true)))
    }

    pub(super) fn remove(&mut self, path: &[u8]) -> Option<(NodeId, Change)> {
        if self.layout.find(path).and_then(|id| self.layout.node(id))?.gone {
            return None;
        }
        let placed = self.layout.remove(path)?;
        let mut below = vec![placed.node];
        let mut ranges = vec![];
        self.seq += 1;
        let seq = self.seq;
        while let Some(id) = below.pop() {
            let info = self.info(id);
            info.touched = seq;
            let was = std::mem::take(&mut info.state);
            info.summary = None;
            self.folded -= u64::from(was == State::Folded);
            if let Some(node) = self.layout.node(id) {
                ranges.extend(node.run().map(|run| (run.start, run.end)));
                below.extend(node.children.values());
            }
        }
        self.unsaved = true;
        self.note_above(placed.node);
        for dir in &placed.directories {
            self.info(*dir).touched = seq;
        }
        Some((placed.node, Change { seq, ranges, nodes: placed.directories }))
    }

    /// A name for a node. Where the new name has a place of its own, that place gets the content.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Option<(NodeId, Change)> {
        if let Some(placed) = self.layout.rename(from, to) {
            let run = self.layout.node(placed.node).and_then(|node| node.run());
            let change = self.note(&placed, run, Some(&[]), true);
            return Some((placed.node, change));
        }
        let id = self.layout.find(from)?;
        let node = self.layout.node(id)?;
        if node.gone {
            return None;
        }
        if node.kind == NodeKind::Directory {
            return self.rename_tree(id, from, to);
        }
        let (kind, size, summary, state) =
            (node.kind, node.size, self.summary(id).cloned(), self.state(id));
        let (_, mut left) = self.remove(from)?;
        let (new, change) = self.expect(to, kind, size);
        let info = self.info(new);
        let was = std::mem::replace(&mut info.state, state);
        info.summary = summary;
        self.folded += u64::from(state == State::Folded);
        self.folded -= u64::from(was == State::Folded);
        left.seq = change.seq;
        left.ranges.extend(change.ranges);
        left.nodes.extend(change.nodes);
        Some((new, left))
    }

    fn rename_tree(&mut self, id: NodeId, from: &[u8], to: &[u8]) -> Option<(NodeId, Change)> {
        let children: Vec<Vec<u8>> = self
            .layout
            .node(id)?
            .children
            .iter()
            .filter(|(_, child)| self.layout.node(**child).is_some_and(|node| !node.gone))
            .map(|(name, _)| name.clone())
            .collect();
        let (new, mut all) = self.expect(to, NodeKind::Directory, 0);
        for name in children {
            let (old, fresh) = ([from, b"/", &name].concat(), [to, b"/", &name].concat());
            if let Some((_, change)) = self.rename(&old, &fresh) {
                all.seq = change.seq;
                all.ranges.extend(change.ranges);
                all.nodes.extend(change.nodes);
            }
        }
        if let Some((_, change)) = self.remove(from) {
            all.seq = change.seq;
            all.nodes.extend(change.nodes);
        }
        Some((new, all))
    }

    /// What changed after `seq`, as one change.
    pub(super) fn since(&self, seq: u64) -> Change {
        let mut change = Change { seq: self.seq, ..Change::default() };
        for (id, info) in (0_u32..).zip(&self.nodes).filter(|(_, info)| info.touched > seq) {
            let Some(node) = self.layout.node(id) else { continue };
            match node.run() {
                Some(run) => change.ranges.push((run.start, run.end)),
                None if node.kind == NodeKind::Directory => change.nodes.push(id),
                None => {}
            }
            debug_assert!(info.touched <= self.seq);
        }
        change
    }

    /// The level at which the whole world is one tile.
    pub(super) fn top_level(&self) -> u32 {
        let end = self.layout.end();
        (0..=17).find(|level| 1_u64 << (2 * (level + 8)) >= end).unwrap_or(17)
    }

    /// Paths of the processes that have a brick.
    pub(super) fn processes(&self) -> Vec<Vec<u8>> {
        let Some(district) = self.layout.find(b"/processes").and_then(|id| self.layout.node(id))
        else {
            return vec![];
        };
        let ids = district.children.values().copied();
        ids.filter(|id| self.layout.node(*id).is_some_and(|node| node.kind == NodeKind::Process))
            .filter(|id| self.summary(*id).is_some())
            .map(|id| self.layout.path(id))
            .collect()
    }

    /// Leaves that are there.
    pub(super) fn artifacts(&self) -> u64 {
        (0_u32..)
            .map_while(|id| self.layout.node(id))
            .filter(|node| node.run().is_some() && !node.gone)
            .count() as u64
    }
}
