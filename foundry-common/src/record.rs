//! From the bytes of a ring to a record: the reading side of the ABI.
//!
//! Knows: where each field lies. Must never know: BPF maps, what a record means.
//! Keeps: bytes from the kernel are parsed field by field, never transmuted, and exactly one record
//! of a known kind is accepted (invariant 8).

use crate::abi::{DirtyRecord, ExecRecord, Header, NAME_BYTES, NameRecord, SlotRecord, kind};
use core::mem::size_of;

/// Bytes that are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer bytes than a header.
    Short,
    /// No record of this kind exists.
    Kind(u16),
    /// The length in the header, or the number of bytes, is not that of the kind.
    Length(u16),
    /// A name longer than its field.
    Name(u32),
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => f.write_str("record shorter than its header"),
            Self::Kind(kind) => write!(f, "unknown kind of record {kind}"),
            Self::Length(len) => {
                write!(f, "record of {len} bytes does not have the length of its kind")
            }
            Self::Name(len) => write!(f, "name of {len} bytes in a record"),
        }
    }
}

impl core::error::Error for RecordError {}

/// A record, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// [`kind::DIRTY`]
    Dirty(DirtyRecord),
    /// [`kind::NAME`]: the directory and the name
    Name(SlotRecord, &'a [u8]),
    /// [`kind::RELIST`]
    Relist(SlotRecord),
    /// [`kind::META`]
    Meta(SlotRecord),
    /// [`kind::MMAP`]
    Mmap(SlotRecord),
    /// [`kind::EXEC`]: the process and the file name
    Exec(Header, &'a [u8]),
    /// [`kind::EXIT`]
    Exit(Header),
    /// [`kind::LAYOUT`]
    Layout(Header),
    /// [`kind::UNNAMED`]
    Unnamed(Header),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn header(bytes: &[u8]) -> Option<Header> {
    Some(Header {
        kind: u16_at(bytes, 0)?,
        len: u16_at(bytes, 2)?,
        pid: u32_at(bytes, 4)?,
        tid: u32_at(bytes, 8)?,
        uid: u32_at(bytes, 12)?,
        at_ns: u64_at(bytes, 16)?,
        exe_ino: u64_at(bytes, 24)?,
        exe_dev: u32_at(bytes, 32)?,
        reserved: u32_at(bytes, 36)?,
        cgroup: u64_at(bytes, 40)?,
        comm: *bytes.get(48..)?.first_chunk()?,
    })
}

fn slot_record(header: Header, bytes: &[u8]) -> Option<SlotRecord> {
    Some(SlotRecord {
        header,
        slot: u32_at(bytes, 64)?,
        generation: u32_at(bytes, 68)?,
        flags: u32_at(bytes, 72)?,
        reserved: 0,
    })
}

fn dirty_record(header: Header, bytes: &[u8]) -> Option<DirtyRecord> {
    Some(DirtyRecord {
        header,
        slot: u32_at(bytes, 64)?,
        generation: u32_at(bytes, 68)?,
        start: u64_at(bytes, 72)?,
        end: u64_at(bytes, 80)?,
        before: u64_at(bytes, 88)?,
    })
}

/// The bytes of a name field that starts at `at` and whose length lies at `len_at`.
fn name(bytes: &[u8], len_at: usize, at: usize) -> Result<&[u8], RecordError> {
    let len = u32_at(bytes, len_at).ok_or(RecordError::Short)?;
    let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len));
    let field = end.filter(|end| *end <= at + NAME_BYTES).and_then(|end| bytes.get(at..end));
    field.ok_or(RecordError::Name(len))
}

/// Reads one record from the ring.
///
/// # Errors
/// Where the bytes are not exactly one record of a known kind.
pub fn parse(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    let head = header(bytes).ok_or(RecordError::Short)?;
    let want = match head.kind {
        kind::DIRTY => size_of::<DirtyRecord>(),
        kind::NAME => size_of::<NameRecord>(),
        kind::RELIST | kind::META | kind::MMAP => size_of::<SlotRecord>(),
        kind::EXEC => size_of::<ExecRecord>(),
        kind::EXIT | kind::LAYOUT | kind::UNNAMED => size_of::<Header>(),
        other => return Err(RecordError::Kind(other)),
    };
    if usize::from(head.len) != want || bytes.len() != want {
        return Err(RecordError::Length(head.len));
    }
    let slot = || slot_record(head, bytes).ok_or(RecordError::Short);
    Ok(match head.kind {
        kind::DIRTY => Record::Dirty(dirty_record(head, bytes).ok_or(RecordError::Short)?),
        kind::NAME => Record::Name(slot()?, name(bytes, 76, 80)?),
        kind::RELIST => Record::Relist(slot()?),
        kind::META => Record::Meta(slot()?),
        kind::MMAP => Record::Mmap(slot()?),
        kind::EXEC => Record::Exec(head, name(bytes, 64, 72)?),
        kind::LAYOUT => Record::Layout(head),
        kind::UNNAMED => Record::Unnamed(head),
        _ => Record::Exit(head),
    })
}

#[cfg(test)]
mod tests;
