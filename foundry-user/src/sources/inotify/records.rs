//! Bytes of an inotify instance, field by field.
//!
//! Knows: the layout of inotify(7): watch, mask, cookie, length, name padded with NUL.
//! Must never know: artifacts, which events matter.
//! Keeps: any bytes give records or an error; nothing is read out of bounds, nothing is allocated.

use crate::sources::queue;

/// Watch, mask, cookie and length.
const HEADER_BYTES: usize = 16;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) watch: i32,
    pub(super) mask: u32,
    /// Empty where the event is about the watched inode itself.
    pub(super) name: &'a [u8],
}

/// The bytes end inside an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than what was read")]
pub(super) struct Malformed;

/// The records in a piece of the queue. Ends after the first error.
pub(super) fn of(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Malformed>> {
    queue::records(bytes, event)
}

/// The event at the start of `bytes`, and what follows it.
fn event(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), Malformed> {
    parse(bytes).ok_or(Malformed)
}

fn parse(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [w0, w1, w2, w3, m0, m1, m2, m3, _, _, _, _, l0, l1, l2, l3] = *header;
    let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
    let (padded, rest) = rest.split_at_checked(length)?;
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    let record = Record {
        watch: i32::from_ne_bytes([w0, w1, w2, w3]),
        mask: u32::from_ne_bytes([m0, m1, m2, m3]),
        name: padded.get(..end).unwrap_or_default(),
    };
    Some((record, rest))
}

#[cfg(test)]
mod tests;
