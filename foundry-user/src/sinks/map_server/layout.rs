//! Where everything lies on the world's curve, and stays.
//!
//! A directory owns runs of the curve, and its children's runs lie in them. A file that fills the square
//! of the power of four that is not less than its size lies on that square; any other begins at a
//! multiple of a sixteenth of it, and owns about as many sixteenths as it needs. Plots of whole powers
//! of four, nested by directory, would leave most of the map empty, and runs that begin at multiples of
//! their square half of it; these leave about a fifth.
//!
//! Knows: names, sizes, runs. Must never know: bricks, clients, the file system.
//! Keeps: runs of different leaves never meet; nothing moves but a leaf that outgrew its run;
//! what went away keeps its place for the day its name comes back, until the next epoch.

mod pack;
mod saved;
#[cfg(test)]
mod tests;

pub(super) use pack::Tree;

use std::collections::BTreeMap;

/// Indices of the world stay below this, so that a JavaScript number holds them.
pub(super) const WORLD_END: u64 = 1 << 50;
/// The smallest run: one page, a square of 64 cells.
const LEAST_ORDER: u32 = 6;
/// The largest file that is shown whole; what is beyond is not on the map.
const MOST_ORDER: u32 = 23;

/// Number of a node; the world's root is 0. Dense, and valid for one epoch.
pub(super) type NodeId = u32;
/// The world's root.
pub(super) const ROOT: NodeId = 0;

/// A half-open range of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Run {
    pub(super) const fn len(self) -> u64 {
        self.end - self.start
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    File,
    Process,
    Symlink,
    Other,
}

/// One thing on the map.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) parent: NodeId,
    pub(super) name: Vec<u8>,
    pub(super) kind: NodeKind,
    /// Bytes of a leaf.
    pub(super) size: u64,
    /// One for a leaf that is on the map, none for one that is only listed, any for a directory.
    pub(super) runs: Vec<Run>,
    pub(super) children: BTreeMap<Vec<u8>, NodeId>,
    /// Went away; the place waits for its name.
    pub(super) gone: bool,
    /// Unused parts of a directory's runs: start to end.
    free: BTreeMap<u64, u64>,
}

impl Node {
    fn directory(parent: NodeId, name: &[u8]) -> Self {
        Self {
            parent,
            name: name.to_vec(),
            kind: NodeKind::Directory,
            size: 0,
            runs: vec![],
            children: BTreeMap::new(),
            gone: false,
            free: BTreeMap::new(),
        }
    }

    /// The run of a leaf.
    pub(super) fn run(&self) -> Option<Run> {
        if self.kind == NodeKind::Directory { None } else { self.runs.first().copied() }
    }
}

/// What a change of the layout touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) node: NodeId,
    /// Directories whose list of children, or whose runs, are not what they were.
    pub(super) directories: Vec<NodeId>,
    /// The run that the node left because it outgrew it.
    pub(super) left: Option<Run>,
}

/// Everything that is on the map.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    nodes: Vec<Node>,
    /// Leaves by where they start.
    leaves: BTreeMap<u64, NodeId>,
}

/// 4^order.
const fn cells(order: u32) -> u64 {
    1 << (2 * order)
}

/// The order of the smallest square that holds `size` cells.
fn order_of(size: u64) -> u32 {
    (LEAST_ORDER..MOST_ORDER).find(|order| cells(*order) >= size).unwrap_or(MOST_ORDER)
}

/// The most room that a directory gets beyond what it asks for.
const MOST_ROOM: u64 = cells(12);

/// Processes begin and end at tiles: at level 0 a tile holds bytes or it does not, and they have none.
const PROCESS_ORDER: u32 = 8;

/// In what steps a leaf's run is long, and where it may begin: at a sixteenth of its square.
fn leaf_grain(kind: NodeKind, size: u64) -> u64 {
    let least = if kind == NodeKind::Process { PROCESS_ORDER } else { LEAST_ORDER };
    (cells(order_of(size)) / 16).max(cells(least))
}

/// How long a leaf's run is, and where it begins: some room to grow, never beyond its square. What fills
/// its square is that square; what does not would leave most of it empty.
fn leaf_run(kind: NodeKind, size: u64) -> (u64, u64) {
    let grain = leaf_grain(kind, size);
    let square = cells(order_of(size)).max(grain);
    let wanted = size.saturating_add(size / 16).max(1);
    let len = wanted.next_multiple_of(grain).min(square);
    (len, if len == square { square } else { grain })
}

/// The grain in which a directory of `len` cells grows: a sixteenth of it, or less.
fn grain_of(len: u64) -> u64 {
    let order = (LEAST_ORDER..MOST_ORDER).rev().find(|order| cells(*order) * 16 <= len);
    cells(order.unwrap_or(LEAST_ORDER))
}

/// Takes `len` cells at a multiple of `align` from the lowest free run that has them.
fn take(free: &mut BTreeMap<u64, u64>, len: u64, align: u64, from: u64) -> Option<u64> {
    let (start, end, at) = free.range(from..).find_map(|(start, end)| {
        let at = start.next_multiple_of(align);
        (at.checked_add(len)? <= *end).then_some((*start, *end, at))
    })?;
    free.remove(&start);
    if start < at {
        free.insert(start, at);
    }
    if at + len < end {
        free.insert(at + len, end);
    }
    Some(at)
}

impl Layout {
    pub(super) fn new() -> Self {
        let mut root = Node::directory(ROOT, b"");
        root.runs.push(Run { start: 0, end: WORLD_END });
        root.free.insert(0, WORLD_END);
        Self { nodes: vec![root], leaves: BTreeMap::new() }
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every leaf that has a run which meets `[start, end)`, along the curve.
    pub(super) fn leaves(&self, start: u64, end: u64) -> impl Iterator<Item = (NodeId, &Node)> {
        let first = self.leaves.range(..=start).next_back().map_or(start, |(at, _)| *at);
        self.leaves
            .range(first..end.max(first))
            .filter_map(|(_, id)| Some((*id, self.node(*id)?)))
            .filter(move |(_, node)| {
                node.run().is_some_and(|run| run.end > start && run.start < end)
            })
    }

    /// First index after everything that was ever placed in this epoch.
    pub(super) fn end(&self) -> u64 {
        self.leaves
            .last_key_value()
            .and_then(|(_, id)| self.node(*id)?.run())
            .map_or(0, |run| run.end)
    }

    /// The runs of what lies in the root, along the curve: what is below is inside of them.
    pub(super) fn ground(&self) -> Vec<Run> {
        let children = self.node(ROOT).map(|root| root.children.values()).into_iter().flatten();
        let runs = children.filter_map(|id| self.node(*id)).flat_map(|node| node.runs.clone());
        let mut runs: Vec<Run> = runs.collect();
        runs.sort_unstable_by_key(|run| run.start);
        runs
    }

    /// The path of a node; the root's is `/`.
    pub(super) fn path(&self, id: NodeId) -> Vec<u8> {
        let mut names = vec![];
        let mut at = id;
        while let Some(node) = self.node(at).filter(|_| at != ROOT) {
            names.push(node.name.as_slice());
            at = node.parent;
        }
        if let Some(process) = self.node(id).filter(|node| node.kind == NodeKind::Process) {
            return process.name.clone();
        }
        let mut path = vec![];
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// The node at a path, whether it is gone or not.
    pub(super) fn find(&self, path: &[u8]) -> Option<NodeId> {
        let mut at = ROOT;
        for name in components(path) {
            at = *self.node(at)?.children.get(name)?;
        }
        Some(at)
    }

    /// The chain of nodes from the root to the innermost one at an index.
    pub(super) fn at(&self, index: u64) -> Vec<NodeId> {
        let leaf = self.leaves(index, index + 1).next().map(|(id, _)| id);
        let mut chain = vec![];
        match leaf {
            Some(leaf) => {
                let mut at = leaf;
                while at != ROOT {
                    chain.push(at);
                    at = self.node(at).map_or(ROOT, |node| node.parent);
                }
                chain.push(ROOT);
                chain.reverse();
            }
            None => {
                let mut at = Some(ROOT);
                while let Some(here) = at {
                    chain.push(here);
                    at = self.directory_at(here, index);
                }
            }
        }
        chain
    }

    fn directory_at(&self, parent: NodeId, index: u64) -> Option<NodeId> {
        let holds = |run: &Run| run.start <= index && index < run.end;
        let children = self.node(parent)?.children.values();
        children.copied().find(|id| {
            self.node(*id)
                .is_some_and(|n| n.kind == NodeKind::Directory && n.runs.iter().any(holds))
        })
    }

    /// Puts a leaf of `size` bytes at `path`, with the directories it needs; or changes its size.
    pub(super) fn place(&mut self, path: &[u8], kind: NodeKind, size: u64) -> Placed {
        let mut placed = Placed::default();
        let names: Vec<&[u8]> = components(path).collect();
        let Some((last, dirs)) = names.split_last() else { return placed };
        let mut parent = ROOT;
        for name in dirs {
            parent = self.enter(parent, name, &mut placed);
        }
        let known = self.node(parent).and_then(|node| node.children.get(*last)).copied();
        let id = known.unwrap_or_else(|| self.adopt(parent, last, kind, &mut placed));
        placed.node = id;
        if self.node(id).is_some_and(|node| node.gone || node.kind != kind) {
            placed.directories.push(parent);
        }
        if kind == NodeKind::Directory {
            self.nodes[id as usize].gone = false;
            return placed;
        }
        self.resize(id, kind, size, &mut placed);
        placed
    }

    fn enter(&mut self, parent: NodeId, name: &[u8], placed: &mut Placed) -> NodeId {
        let known = self.node(parent).and_then(|node| node.children.get(name)).copied();
        match known {
            Some(id) => {
                let node = &mut self.nodes[id as usize];
                if node.gone || node.kind != NodeKind::Directory {
                    node.gone = false;
                    node.kind = NodeKind::Directory;
                    placed.directories.push(parent);
                }
                id
            }
            None => self.adopt(parent, name, NodeKind::Directory, placed),
        }
    }

    /// A new node without a place.
    fn adopt(
        &mut self,
        parent: NodeId,
        name: &[u8],
        kind: NodeKind,
        placed: &mut Placed,
    ) -> NodeId {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node { kind, ..Node::directory(parent, name) });
        self.nodes[parent as usize].children.insert(name.to_vec(), id);
        placed.directories.push(parent);
        id
    }

    fn resize(&mut self, id: NodeId, kind: NodeKind, size: u64, placed: &mut Placed) {
        let node = &mut self.nodes[id as usize];
        (node.kind, node.size, node.gone) = (kind, size, false);
        if !matches!(kind, NodeKind::File | NodeKind::Process) {
            return;
        }
        let parent = node.parent;
        let old = node.runs.first().copied();
        let shown = size.min(cells(MOST_ORDER));
        let grain = leaf_grain(kind, shown);
        if old.is_some_and(|run| shown <= run.len() && run.start % grain == 0) {
            return;
        }
        if old.is_some() && self.grow_in_place(id, shown) {
            return;
        }
        // Whatever grew once will grow again.
        let wanted = if old.is_some() { shown.saturating_mul(2) } else { shown };
        let (len, align) = leaf_run(kind, wanted);
        let start = self.allot(parent, len, align, placed);
        let node = &mut self.nodes[id as usize];
        node.runs = vec![Run { start, end: start + len }];
        self.leaves.insert(start, id);
        if let Some(old) = old {
            self.leaves.remove(&old.start);
            placed.left = Some(old);
        }
        placed.directories.push(parent);
    }

    /// Extends a leaf's run into free cells behind it, where it begins at a step of its new size.
    fn grow_in_place(&mut self, id: NodeId, size: u64) -> bool {
        let node = &self.nodes[id as usize];
        let (Some(run), parent) = (node.runs.first().copied(), node.parent) else { return false };
        let (len, _) = leaf_run(node.kind, size);
        let grain = leaf_grain(node.kind, size);
        let end = run.start + len;
        let free = &mut self.nodes[parent as usize].free;
        let Some(free_end) = free.get(&run.end).copied() else { return false };
        if run.start % grain != 0 || end > free_end {
            return false;
        }
        free.remove(&run.end);
        if end < free_end {
            free.insert(end, free_end);
        }
        self.nodes[id as usize].runs[0].end = end;
        true
    }

    /// Finds cells in a directory; where there are none, its parent gives it another run.
    fn allot(&mut self, dir: NodeId, len: u64, align: u64, placed: &mut Placed) -> u64 {
        if let Some(at) = take(&mut self.nodes[dir as usize].free, len, align, 0) {
            return at;
        }
        if dir == ROOT {
            // 2^50 cells are given out only by a tree of more than a petabyte.
            return WORLD_END;
        }
        let node = &self.nodes[dir as usize];
        let parent = node.parent;
        let held: u64 = node.runs.iter().map(|run| run.len()).sum();
        // A first run fits what asked for it; later ones bring room for more of the kind: not much for
        // what is large, which has its own, nor because the directory is.
        let more =
            (len / 4).min(MOST_ROOM).max((held / 8).min(len.saturating_mul(16)).min(MOST_ROOM));
        let wanted = if held == 0 { len } else { len.saturating_add(more) };
        let grain = grain_of(wanted);
        let given = wanted.next_multiple_of(grain);
        let start = self.allot(parent, given, align.max(grain), placed);
        let node = &mut self.nodes[dir as usize];
        node.runs.push(Run { start, end: start + given });
        node.free.insert(start, start + given);
        placed.directories.push(parent);
        take(&mut node.free, len, align, start).unwrap_or(start)
    }

    /// Marks a node, and all below it, as gone. Its place waits for it.
    pub(super) fn remove(&mut self, path: &[u8]) -> Option<Placed> {
        let id = self.find(path)?;
        let mut below = vec![id];
        while let Some(at) = below.pop() {
            let node = &mut self.nodes[at as usize];
            node.gone = true;
            below.extend(node.children.values());
        }
        let parent = self.node(id)?.parent;
        Some(Placed { node: id, directories: vec![parent], left: None })
    }

    /// A name for a place: within one directory the place goes along, unless the new name has one.
    /// Returns the node that now bears the name, where it is the same node.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Option<Placed> {
        let id = self.find(from)?;
        let parent = self.node(id)?.parent;
        let (dir, name) = split(to)?;
        if self.find(dir) != Some(parent) || self.node(parent)?.children.contains_key(name) {
            return None;
        }
        let node = &mut self.nodes[id as usize];
        let old = std::mem::replace(&mut node.name, name.to_vec());
        let siblings = &mut self.nodes[parent as usize].children;
        siblings.remove(&old);
        siblings.insert(name.to_vec(), id);
        Some(Placed { node: id, directories: vec![parent], left: None })
    }
}

/// Parent and last name of a path.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = path.iter().rposition(|b| *b == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// The names of a path; a process's path (`pid:7`) lies in the district of processes.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let district: &[u8] = if path.starts_with(b"pid:") { b"processes" } else { b"" };
    let parts = std::iter::once(district).chain(path.split(|b| *b == b'/'));
    parts.filter(|name| !name.is_empty() && *name != b".")
}
