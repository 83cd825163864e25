//! Changing a brick: give it what changed, then commit one generation.
//!
//! An editor appends; nothing that a committed generation needs is ever overwritten. Until
//! `commit` the file's readers see nothing of it, and dropping the editor leaves the brick as it was.
//!
//! Knows: tiles, cells, hashes, the container. Must never know: clocks (time is given), the artifact.
//! Keeps: the content of a generation is a function of the calls since the last one; the two
//! slots always leave a generation that survives a crash (see `commit`).

mod commit;
mod compact;
mod index;
mod log;

pub use commit::Committed;

use crate::brick::{Opened, Trust, open_slots, read_meta};
use crate::cells::Cell;
use crate::codec;
use crate::error::Error;
use crate::geometry::{self, TILE_BYTES, index, tile_len};
use crate::hash::Hash;
use crate::layout::{
    ENTRY_LEN, Entry, LARGE_SLOT_LEN, NODE_HEADER_LEN, Pointer, RECORD_LEN, Record, SMALL_SLOT_LEN,
    Superblock,
};
use crate::meta::{Annotation, Facts, Meta, Payload, Region, Writer};
use crate::parts::Parts;
use crate::ranges::RangeSet;
use crate::storage::Storage;
use index::Index;
use log::Log;
use std::ops::Range;

/// Zero bytes that one commit hashes at most where a hole's hash is not known; beyond it the
/// artifact's hash stays pending. At the speed of BLAKE3 this is a fraction of a second.
pub const HOLE_HASH_BUDGET: u64 = 1 << 30;

/// Bytes that may wait for the next sync. A commit that would leave more syncs by itself, so that
/// opening a brick never hashes more than this.
pub const UNSYNCED_LIMIT: u64 = 4 << 20;

/// An edit of one brick.
#[derive(Debug)]
pub struct Editor<S> {
    storage: S,
    superblock: Option<Superblock>,
    /// Of the superblock to be made, where there is none yet.
    slot_len: u32,
    base: Option<Base>,
    /// Number of the generation that the next commit makes.
    next: u64,
    meta: Meta,
    regions: Option<Vec<u8>>,
    facts: Option<Vec<u8>>,
    annotation: Option<Vec<u8>>,
    parts: Option<Vec<u8>>,
    index: Index,
    changed: RangeSet,
    writers: Vec<(Range<u64>, Writer)>,
    /// The writers may be those of what the brick holds already.
    belated: bool,
    log: Log,
    hole_budget: u64,
    /// The first commit syncs the file before anybody sees it.
    apart: bool,
    /// The next commit syncs what was committed before it.
    settles: bool,
    /// A crash has left a slot that does not count: the next commit takes its place, whatever differs.
    torn: bool,
}

/// The generation that an edit starts from.
#[derive(Debug)]
struct Base {
    record: Record,
    meta: Meta,
    slot: u8,
    /// Whether it was synced, slot and all.
    durable: bool,
    /// The slot of a generation that is known to be durable, while this one may not be.
    protected: Option<u8>,
}

impl<S: Storage> Editor<S> {
    /// Starts a new brick in an empty storage. Nothing is written before the first commit.
    ///
    /// # Errors
    /// Where `meta.size` is beyond what a brick can describe.
    pub fn create(storage: S, meta: Meta) -> Result<Self, Error> {
        let size = meta.size;
        let slot_len = slot_len(codec::encode_meta(&meta).len(), size);
        let mut editor = Self::with(storage, meta, 0);
        let superblock = Superblock::new([0; 16], slot_len, editor.embedded());
        editor.log = Log::new(u64::from(superblock.data_start));
        editor.slot_len = slot_len;
        editor.meta.size = 0;
        editor.resize(size)?;
        Ok(editor)
    }

    /// Starts an edit of the brick's last committed generation.
    ///
    /// # Errors
    /// Where the storage holds no valid brick or cannot be read, or where the brick has features
    /// that a writer must know.
    pub fn open(storage: S) -> Result<Self, Error> {
        Self::open_with(storage, Trust::Nothing)
    }

    /// As [`Editor::open`], for a storage that was synced since its last commit: opening reads no
    /// more than the slots and the meta blob, and the next commit may take the older slot.
    ///
    /// # Errors
    /// As [`Editor::open`].
    pub fn open_settled(storage: S) -> Result<Self, Error> {
        let mut editor = Self::open_with(storage, Trust::Settled)?;
        editor.assume_durable();
        Ok(editor)
    }

    /// As [`Editor::open`], for a storage of which nothing can have been lost since its last commit, because
    /// whoever opens it made that commit and the machine still runs: opening reads no more than the slots
    /// and the meta blob. What the next commit spares is what [`Editor::open`] would spare.
    ///
    /// # Errors
    /// As [`Editor::open`].
    pub fn open_unbroken(storage: S) -> Result<Self, Error> {
        Self::open_with(storage, Trust::Settled)
    }

    fn open_with(storage: S, trust: Trust) -> Result<Self, Error> {
        let opened = open_slots(&storage, trust)?;
        if opened.superblock.ro_compat != 0 {
            return Err(Error::Features(opened.superblock.ro_compat));
        }
        let slot = opened.newest_slot()?;
        let record = opened.newest()?.clone();
        let meta = read_meta(&storage, &record)?;
        let mut editor = Self::with(storage, meta.clone(), record.end());
        editor.superblock = Some(opened.superblock);
        editor.slot_len = opened.superblock.slot_len;
        editor.next = opened.highest + 1;
        editor.torn = opened.torn;
        editor.index.adopt(&record);
        let protected = known_durable(&opened, slot, &record);
        editor.base = Some(Base { record, meta, slot, durable: false, protected });
        Ok(editor)
    }

    fn with(storage: S, meta: Meta, end: u64) -> Self {
        Self {
            storage,
            superblock: None,
            slot_len: SMALL_SLOT_LEN,
            base: None,
            next: 1,
            meta,
            regions: None,
            facts: None,
            annotation: None,
            parts: None,
            index: Index::default(),
            changed: RangeSet::default(),
            writers: Vec::new(),
            belated: false,
            log: Log::new(end),
            hole_budget: HOLE_HASH_BUDGET,
            apart: false,
            settles: false,
            torn: false,
        }
    }

    /// The artifact as it will be committed.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The last committed generation, 0 before the first.
    pub fn generation(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.record.generation)
    }

    /// When the last generation was committed, in nanoseconds since the epoch; 0 before the first.
    pub fn at_ns(&self) -> i64 {
        self.base.as_ref().map_or(0, |base| base.record.at_ns)
    }

    /// The hash of the last committed content, where known.
    pub fn blake3(&self) -> Option<Hash> {
        self.base.as_ref().and_then(|base| base.record.blake3)
    }

    /// Tells that everything written to the storage so far was synced (by `syncfs`, say): the next
    /// commit may then take the place of an older generation's slot, and need not sync by itself.
    pub fn assume_durable(&mut self) {
        if let Some(base) = &mut self.base {
            base.durable = true;
        }
    }

    /// Where nobody knows what was synced: the next commit, if anything differs, first syncs what was
    /// committed before it. It may then take the place of an older slot.
    pub fn settle_first(&mut self) {
        self.settles = true;
    }

    /// Syncs what was committed: the next commit may then take the place of an older slot.
    ///
    /// # Errors
    /// As the storage fails.
    pub fn settle(&mut self) -> Result<(), Error> {
        if self.base.is_some() {
            self.storage.sync()?;
        }
        self.assume_durable();
        Ok(())
    }

    /// Tells that this new brick takes the place of one that is to survive until then: the first
    /// commit syncs, and its generation is known to be durable from the moment it is in its place.
    pub fn written_apart(&mut self) {
        self.apart = true;
    }

    /// Sets how many zero bytes of holes the next commit hashes at most.
    pub fn set_hole_budget(&mut self, bytes: u64) {
        self.hole_budget = bytes;
    }

    /// Gives the content `size` bytes. Tiles that did not exist, or whose length changes, must
    /// then be `put` before the commit.
    ///
    /// # Errors
    /// Where `size` is beyond what a brick can describe, or the brick cannot be read.
    pub fn resize(&mut self, size: u64) -> Result<(), Error> {
        if geometry::MAX_SIZE < size {
            return Err(Error::Usage("an artifact has at most 2^63 - 1 bytes"));
        }
        self.index.resize(&self.storage, &mut self.log, size)?;
        self.meta.size = size;
        self.changed.truncate(geometry::tiles(size));
        Ok(())
    }

    /// Folds `bytes`, which begin at a tile and end at a tile or at the end of the content.
    ///
    /// # Errors
    /// Where they do not, or the storage fails.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        if !offset.is_multiple_of(TILE_BYTES) {
            return Err(Error::Usage("put begins inside a tile"));
        }
        for (tile, bytes) in (offset / TILE_BYTES..).zip(bytes.chunks(index(TILE_BYTES))) {
            if bytes.len() != index(tile_len(self.meta.size, tile)) {
                return Err(Error::Usage("put holds a part of a tile, or bytes past the end"));
            }
            self.put_tile(tile, bytes, crate::cells::leaves)?;
        }
        Ok(())
    }

    /// Gives leaves of a composite their cells: `cells` begin with the leaf `first`, at a tile, and end
    /// at a tile or at the end of the content.
    ///
    /// # Errors
    /// Where they do not, or the storage fails.
    pub fn put_cells(&mut self, first: u64, cells: &[Cell]) -> Result<(), Error> {
        let leaves = index(TILE_BYTES) / geometry::LEAF_BYTES;
        if !first.is_multiple_of(leaves as u64) {
            return Err(Error::Usage("cells begin inside a tile"));
        }
        for (tile, cells) in (first / leaves as u64..).zip(cells.chunks(leaves)) {
            let bytes = crate::parts::records(cells);
            if bytes.len() != index(tile_len(self.meta.size, tile)) {
                return Err(Error::Usage("cells of a part of a tile, or past the end"));
            }
            self.put_tile(tile, &bytes, |_, low| low.extend_from_slice(cells))?;
        }
        Ok(())
    }

    /// Folds `len` zero bytes that need not be read. They begin at a tile and end at a tile or at
    /// the end of the content.
    ///
    /// # Errors
    /// Where they do not, or the brick cannot be read.
    pub fn put_hole(&mut self, offset: u64, len: u64) -> Result<(), Error> {
        let end = offset.saturating_add(len);
        let whole = end == self.meta.size || end.is_multiple_of(TILE_BYTES);
        if !offset.is_multiple_of(TILE_BYTES) || !whole || self.meta.size < end {
            return Err(Error::Usage("a hole is not made of whole tiles of the content"));
        }
        if len == 0 {
            return Ok(());
        }
        let hole = offset / TILE_BYTES..end.div_ceil(TILE_BYTES);
        let zero =
            Entry { flags: crate::layout::ENTRY_ZERO, generation: self.next, ..Entry::default() };
        let Self { index, storage, log, changed, .. } = self;
        index.put_hole(storage, log, &hole, &zero, changed)
    }

    /// Replaces what is known of the artifact, but for its size and payload.
    pub fn set_meta(&mut self, meta: Meta) {
        let (size, payload) = (self.meta.size, self.meta.payload);
        self.meta = Meta { size, payload, ..meta };
    }

    /// Replaces the regions.
    pub fn set_regions(&mut self, regions: &[Region]) {
        self.regions = Some(codec::encode_regions(regions));
    }

    /// Replaces the facts.
    pub fn set_facts(&mut self, facts: &Facts) {
        self.facts = Some(codec::encode_facts(facts));
    }

    /// Replaces the annotation; `None` drops it.
    pub fn set_annotation(&mut self, annotation: Option<Annotation>) {
        self.annotation = Some(annotation.unwrap_or_default());
    }

    /// Replaces the parts of a composite.
    pub fn set_parts(&mut self, parts: &Parts) {
        self.parts = Some(parts.encode());
    }

    /// Says who changed the bytes `range`: kept for those of its tiles that this edit changes.
    /// Later calls win; a changed tile that no call names has no known writer.
    pub fn set_writer(&mut self, range: Range<u64>, writer: Writer) {
        self.writers.push((range, writer));
    }

    /// Tells that the writers of this edit may have been read from before they were known: those tiles
    /// of theirs that the content's last generation changed, nobody knew by whom, become theirs, too.
    /// Where nothing else differs, that alone is a generation.
    pub fn writers_came_late(&mut self) {
        self.belated = true;
    }

    /// Whether so much of the file is no longer needed that it should be compacted.
    pub fn needs_compaction(&self) -> bool {
        const KEEP: u64 = 256 << 10;
        const OUTGROWN: u64 = 16 << 20;
        self.base.as_ref().is_some_and(|base| {
            let (record, slot_len) = (&base.record, self.slot_len);
            let garbage = record.end().saturating_sub(record.live_len);
            let outgrown = OUTGROWN < record.size && slot_len == SMALL_SLOT_LEN;
            record.live_len.max(KEEP) < garbage || outgrown
        })
    }

    /// Gives the storage back. What was not committed is lost.
    pub fn into_storage(self) -> S {
        self.storage
    }

    fn embedded(&self) -> bool {
        self.meta.payload == Payload::Embedded
    }

    fn base_pointer(&self, which: fn(&Record) -> Pointer) -> Pointer {
        self.base.as_ref().map_or_else(Pointer::default, |base| which(&base.record))
    }
}

/// Length of the slots of a new file: room for the record, the meta blob and what the root node
/// begins with, so that the first 16 KiB of any brick show what it is. A brick of one tile is
/// small as a whole.
fn slot_len(meta_len: usize, size: u64) -> u32 {
    let height = geometry::height(size);
    if height == 0 {
        return SMALL_SLOT_LEN;
    }
    let room = RECORD_LEN + meta_len + overview_len(size, height);
    u32::try_from(room.next_multiple_of(512)).map_or(LARGE_SLOT_LEN, |n| n.min(LARGE_SLOT_LEN))
}

/// What comes before the lowest level in the root node.
fn overview_len(size: u64, height: u32) -> usize {
    let [_, middle, high] = geometry::node_cells(size, height, 0);
    NODE_HEADER_LEN + geometry::node_children(size, height, 0) * ENTRY_LEN + 4 * (middle + high)
}

/// The slot of a generation that is known to be durable, as far as the file itself says: the older
/// one where the newer stands on it, or the only one where its segment was synced. (A file that
/// was written apart, or compacted, was synced as a whole before it came to its place.)
fn known_durable(opened: &Opened, newest: u8, record: &Record) -> Option<u8> {
    let durable = |r: &Record| r.record_offset <= record.durable_len;
    match opened.slots[usize::from(1 - newest)].as_ref() {
        Some(older) => durable(older).then_some(1 - newest),
        None => durable(record).then_some(newest),
    }
}

#[cfg(test)]
mod tests;
