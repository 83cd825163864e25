//! Bytes of a fanotify group, field by field.
//!
//! Knows: the layout of fanotify(7): an event's fixed part, then its information records.
//! Must never know: artifacts, which events matter.
//! Keeps: any bytes give records or an error; nothing is read out of bounds, nothing is allocated.

use crate::sources::queue;

/// Length of the fixed part, and the version of the layout it announces.
const METADATA_BYTES: usize = 24;
pub(super) const METADATA_BYTES_U64: u64 = METADATA_BYTES as u64;
const METADATA_VERSION: u8 = 3;
/// Header of an information record: type, padding, length.
const INFO_BYTES: usize = 4;
/// File system id between that header and the file handle.
const FSID_BYTES: usize = 8;

/// An entry of a directory: the directory's file handle (type, then bytes) and the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) dir: &'a [u8],
    /// `.` where the event is about the directory itself; empty where no name was reported.
    pub(super) name: &'a [u8],
}

/// One event. File handles are borrowed in the form that `sys::handle_of` gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) mask: u64,
    /// 0 where the kernel does not say (another user's process, no privileges).
    pub(super) pid: u32,
    /// Where it happened.
    pub(super) place: Option<Named<'a>>,
    /// Where it went, for events with two places.
    pub(super) second: Option<Named<'a>>,
    /// The inode it happened to.
    pub(super) target: Option<&'a [u8]>,
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("an event ends before its fixed part does")]
    Short,
    #[error("version {0} of the event layout is not known")]
    Version(u8),
    #[error("a length points out of the event")]
    Length,
}

/// The records in a piece of the queue. Ends after the first error.
pub(super) fn of(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Malformed>> {
    queue::records(bytes, event)
}

/// The event at the start of `bytes`, and what follows it.
fn event(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), Malformed> {
    let fixed: [u8; METADATA_BYTES] = *bytes.first_chunk().ok_or(Malformed::Short)?;
    let [l0, l1, l2, l3, version, _, m0, m1, mask @ .., _, _, _, _, p0, p1, p2, p3] = fixed;
    if version != METADATA_VERSION {
        return Err(Malformed::Version(version));
    }
    let length = to_usize(u32::from_ne_bytes([l0, l1, l2, l3]));
    let fixed_length = usize::from(u16::from_ne_bytes([m0, m1]));
    if fixed_length < METADATA_BYTES {
        return Err(Malformed::Length);
    }
    let (this, rest) = bytes.split_at_checked(length).ok_or(Malformed::Length)?;
    let mut record = Record {
        mask: u64::from_ne_bytes(mask),
        // Negative numbers are not processes.
        pid: u32::try_from(i32::from_ne_bytes([p0, p1, p2, p3])).unwrap_or(0),
        ..Record::default()
    };
    let mut infos = this.get(fixed_length..).ok_or(Malformed::Length)?;
    while !infos.is_empty() {
        infos = info(infos, &mut record)?;
    }
    Ok((record, rest))
}

/// Takes the information record at the start of `bytes` into `record`; gives what follows it.
/// Types that were not asked for are passed over: later kernels may add some.
fn info<'a>(bytes: &'a [u8], record: &mut Record<'a>) -> Result<&'a [u8], Malformed> {
    let [kind, _, l0, l1]: [u8; INFO_BYTES] = *bytes.first_chunk().ok_or(Malformed::Length)?;
    let length = usize::from(u16::from_ne_bytes([l0, l1]));
    let (this, rest) = bytes.split_at_checked(length).ok_or(Malformed::Length)?;
    // A record shorter than its header would never end.
    let body = this.get(INFO_BYTES..).ok_or(Malformed::Length)?;
    match kind {
        libc::FAN_EVENT_INFO_TYPE_FID => record.target = Some(handle(body)?.0),
        libc::FAN_EVENT_INFO_TYPE_DFID
        | libc::FAN_EVENT_INFO_TYPE_DFID_NAME
        | libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => record.place = Some(named(body)?),
        libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => record.second = Some(named(body)?),
        _ => {}
    }
    Ok(rest)
}

/// The file handle after the file system id (its type, then its bytes), and what follows it.
fn handle(body: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let handle = body.get(FSID_BYTES..).ok_or(Malformed::Length)?;
    let (n_bytes, typed) = handle.split_first_chunk::<4>().ok_or(Malformed::Length)?;
    let with_type =
        to_usize(u32::from_ne_bytes(*n_bytes)).checked_add(4).ok_or(Malformed::Length)?;
    typed.split_at_checked(with_type).ok_or(Malformed::Length)
}

/// A directory's handle and the name after it, which ends at the first NUL or with the record.
fn named(body: &[u8]) -> Result<Named<'_>, Malformed> {
    let (dir, name) = handle(body)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(Named { dir, name: name.get(..end).unwrap_or_default() })
}

/// Lossless where Linux runs with 32-bit pointers or wider; saturates elsewhere.
fn to_usize(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
