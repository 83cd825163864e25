//! What the API says of the world and of nodes, as values that become JSON.
//!
//! Knows: the world, the fields of API.md. Must never know: HTTP, JSON's text.

use super::classes::CLASSES;
use super::layout::{NodeId, NodeKind, ROOT};
use super::world::{State, World};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct WorldView {
    format: &'static str,
    version: u32,
    epoch: String,
    seq: u64,
    host: String,
    live: bool,
    root: NodeId,
    end: u64,
    top_level: u32,
    roots: Vec<String>,
    artifacts: u64,
    folded: u64,
    scanning: bool,
    classes: &'static [&'static str],
    writers: Vec<String>,
}

impl WorldView {
    pub(super) fn new(world: &World, host: &str, roots: &[Vec<u8>], live: bool) -> Self {
        Self {
            format: "foundry-world",
            version: 1,
            epoch: world.epoch.to_string(),
            seq: world.seq,
            host: host.to_owned(),
            live,
            root: ROOT,
            end: world.layout.end(),
            top_level: world.top_level(),
            roots: roots.iter().map(|root| text(root)).collect(),
            artifacts: world.artifacts(),
            folded: world.folded,
            scanning: world.scanning,
            classes: &CLASSES,
            writers: world.writers.names().to_vec(),
        }
    }
}

/// A name as text: what is not UTF-8 is replaced, never dropped.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Debug, Serialize)]
pub(super) struct NodeView {
    id: NodeId,
    parent: NodeId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    kind: &'static str,
    runs: Vec<(u64, u64)>,
    size: u64,
    children: usize,
    state: &'static str,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    generation: u64,
    changed_at: u32,
}

impl NodeView {
    pub(super) fn new(world: &World, id: NodeId) -> Option<Self> {
        let node = world.layout.node(id)?;
        let summary = world.summary(id);
        let state = match world.state(id) {
            _ if node.gone => "gone",
            State::Folded => "folded",
            State::Unreadable(_) => "unreadable",
            State::Waiting => "waiting",
        };
        let here = |child: &&NodeId| world.layout.node(**child).is_some_and(|node| !node.gone);
        Some(Self {
            id,
            parent: node.parent,
            name: text(&node.name),
            label: summary.and_then(|summary| summary.label.clone()),
            kind: kind(node.kind),
            runs: if id == ROOT {
                vec![(0, world.layout.end())]
            } else {
                node.runs.iter().map(|run| (run.start, run.end)).collect()
            },
            size: node.size,
            children: node.children.values().filter(here).count(),
            state,
            problem: problem(world.state(id)).filter(|_| !node.gone),
            generation: summary.map_or(0, |summary| summary.generation),
            changed_at: summary.map_or(0, |summary| summary.changed_at()),
        })
    }
}

fn problem(state: State) -> Option<String> {
    let State::Unreadable(failure) = state else { return None };
    Some(failure.to_string())
}

pub(super) const fn kind(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Directory => "directory",
        NodeKind::File => "file",
        NodeKind::Process => "process",
        NodeKind::Symlink => "symlink",
        NodeKind::Other => "other",
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ListView {
    node: NodeView,
    children: Vec<NodeView>,
    more: bool,
}

impl ListView {
    pub(super) fn new(
        world: &World,
        id: NodeId,
        after: Option<NodeId>,
        limit: usize,
    ) -> Option<Self> {
        let node = world.layout.node(id)?;
        let after = after.and_then(|id| world.layout.node(id)).map(|node| node.name.clone());
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let mut ids = node
            .children
            .range::<Vec<u8>, _>((from, std::ops::Bound::Unbounded))
            .map(|(_, id)| *id)
            .filter(|id| world.layout.node(*id).is_some_and(|node| !node.gone));
        let children = ids.by_ref().take(limit).filter_map(|id| NodeView::new(world, id)).collect();
        Some(Self { node: NodeView::new(world, id)?, children, more: ids.next().is_some() })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct ChainView {
    pub(super) index: u64,
    pub(super) nodes: Vec<NodeView>,
    pub(super) path: String,
    pub(super) offset: Option<u64>,
    pub(super) region: Option<super::artifacts::RegionView>,
}

impl ChainView {
    /// The chain to the innermost node at an index.
    pub(super) fn at(world: &World, index: u64) -> Self {
        let ids = world.layout.at(index);
        let last = ids.last().copied().unwrap_or(ROOT);
        let run = world.layout.node(last).and_then(|node| node.run());
        Self {
            index,
            nodes: ids.iter().filter_map(|id| NodeView::new(world, *id)).collect(),
            path: text(&world.layout.path(last)),
            offset: run.map(|run| index - run.start),
            region: None,
        }
    }

    /// The chain to a node.
    pub(super) fn to(world: &World, id: NodeId) -> Self {
        let mut ids = vec![];
        let mut at = id;
        while at != ROOT {
            ids.push(at);
            at = world.layout.node(at).map_or(ROOT, |node| node.parent);
        }
        ids.push(ROOT);
        ids.reverse();
        let start = world.layout.node(id).and_then(|node| node.runs.first().copied());
        Self {
            index: start.map_or(0, |run| run.start),
            nodes: ids.iter().filter_map(|id| NodeView::new(world, *id)).collect(),
            path: text(&world.layout.path(id)),
            offset: None,
            region: None,
        }
    }
}
