//! The index of one generation, walked from its root.
//!
//! Keeps: a child has a lesser height than its parent, and its node says which place it is for,
//! so a walk ends after at most nine steps whatever the bytes are.

use crate::cells::{self, Cell, ZERO_CELL};
use crate::codec;
use crate::error::{Error, corrupt};
use crate::geometry::{
    FANOUT_SHIFT, LEAF_LEVEL, LEVELS_PER_NODE, NODE_CELLS, TILE_BYTES, TILE_SHIFT, index,
    node_level, span, tile_len, tiles,
};
use crate::hash::{self, checksum};
use crate::layout::{Entry, NODE_MAX_LEN, Node, Pointer, Record, WRITER_HEADER_LEN, WRITER_MAGIC};
use crate::meta::Writer;
use crate::storage::Storage;
use std::ops::Range;

/// One generation's index.
pub(crate) struct View<'a, S> {
    pub(crate) storage: &'a S,
    pub(crate) record: &'a Record,
}

impl<S> Clone for View<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for View<'_, S> {}

/// What a walk does with an entry and the tiles it is for.
pub(crate) type OnEntry<'a> = dyn FnMut(Range<u64>, &Entry) -> Result<(), Error> + 'a;

/// Reads `len` bytes at `offset` of a file whose committed bytes end at `end`. Looks at the length
/// before it allocates.
pub(crate) fn read_bytes<S: Storage>(
    storage: &S,
    offset: u64,
    len: u64,
    end: u64,
) -> Result<Vec<u8>, Error> {
    if offset.checked_add(len).is_none_or(|last| end < last) {
        return Err(corrupt("a pointer leads outside of the file", offset));
    }
    let mut bytes = vec![0; index(len)];
    storage.read_at(offset, &mut bytes)?;
    Ok(bytes)
}

/// Reads and checks a blob.
pub(crate) fn read_blob<S: Storage>(s: &S, at: &Pointer, end: u64) -> Result<Vec<u8>, Error> {
    let bytes = read_bytes(s, at.offset, at.length, end)?;
    if checksum(&bytes) == at.checksum {
        Ok(bytes)
    } else {
        Err(corrupt("blob checksum", at.offset))
    }
}

/// Reads node `node` of `height`, which is not zero, of an artifact of `size` bytes.
pub(crate) fn read_node<S: Storage>(
    storage: &S,
    (size, end): (u64, u64),
    entry: &Entry,
    height: u32,
    node: u64,
) -> Result<Node, Error> {
    if NODE_MAX_LEN < entry.length as usize {
        return Err(corrupt("node is too long", entry.offset));
    }
    let bytes = read_bytes(storage, entry.offset, u64::from(entry.length), end)?;
    Node::parse(&bytes, entry, size, height, node)
}

impl<S: Storage> View<'_, S> {
    fn size(&self) -> u64 {
        self.record.size
    }

    /// Reads node `node` of `height`, which is not zero.
    pub(crate) fn node(&self, entry: &Entry, height: u32, node: u64) -> Result<Node, Error> {
        let bounds = (self.record.size, self.record.end());
        read_node(self.storage, bounds, entry, height, node)
    }

    /// See [`crate::Brick::cells`].
    pub(crate) fn cells(
        &self,
        level: u32,
        range: Range<u64>,
        out: &mut Vec<Cell>,
    ) -> Result<(), Error> {
        let range = range.start..range.end.min(crate::geometry::cells(self.size(), level));
        if level < LEAF_LEVEL || range.is_empty() {
            return Ok(());
        }
        let height = (level - LEAF_LEVEL) / LEVELS_PER_NODE;
        if self.record.height < height {
            let top = self.derived(level)?;
            let from = top.get(index(range.start)..index(range.end));
            out.extend_from_slice(from.unwrap_or_default());
            return Ok(());
        }
        let want = Want { level, height, range };
        self.collect(&self.record.root, self.record.height, 0, &want, out)
    }

    /// A level above those that the root node stores.
    fn derived(&self, level: u32) -> Result<Vec<Cell>, Error> {
        let stored = node_level(self.record.height) + LEVELS_PER_NODE - 1;
        let mut top = Vec::new();
        self.cells(stored, 0..NODE_CELLS[2] as u64, &mut top)?;
        for _ in stored..level {
            let mut above = Vec::new();
            cells::parents(&top, &mut above);
            top = above;
        }
        Ok(top)
    }

    fn collect(
        &self,
        entry: &Entry,
        height: u32,
        node: u64,
        want: &Want,
        out: &mut Vec<Cell>,
    ) -> Result<(), Error> {
        // Cells of the wanted level that a full node of this height stands for.
        let shift = 2 * (TILE_SHIFT / 2 + LEVELS_PER_NODE * height - want.level);
        let first = node << shift;
        let from = want.range.start.max(first);
        let to = want.range.end.min(first.saturating_add(1 << shift));
        if to <= from {
            return Ok(());
        }
        if entry.is_zero() {
            out.resize(out.len() + index(to - from), ZERO_CELL);
            return Ok(());
        }
        let node = self.node(entry, height, node)?;
        if height == want.height {
            let page = &node.cells[((want.level - LEAF_LEVEL) % LEVELS_PER_NODE) as usize];
            let cells = page.get(index(from - first)..index(to - first));
            out.extend_from_slice(cells.ok_or(corrupt("node lacks cells", entry.offset))?);
            return Ok(());
        }
        for (i, child) in node.entries.iter().enumerate() {
            self.collect(child, height - 1, (node.node << FANOUT_SHIFT) + i as u64, want, out)?;
        }
        Ok(())
    }

    /// The entry of `tile`, or of the run of zeros that holds it, and how many tiles it stands for.
    pub(crate) fn tile_entry(&self, tile: u64) -> Result<Option<(Entry, u64)>, Error> {
        if tiles(self.size()) <= tile {
            return Ok(None);
        }
        let (mut entry, mut height) = (self.record.root, self.record.height);
        while 0 < height && !entry.is_zero() {
            let node = self.node(&entry, height, tile >> (FANOUT_SHIFT * height))?;
            height -= 1;
            let child = (tile >> (FANOUT_SHIFT * height)) & (crate::geometry::FANOUT as u64 - 1);
            let child = node.entries.get(index(child));
            entry = *child.ok_or(corrupt("node lacks an entry", entry.offset))?;
        }
        Ok(Some((entry, span(height))))
    }

    /// Calls `f` with every entry of a tile or of a run of zeros, in order, and the tiles it is
    /// for; `enter` says whether to look below an entry.
    pub(crate) fn walk(
        &self,
        enter: &dyn Fn(&Entry) -> bool,
        f: &mut OnEntry<'_>,
    ) -> Result<(), Error> {
        if self.size() == 0 {
            return Ok(());
        }
        self.walk_from(&self.record.root, self.record.height, 0, enter, f)
    }

    fn walk_from(
        &self,
        entry: &Entry,
        height: u32,
        node: u64,
        enter: &dyn Fn(&Entry) -> bool,
        f: &mut OnEntry<'_>,
    ) -> Result<(), Error> {
        if !enter(entry) {
            return Ok(());
        }
        if height == 0 || entry.is_zero() {
            let first = node << (FANOUT_SHIFT * height);
            let end = first.saturating_add(span(height)).min(tiles(self.size()));
            return f(first..end, entry);
        }
        let node = self.node(entry, height, node)?;
        for (i, child) in node.entries.iter().enumerate() {
            self.walk_from(child, height - 1, (node.node << FANOUT_SHIFT) + i as u64, enter, f)?;
        }
        Ok(())
    }

    /// See [`crate::Brick::changed_since`].
    pub(crate) fn changed_since(&self, generation: u64) -> Result<Vec<Range<u64>>, Error> {
        let mut out: Vec<Range<u64>> = Vec::new();
        let enter = |entry: &Entry| generation < entry.generation;
        self.walk(&enter, &mut |tiles, _| {
            match out.last_mut() {
                Some(last) if last.end == tiles.start => last.end = tiles.end,
                _ => out.push(tiles),
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// See [`crate::Brick::zeros`].
    pub(crate) fn zeros(&self) -> Result<Vec<Range<u64>>, Error> {
        let mut out: Vec<Range<u64>> = Vec::new();
        self.walk(&|_| true, &mut |tiles, entry| {
            match out.last_mut() {
                _ if !entry.is_zero() => {}
                Some(last) if last.end == tiles.start => last.end = tiles.end,
                _ => out.push(tiles),
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// See [`crate::Brick::writers`].
    pub(crate) fn writers(&self) -> Result<Vec<(Range<u64>, Writer)>, Error> {
        let mut runs: Vec<(Range<u64>, u64)> = Vec::new();
        self.walk(&|_| true, &mut |tiles, entry| {
            let end = (tiles.end << TILE_SHIFT).min(self.size());
            let bytes = tiles.start << TILE_SHIFT..end;
            match runs.last_mut() {
                Some((last, writer)) if last.end == bytes.start && *writer == entry.writer => {
                    last.end = bytes.end;
                }
                _ => runs.push((bytes, entry.writer)),
            }
            Ok(())
        })?;
        runs.retain(|(_, writer)| *writer != 0);
        runs.into_iter().map(|(bytes, at)| Ok((bytes, self.writer_at(at)?))).collect()
    }

    /// The writer that `entry` names.
    pub(crate) fn writer(&self, entry: &Entry) -> Result<Option<Writer>, Error> {
        if entry.writer == 0 { Ok(None) } else { self.writer_at(entry.writer).map(Some) }
    }

    /// The writer blob at `offset`.
    pub(crate) fn writer_at(&self, offset: u64) -> Result<Writer, Error> {
        let bytes = self.writer_bytes(offset)?;
        codec::decode_writer(&bytes, offset)
    }

    /// Its encoded bytes, checked.
    pub(crate) fn writer_bytes(&self, offset: u64) -> Result<Vec<u8>, Error> {
        let end = self.record.end();
        let head = read_bytes(self.storage, offset, WRITER_HEADER_LEN as u64, end)?;
        let (magic, rest) = head.split_at(4);
        let (len, sum) = rest.split_at(4);
        let len = len.try_into().map_or(0, u32::from_le_bytes);
        let at = offset + WRITER_HEADER_LEN as u64;
        let bytes = read_bytes(self.storage, at, u64::from(len), end)?;
        if magic == WRITER_MAGIC && checksum(&bytes) == sum {
            Ok(bytes)
        } else {
            Err(corrupt("writer checksum", offset))
        }
    }

    /// The bytes of `tile` in a brick with embedded payload, checked against their hash.
    pub(crate) fn payload_tile(&self, tile: u64) -> Result<Vec<u8>, Error> {
        let len = tile_len(self.size(), tile);
        let Some((entry, _)) = self.tile_entry(tile)? else { return Ok(vec![]) };
        if entry.is_zero() {
            return Ok(vec![0; index(len)]);
        }
        let node = self.node(&entry, 0, tile)?;
        let bytes = read_bytes(self.storage, node.payload, len, self.record.end())?;
        if entry.hash() == Some(&hash::tile(tile, &bytes).0) {
            Ok(bytes)
        } else {
            Err(corrupt("embedded bytes do not hash to what the index says", node.payload))
        }
    }
}

struct Want {
    level: u32,
    height: u32,
    range: Range<u64>,
}

const _: () = assert!(TILE_BYTES == 1 << (2 * (TILE_SHIFT / 2)));
