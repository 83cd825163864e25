//! Index entry and node. A node of height 0 is a tile: it has no entries, only cells.

use super::fields::{Field, Put, Take, field, total};
use super::{ENTRY_HASHED, ENTRY_ZERO};
use crate::cells::Cell;
use crate::error::{Error, corrupt};
use crate::geometry::{FANOUT, NODE_CELLS, node_cells, node_children};
use crate::hash::{Checksum, Hash, checksum};

/// First bytes of every node.
pub const NODE_MAGIC: [u8; 4] = *b"NODE";

/// An entry: how a parent knows a child.
pub const ENTRY: &[Field] = &[
    field("offset", 8),
    field("length", 4),
    field("flags", 4),
    field("checksum", size_of::<Checksum>()),
    field("cv", size_of::<Hash>()),
    field("generation", 8),
    field("writer", 8),
];
/// Its length.
pub const ENTRY_LEN: usize = total(ENTRY);
const _: () = assert!(ENTRY_LEN == 80);

/// What a node begins with; entries and cells follow.
pub const NODE: &[Field] = &[
    field("magic", 4),
    field("height", 4),
    field("node", 8),
    field("n_entries", 4),
    field("n_cells", 4),
    field("payload", 8),
];
/// Its length.
pub const NODE_HEADER_LEN: usize = total(NODE);
/// The longest node.
pub const NODE_MAX_LEN: usize =
    NODE_HEADER_LEN + FANOUT * ENTRY_LEN + 4 * (NODE_CELLS[0] + NODE_CELLS[1] + NODE_CELLS[2]);
/// What follows the cells of tile 0, where its hash is known: the hash its bytes have by themselves.
pub const ALONE_LEN: usize = size_of::<Hash>();

/// How a parent knows a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where the child's node lies; 0 where it is zero or (while editing) missing.
    pub offset: u64,
    /// Bytes of the node.
    pub length: u32,
    /// `ENTRY_ZERO`, `ENTRY_HASHED`.
    pub flags: u32,
    /// Of the node.
    pub checksum: Checksum,
    /// BLAKE3 chaining value of the content below.
    pub cv: Hash,
    /// The generation that last changed the content below.
    pub generation: u64,
    /// Offset of the writer blob of who did it (for tiles and zero runs); 0 where unknown.
    pub writer: u64,
}

impl Entry {
    /// Whether all content below is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.flags & ENTRY_ZERO != 0
    }

    /// Whether there is nothing: only an editor's entries may be.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.offset == 0 && !self.is_zero()
    }

    /// The chaining value, where known.
    #[must_use]
    pub fn hash(&self) -> Option<&Hash> {
        (self.flags & ENTRY_HASHED != 0).then_some(&self.cv)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRY_LEN);
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        let mut put = Put::new(ENTRY, out);
        put.u64("offset", self.offset);
        put.u32("length", self.length);
        put.u32("flags", self.flags);
        put.field("checksum", &self.checksum);
        put.field("cv", &self.cv);
        put.u64("generation", self.generation);
        put.u64("writer", self.writer);
    }

    /// Reads it.
    #[must_use]
    pub fn parse(bytes: &[u8; ENTRY_LEN]) -> Self {
        Take::new(ENTRY, bytes).map_or_else(Self::default, |mut take| Self {
            offset: take.u64("offset"),
            length: take.u32("length"),
            flags: take.u32("flags"),
            checksum: take.field("checksum"),
            cv: take.field("cv"),
            generation: take.u64("generation"),
            writer: take.u64("writer"),
        })
    }
}

/// A node: its children and its three levels of cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// 0 for a tile.
    pub height: u32,
    /// Its number along the curve among the nodes of its height.
    pub node: u64,
    /// Children; none for a tile.
    pub entries: Vec<Entry>,
    /// Cells of its lowest, middle and highest level.
    pub cells: [Vec<Cell>; 3],
    /// Where the tile's bytes lie, in a brick with embedded payload; else 0.
    pub payload: u64,
    /// The hash that the bytes of tile 0 have by themselves: a chaining value does not give it, and
    /// it is the artifact's hash as soon as no other tile is left.
    pub alone: Option<Hash>,
}

impl Node {
    /// Its bytes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most 64 entries and 1024 cells")]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(NODE_MAX_LEN);
        let mut put = Put::new(NODE, &mut out);
        put.field("magic", &NODE_MAGIC);
        put.u32("height", self.height);
        put.u64("node", self.node);
        put.u32("n_entries", self.entries.len() as u32);
        put.u32("n_cells", self.cells[0].len() as u32);
        put.u64("payload", self.payload);
        for entry in &self.entries {
            entry.encode_into(&mut out);
        }
        // Highest first, so that the first bytes of the root node are an overview.
        for level in self.cells.iter().rev() {
            out.extend_from_slice(level.as_flattened());
        }
        out.extend_from_slice(self.alone.as_ref().map_or(&[], |hash| &hash[..]));
        out
    }

    /// Reads node number `node` of `height` of an artifact of `size` bytes, as `entry` says it is.
    ///
    /// # Errors
    /// Where the bytes are not that node.
    pub fn parse(
        bytes: &[u8],
        entry: &Entry,
        size: u64,
        height: u32,
        node: u64,
    ) -> Result<Self, Error> {
        let bad = |what| Err(corrupt(what, entry.offset));
        if checksum(bytes) != entry.checksum {
            return bad("node checksum");
        }
        let Some(mut take) = Take::new(NODE, bytes) else { return bad("node is cut") };
        let magic = take.field::<4>("magic");
        let (own_height, own_node) = (take.u32("height"), take.u64("node"));
        let counts = (take.u32("n_entries"), take.u32("n_cells"));
        let payload = take.u64("payload");
        if magic != NODE_MAGIC || own_height != height || own_node != node {
            return bad("node is not the one its parent names");
        }
        let hashed = entry.hash().is_some();
        let n_entries = if height == 0 { 0 } else { node_children(size, height, node) };
        let n_cells = node_cells(size, height, node);
        let rest = take.rest();
        let n_alone = match (height, node, hashed) {
            (0, 0, true) => ALONE_LEN,
            _ => 0,
        };
        let want = n_entries * ENTRY_LEN + 4 * n_cells.iter().sum::<usize>() + n_alone;
        if (counts.0 as usize, counts.1 as usize) != (n_entries, n_cells[0]) || rest.len() != want {
            return bad("node does not have the children its artifact's size calls for");
        }
        let (entries, rest) = rest.split_at(n_entries * ENTRY_LEN);
        let entries: Vec<Entry> = entries.as_chunks().0.iter().map(Entry::parse).collect();
        if entries.iter().any(Entry::is_missing) {
            return bad("node has an entry that leads nowhere");
        }
        let (cells, alone) = rest.split_at(rest.len() - n_alone);
        let alone = alone.try_into().ok();
        let cells = cells.as_chunks::<4>().0;
        let (high, cells) = cells.split_at(n_cells[2]);
        let (middle, low) = cells.split_at(n_cells[1]);
        let cells = [low.to_vec(), middle.to_vec(), high.to_vec()];
        Ok(Self { height, node, entries, cells, payload, alone })
    }
}
