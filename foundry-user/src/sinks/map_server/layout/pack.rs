//! Placing a whole tree at once: the largest first, so that the smaller ones fill what is left.
//!
//! Knows: names, sizes. Must never know: the file system the tree came from.

use super::{Layout, Node, NodeId, NodeKind, Run, WORLD_END, cells, grain_of, leaf_run, take};
use std::collections::{BTreeMap, HashMap};

/// A tree that is not placed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Tree {
    pub(in super::super) name: Vec<u8>,
    pub(in super::super) kind: NodeKind,
    pub(in super::super) size: u64,
    pub(in super::super) children: Vec<Tree>,
}

/// A tree whose parts lie relative to its own start.
struct Packed {
    tree: Tree,
    len: u64,
    align: u64,
    children: Vec<(u64, Packed)>,
    free: BTreeMap<u64, u64>,
}

fn pack(mut tree: Tree) -> Packed {
    let children = std::mem::take(&mut tree.children);
    match tree.kind {
        NodeKind::Directory => pack_directory(tree, children),
        NodeKind::File | NodeKind::Process => {
            let (len, align) = leaf_run(tree.kind, tree.size.min(cells(super::MOST_ORDER)));
            Packed { tree, len, align, children: vec![], free: BTreeMap::new() }
        }
        NodeKind::Symlink | NodeKind::Other => {
            Packed { tree, len: 0, align: 1, children: vec![], free: BTreeMap::new() }
        }
    }
}

fn pack_directory(tree: Tree, children: Vec<Tree>) -> Packed {
    let mut packed: Vec<Packed> = children.into_iter().map(pack).collect();
    packed.sort_by(|a, b| {
        let size = (b.len, b.align).cmp(&(a.len, a.align));
        size.then_with(|| a.tree.name.cmp(&b.tree.name))
    });
    let mut free = BTreeMap::from([(0, WORLD_END)]);
    // Parts of one shape follow one another: where one found no place, the next need not look.
    let mut hints: HashMap<(u64, u64), u64> = HashMap::new();
    let (mut end, mut align) = (0, 1);
    let mut placed = Vec::with_capacity(packed.len());
    for child in packed {
        if child.len == 0 {
            placed.push((0, child));
            continue;
        }
        let shape = (child.align, child.len);
        let hint = hints.get(&shape).copied().unwrap_or(0);
        let from = free.range(..=hint).next_back().map_or(0, |(at, _)| *at);
        let at = take(&mut free, child.len, child.align, from).unwrap_or(0);
        hints.insert(shape, at);
        end = end.max(at + child.len);
        align = align.max(child.align);
        placed.push((at, child));
    }
    let grain = grain_of(end);
    // Room for its own files, mostly: directories below have theirs, and each level's share of all that
    // is below it would be half of the world.
    let leaves = placed.iter().filter(|(_, child)| child.tree.kind != NodeKind::Directory);
    let own: u64 = leaves.map(|(_, child)| child.len).sum();
    let len = if end == 0 { 0 } else { (end + own / 12 + end / 64).next_multiple_of(grain) };
    // The last gap reaches to the end of the world; a directory's ends with it.
    free = free.into_iter().filter(|(at, _)| *at < len).map(|(a, b)| (a, b.min(len))).collect();
    Packed { tree, len, align: align.max(grain), children: placed, free }
}

impl Layout {
    /// Places a directory and all below it as the child of `parent` that has its name. What is there
    /// already is left alone and added to, one by one.
    pub(in super::super) fn place_tree(&mut self, parent_path: &[u8], tree: Tree) {
        let mut path = parent_path.to_vec();
        path.push(b'/');
        path.extend_from_slice(&tree.name);
        let known =
            self.find(&path).and_then(|id| self.node(id)).is_some_and(|n| !n.runs.is_empty());
        if known {
            self.add_one_by_one(&path, tree);
            return;
        }
        let placed = self.place(&path, NodeKind::Directory, 0);
        let packed = pack(tree);
        if packed.len == 0 {
            self.settle(placed.node, packed, 0);
            return;
        }
        let parent = self.node(placed.node).map_or(super::ROOT, |node| node.parent);
        let start = self.allot(parent, packed.len, packed.align, &mut super::Placed::default());
        self.settle(placed.node, packed, start);
    }

    fn add_one_by_one(&mut self, path: &[u8], tree: Tree) {
        for child in tree.children {
            if child.kind == NodeKind::Directory {
                self.place_tree(path, child);
            } else {
                let mut at = path.to_vec();
                at.push(b'/');
                at.extend_from_slice(&child.name);
                self.place(&at, child.kind, child.size);
            }
        }
    }

    fn settle(&mut self, id: NodeId, packed: Packed, start: u64) {
        let node = &mut self.nodes[id as usize];
        (node.size, node.gone) = (packed.tree.size, false);
        if packed.len > 0 {
            node.runs = vec![Run { start, end: start + packed.len }];
            if node.kind != NodeKind::Directory {
                self.leaves.insert(start, id);
                return;
            }
            node.free = packed.free.into_iter().map(|(a, b)| (a + start, b + start)).collect();
        }
        for (at, child) in packed.children {
            let known = self.nodes[id as usize].children.get(&child.tree.name).copied();
            let child_id = known.unwrap_or_else(|| {
                let new = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
                let name = &child.tree.name;
                self.nodes.push(Node { kind: child.tree.kind, ..Node::directory(id, name) });
                self.nodes[id as usize].children.insert(name.clone(), new);
                new
            });
            self.settle(child_id, child, start + at);
        }
    }
}
