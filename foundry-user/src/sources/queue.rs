//! What fanotify and inotify have in common: a queue of the kernel's that is read in large pieces,
//! and records that lie in a piece one after another.
//!
//! Knows: reading, and when a queue has been emptied. Must never know: what a record says.
//! Keeps: what was in the queue when it was called is handed over; what comes meanwhile may come, too,
//! but cannot keep it busy for ever. Any bytes give records or one error, which is the last.

use crate::sources::SourceError;
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// A queue, and what is known of it.
pub(super) struct Queue<'a> {
    pub(super) fd: BorrowedFd<'a>,
    /// More than any single event takes: a read that leaves so much room has emptied the queue.
    pub(super) most_event_bytes: usize,
    /// What reading and measuring it are called, where they fail.
    pub(super) ops: [&'static str; 2],
}

impl Queue<'_> {
    /// Hands piece after piece to `take`, which says how many bytes of what FIONREAD counts it was.
    pub(super) fn drain(
        &self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<u64, SourceError>,
    ) -> Result<(), SourceError> {
        let [reading, measuring] = self.ops;
        let io_error = |op| move |error: Errno| SourceError::Io { op, source: error.into() };
        let mut left = None;
        while left != Some(0) {
            let n = match rustix::io::read(self.fd, &mut *buffer) {
                Ok(n) => n,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(io_error(reading)(error)),
            };
            let taken = take(buffer.get(..n).unwrap_or_default())?;
            if n + self.most_event_bytes < buffer.len() {
                return Ok(());
            }
            left = match left {
                None => Some(rustix::io::ioctl_fionread(self.fd).map_err(io_error(measuring))?),
                Some(left) => Some(u64::saturating_sub(left, taken)),
            };
        }
        Ok(())
    }
}

/// The records in a piece. `one` reads the record at the start of the bytes, and says what follows it.
pub(super) fn records<'a, R, E>(
    bytes: &'a [u8],
    one: impl Fn(&'a [u8]) -> Result<(R, &'a [u8]), E>,
) -> impl Iterator<Item = Result<R, E>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // After an error nobody knows where the next one begins.
        let bytes = std::mem::take(&mut rest);
        Some(one(bytes).map(|(record, after)| {
            rest = after;
            record
        }))
    })
}
