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

pub(crate) use names::made_up as is_made_up;
pub use open::{anywhere, stat_fd};

use crate::artifact::{FileIdentity, FileKind, OsBytes, Stat};
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

/// A watched root, held open: it stays what it was, even if its path leads elsewhere, until it is
/// looked at again.
struct Root {
    path: PathBuf,
    /// `None` while its path leads nowhere.
    held: RwLock<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    fd: Arc<OwnedFd>,
    identity: FileIdentity,
}

/// What has become of a watched root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootNews {
    /// It is what it was.
    Same,
    /// Its path leads to this directory now.
    Replaced(Stat),
    /// Its path leads nowhere any more.
    Gone,
}

impl Root {
    fn open(path: &Path) -> Result<Self, Errno> {
        let (held, _) = Self::hold(path)?;
        Ok(Self { path: path.to_owned(), held: RwLock::new(Some(held)) })
    }

    fn hold(path: &Path) -> Result<(Held, Stat), Errno> {
        let fd = Arc::new(open::root(path)?);
        let stat = open::stat_fd(&fd)?;
        Ok((Held { fd, identity: stat.identity }, stat))
    }

    fn held(&self) -> Option<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, held: Option<Held>) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Holds what its path leads to now, where that is something else than before.
    fn look(&self) -> RootNews {
        let before = self.held();
        let gone = match open::stat_path(&self.path) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                if before.as_ref().is_some_and(|held| held.identity == stat.identity) {
                    return RootNews::Same;
                }
                match Self::hold(&self.path) {
                    Ok((held, stat)) => {
                        self.replace(Some(held));
                        return RootNews::Replaced(stat);
                    }
                    Err(errno) => failure(errno) == ReadFailure::Gone,
                }
            }
            Ok(_) => true,
            Err(errno) => failure(errno) == ReadFailure::Gone,
        };
        if gone && before.is_some() {
            self.replace(None);
            return RootNews::Gone;
        }
        RootNews::Same
    }
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
        let open = |path: &PathBuf| match Root::open(path) {
            Ok(root) => Ok(Arc::new(root)),
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
        let root = Root::open(path)?;
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
    pub fn root_stat(&self, path: &Path) -> std::io::Result<Stat> {
        let held = self.root(path).and_then(|root| root.held());
        let held = held.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))?;
        Ok(open::stat_fd(&held.fd)?)
    }

    /// What has become of a root since it was opened or looked at. From now on it is that.
    pub fn look_at_root(&self, path: &Path) -> RootNews {
        self.root(path).map_or(RootNews::Same, |root| root.look())
    }

    fn root(&self, path: &Path) -> Option<Arc<Root>> {
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        roots.iter().find(|root| root.path == path).cloned()
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
    fn split<'p>(&self, path: &'p [u8]) -> Option<(Arc<OwnedFd>, &'p Path)> {
        let path = Path::new(OsStr::from_bytes(path));
        let beneath = |r: &Arc<Root>| path.strip_prefix(&r.path).ok().zip(r.held());
        let roots = self.roots.read().unwrap_or_else(PoisonError::into_inner);
        roots.iter().find_map(beneath).map(|(rest, held)| (held.fd, rest))
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
