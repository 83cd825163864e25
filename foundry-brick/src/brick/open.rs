//! Which generation a file is at.
//!
//! A slot counts only if its checksum holds, its copy at the end of its segment is the same, and
//! every segment that was not yet synced when the slot was written hashes to what its record says.
//! So whatever subset of unsynced writes a crash left behind, the newest slot that counts names
//! a state that was committed, whole.

use super::tree::read_blob;
use crate::codec;
use crate::error::{Error, corrupt};
use crate::hash;
use crate::layout::{RECORD_LEN, Record, SUPERBLOCK_LEN, Superblock};
use crate::meta::Meta;
use crate::storage::Storage;

/// Superblock and slots, judged.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) superblock: Superblock,
    /// The record of each slot, where it counts.
    pub(crate) slots: [Option<Record>; 2],
    /// The highest generation that any slot names, whether it counts or not.
    pub(crate) highest: u64,
    /// A slot was written and does not count: a crash came in the middle of a commit.
    pub(crate) torn: bool,
}

impl Opened {
    /// Number of the slot with the newest generation.
    pub(crate) fn newest_slot(&self) -> Result<u8, Error> {
        let generation = |slot: usize| self.slots[slot].as_ref().map(|record| record.generation);
        match (generation(0), generation(1)) {
            (None, None) => Err(Error::NoGeneration),
            (a, b) => Ok(u8::from(a < b)),
        }
    }

    pub(crate) fn newest(&self) -> Result<&Record, Error> {
        let slot = usize::from(self.newest_slot()?);
        self.slots[slot].as_ref().ok_or(Error::NoGeneration)
    }
}

/// How much of what a crash may take is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Everything: the storage may be what a crash left.
    Nothing,
    /// The slots alone: everything that was committed has been synced since.
    Settled,
}

/// Reads and judges superblock and slots.
pub(crate) fn open_slots<S: Storage>(storage: &S, trust: Trust) -> Result<Opened, Error> {
    let len = storage.len()?;
    if len < SUPERBLOCK_LEN as u64 {
        return Err(Error::NotABrick);
    }
    let mut bytes = [0; SUPERBLOCK_LEN];
    storage.read_at(0, &mut bytes)?;
    let superblock = Superblock::parse(&bytes)?;
    let mut opened = Opened { superblock, slots: [None, None], highest: 0, torn: false };
    for slot in 0..2 {
        let at = superblock.slot(slot);
        if len < at + RECORD_LEN as u64 {
            continue;
        }
        let mut bytes = [0; RECORD_LEN];
        storage.read_at(at, &mut bytes)?;
        let Ok(record) = Record::parse(&bytes, at, &superblock) else {
            opened.torn |= bytes.iter().any(|byte| *byte != 0);
            continue;
        };
        opened.highest = opened.highest.max(record.generation);
        match judge(storage, &superblock, (at, &record), &bytes, trust) {
            Ok(()) => opened.slots[usize::from(slot)] = Some(record),
            Err(Error::Corrupt { .. }) => opened.torn = true,
            Err(err) => return Err(err),
        }
    }
    Ok(opened)
}

/// Whether the file holds everything that `record` stands on and that a crash may have taken.
pub(crate) fn judge<S: Storage>(
    storage: &S,
    superblock: &Superblock,
    (at, record): (u64, &Record),
    bytes: &[u8; RECORD_LEN],
    trust: Trust,
) -> Result<(), Error> {
    if storage.len()? < record.end() {
        return Err(corrupt("file is shorter than its last generation", record.record_offset));
    }
    let mut copy = [0; RECORD_LEN];
    storage.read_at(record.record_offset, &mut copy)?;
    if copy != *bytes {
        return Err(corrupt("root record and its slot differ", record.record_offset));
    }
    let mut head = vec![0; crate::geometry::index(record.head_len)];
    storage.read_at(at + RECORD_LEN as u64, &mut head)?;
    if !head.is_empty() && hash::checksum(&head) != record.head_checksum {
        return Err(corrupt("head checksum", at));
    }
    if trust == Trust::Settled {
        return Ok(());
    }
    let mut at = record.clone();
    while record.durable_len < at.record_offset {
        check_segment(storage, &at)?;
        if at.segment_start <= record.durable_len || at.previous_offset == 0 {
            break;
        }
        at = read_record(storage, superblock, &at)?;
    }
    Ok(())
}

/// The meta blob of a generation.
pub(crate) fn read_meta<S: Storage>(storage: &S, record: &Record) -> Result<Meta, Error> {
    let blob = read_blob(storage, &record.meta, record.end())?;
    let meta = codec::decode_meta(&blob, record.meta.offset)?;
    if meta.size != record.size {
        return Err(corrupt("meta and root record differ in size", record.meta.offset));
    }
    Ok(meta)
}

/// Hashes a segment in pieces.
pub(crate) fn check_segment<S: Storage>(storage: &S, record: &Record) -> Result<(), Error> {
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; 1 << 16];
    let mut at = record.segment_start;
    while at < record.record_offset {
        let n = crate::geometry::index((record.record_offset - at).min(buf.len() as u64));
        storage.read_at(at, &mut buf[..n])?;
        hasher.update(&buf[..n]);
        at += n as u64;
    }
    if hash::shorten(hasher.finalize()) == record.segment_checksum {
        Ok(())
    } else {
        Err(corrupt("segment checksum", record.segment_start))
    }
}

/// The record of the generation before `record`.
pub(crate) fn read_record<S: Storage>(
    storage: &S,
    superblock: &Superblock,
    record: &Record,
) -> Result<Record, Error> {
    let at = record.previous_offset;
    let mut bytes = [0; RECORD_LEN];
    if record.segment_start.checked_sub(RECORD_LEN as u64) != Some(at) {
        return Err(corrupt("previous root record is not where it must be", at));
    }
    storage.read_at(at, &mut bytes)?;
    let previous = Record::parse(&bytes, at, superblock)?;
    if previous.record_offset == at && previous.generation == record.previous_generation {
        Ok(previous)
    } else {
        Err(corrupt("previous root record is not the one named", at))
    }
}
