//! The store: one directory of bricks, one process that writes it.
//!
//! Reading order: `place` (where a brick lies), `file` (its bytes), `medium` (the file system below),
//! `inventory` (what is there), `edits` (changing bricks), `directories` (those of directories).
//!
//! Knows: files and their places. Must never know: sources, sinks, what a brick is about.
//! Keeps: what was acknowledged survives; what is shown is whole; after the first error of the
//! medium nothing is written until the store is opened again.

mod directories;
pub mod edits;
pub mod file;
pub mod inventory;
pub mod medium;
pub mod place;

pub use edits::Edits;
pub use file::FileStorage;
pub use medium::{Disk, Medium};
pub use place::{brick_path, bricks};

use crate::artifact::FileIdentity;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

/// Name of the file whose lock says that a store is being written.
const LOCK: &str = "lock";

/// A store that this process writes.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    handle: File,
    medium: Box<dyn Medium>,
    payload: foundry_brick::Payload,
    /// errno of the first failure of the medium; 0 while there was none.
    failed: AtomicI32,
    _lock: File,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else writes it.
    #[error("{}: another foundry-user writes this store; stop it, or give another --store", dir.display())]
    Busy {
        /// The store.
        dir: PathBuf,
    },
    /// A system call failed.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

impl Store {
    /// Opens a store for writing, making it where there is none, and clears away what an interrupted
    /// writer left half done.
    ///
    /// # Errors
    /// Where another process writes it, or the directory cannot be made, locked or cleaned.
    pub fn open(dir: &Path, payload: foundry_brick::Payload) -> Result<Self, StoreError> {
        Self::open_on(dir, payload, |dir| Ok(Box::new(Disk::new(dir)?)))
    }

    /// As [`Store::open`], with the bricks on any medium.
    ///
    /// # Errors
    /// As [`Store::open`], and as `medium` fails.
    pub fn open_on(
        dir: &Path,
        payload: foundry_brick::Payload,
        medium: impl FnOnce(&Path) -> io::Result<Box<dyn Medium>>,
    ) -> Result<Self, StoreError> {
        let io = |op, path: &Path, source| StoreError::Io { op, path: path.to_owned(), source };
        let make = |path: &Path| {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|e| io("make", path, e))
        };
        make(dir)?;
        // An older directory may be more open than its bricks may be.
        rustix::fs::chmod(dir, Mode::RWXU).map_err(|e| io("close to others", dir, e.into()))?;
        make(&dir.join(place::BRICKS))?;
        let handle = File::open(dir).map_err(|e| io("open", dir, e))?;
        let path = dir.join(LOCK);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
        let lock = File::from(lock.map_err(|e| io("open", &path, e.into()))?);
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Busy { dir: dir.to_owned() });
            }
            Err(e) => return Err(io("lock", &path, e.into())),
        }
        let medium = medium(dir).map_err(|e| io("open", dir, e))?;
        remove_unfinished(&*medium).map_err(|e| io("clean", dir, e))?;
        let failed = AtomicI32::new(0);
        Ok(Self { dir: dir.to_owned(), handle, medium, payload, failed, _lock: lock })
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which directory that is, so that nobody takes it for a part of a watched tree.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn identity(&self) -> io::Result<FileIdentity> {
        let flags = rustix::fs::AtFlags::EMPTY_PATH;
        let mask = rustix::fs::StatxFlags::BASIC_STATS | rustix::fs::StatxFlags::BTIME;
        let x = rustix::fs::statx(&self.handle, "", flags, mask)?;
        let has_btime = x.stx_mask & rustix::fs::StatxFlags::BTIME.bits() != 0;
        let ns = x.stx_btime.tv_sec.saturating_mul(1_000_000_000) + i64::from(x.stx_btime.tv_nsec);
        Ok(FileIdentity {
            dev: rustix::fs::makedev(x.stx_dev_major, x.stx_dev_minor),
            ino: x.stx_ino,
            btime_ns: if has_btime { ns } else { 0 },
        })
    }

    /// Makes everything written so far durable. Says whether that is so.
    #[must_use]
    pub fn flush(&self) -> bool {
        if self.failure().is_some() {
            return false;
        }
        match self.medium.sync() {
            Ok(()) => true,
            Err(e) => {
                self.fail(&e);
                false
            }
        }
    }

    /// errno of what stopped this store.
    #[must_use]
    pub fn failure(&self) -> Option<i32> {
        Some(self.failed.load(Ordering::Acquire)).filter(|errno| *errno != 0)
    }

    /// Where its files lie: whoever keeps bricks beside the edits writes them there.
    pub(crate) fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// Stops the store. The first failure is the one to report.
    pub(crate) fn fail(&self, error: &io::Error) {
        self.stop(error.raw_os_error().unwrap_or(libc::EIO));
    }

    fn stop(&self, errno: i32) {
        let errno = if errno == 0 { libc::EIO } else { errno };
        let _first =
            self.failed.compare_exchange(0, errno, Ordering::AcqRel, Ordering::Acquire).is_ok();
    }
}

/// Longest small file of a store that is read; what is longer makes no sense.
const MOST_REMEMBERED: u64 = 4 << 20;

/// What a small file of the store remembers; nothing where there is no such file yet. One that cannot be
/// read, or makes no sense, is said: what it held has to be asked for again.
pub fn remembered<T: serde::de::DeserializeOwned + Default>(file: &std::path::Path) -> T {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file);
    match opened.and_then(|open| open.take(MOST_REMEMBERED).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return T::default(),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "what was remembered cannot be read");
            return T::default();
        }
    };
    postcard::from_bytes(&bytes).unwrap_or_else(|error| {
        tracing::warn!(file = %file.display(), %error, "what was remembered makes no sense");
        T::default()
    })
}

/// Removes what an interrupted writer left half done.
fn remove_unfinished(medium: &dyn Medium) -> io::Result<()> {
    medium.files(place::UNFINISHED)?.iter().try_for_each(|file| medium.remove(file))
}

#[cfg(test)]
mod tests;
