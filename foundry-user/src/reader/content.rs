//! Reading what is dirty of a file, hole by hole and chunk by chunk.
//!
//! Knows: open files, ranges, holes. Must never know: folding, bricks.
//! Keeps: track, settle, `statx`, read, `statx`: in this order. A hole is never read, a chunk is at
//! most [`CHUNK`]; what was cut off meanwhile reads as zeros, and the last `statx` says so.

use super::settle::settle;
use super::{Reader, failure, open};
use crate::artifact::{FileKind, Stat};
use crate::diagnostics::shown;
use crate::facts::{self, Subject};
use crate::pipeline::effect::ReadRequest;
use crate::pipeline::input::{Bytes, ReadFailure, ReadPart};
use crate::pipeline::ranges::Ranges;
use foundry_common::units::TILE_BYTES;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Bytes of one answer at most.
pub const CHUNK: u64 = 1 << 20;

/// Where the parts of an answer go. False where nobody wants more of them.
pub type Sink<'a> = dyn FnMut(ReadPart) -> bool + 'a;

impl Reader {
    /// Carries out `Effect::Read`. The last part is `End` or `Failed`, unless `sink` says no.
    pub fn read(&self, request: &ReadRequest, sink: &mut Sink<'_>) {
        if let Err(Stop::Failed(failure)) = self.try_read(request, sink) {
            tracing::debug!(path = ?shown(&request.path), ?failure, "not read");
            sink(ReadPart::Failed(failure));
        }
    }

    fn try_read(&self, request: &ReadRequest, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let (root, rest) = self.split(&request.path).ok_or(ReadFailure::Gone)?;
        let fd = File::from(open::open(&root, rest, &request.expect)?);
        let size = open::stat_fd(&fd)?.size;
        let artifact = request.artifact;
        let tracked = self.tracker.track(fd.as_fd(), artifact, FileKind::File, size);
        let tracked = self.is_tracked(&request.path, tracked) && self.tracker.sees_every_write();
        let sees_mapped_stores = self.tracker.sees_mapped_stores(fd.as_fd());
        if request.settle {
            settle(&fd);
        }
        let stat = open::stat_fd(&fd)?;
        if stat.kind != FileKind::File {
            return Err(Stop::Failed(ReadFailure::Gone));
        }
        give(sink, ReadPart::Start { stat, tracked, sees_mapped_stores })?;
        if let Some(extents) = self.tracker.missed(artifact) {
            give(sink, ReadPart::Missed(extents))?;
        }
        let ranges = due(request, stat.size);
        if ranges.is_all() && CHUNK < stat.size {
            // Only advice: a file system that does not take it reads as well.
            let _taken = rustix::fs::fadvise(&fd, 0, None, rustix::fs::Advice::Sequential).is_ok();
        }
        let sparse = stat.blocks.saturating_mul(512) < stat.size;
        for &(start, end) in ranges.as_slice() {
            let end = end.min(stat.size);
            if sparse {
                read_sparse(&fd, start, end, &stat, sink)?;
            } else {
                read_dense(&fd, start, end, sink)?;
            }
        }
        if request.describe || request.known_size != stat.size {
            self.describe(&fd, request, &stat, sink)?;
        }
        give(sink, ReadPart::End { after: open::stat_fd(&fd)? })
    }
}

impl Reader {
    /// A file that was read but cannot be described says so: facts of an earlier state are no facts.
    fn describe(
        &self,
        fd: &File,
        request: &ReadRequest,
        stat: &Stat,
        sink: &mut Sink<'_>,
    ) -> Result<(), Stop> {
        let subject =
            Subject { path: &request.path, size: stat.size, uid: stat.uid, gid: stat.gid };
        let found = facts::of_file(fd, &subject, &self.host)
            .unwrap_or_else(|error| facts::unreadable(&error));
        give(sink, ReadPart::Described(Box::new(found.description)))?;
        let on = found.read.as_slice().to_vec();
        give(sink, ReadPart::Stands { on, cost: found.cost })
    }
}

/// Why a read ends early.
enum Stop {
    Failed(ReadFailure),
    NotWanted,
}

impl From<ReadFailure> for Stop {
    fn from(failure: ReadFailure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Failed(failure(errno))
    }
}

fn give(sink: &mut Sink<'_>, part: ReadPart) -> Result<(), Stop> {
    if sink(part) { Ok(()) } else { Err(Stop::NotWanted) }
}

/// What is to be read of a file of `size` bytes: what was asked for, and all between the size that is
/// folded and the real one, with the tile that either end cuts.
fn due(request: &ReadRequest, size: u64) -> Ranges {
    let mut ranges = Ranges::default();
    for &(start, end) in &request.ranges {
        ranges.add(start, end);
    }
    let known = request.known_size;
    let (low, high) = (known.min(size) / TILE_BYTES * TILE_BYTES, known.max(size));
    if known != size && low < size {
        ranges.add(low, high);
    }
    ranges
}

/// Reads `[start, end)`; `start` is at a tile.
fn read_dense(fd: &File, start: u64, end: u64, sink: &mut Sink<'_>) -> Result<(), Stop> {
    let mut at = start;
    while at < end {
        let next = end.min(at + CHUNK);
        give(sink, ReadPart::Bytes { offset: at, bytes: Bytes(chunk(fd, at, next)?) })?;
        at = next;
    }
    Ok(())
}

/// Reads `[start, end)` but for its holes, as far as they are whole tiles.
fn read_sparse(
    fd: &File,
    start: u64,
    end: u64,
    stat: &Stat,
    sink: &mut Sink<'_>,
) -> Result<(), Stop> {
    let mut at = start;
    while at < end {
        let data = next_data(fd, at, end)?;
        let hole_end = if data == end { end } else { data / TILE_BYTES * TILE_BYTES };
        if at < hole_end {
            give(sink, ReadPart::Hole { offset: at, len: hole_end - at })?;
            at = hole_end;
        }
        if end <= at {
            break;
        }
        let hole = next_hole(fd, at.max(data), end)?;
        let next = hole.div_ceil(TILE_BYTES).saturating_mul(TILE_BYTES).min(end);
        debug_assert!(next % TILE_BYTES == 0 || next == end || next == stat.size);
        read_dense(fd, at, next, sink)?;
        at = next;
    }
    Ok(())
}

/// Where data begins at or after `at`; `end` where only holes follow.
fn next_data(fd: &File, at: u64, end: u64) -> Result<u64, Stop> {
    match rustix::fs::seek(fd, SeekFrom::Data(at)) {
        Ok(data) => Ok(data.clamp(at, end)),
        Err(Errno::NXIO) => Ok(end),
        // No holes on this file system.
        Err(Errno::INVAL) => Ok(at),
        Err(e) => Err(e.into()),
    }
}

/// Where the next hole begins after `at`, at most `end`.
fn next_hole(fd: &File, at: u64, end: u64) -> Result<u64, Stop> {
    match rustix::fs::seek(fd, SeekFrom::Hole(at)) {
        Ok(hole) if at < hole => Ok(hole.min(end)),
        // Punched just now: read it, whatever it is.
        Ok(_) | Err(Errno::NXIO | Errno::INVAL) => Ok(end.min(at + 1)),
        Err(e) => Err(e.into()),
    }
}

/// The bytes `[start, end)`; zeros where the file has become shorter.
fn chunk(fd: &File, start: u64, end: u64) -> Result<Arc<[u8]>, Stop> {
    let len = usize::try_from(end - start).map_err(|_| Errno::NOMEM)?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
    let buf = Arc::get_mut(&mut bytes).ok_or(Errno::NOMEM)?;
    let mut filled = 0;
    while filled < len {
        match rustix::io::pread(fd, &mut buf[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(bytes)
}
