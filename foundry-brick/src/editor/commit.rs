//! Folding one tile, and making everything since the last commit one generation.
//!
//! A commit appends its segment and the root record, then writes the record into a slot. No sync
//! is needed in between: a reader accepts a slot only if every segment that was not yet durable
//! hashes right. Which slot: never that of the newest generation known to be durable. So a crash
//! leaves at least that one, and if the newer slot counts it is whole.
//!
//! Keeps: after any crash the brick opens at a committed generation, not older than the last one
//! that was known to be durable.

use super::{Base, Editor, UNSYNCED_LIMIT};
use crate::cells::{self, Cell};
use crate::codec;
use crate::error::Error;
use crate::geometry::{NODE_CELLS, TILE_SHIFT};
use crate::hash::{self, checksum};
use crate::layout::{
    CHANGED_LEVELS, ENTRY_HASHED, ENTRY_ZERO, Entry, MAX_GENERATION, Node, Pointer, RECORD_LEN,
    Record, Superblock, WRITER_HEADER_LEN, WRITER_MAGIC,
};
use crate::meta::Writer;
use crate::ranges::RangeSet;
use crate::storage::Storage;
use std::collections::BTreeMap;
use std::ops::Range;

/// More changed tiles than this are not listed one by one.
const LISTED_TILES: u64 = 1 << 16;

/// What a commit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Number of the brick's newest generation.
    pub generation: u64,
    /// Whether that is a new one: not where nothing differed.
    pub changed: bool,
    /// Bytes of content.
    pub size: u64,
    /// Level-0 tiles whose bytes differ from the generation before; `None` where they are too many
    /// to list.
    pub changed_tiles: Option<Vec<u64>>,
    /// Bytes that the file grew by.
    pub appended_bytes: u64,
}

impl<S: Storage> Editor<S> {
    /// Folds one tile, unless it is what the brick holds already; `leaves` makes its lowest cells.
    pub(super) fn put_tile(
        &mut self,
        tile: u64,
        bytes: &[u8],
        leaves: impl FnOnce(&[u8], &mut Vec<Cell>),
    ) -> Result<(), Error> {
        let (cv, alone) = hash::tile(tile, bytes);
        let old = *self.index.entry(&self.storage, &self.log, 0, tile)?;
        if !old.is_missing() && old.hash() == Some(&cv) {
            return Ok(());
        }
        let mut entry = Entry { cv, flags: ENTRY_HASHED, generation: self.next, ..old };
        let mut levels = [const { Vec::new() }; 3];
        let [low, middle, high] = &mut levels;
        low.reserve(NODE_CELLS[0]);
        leaves(bytes, low);
        cells::parents(low, middle);
        cells::parents(middle, high);
        let mut above = Vec::with_capacity(NODE_CELLS[2] / 4);
        cells::parents(high, &mut above);
        if bytes.iter().all(|byte| *byte == 0) {
            if old.is_zero() {
                // The bytes are what they were; only their hash was not known.
                entry.generation = old.generation;
            } else {
                self.changed.insert(tile..tile + 1);
                entry = Entry { offset: 0, length: 0, writer: 0, ..entry };
            }
            entry.flags |= ENTRY_ZERO;
        } else {
            let payload =
                if self.embedded() { self.log.append(&mut self.storage, bytes)? } else { 0 };
            let alone = alone.filter(|_| tile == 0);
            let node =
                Node { height: 0, node: tile, cells: levels, payload, alone, ..Node::default() };
            let encoded = node.encode();
            let blob = self.log.blob(&mut self.storage, &encoded)?;
            entry.offset = blob.offset;
            entry.checksum = blob.checksum;
            entry.length = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
            entry.writer = 0;
            self.changed.insert(tile..tile + 1);
        }
        let Self { index, storage, log, hole_budget, .. } = self;
        index.put_tile(storage, log, tile, entry, &above)?;
        index.relieve(storage, log, hole_budget)
    }

    /// Makes everything since the last commit one generation, committed at `at_ns` (nanoseconds
    /// since the epoch). Where nothing differs from the last generation, there is none, unless a crash has
    /// left a slot that this one is to take.
    ///
    /// # Errors
    /// Where a tile of the content was never put, or the storage fails. After a failure of the
    /// storage the editor must be dropped; the brick is at its last generation.
    pub fn commit(&mut self, at_ns: i64) -> Result<Committed, Error> {
        let done = self.commit_if(at_ns, self.torn)?;
        self.torn = false;
        Ok(done)
    }

    /// As [`Editor::commit`], but makes a generation even where nothing differs: it says that all was
    /// still so at `at_ns`.
    ///
    /// # Errors
    /// As [`Editor::commit`].
    pub fn commit_again(&mut self, at_ns: i64) -> Result<Committed, Error> {
        let unchanged = self.is_unchanged() && self.orphans()?.is_empty();
        let done = self.commit_if(at_ns, true)?;
        Ok(Committed { changed: !unchanged, ..done })
    }

    fn commit_if(&mut self, at_ns: i64, always: bool) -> Result<Committed, Error> {
        if let Some(tile) = self.index.missing() {
            return Err(Error::MissingTile { tile });
        }
        let orphans = self.orphans()?;
        if !always && self.is_unchanged() && orphans.is_empty() {
            self.writers.clear();
            self.belated = false;
            let size = self.meta.size;
            let (generation, changed_tiles) = (self.generation(), Some(Vec::new()));
            return Ok(Committed {
                generation,
                changed: false,
                size,
                changed_tiles,
                appended_bytes: 0,
            });
        }
        if MAX_GENERATION < self.next {
            return Err(Error::Usage("no generation can follow this one"));
        }
        if std::mem::take(&mut self.settles) {
            self.settle()?;
        }
        let superblock = self.superblock(at_ns);
        self.write_writers(&orphans)?;
        let record = self.record(at_ns, &superblock)?;
        let head = self.head(&record, &superblock)?;
        let apart = self.apart && self.base.is_none();
        let done = self.write(record, &head, &superblock)?;
        if apart {
            self.storage.sync()?;
            self.assume_durable();
        }
        Ok(done)
    }

    fn is_unchanged(&self) -> bool {
        let Some(base) = &self.base else { return false };
        let same = |at: &Pointer, new: &Option<Vec<u8>>| {
            new.as_ref().is_none_or(|bytes| {
                if at.exists() { at.checksum == checksum(bytes) } else { is_nothing(bytes) }
            })
        };
        self.changed.is_empty()
            && !self.index.dirty
            && self.meta == base.meta
            && same(&base.record.regions, &self.regions)
            && same(&base.record.facts, &self.facts)
            && same(&base.record.annotation, &self.annotation)
            && same(&base.record.parts, &self.parts)
    }

    /// The file's superblock, or the one it will have. The epoch is made of what is folded and
    /// when, because there is no other source of difference here that a replay would repeat.
    fn superblock(&self, at_ns: i64) -> Superblock {
        self.superblock.unwrap_or_else(|| {
            let mut seed = codec::encode_meta(&self.meta);
            seed.extend_from_slice(&at_ns.to_le_bytes());
            Superblock::new(checksum(&seed), self.slot_len, self.embedded())
        })
    }

    /// Tiles that the writers of this edit may have changed before it, where they came late.
    fn orphans(&mut self) -> Result<RangeSet, Error> {
        let mut orphans = RangeSet::default();
        if self.belated && self.base.is_some() {
            for (range, _) in &self.writers {
                self.index.unclaimed(&self.storage, &self.log, &tiles_of(range), &mut orphans)?;
            }
        }
        Ok(orphans)
    }

    /// Appends a blob for each writer of this edit and notes it for the tiles it changed, and for those
    /// of the `orphans` that are its own.
    fn write_writers(&mut self, orphans: &RangeSet) -> Result<(), Error> {
        self.belated = false;
        let mut known: BTreeMap<Writer, u64> = BTreeMap::new();
        for (range, writer) in std::mem::take(&mut self.writers) {
            let tiles = tiles_of(&range);
            let changed = self.changed.within(&tiles);
            for part in changed.into_iter().chain(orphans.within(&tiles)) {
                let at = match known.get(&writer) {
                    Some(at) => *at,
                    None => self.log.append(&mut self.storage, &writer_blob(&writer))?,
                };
                known.insert(writer.clone(), at);
                self.index.set_writer(&self.storage, &self.log, &part, at)?;
            }
        }
        Ok(())
    }

    /// Appends what is left to append and describes it all.
    fn record(&mut self, at_ns: i64, superblock: &Superblock) -> Result<Record, Error> {
        let top = if self.index.dirty {
            let Self { index, storage, log, hole_budget, .. } = self;
            index.finish(storage, log, hole_budget)?
        } else {
            self.index.top()
        };
        let base = self.base.as_ref();
        let blake3 = if self.meta.size == 0 {
            Some(*blake3::hash(&[]).as_bytes())
        } else if self.index.dirty {
            top.whole
        } else {
            base.and_then(|base| base.record.blake3)
        };
        let meta = match base {
            Some(base) if base.meta == self.meta => base.record.meta,
            _ => self.log.blob(&mut self.storage, &codec::encode_meta(&self.meta))?,
        };
        let regions = self.regions.take();
        let regions = self.blob(regions, self.base_pointer(|record| record.regions))?;
        let facts = self.facts.take();
        let facts = self.blob(facts, self.base_pointer(|record| record.facts))?;
        let annotation = self.annotation.take();
        let annotation = self.blob(annotation, self.base_pointer(|record| record.annotation))?;
        let parts = self.parts.take();
        let parts = self.blob(parts, self.base_pointer(|record| record.parts))?;
        let previous = self.base.as_ref().map(|base| &base.record);
        Ok(Record {
            generation: self.next,
            at_ns,
            epoch: superblock.epoch,
            size: self.meta.size,
            segment_start: self.log.start(),
            record_offset: 0,
            durable_len: 0,
            live_len: self.live(&[meta, regions, facts, annotation, parts]),
            blake3,
            height: top.height,
            root: top.root,
            meta,
            regions,
            facts,
            annotation,
            parts,
            previous_offset: previous.map_or(0, |record| record.record_offset),
            previous_generation: previous.map_or(0, |record| record.generation),
            segment_checksum: [0; 16],
            head_len: 0,
            head_checksum: [0; 16],
            changed_tiles: self.changed_by_level(),
        })
    }

    /// A blob that was set, or the one that stands.
    fn blob(&mut self, new: Option<Vec<u8>>, old: Pointer) -> Result<Pointer, Error> {
        match new {
            None => Ok(old),
            Some(bytes) if is_nothing(&bytes) => Ok(Pointer::default()),
            Some(bytes) if old.exists() && checksum(&bytes) == old.checksum => Ok(old),
            Some(bytes) => self.log.blob(&mut self.storage, &bytes),
        }
    }

    /// Estimate of what the generation needs: exact after compaction, and off by what a cut dropped.
    fn live(&self, blobs: &[Pointer]) -> u64 {
        let fixed = self.superblock.map_or(512 + 2 * 512, |s| u64::from(s.data_start));
        let blobs = lengths(blobs);
        let tree = self.base.as_ref().map_or(0, |base| {
            let record = &base.record;
            let Record { meta, regions, facts, annotation, parts, .. } = record;
            let known = lengths(&[*meta, *regions, *facts, *annotation, *parts]);
            let known = known.saturating_add(fixed + RECORD_LEN as u64);
            let tree = record.live_len.saturating_sub(known);
            if self.meta.size < record.size {
                let part = u128::from(tree) * u128::from(self.meta.size) / u128::from(record.size);
                u64::try_from(part).unwrap_or(tree)
            } else {
                tree
            }
        });
        let rest = blobs.saturating_add(fixed + RECORD_LEN as u64);
        tree.saturating_add_signed(self.index.live).saturating_add(rest)
    }

    fn changed_by_level(&self) -> [u32; CHANGED_LEVELS] {
        let mut counts = [0; CHANGED_LEVELS];
        for (level, count) in (0..).zip(&mut counts) {
            *count = u32::try_from(self.changed.groups(2 * level)).unwrap_or(u32::MAX);
        }
        counts
    }

    /// Writes segment, record and slot.
    fn write(
        &mut self,
        mut record: Record,
        head: &[u8],
        superblock: &Superblock,
    ) -> Result<Committed, Error> {
        let (slot, durable_len) = match &self.base {
            None => (0, 0),
            Some(base) if base.durable => (1 - base.slot, base.record.end()),
            Some(base) => {
                let slot = base.protected.unwrap_or(base.slot);
                (1 - slot, base.record.durable_len)
            }
        };
        let mut slot = slot;
        record.durable_len = durable_len;
        let at = self.log.flushed();
        let (record_offset, segment_checksum, mut tail) = self.log.seal();
        record.record_offset = record_offset;
        record.segment_checksum = segment_checksum;
        let mut synced = false;
        if self.apart && self.base.is_none() {
            record.durable_len = record_offset;
        } else if durable_len + UNSYNCED_LIMIT < record_offset {
            if self.base.is_none() {
                self.storage.write_at(0, &superblock.encode())?;
            }
            self.storage.write_at(at, &tail)?;
            self.storage.sync()?;
            synced = true;
            record.durable_len = record_offset;
            slot = self.base.as_ref().map_or(0, |base| 1 - base.slot);
            tail.clear();
        }
        record.head_len = head.len() as u64;
        record.head_checksum = if head.is_empty() { [0; 16] } else { checksum(head) };
        let bytes = record.encode();
        let tail_at = record_offset - tail.len() as u64;
        tail.extend_from_slice(&bytes);
        if self.base.is_none() && !synced {
            self.storage.write_at(0, &superblock.encode())?;
        }
        self.storage.write_at(tail_at, &tail)?;
        self.storage.write_at(superblock.slot(slot), &slot_bytes(bytes, head, superblock))?;
        Ok(self.committed(record, superblock, slot, synced))
    }

    /// What the slot holds behind the record: the meta blob and as much of the root node as fits.
    fn head(&self, record: &Record, superblock: &Superblock) -> Result<Vec<u8>, Error> {
        if superblock.slot_len as usize == RECORD_LEN {
            return Ok(Vec::new());
        }
        let meta = codec::encode_meta(&self.meta);
        let root = self.index.encoded_root(&self.storage, &self.log)?;
        Ok(head(superblock, record, meta, &root))
    }

    /// The commit is done: it is what the next edit starts from.
    fn committed(
        &mut self,
        record: Record,
        superblock: &Superblock,
        slot: u8,
        synced: bool,
    ) -> Committed {
        let listed = self.changed.len() <= LISTED_TILES;
        let outcome = Committed {
            generation: record.generation,
            changed: true,
            size: record.size,
            changed_tiles: listed.then(|| self.changed.iter().flatten().collect()),
            appended_bytes: record.end() - record.segment_start,
        };
        let protected = match self.base.take() {
            // What was newest before this commit's sync, or was known to be durable, stays.
            Some(base) if synced || base.durable => Some(base.slot),
            Some(base) => base.protected,
            None => None,
        };
        self.superblock = Some(*superblock);
        self.next = record.generation + 1;
        self.log.restart(record.end());
        self.changed.clear();
        self.index.dirty = false;
        self.index.live = 0;
        self.index.adopt_root(&record);
        self.base = Some(Base { meta: self.meta.clone(), record, slot, durable: false, protected });
        outcome
    }
}

/// The meta blob, and the root node without its lowest level, as far as the slot has room; nothing
/// where it has none for the meta blob.
pub(super) fn head(
    superblock: &Superblock,
    record: &Record,
    meta: Vec<u8>,
    root: &[u8],
) -> Vec<u8> {
    let room = superblock.slot_len as usize - RECORD_LEN;
    if room < meta.len() {
        return Vec::new();
    }
    let mut head = meta;
    let wanted = root.len().min(super::overview_len(record.size, record.height.max(1)));
    let n = wanted.min(room - head.len());
    head.extend_from_slice(&root[..n]);
    head
}

/// A slot from end to end.
pub(super) fn slot_bytes(mut record: Vec<u8>, head: &[u8], superblock: &Superblock) -> Vec<u8> {
    record.extend_from_slice(head);
    record.resize(superblock.slot_len as usize, 0);
    record
}

/// Whether an encoded blob says nothing: no annotation, or a count of zero.
fn is_nothing(bytes: &[u8]) -> bool {
    bytes.is_empty() || bytes == [0; 4]
}

pub(super) fn writer_blob(writer: &Writer) -> Vec<u8> {
    let body = codec::encode_writer(writer);
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(WRITER_HEADER_LEN + body.len());
    out.extend_from_slice(&WRITER_MAGIC);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(&body));
    out.extend_from_slice(&body);
    out
}

/// The tiles that hold these bytes.
fn tiles_of(bytes: &Range<u64>) -> Range<u64> {
    bytes.start >> TILE_SHIFT..bytes.end.div_ceil(1 << TILE_SHIFT)
}

/// Bytes of all of them, as many as a number can say.
fn lengths(blobs: &[Pointer]) -> u64 {
    blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.length))
}
