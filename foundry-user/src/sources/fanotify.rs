//! Changes of directories and files as fanotify tells them: names, and whole-file hints.
//!
//! Knows: artifacts by their file handles. Must never know: content, BPF, who else listens.
//! Keeps: a directory is marked before it is read, so a name that was not in the listing comes as
//! an event; handles are known before marks are set, so no event of a tracked inode is unknown.
//!
//! By default every tracked directory has a mark of its own: what happens elsewhere costs the traced
//! system nothing, and overlay, btrfs subvolumes and users without privileges get the same. Changes
//! of a file through a name in an untracked directory are seen where the file had several
//! names when it was tracked (it has its own mark then), or with [`Marks::FileSystem`].
//! Marks on mounts are of no use: the kernel does not report names through them.
//! Stores through mappings and libaio writes are never reported by the kernel.

mod groups;
mod records;
mod superblock;
mod sys;
mod tables;

use self::groups::{Group, Groups};
use self::records::{Named, Record};
use self::superblock::Superblock;
use self::tables::Tables;
use crate::artifact::{ArtifactId, FileKind};
use crate::event::{Event, LossKind};
use crate::sources::actors::Actors;
use crate::sources::batch::Batch;
use crate::sources::queue::Queue;
use crate::sources::{Source, SourceCounters, SourceError};
use crate::tracker::Tracker;
use rustix::event::epoll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read at a time, and more than any single event takes (names have at most 255 bytes,
/// handles 128): a read that leaves so much room has emptied the queue.
const BUFFER_BYTES: usize = 128 << 10;
const MOST_EVENT_BYTES: usize = 4096;

/// Where marks are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// On each tracked directory. The rest of the file system costs nothing.
    Directories,
    /// On the whole file system where the kernel and privileges allow it, else on directories.
    /// Sees changes through any name of a file, and pays for each change of untracked files.
    FileSystem,
}

/// What the source is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Entries of directories only: content comes from another source.
    pub names_only: bool,
    /// Where marks are put.
    pub marks: Marks,
    /// Ask for a queue without limit, where privileges allow it.
    pub unlimited_queue: bool,
    /// Events that this process caused are not events.
    pub skip_own: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { names_only: false, marks: Marks::Directories, unlimited_queue: true, skip_own: true }
    }
}

/// The source.
#[derive(Debug)]
pub struct Fanotify {
    shared: Arc<Shared>,
    epoll: Arc<OwnedFd>,
    skip_pid: Option<u32>,
    buffer: Vec<u8>,
    counters: SourceCounters,
}

/// What the tracker's callers and the draining thread share. Never both locks at once.
#[derive(Debug)]
struct Shared {
    options: Options,
    groups: Mutex<Groups>,
    tables: Mutex<Tables>,
}

/// State stays consistent between statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fanotify {
    /// Opens the source with as much as privileges allow.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] where kernel or container refuse fanotify altogether.
    pub fn open(options: Options) -> Result<Self, SourceError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| SourceError::Io { op: "epoll_create", source: error.into() })?;
        let epoll = Arc::new(epoll);
        let groups = Groups::open(options, Arc::clone(&epoll))?;
        let shared =
            Shared { options, groups: Mutex::new(groups), tables: Mutex::new(Tables::default()) };
        Ok(Self {
            shared: Arc::new(shared),
            epoll,
            skip_pid: options.skip_own.then(std::process::id),
            buffer: vec![0; BUFFER_BYTES],
            counters: SourceCounters::default(),
        })
    }

    /// Whether unlimited queues, marks on file systems and the doers' process numbers are granted.
    #[must_use]
    pub fn privileged(&self) -> bool {
        lock(&self.shared.groups).privileged()
    }

    /// Takes what was in the group's queue when it was called.
    fn drain_group(&mut self, group: &Group, batch: &mut Batch<'_>) -> Result<(), SourceError> {
        let queue = Queue {
            fd: group.fd.as_fd(),
            most_event_bytes: MOST_EVENT_BYTES,
            ops: ["reading fanotify events", "measuring the fanotify queue"],
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = queue.drain(&mut buffer, |bytes| {
            // The kernel counts the fixed part of each event only; should it ever count all of it,
            // there are fewer than it seems.
            let taken = self.take(bytes, group.superblock, batch)?;
            Ok(taken * records::METADATA_BYTES_U64)
        });
        self.buffer = buffer;
        outcome
    }

    /// Translates a piece of the queue; says how many events were in it.
    fn take(
        &mut self,
        bytes: &[u8],
        superblock: Superblock,
        batch: &mut Batch<'_>,
    ) -> Result<u64, SourceError> {
        let tables = lock(&self.shared.tables);
        let before = self.counters.seen;
        for record in records::of(bytes) {
            let record = record.map_err(|error| SourceError::Invalid {
                backend: "fanotify",
                what: error.to_string(),
            })?;
            self.counters.seen += 1;
            if record.mask & libc::FAN_Q_OVERFLOW != 0 {
                *self.counters.lost.entry(LossKind::Queue).or_default() += 1;
                batch.overflow();
            } else if self.skip_pid == Some(record.pid) {
                *self.counters.other.entry("own_events").or_default() += 1;
            } else if !translate(&record, superblock, &tables, batch) {
                *self.counters.other.entry("untracked_events").or_default() += 1;
            }
        }
        Ok(self.counters.seen - before)
    }
}

/// Says `record` in the language of events; false where it is about nothing that is tracked.
fn translate(
    record: &Record<'_>,
    superblock: Superblock,
    tables: &Tables,
    batch: &mut Batch<'_>,
) -> bool {
    const NAMES: u64 = libc::FAN_CREATE
        | libc::FAN_DELETE
        | libc::FAN_MOVED_FROM
        | libc::FAN_MOVED_TO
        | libc::FAN_RENAME;
    const CONTENT: u64 = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;
    const ITSELF: u64 = libc::FAN_DELETE_SELF | libc::FAN_MOVE_SELF;
    let has = |bits: u64| record.mask & bits != 0;
    let pid = record.pid;
    let mut tracked = false;

    let file = record.target.and_then(|handle| tables.file(superblock, handle));
    for artifact in file.iter().flat_map(|owners| owners.iter()) {
        tracked = true;
        if has(CONTENT) {
            batch.whole(artifact, pid);
        }
        if has(libc::FAN_ATTRIB) {
            batch.meta(artifact);
        }
    }
    // Of a file that is not tracked (yet), the entry is what there is to look at.
    let by_name = has(NAMES) || (file.is_none() && has(CONTENT | libc::FAN_ATTRIB));
    for Named { dir, name } in [record.place, record.second].into_iter().flatten() {
        let owners = tables.directory(superblock, dir);
        for dir in owners.iter().flat_map(|owners| owners.iter()) {
            tracked = true;
            match name {
                b"." | b"" if has(ITSELF | NAMES) => batch.relist(dir),
                b"." => batch.meta(dir),
                _ if by_name && !name.is_empty() => batch.entry(dir, name, pid),
                _ => {}
            }
        }
    }
    let directory = record.target.and_then(|handle| tables.directory(superblock, handle));
    for dir in directory.iter().flat_map(|owners| owners.iter()) {
        if has(ITSELF) {
            tracked = true;
            batch.relist(dir);
        }
    }
    tracked
}

impl Source for Fanotify {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::clone(&self.shared) as Arc<dyn Tracker>
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        let groups = lock(&self.shared.groups).all().to_vec();
        let mut batch = Batch::new(out, crate::clock::monotonic());
        let outcome = groups.iter().try_for_each(|group| self.drain_group(group, &mut batch));
        self.counters.coalesced += batch.finish(&mut Actors::default());
        outcome
    }

    fn counters(&self) -> SourceCounters {
        let mut counters = self.counters.clone();
        let groups = lock(&self.shared.groups).all().len();
        let tracked = lock(&self.shared.tables).len();
        for (name, n) in [("fanotify_groups", groups), ("fanotify_tracked", tracked)] {
            counters.other.insert(name, u64::try_from(n).unwrap_or(u64::MAX));
        }
        counters
    }

    fn name(&self) -> &'static str {
        "fanotify"
    }
}

impl Tracker for Shared {
    fn track(
        &self,
        fd: BorrowedFd<'_>,
        artifact: ArtifactId,
        kind: FileKind,
        _size: u64,
    ) -> io::Result<()> {
        let directory = match kind {
            FileKind::Directory => true,
            FileKind::File if !self.options.names_only => false,
            FileKind::File | FileKind::Symlink | FileKind::Other => return Ok(()),
        };
        let handle = sys::handle_of(fd)?;
        let place = lock(&self.groups).place(fd)?;
        // Known first, marked second: see the invariant above.
        lock(&self.tables).insert(artifact, place.superblock, &handle, directory);
        let marked = if directory {
            lock(&self.groups).mark_directory(place.superblock, fd)
        } else {
            lock(&self.groups).mark_file(place, fd)
        };
        if marked.is_err() {
            lock(&self.tables).remove(artifact);
        }
        marked
    }

    /// The mark itself stays until the directory is removed: taking it away needs the directory
    /// open, and the caller no longer has it. Its events are dropped here.
    fn untrack(&self, artifact: ArtifactId) {
        lock(&self.tables).remove(artifact);
    }

    fn sees_mapped_stores(&self, _: BorrowedFd<'_>) -> bool {
        false
    }

    fn sees_every_write(&self) -> bool {
        false
    }
}

/// How many records there are in any bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn count_records(bytes: &[u8]) -> usize {
    records::of(bytes).map_while(Result::ok).count()
}
