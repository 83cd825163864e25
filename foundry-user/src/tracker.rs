//! How the reader tells a source what to look at, without knowing the source.
//!
//! Knows: open files and artifacts' numbers. Must never know: BPF, fanotify, who implements it.
//! Keeps: a change after [`Tracker::track`] returned is an event; so track first, then read.

use crate::artifact::{ArtifactId, FileKind};
use crate::event::Extents;
use std::os::fd::BorrowedFd;

/// A source that can be pointed at artifacts. Implementations are cheap to call from several threads.
pub trait Tracker: Send + Sync {
    /// From now on, changes to the inode behind `fd` are events of `artifact`.
    /// Repeating it is harmless and updates `size` (the granularity of dirty state follows it).
    ///
    /// # Errors
    /// Where the source cannot take it (its table is full, the kernel refuses). The caller marks
    /// the artifact as covered by sweeps only.
    fn track(
        &self,
        fd: BorrowedFd<'_>,
        artifact: ArtifactId,
        kind: FileKind,
        size: u64,
    ) -> std::io::Result<()>;

    /// What changed of `artifact` before it was tracked here, as far as the probes of an earlier run kept
    /// it; told once.
    fn missed(&self, _artifact: ArtifactId) -> Option<Extents> {
        None
    }

    /// Changes to `artifact` are no longer wanted.
    fn untrack(&self, artifact: ArtifactId);

    /// Whether stores through a shared mapping of the inode behind `fd` become events by themselves
    /// once its pages are clean (true on disk file systems with a fault hook; false on tmpfs).
    fn sees_mapped_stores(&self, fd: BorrowedFd<'_>) -> bool;

    /// Whether every write by system call to a tracked file is an event. Where some are not (libaio's
    /// for fanotify, and through names that the source does not know), the file is compared at
    /// every `sync` as one that could not be tracked.
    fn sees_every_write(&self) -> bool {
        true
    }

    /// From now on, changes of the memory layout of the process `pid`, and its children, are told by
    /// `Event::Layout` and kept for [`Tracker::take_memory`]. Says whether that is so; else whoever wants to
    /// know has to look again and again.
    fn watch_memory(&self, _pid: u32) -> bool {
        false
    }

    /// The memory of the process `pid` is no longer of interest.
    fn unwatch_memory(&self, _pid: u32) {}

    /// What happened to a watched process since the last such call; `None` where it is not watched.
    /// Look after this call, not before: what happens later is kept for the next one.
    fn take_memory(&self, _pid: u32) -> Option<MemoryNews> {
        None
    }
}

/// What happened to a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryNews {
    /// Its layout may be another.
    pub changed: bool,
    /// It has a child that is a process of its own.
    pub forked: bool,
}

/// Tracks nothing: for one-shot commands and replay.
#[derive(Debug, Default)]
pub struct NoTracker;

impl Tracker for NoTracker {
    fn track(&self, _: BorrowedFd<'_>, _: ArtifactId, _: FileKind, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn untrack(&self, _: ArtifactId) {}

    fn sees_mapped_stores(&self, _: BorrowedFd<'_>) -> bool {
        false
    }
}
