//! The index while it is edited: nodes are read when first needed, changed in memory, and appended
//! anew when the edit is committed (or earlier, where many are in memory).
//!
//! Keeps: a node's lowest cells are always the means of its children's highest; the root's height
//! is the one that the size calls for.

mod writers;

use super::log::Log;
use crate::brick::read_bytes;
use crate::cells::{self, Cell, ZERO_CELL};
use crate::error::{Error, corrupt};
use crate::geometry::{
    self, CHILD_CELLS, FANOUT, FANOUT_SHIFT, index, node_cells, node_children, span, tile_len,
    tiles,
};
use crate::hash::{self, Hash, Merges};
use crate::layout::{ENTRY_HASHED, ENTRY_ZERO, Entry, NODE_MAX_LEN, Node, Record};
use crate::ranges::RangeSet;
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::ops::Range;

/// Nodes kept in memory before the finished ones are appended: about 10 KiB each.
const NODES_IN_MEMORY: usize = 192;

/// A node in memory.
#[derive(Clone, Debug)]
struct Work {
    entries: Vec<Entry>,
    /// Its lowest level; the other two follow from it.
    low: Vec<Cell>,
    dirty: bool,
    /// What lies between the children's chaining values and the node's, but for the children in `stale`.
    merges: Option<Merges>,
    /// Children that changed since, one bit each.
    stale: u64,
}

impl Work {
    fn new(entries: Vec<Entry>, low: Vec<Cell>, dirty: bool) -> Self {
        Self { entries, low, dirty, merges: None, stale: 0 }
    }

    /// Brings `merges` up to date; `None` where a child's hash is not known.
    fn merge(&mut self) -> Option<&Merges> {
        let stale = std::mem::take(&mut self.stale);
        if self.entries.iter().any(|entry| entry.hash().is_none()) {
            self.merges = None;
            return None;
        }
        match &mut self.merges {
            Some(merges) if merges.len() == self.entries.len() => {
                for (i, entry) in self.entries.iter().enumerate() {
                    if stale >> i & 1 == 1 {
                        merges.set(i, entry.cv);
                    }
                }
            }
            merges => *merges = Merges::new(self.entries.iter().map(|entry| entry.cv).collect()),
        }
        self.merges.as_ref()
    }
}

/// What a visit does with a node (height, number) that covers these tiles, and whether all of them
/// are meant. Says whether to go below.
type OnNode<'a> = dyn FnMut(&mut Index, (u32, u64), Range<u64>, bool) -> Result<bool, Error> + 'a;

/// The index of the generation to come.
#[derive(Debug, Default)]
pub(super) struct Index {
    size: u64,
    height: u32,
    root: Entry,
    /// The generation of the base that last changed its content.
    last: u64,
    nodes: BTreeMap<(u32, u64), Work>,
    /// Whether the root differs from the base's.
    pub(super) dirty: bool,
    /// Bytes of nodes and payload appended, less those that they replaced.
    pub(super) live: i64,
    /// Number of nodes in memory at which to look for finished ones.
    relieve_at: usize,
}

/// What the root says when all nodes are appended.
pub(super) struct Top {
    pub(super) root: Entry,
    pub(super) height: u32,
    /// Hash of the content, if the root was changed and all of it is hashed.
    pub(super) whole: Option<Hash>,
}

impl Index {
    pub(super) fn adopt(&mut self, record: &Record) {
        let Record { size, height, root, .. } = *record;
        *self = Self { size, height, root, last: root.generation, ..Self::default() };
    }

    /// The entry of node `node` of `height`, which must be part of the content.
    pub(super) fn entry<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        height: u32,
        node: u64,
    ) -> Result<&mut Entry, Error> {
        if height == self.height {
            return Ok(&mut self.root);
        }
        let parent = (height + 1, node >> FANOUT_SHIFT);
        self.load(storage, log, parent)?;
        let slot = index(node & (FANOUT as u64 - 1));
        let work = self.nodes.get_mut(&parent);
        work.and_then(|work| work.entries.get_mut(slot))
            .ok_or(Error::Usage("a tile past the end of the content"))
    }

    /// Brings a node of height >= 1 into memory.
    fn load<S: Storage>(&mut self, s: &S, log: &Log, key: (u32, u64)) -> Result<(), Error> {
        if self.nodes.contains_key(&key) {
            return Ok(());
        }
        let (height, node) = key;
        let entry = *self.entry(s, log, height, node)?;
        let work = if entry.is_zero() || entry.is_missing() {
            let child = if entry.is_zero() {
                let (generation, writer) = (entry.generation, entry.writer);
                Entry { flags: ENTRY_ZERO, generation, writer, ..Entry::default() }
            } else {
                Entry::default()
            };
            let entries = vec![child; node_children(self.size, height, node)];
            Work::new(entries, vec![ZERO_CELL; node_cells(self.size, height, node)[0]], false)
        } else {
            let node = self.read(s, log, &entry, height, node)?;
            let [low, ..] = node.cells;
            Work::new(node.entries, low, false)
        };
        self.nodes.insert(key, work);
        Ok(())
    }

    fn read<S: Storage>(
        &self,
        storage: &S,
        log: &Log,
        entry: &Entry,
        height: u32,
        node: u64,
    ) -> Result<Node, Error> {
        let bytes = encoded(storage, log, entry)?;
        Node::parse(&bytes, entry, self.size, height, node)
    }

    /// The root node's bytes; none where the content is zero or one tile.
    pub(super) fn encoded_root<S: Storage>(&self, s: &S, log: &Log) -> Result<Vec<u8>, Error> {
        if self.height == 0 || self.root.is_zero() {
            return Ok(Vec::new());
        }
        encoded(s, log, &self.root)
    }

    /// Puts `entry` in the place of a child and `above` (the cells above the child's own) where
    /// its parent keeps them.
    fn place<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        (height, node): (u32, u64),
        entry: Entry,
        above: &[Cell],
    ) -> Result<(), Error> {
        *self.entry(storage, log, height, node)? = entry;
        self.touch_above((height, node));
        if let Some(work) = self.nodes.get_mut(&(height + 1, node >> FANOUT_SHIFT)) {
            let child = node & (FANOUT as u64 - 1);
            work.stale |= 1 << child;
            let from = index(child) * CHILD_CELLS;
            if let Some(low) = work.low.get_mut(from..from + above.len()) {
                low.copy_from_slice(above);
            }
        }
        Ok(())
    }

    /// Replaces a tile.
    pub(super) fn put_tile<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        tile: u64,
        entry: Entry,
        above: &[Cell],
    ) -> Result<(), Error> {
        let old = *self.entry(storage, log, 0, tile)?;
        self.live += i64::from(entry.length) - i64::from(old.length);
        self.place(storage, log, (0, tile), entry, above)
    }

    /// Makes `hole` (tiles) zero and adds what that changed to `changed`.
    pub(super) fn put_hole<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        hole: &Range<u64>,
        zero: &Entry,
        changed: &mut RangeSet,
    ) -> Result<(), Error> {
        self.visit(storage, log, (self.height, 0), hole, &mut |this, key, tiles, inside| {
            let entry = *this.entry(storage, log, key.0, key.1)?;
            // A node that was taken apart, to grow, may miss what its entry speaks for.
            if entry.is_zero() && !this.touched_below(key) {
                return Ok(false);
            }
            if !inside || (0 < key.0 && !entry.is_missing()) || this.touched_below(key) {
                return Ok(true);
            }
            let n_cells = node_cells(this.size, key.0, key.1)[2].div_ceil(4);
            this.live -= i64::from(entry.length);
            this.forget_below(key);
            this.place(storage, log, key, *zero, &vec![ZERO_CELL; n_cells])?;
            changed.insert(tiles);
            Ok(false)
        })
    }

    /// Whether a node was taken apart in memory: its own entry then says nothing of it.
    fn touched_below(&self, key: (u32, u64)) -> bool {
        0 < key.0 && self.nodes.get(&key).is_some_and(|work| work.dirty)
    }

    /// Marks the nodes above `key`, all of which are in memory where one is.
    fn touch_above(&mut self, (height, node): (u32, u64)) {
        self.dirty = true;
        let (mut height, mut node) = (height + 1, node >> FANOUT_SHIFT);
        while let Some(work) = self.nodes.get_mut(&(height, node)).filter(|work| !work.dirty) {
            work.dirty = true;
            (height, node) = (height + 1, node >> FANOUT_SHIFT);
        }
    }

    /// Drops nodes that were read but not changed: the entry of `key` speaks for all of them.
    fn forget_below(&mut self, key: (u32, u64)) {
        for height in 1..=key.0 {
            let shift = FANOUT_SHIFT * (key.0 - height);
            let nodes = (height, key.1 << shift)..(height, (key.1 + 1) << shift);
            let keys: Vec<(u32, u64)> = self.nodes.range(nodes).map(|(key, _)| *key).collect();
            for key in keys {
                self.nodes.remove(&key);
            }
        }
    }

    /// Calls `f` with every entry that meets `range`, from `key` down; `f` says whether to go below.
    fn visit<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        key: (u32, u64),
        range: &Range<u64>,
        f: &mut OnNode<'_>,
    ) -> Result<(), Error> {
        let (height, node) = key;
        let first = node << (FANOUT_SHIFT * height);
        let own = first..first.saturating_add(span(height)).min(tiles(self.size));
        let meet = own.start.max(range.start)..own.end.min(range.end);
        if meet.is_empty() {
            return Ok(());
        }
        let inside = meet == own;
        if !f(self, key, own, inside)? || height == 0 {
            return Ok(());
        }
        self.load(storage, log, key)?;
        let below = FANOUT_SHIFT * (height - 1);
        let children = meet.start >> below..((meet.end - 1) >> below) + 1;
        for child in children {
            self.visit(storage, log, (height - 1, child), range, f)?;
        }
        Ok(())
    }

    /// See [`super::Editor::resize`].
    pub(super) fn resize<S: Storage>(
        &mut self,
        storage: &S,
        log: &mut Log,
        size: u64,
    ) -> Result<(), Error> {
        let (old, new) = (tiles(self.size), tiles(size));
        if size == self.size {
            return Ok(());
        }
        self.dirty = true;
        let kept = old.min(new);
        if kept == 0 {
            let (height, last) = (geometry::height(size), self.last);
            *self = Self { size, height, last, dirty: true, ..Self::default() };
            return Ok(());
        }
        // The nodes along the edge are shaped by the old size: they must be in memory first.
        for height in (1..=self.height).rev() {
            self.load(storage, log, (height, (kept - 1) >> (FANOUT_SHIFT * height)))?;
        }
        let old_size = std::mem::replace(&mut self.size, size);
        self.lower(kept);
        self.raise(storage, log, old_size)?;
        for height in 1..=self.height {
            let node = (kept - 1) >> (FANOUT_SHIFT * height);
            self.load(storage, log, (height, node))?;
            if let Some(work) = self.nodes.get_mut(&(height, node)) {
                work.entries.resize(node_children(size, height, node), Entry::default());
                work.low.resize(node_cells(size, height, node)[0], ZERO_CELL);
                (work.dirty, work.merges) = (true, None);
            }
        }
        if tile_len(old_size, kept - 1) != tile_len(size, kept - 1) {
            *self.entry(storage, log, 0, kept - 1)? = Entry::default();
        }
        Ok(())
    }

    /// Drops what is past `kept` tiles, and heights that a smaller size does not need.
    fn lower(&mut self, kept: u64) {
        self.nodes.retain(|(height, node), _| node << (FANOUT_SHIFT * height) < kept);
        while geometry::height(self.size) < self.height {
            if let Some(top) = self.nodes.remove(&(self.height, 0)) {
                self.root = top.entries.first().copied().unwrap_or_default();
            }
            self.height -= 1;
        }
    }

    /// Adds heights that a greater size needs: the old root becomes the first child.
    fn raise<S: Storage>(&mut self, storage: &S, log: &Log, old_size: u64) -> Result<(), Error> {
        while self.height < geometry::height(self.size) {
            let n_cells = node_cells(old_size, self.height, 0)[2];
            let high = match self.nodes.get(&(self.height, 0)) {
                Some(work) => above(&above(&work.low)),
                None if self.root.is_zero() || self.root.is_missing() => vec![ZERO_CELL; n_cells],
                None => {
                    let bytes = self.read_as(storage, log, old_size)?;
                    let [_, _, high] = bytes.cells;
                    high
                }
            };
            let mut low = above(&high);
            let parent = (self.height + 1, 0);
            low.resize(node_cells(self.size, parent.0, 0)[0], ZERO_CELL);
            let mut entries = vec![Entry::default(); node_children(self.size, parent.0, 0)];
            if let Some(first) = entries.first_mut() {
                *first = std::mem::take(&mut self.root);
            }
            self.nodes.insert(parent, Work::new(entries, low, true));
            self.height += 1;
        }
        Ok(())
    }

    /// The root tile, as an artifact of `size` bytes had it.
    fn read_as<S: Storage>(&self, s: &S, log: &Log, size: u64) -> Result<Node, Error> {
        let then = Self { size, ..Self::default() };
        then.read(s, log, &self.root, self.height, 0)
    }

    /// The first tile that was never put, among the nodes in memory.
    pub(super) fn missing(&self) -> Option<u64> {
        if self.size != 0 && self.root.is_missing() && !self.touched_below((self.height, 0)) {
            return Some(0);
        }
        let mut missing = None;
        // What was not changed came from a committed generation, which misses nothing.
        for (&(height, node), work) in self.nodes.iter().filter(|(_, work)| work.dirty) {
            for (child, entry) in (node << FANOUT_SHIFT..).zip(&work.entries) {
                if entry.is_missing() && !self.touched_below((height - 1, child)) {
                    let tile = child << (FANOUT_SHIFT * (height - 1));
                    missing = Some(missing.map_or(tile, |m: u64| m.min(tile)));
                }
            }
        }
        missing
    }

    /// Appends finished nodes where too many are in memory.
    pub(super) fn relieve<S: Storage>(
        &mut self,
        storage: &mut S,
        log: &mut Log,
        budget: &mut u64,
    ) -> Result<(), Error> {
        if self.nodes.len() < NODES_IN_MEMORY.max(self.relieve_at) {
            return Ok(());
        }
        for height in 1..self.height {
            let keys: Vec<(u32, u64)> =
                self.nodes.range((height, 0)..(height + 1, 0)).map(|(key, _)| *key).collect();
            for key in keys {
                let finished = self
                    .nodes
                    .get(&key)
                    .is_some_and(|work| !work.entries.iter().any(Entry::is_missing));
                let needed = 1 < height && self.children_in_memory(key);
                if finished && !needed {
                    self.append(storage, log, key, budget)?;
                    self.nodes.remove(&key);
                }
            }
        }
        // Where few were finished, looking again at every tile would not pay.
        self.relieve_at = 2 * self.nodes.len();
        Ok(())
    }

    fn children_in_memory(&self, (height, node): (u32, u64)) -> bool {
        let children = node << FANOUT_SHIFT..(node + 1) << FANOUT_SHIFT;
        self.nodes.range((height - 1, children.start)..(height - 1, children.end)).next().is_some()
    }

    /// The root as it is, where nothing changed.
    pub(super) fn top(&self) -> Top {
        Top { root: self.root, height: self.height, whole: None }
    }

    /// After a commit.
    pub(super) fn adopt_root(&mut self, record: &Record) {
        self.root = record.root;
        self.last = record.root.generation;
    }

    /// Appends every changed node, children first.
    pub(super) fn finish<S: Storage>(
        &mut self,
        storage: &mut S,
        log: &mut Log,
        budget: &mut u64,
    ) -> Result<Top, Error> {
        let mut whole = None;
        for height in 1..=self.height {
            let keys: Vec<(u32, u64)> =
                self.nodes.range((height, 0)..(height + 1, 0)).map(|(key, _)| *key).collect();
            for key in keys {
                whole = self.append(storage, log, key, budget)?;
            }
        }
        if NODES_IN_MEMORY / 4 < self.nodes.len() {
            self.nodes.clear();
        }
        if self.height == 0 && !self.root.is_zero() && self.size != 0 {
            whole = self.read(storage, log, &self.root, 0, 0)?.alone;
        }
        if self.root.is_zero() && whole.is_none() {
            if self.root.hash().is_none() && self.size <= *budget {
                *budget -= self.size;
                let cv = hash::zeros(self.size, 0, tiles(self.size));
                set_hash(&mut self.root, cv);
            }
            whole = self.root.hash().and_then(|_| hash::zeros_root(self.size));
        }
        Ok(Top { root: self.root, height: self.height, whole })
    }

    /// Appends one changed node and tells its parent. Where it is the root, returns the content's hash.
    fn append<S: Storage>(
        &mut self,
        storage: &mut S,
        log: &mut Log,
        key: (u32, u64),
        budget: &mut u64,
    ) -> Result<Option<Hash>, Error> {
        let Some(mut work) = self.nodes.remove(&key) else { return Ok(None) };
        let (height, node) = key;
        if !work.dirty {
            self.nodes.insert(key, work);
            return Ok(None);
        }
        for (child, entry) in (node << FANOUT_SHIFT..).zip(&mut work.entries) {
            let first = child << (FANOUT_SHIFT * (height - 1));
            let n = span(height - 1).min(tiles(self.size) - first);
            let bytes = n << geometry::TILE_SHIFT;
            if entry.is_zero() && entry.hash().is_none() && bytes <= *budget {
                *budget -= bytes;
                set_hash(entry, hash::zeros(self.size, first, n));
                work.stale |= 1 << (child % FANOUT as u64);
            }
        }
        let middle = above(&work.low);
        let high = above(&middle);
        let over = above(&high);
        let old = *self.entry(storage, log, height, node)?;
        let mut entry = self.encode(storage, log, key, &mut work, [middle, high])?;
        self.live += i64::from(entry.length) - i64::from(old.length);
        let is_root = height == self.height;
        let merges = work.merge();
        set_hash(&mut entry, merges.map(Merges::node));
        let whole = merges.filter(|_| is_root).and_then(Merges::root);
        self.place(storage, log, key, entry, &over)?;
        work.dirty = false;
        self.nodes.insert(key, work);
        Ok(whole)
    }

    /// The entry of a node: zero where all children are and one writer made them so, else appended.
    fn encode<S: Storage>(
        &self,
        storage: &mut S,
        log: &mut Log,
        (height, node): (u32, u64),
        work: &mut Work,
        [middle, high]: [Vec<Cell>; 2],
    ) -> Result<Entry, Error> {
        let generation = work.entries.iter().map(|entry| entry.generation).max().unwrap_or(0);
        let first = work.entries.first().copied().unwrap_or_default();
        let same = |e: &Entry| e.is_zero() && e.writer == first.writer && e.flags == first.flags;
        if work.entries.iter().all(same) {
            let (flags, writer) = (ENTRY_ZERO, first.writer);
            return Ok(Entry { flags, generation, writer, ..Entry::default() });
        }
        let entries = std::mem::take(&mut work.entries);
        let low = std::mem::take(&mut work.low);
        let cells = [low, middle, high];
        let node = Node { height, node, entries, cells, ..Node::default() };
        let bytes = node.encode();
        let blob = log.blob(storage, &bytes)?;
        let [low, ..] = node.cells;
        (work.entries, work.low) = (node.entries, low);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (offset, checksum) = (blob.offset, blob.checksum);
        Ok(Entry { offset, length, checksum, generation, ..Entry::default() })
    }
}

/// A node's bytes, from the storage or from what was not yet written to it.
fn encoded<S: Storage>(storage: &S, log: &Log, entry: &Entry) -> Result<Vec<u8>, Error> {
    let len = entry.length as usize;
    if NODE_MAX_LEN < len {
        return Err(corrupt("node is too long", entry.offset));
    }
    match log.pending(entry.offset).and_then(|bytes| bytes.get(..len)) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => read_bytes(storage, entry.offset, len as u64, log.end()),
    }
}

fn above(cells: &[Cell]) -> Vec<Cell> {
    let mut out = Vec::with_capacity(cells.len().div_ceil(4));
    cells::parents(cells, &mut out);
    out
}

fn set_hash(entry: &mut Entry, cv: Option<Hash>) {
    if let Some(cv) = cv {
        entry.cv = cv;
        entry.flags |= ENTRY_HASHED;
    }
}
