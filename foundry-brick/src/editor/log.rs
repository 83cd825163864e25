//! What an edit appends: buffered, aligned, hashed on its way.
//!
//! Keeps: bytes reach the storage in order, and the checksum is that of exactly these bytes.

use crate::error::Error;
use crate::geometry::index;
use crate::hash::{self, Checksum};
use crate::layout::{Pointer, align};
use crate::storage::Storage;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// The end of a brick that grows.
#[derive(Debug)]
pub(super) struct Log {
    start: u64,
    /// Where `buffer` begins.
    flushed: u64,
    buffer: Vec<u8>,
    hasher: Box<blake3::Hasher>,
}

impl Log {
    pub(super) fn new(start: u64) -> Self {
        Self { start, flushed: start, buffer: Vec::new(), hasher: Box::default() }
    }

    /// First byte of the segment.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// First byte after what was appended.
    pub(super) fn end(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Appends `bytes` at the next aligned offset, which it returns.
    pub(super) fn append<S: Storage>(&mut self, s: &mut S, bytes: &[u8]) -> Result<u64, Error> {
        let at = align(self.end());
        self.buffer.resize(self.buffer.len() + index(at - self.end()), 0);
        self.buffer.extend_from_slice(bytes);
        if BUFFER <= self.buffer.len() {
            self.flush(s)?;
        }
        Ok(at)
    }

    /// As `append`, and says where and what it is.
    pub(super) fn blob<S: Storage>(&mut self, s: &mut S, bytes: &[u8]) -> Result<Pointer, Error> {
        let checksum = hash::checksum(bytes);
        Ok(Pointer { offset: self.append(s, bytes)?, length: bytes.len() as u64, checksum })
    }

    /// Hands everything to the storage.
    pub(super) fn flush<S: Storage>(&mut self, storage: &mut S) -> Result<(), Error> {
        self.hasher.update(&self.buffer);
        storage.write_at(self.flushed, &self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes of the segment that were not handed to the storage yet, from `offset` on.
    pub(super) fn pending(&self, offset: u64) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.flushed)?).ok()?;
        self.buffer.get(from..)
    }

    /// Ends the segment at an aligned offset: that offset, the segment's checksum, and those of
    /// its bytes that were not written yet.
    pub(super) fn seal(&mut self) -> (u64, Checksum, Vec<u8>) {
        let at = align(self.end());
        self.buffer.resize(self.buffer.len() + index(at - self.end()), 0);
        self.hasher.update(&self.buffer);
        (at, hash::shorten(self.hasher.finalize()), std::mem::take(&mut self.buffer))
    }

    /// Where `seal` left bytes unwritten, and they are written now by the caller: the next segment.
    pub(super) fn restart(&mut self, start: u64) {
        self.start = start;
        self.flushed = start;
        self.buffer.clear();
        self.hasher.reset();
    }

    /// Where bytes from `seal` belong.
    pub(super) fn flushed(&self) -> u64 {
        self.flushed
    }
}
