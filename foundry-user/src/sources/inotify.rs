//! Changes of directories and files as inotify tells them, where fanotify is refused.
//!
//! Knows: artifacts by their watch numbers. Must never know: content, BPF, who else listens.
//! Keeps: a directory is watched before it is read, so a name that was not in the listing comes as
//! an event. Files have watches of their own, so that changes through any of their names are seen.
//!
//! Who did it is never known. Stores through mappings and libaio writes are never reported.

mod records;

use self::records::Record;
use crate::artifact::{ArtifactId, FileKind};
use crate::event::{Event, LossKind};
use crate::sources::actors::Actors;
use crate::sources::batch::Batch;
use crate::sources::owners::Owners;
use crate::sources::queue::Queue;
use crate::sources::{Source, SourceCounters, SourceError};
use crate::tracker::Tracker;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read at a time, and more than any single event takes.
const BUFFER_BYTES: usize = 64 << 10;
const MOST_EVENT_BYTES: usize = 512;

const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

const CONTENT: WatchFlags =
    WatchFlags::MODIFY.union(WatchFlags::CLOSE_WRITE).union(WatchFlags::ATTRIB);

/// The source.
#[derive(Debug)]
pub struct Inotify {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    counters: SourceCounters,
}

/// What the tracker's callers and the draining thread share.
#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    names_only: bool,
    watches: Mutex<Watches>,
}

/// Watches by number, and the other way round.
#[derive(Debug, Default)]
struct Watches {
    by_number: HashMap<i32, Watch>,
    by_artifact: HashMap<ArtifactId, i32>,
}

#[derive(Debug)]
struct Watch {
    directory: bool,
    owners: Owners,
}

impl Watches {
    fn insert(&mut self, number: i32, artifact: ArtifactId, directory: bool) {
        self.by_number
            .entry(number)
            .and_modify(|watch| watch.owners.add(artifact))
            .or_insert(Watch { directory, owners: Owners::One(artifact) });
        self.by_artifact.insert(artifact, number);
    }

    /// Forgets the artifact; gives the number of its watch where that has become useless.
    fn remove(&mut self, artifact: ArtifactId) -> Option<i32> {
        let number = self.by_artifact.remove(&artifact)?;
        let useless = self.by_number.get_mut(&number)?.owners.remove(artifact);
        useless.then(|| {
            self.by_number.remove(&number);
            number
        })
    }

    /// The kernel has taken the watch away.
    fn ended(&mut self, number: i32) -> Option<Watch> {
        let watch = self.by_number.remove(&number)?;
        for artifact in watch.owners.iter() {
            self.by_artifact.remove(&artifact);
        }
        Some(watch)
    }
}

impl Inotify {
    /// Opens the source; `names_only` leaves content to another one.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] where the limit of instances is reached, or there is no inotify.
    pub fn open(names_only: bool) -> Result<Self, SourceError> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = inotify::init(flags).map_err(|error| {
            let hint = match error {
                Errno::MFILE => ": raise sysctl fs.inotify.max_user_instances",
                _ => "",
            };
            let reason = format!("inotify_init1: {error}{hint}");
            SourceError::Unavailable { backend: "inotify", reason }
        })?;
        let shared = Shared { fd, names_only, watches: Mutex::default() };
        Ok(Self {
            shared: Arc::new(shared),
            buffer: vec![0; BUFFER_BYTES],
            counters: SourceCounters::default(),
        })
    }

    /// Translates a piece of the queue.
    fn take(&mut self, bytes: &[u8], batch: &mut Batch<'_>) -> Result<(), SourceError> {
        let mut watches = self.shared.watches();
        for record in records::of(bytes) {
            let record = record.map_err(|error| SourceError::Invalid {
                backend: "inotify",
                what: error.to_string(),
            })?;
            self.counters.seen += 1;
            if record.mask & libc::IN_Q_OVERFLOW != 0 {
                *self.counters.lost.entry(LossKind::Queue).or_default() += 1;
                batch.overflow();
            } else if !translate(&record, &mut watches, batch) {
                *self.counters.other.entry("untracked_events").or_default() += 1;
            }
        }
        Ok(())
    }
}

impl Shared {
    /// State stays consistent between statements, so a panic elsewhere does not spoil it.
    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says `record` in the language of events; false where its watch is not known (any more).
fn translate(record: &Record<'_>, watches: &mut Watches, batch: &mut Batch<'_>) -> bool {
    let has = |bits: u32| record.mask & bits != 0;
    let ended = if has(libc::IN_IGNORED) { watches.ended(record.watch) } else { None };
    let Some(watch) = ended.as_ref().or_else(|| watches.by_number.get(&record.watch)) else {
        // The farewell of a watch that was given up here is no surprise.
        return has(libc::IN_IGNORED);
    };
    for artifact in watch.owners.iter() {
        match (watch.directory, record.name.is_empty()) {
            (true, false) => batch.entry(artifact, record.name, 0),
            (true, true) if has(libc::IN_ATTRIB) => batch.meta(artifact),
            // It moved, went, or its file system did.
            (true, true) => batch.relist(artifact),
            (false, _) if has(libc::IN_MODIFY | libc::IN_CLOSE_WRITE | libc::IN_UNMOUNT) => {
                batch.whole(artifact, 0);
            }
            (false, _) => batch.meta(artifact),
        }
    }
    true
}

impl Source for Inotify {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::clone(&self.shared) as Arc<dyn Tracker>
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.shared.fd.as_fd()
    }

    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        let mut batch = Batch::new(out, crate::clock::monotonic());
        let shared = Arc::clone(&self.shared);
        let queue = Queue {
            fd: shared.fd.as_fd(),
            most_event_bytes: MOST_EVENT_BYTES,
            ops: ["reading inotify events", "measuring the inotify queue"],
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = queue.drain(&mut buffer, |bytes| {
            self.take(bytes, &mut batch)?;
            Ok(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
        });
        self.buffer = buffer;
        self.counters.coalesced += batch.finish(&mut Actors::default());
        outcome
    }

    fn counters(&self) -> SourceCounters {
        let mut counters = self.counters.clone();
        let watches = self.shared.watches().by_number.len();
        counters.other.insert("inotify_watches", u64::try_from(watches).unwrap_or(u64::MAX));
        counters
    }

    fn name(&self) -> &'static str {
        "inotify"
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
        let (directory, mask) = match kind {
            FileKind::Directory => (true, NAMES),
            FileKind::File if !self.names_only => (false, CONTENT),
            FileKind::File | FileKind::Symlink | FileKind::Other => return Ok(()),
        };
        // The magic link leads to the inode that is open, wherever its name may be by now.
        let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
        // Under the lock, so that the first event finds the watch's number known.
        let mut watches = self.watches();
        let number = inotify::add_watch(&self.fd, link, mask).map_err(explain)?;
        if watches.by_artifact.get(&artifact).is_some_and(|old| *old != number) {
            self.give_up(watches.remove(artifact));
        }
        watches.insert(number, artifact, directory);
        Ok(())
    }

    fn untrack(&self, artifact: ArtifactId) {
        let mut watches = self.watches();
        self.give_up(watches.remove(artifact));
    }

    fn sees_mapped_stores(&self, _: BorrowedFd<'_>) -> bool {
        false
    }

    fn sees_every_write(&self) -> bool {
        false
    }
}

impl Shared {
    /// The kernel may have taken the watch away already; then there is nothing to do.
    fn give_up(&self, watch: Option<i32>) {
        if let Some(number) = watch {
            inotify::remove_watch(&self.fd, number).unwrap_or_default();
        }
    }
}

/// Names the limit that was reached, where one was.
fn explain(error: Errno) -> io::Error {
    match error {
        Errno::NOSPC => io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "the limit of inotify watches is reached: raise sysctl fs.inotify.max_user_watches",
        ),
        error => error.into(),
    }
}

/// How many records there are in any bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn count_records(bytes: &[u8]) -> usize {
    records::of(bytes).map_while(Result::ok).count()
}
