//! Bytes of an inotify instance, field by field.
//!
//! Knows: the layout of inotify(7): watch, mask, cookie, length, name padded with NUL.
//! Must never know: artifacts, which events matter.
//! Keeps: any bytes give records or an error; nothing is read out of bounds, nothing is allocated.

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

/// The records in a buffer that was read. Ends after the first error.
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let Some((record, rest)) = event(bytes) else { return Some(Err(Malformed)) };
        self.rest = rest;
        Some(Ok(record))
    }
}

/// The event at the start of `bytes`, and what follows it.
fn event(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
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
