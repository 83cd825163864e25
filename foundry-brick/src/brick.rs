//! Reading a brick: one committed generation of it.
//!
//! Knows: the container of FORMAT.md. Must never know: who writes it, the artifact itself.
//! Keeps: nothing is returned whose checksum was not verified; opening never shows a state that
//! was not committed; memory is bounded by what the caller asks for and by the file's length.

mod open;
mod tree;
mod verify;

use crate::cells::Cell;
use crate::codec;
use crate::error::{Error, corrupt};
use crate::geometry::{self, TILE_BYTES, index};
use crate::hash::{self, Hash};
use crate::layout::{Entry, Pointer, Record, Superblock};
use crate::meta::{Annotation, Facts, Meta, Region, Writer};
use crate::parts::Parts;
use crate::storage::Storage;
use std::ops::Range;

pub(crate) use open::{Opened, Trust, open_slots, read_meta, read_record};
pub(crate) use tree::{View, read_blob, read_bytes};
pub use verify::Problem;

/// One level of the pyramid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelInfo {
    /// Its number.
    pub level: u32,
    /// Cells in it.
    pub cells: u64,
    /// Bytes of the artifact that one cell stands for: 4^level.
    pub bytes_per_cell: u64,
}

/// One generation that the file still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its number.
    pub number: u64,
    /// When it was committed.
    pub at_ns: i64,
    /// Bytes of content.
    pub size: u64,
    /// Hash of the content, where known.
    pub root: Option<Hash>,
    /// Changed tiles (256 x 256 cells) of each level, from level 0 to the level that is one tile.
    pub changed_tiles: Vec<u32>,
}

/// One committed generation of a brick.
#[derive(Debug)]
pub struct Brick<S> {
    storage: S,
    superblock: Superblock,
    record: Record,
    meta: Meta,
}

impl<S: Storage> Brick<S> {
    /// Opens the last committed generation.
    ///
    /// # Errors
    /// Where the storage holds no brick, none of its generations is valid, or it cannot be read.
    pub fn open(storage: S) -> Result<Self, Error> {
        Self::open_with(storage, Trust::Nothing)
    }

    /// As [`Brick::open`], for a storage that was synced since its last commit (or whose machine
    /// did not crash): reads the slots and the meta blob and no more, however large the brick.
    ///
    /// # Errors
    /// As [`Brick::open`].
    pub fn open_settled(storage: S) -> Result<Self, Error> {
        Self::open_with(storage, Trust::Settled)
    }

    fn open_with(storage: S, trust: Trust) -> Result<Self, Error> {
        let opened = open_slots(&storage, trust)?;
        let record = opened.newest()?.clone();
        Self::view(storage, opened.superblock, record)
    }

    /// Opens generation `number`.
    ///
    /// # Errors
    /// As [`Brick::open`], and where the file does not hold that generation.
    pub fn open_generation(storage: S, number: u64) -> Result<Self, Error> {
        let opened = open_slots(&storage, Trust::Nothing)?;
        let mut record = opened.newest()?.clone();
        while record.generation != number {
            if record.generation < number || record.previous_offset == 0 {
                return Err(Error::UnknownGeneration(number));
            }
            record = read_record(&storage, &opened.superblock, &record)?;
        }
        Self::view(storage, opened.superblock, record)
    }

    fn view(storage: S, superblock: Superblock, record: Record) -> Result<Self, Error> {
        let meta = open::read_meta(&storage, &record)?;
        Ok(Self { storage, superblock, record, meta })
    }

    pub(crate) fn tree(&self) -> View<'_, S> {
        View { storage: &self.storage, record: &self.record }
    }

    /// The artifact as it was.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Number of this generation.
    pub fn generation(&self) -> u64 {
        self.record.generation
    }

    /// When this generation was committed, nanoseconds since the epoch.
    pub fn at_ns(&self) -> i64 {
        self.record.at_ns
    }

    /// The life of this file between compactions.
    pub fn epoch(&self) -> [u8; 16] {
        self.superblock.epoch
    }

    /// The superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The root record of this generation.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Hash of the content; `None` while a large hole's is pending.
    pub fn blake3(&self) -> Option<Hash> {
        self.record.blake3
    }

    /// The generations this file holds up to this one, newest first. Ends early where an older
    /// record is damaged.
    pub fn generations(&self) -> Vec<GenerationInfo> {
        let mut out = vec![info(&self.record)];
        let mut record = self.record.clone();
        while record.previous_offset != 0 {
            match read_record(&self.storage, &self.superblock, &record) {
                Ok(previous) => record = previous,
                Err(_) => break,
            }
            out.push(info(&record));
        }
        out
    }

    /// The stored and derived levels, from [`LEAF_LEVEL`](geometry::LEAF_LEVEL) to the one cell.
    pub fn levels(&self) -> Vec<LevelInfo> {
        let size = self.record.size;
        let levels = geometry::LEAF_LEVEL..=geometry::top_level(size);
        levels
            .map(|level| LevelInfo {
                level,
                cells: geometry::cells(size, level),
                bytes_per_cell: 1_u64.checked_shl(2 * level).unwrap_or(u64::MAX),
            })
            .filter(|level| level.cells != 0)
            .collect()
    }

    /// Appends the cells `range` of `level` (cut at the level's end) to `out`.
    ///
    /// # Errors
    /// Where a node is corrupt or cannot be read.
    pub fn cells(&self, level: u32, range: Range<u64>, out: &mut Vec<Cell>) -> Result<(), Error> {
        self.tree().cells(level, range, out)
    }

    /// BLAKE3 chaining value of level-0 tile `tile`; `None` where it is pending or there is none.
    ///
    /// # Errors
    /// Where a node is corrupt or cannot be read.
    pub fn tile_hash(&self, tile: u64) -> Result<Option<Hash>, Error> {
        Ok(match self.tree().tile_entry(tile)? {
            Some((entry, 1)) if !entry.is_zero() => entry.hash().copied(),
            Some((entry, _)) if entry.hash().is_some() => hash::zeros(self.record.size, tile, 1),
            _ => None,
        })
    }

    /// Who last changed the tile that holds byte `offset`.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn writer_of(&self, offset: u64) -> Result<Option<Writer>, Error> {
        match self.tree().tile_entry(offset / TILE_BYTES)? {
            Some((entry, _)) => self.tree().writer(&entry),
            None => Ok(None),
        }
    }

    /// Byte ranges and who last changed them, in order; ranges of unknown writers are left out.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn writers(&self) -> Result<Vec<(Range<u64>, Writer)>, Error> {
        self.tree().writers()
    }

    /// Ranges of level-0 tiles that changed after generation `number`, in order.
    ///
    /// # Errors
    /// Where a node is corrupt or cannot be read.
    pub fn changed_since(&self, number: u64) -> Result<Vec<Range<u64>>, Error> {
        self.tree().changed_since(number)
    }

    /// The newest generation that changed content: later ones, if any, changed only what is said
    /// about the artifact. The oldest one kept where none of them did.
    pub fn content_generation(&self) -> u64 {
        let kept = self.generations();
        let changed = kept.iter().find(|one| one.changed_tiles.first().is_some_and(|n| 0 < *n));
        changed.or(kept.last()).map_or(self.generation(), |one| one.number)
    }

    /// Ranges of level-0 tiles that are known to be all zero, in order.
    ///
    /// # Errors
    /// Where a node is corrupt or cannot be read.
    pub fn zeros(&self) -> Result<Vec<Range<u64>>, Error> {
        self.tree().zeros()
    }

    fn blob(&self, pointer: &Pointer) -> Result<Vec<u8>, Error> {
        read_blob(&self.storage, pointer, self.record.end())
    }

    /// Named byte ranges.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn regions(&self) -> Result<Vec<Region>, Error> {
        let at = &self.record.regions;
        if at.exists() { codec::decode_regions(&self.blob(at)?, at.offset) } else { Ok(vec![]) }
    }

    /// Facts.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn facts(&self) -> Result<Facts, Error> {
        let at = &self.record.facts;
        if at.exists() { codec::decode_facts(&self.blob(at)?, at.offset) } else { Ok(Facts::new()) }
    }

    /// The annotation, where there is one.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn annotation(&self) -> Result<Option<Annotation>, Error> {
        let at = &self.record.annotation;
        if at.exists() { self.blob(at).map(Some) } else { Ok(None) }
    }

    /// The parts of a composite; `None` for an artifact that is not made of parts.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn parts(&self) -> Result<Option<Parts>, Error> {
        let at = &self.record.parts;
        if !at.exists() {
            return Ok(None);
        }
        let parts = Parts::decode(&self.blob(at)?);
        parts.map(Some).map_err(|_| corrupt("parts contradict themselves", at.offset))
    }

    /// Fills `buf` with the artifact's bytes from `offset`, checked against their hash.
    /// Returns how many there were: less than `buf` holds at the end of the content only.
    ///
    /// # Errors
    /// `NoPayload` in a brick with reference payload; else where the brick is corrupt.
    pub fn read_payload(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        if !self.superblock.embedded {
            return Err(Error::NoPayload);
        }
        let mut done = 0;
        while done < buf.len() && offset + (done as u64) < self.record.size {
            let at = offset + done as u64;
            let bytes = self.tree().payload_tile(at / TILE_BYTES)?;
            let from = bytes.get(index(at % TILE_BYTES)..).unwrap_or_default();
            let n = from.len().min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&from[..n]);
            done += n;
        }
        Ok(done)
    }

    /// Checks everything that is in the file and belongs to a generation that it holds.
    pub fn verify(&self) -> Vec<Problem> {
        verify::verify(&self.storage, &self.superblock, &self.record)
    }

    /// Gives the storage back.
    pub fn into_storage(self) -> S {
        self.storage
    }
}

impl<S> Brick<S> {
    /// How the root entry describes the whole artifact.
    pub fn root(&self) -> &Entry {
        &self.record.root
    }
}

fn info(record: &Record) -> GenerationInfo {
    let levels = 1 + geometry::top_level(record.size).saturating_sub(geometry::TILE_SHIFT / 2);
    let levels = (levels as usize).min(record.changed_tiles.len());
    GenerationInfo {
        number: record.generation,
        at_ns: record.at_ns,
        size: record.size,
        root: record.blake3,
        changed_tiles: record.changed_tiles[..levels].to_vec(),
    }
}
