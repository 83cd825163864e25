//! The reader: looks at the disk for the pipeline. Opens beneath a watched root, tracks, then reads.
//!
//! Knows: roots, open files, `statx`, holes. Must never know: the store, what is done with the bytes.
//! Keeps: no symbolic link is followed and no path leaves its root; an inode is tracked before it is
//! looked at, so that what changes later is an event; nothing but regular files and directories is
//! opened, so that no open blocks or has an effect.

pub mod content;
pub mod mappings;
mod names;
mod open;
mod settle;

pub use open::{anywhere, stat_fd};

use crate::artifact::{FileIdentity, OsBytes, Stat};
use crate::diagnostics::{Throttle, shown};
use crate::facts::host::Host;
use crate::pipeline::input::{Input, ReadFailure};
use crate::tracker::Tracker;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// Looks at the disk. Shared by all threads that do.
pub struct Reader {
    roots: RwLock<Vec<Arc<Root>>>,
    tracker: Arc<dyn Tracker>,
    /// Directories that are never listed: the store.
    hidden: Vec<FileIdentity>,
    /// What this machine says of files: owners, packages.
    host: Host,
    refusals: Throttle,
}

/// A watched root, held open: it stays what it was even if its path leads elsewhere one day.
struct Root {
    path: PathBuf,
    fd: OwnedFd,
}

impl Reader {
    /// Opens the roots.
    ///
    /// # Errors
    /// With the root that cannot be opened.
    pub fn new(
        roots: &[PathBuf],
        hidden: Vec<FileIdentity>,
        tracker: Arc<dyn Tracker>,
    ) -> Result<Self, (PathBuf, std::io::Error)> {
        let open = |path: &PathBuf| match open::root(path) {
            Ok(fd) => Ok(Arc::new(Root { path: path.clone(), fd })),
            Err(e) => Err((path.clone(), e.into())),
        };
        let roots = roots.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            roots: RwLock::new(roots),
            tracker,
            hidden,
            host: Host::this(),
            refusals: Throttle::new(),
        })
    }

    /// Opens one more root.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn add_root(&self, path: &Path) -> std::io::Result<()> {
        let root = Root { path: path.to_owned(), fd: open::root(path)? };
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        roots.push(Arc::new(root));
        Ok(())
    }

    /// Forgets a root. What is being read beneath it is read to its end.
    pub fn remove_root(&self, path: &Path) {
        let mut roots = self.roots.write().unwrap_or_else(PoisonError::into_inner);
        roots.retain(|root| root.path != path);
    }

    /// What `statx` says of a root now.
    ///
    /// # Errors
    /// As `statx(2)`, and where the path is no root.
    pub fn root_stat(&self, path: &Path) -> std::io::Result<crate::artifact::Stat> {
        let (root, rest) = self.split(path.as_os_str().as_bytes()).unzip();
        let root = root.filter(|_| rest.is_some_and(|rest| rest.as_os_str().is_empty()));
        let root = root.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Ok(open::stat_fd(&root.fd)?)
    }

    /// Whether the source took it; why not is said, since only comparing tells of changes then.
    fn is_tracked(&self, path: &[u8], outcome: std::io::Result<()>) -> bool {
        if let Err(error) = &outcome
            && let Some(held_back) = self.refusals.pass(crate::clock::monotonic())
        {
            tracing::warn!(path = ?shown(path), %error, held_back, "changes go unheard");
        }
        outcome.is_ok()
    }

    /// Of which paths the machine's tables say something else than at the last call.
    #[must_use]
    pub fn tables(&self) -> Input {
        Input::Tables { changed: self.host.changed_paths(|path| self.split(path).is_some()) }
    }

    /// The root above `path`, and the way from there.
    fn split<'p>(&self, path: &'p [u8]) -> Option<(Arc<Root>, &'p Path)> {
        let path = Path::new(OsStr::from_bytes(path));
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        roots.iter().find_map(|r| path.strip_prefix(&r.path).ok().map(|rest| (Arc::clone(r), rest)))
    }
}

/// What `statx` says of what is at a path of any length, links not followed.
///
/// # Errors
/// As `statx(2)`.
pub fn stat(path: &Path) -> std::io::Result<Stat> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(open::stat_fd(&open::anywhere(path, flags)?)?)
}

/// The entries of a directory at a path of any length, links not followed; none where its file
/// system has no files, which no tree follows.
///
/// # Errors
/// As `openat(2)`, `getdents(2)`, `statx(2)`.
pub fn entries(path: &Path) -> std::io::Result<Vec<(OsBytes, Stat)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = open::anywhere(path, flags)?;
    if names::made_up(&fd) {
        return Ok(vec![]);
    }
    Ok(names::entries(&fd, |_| false)?)
}

/// What an error of the kernel means to the pipeline.
fn failure(errno: Errno) -> ReadFailure {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::STALE | Errno::NXIO => {
            ReadFailure::Gone
        }
        Errno::ACCESS | Errno::PERM => ReadFailure::Denied,
        other => ReadFailure::Io(other.raw_os_error()),
    }
}

#[cfg(test)]
mod tests;
