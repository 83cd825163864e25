//! Directories that are held open, and what may be done beneath them.
//!
//! Knows: walks beneath a directory. Must never know: tasks, bricks.
//! Keeps: no symbolic link is followed and nothing above the directory is reached, whatever a name
//! says and whoever changes the tree meanwhile; a file appears whole or not at all.

use crate::walk;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Entries of one directory that are looked at.
const MOST_NAMES: usize = 1 << 16;

/// An open directory, and the name it was opened by.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// What was read, and of which state of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Modification time, nanoseconds since the epoch.
    pub(super) mtime_ns: i64,
}

impl Dir {
    /// Opens a directory. Its own path may hold symbolic links: whoever configured it meant where it
    /// leads.
    ///
    /// # Errors
    /// As `open(2)`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory beneath; `None` where there is none.
    ///
    /// # Errors
    /// As [`walk::beneath`]: also where a part of the way is a symbolic link.
    pub(super) fn sub(&self, way: &Path) -> io::Result<Option<Self>> {
        match self.beneath(way.as_os_str(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: self.path.join(way) })),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// A directory beneath, made where there is none.
    ///
    /// # Errors
    /// As `mkdirat(2)` and [`Dir::sub`]; and where a part of the way is no plain name.
    pub(super) fn make(&self, way: &Path) -> io::Result<Self> {
        let mut at = Self { fd: self.fd.try_clone()?, path: self.path.clone() };
        for part in way.components() {
            let Component::Normal(name) = part else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            at = match at.sub(Path::new(name))? {
                Some(there) => there,
                None => {
                    match rustix::fs::mkdirat(&at.fd, name, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(e) => return Err(e.into()),
                    }
                    at.sub(Path::new(name))?.ok_or(io::ErrorKind::NotFound)?
                }
            };
        }
        Ok(at)
    }

    /// The names in it, sorted.
    ///
    /// # Errors
    /// As `getdents(2)`; and where there are more than a task may have any use for.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
            if MOST_NAMES < names.len() {
                return Err(io::Error::other("too many files in one directory"));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a regular file in it or beneath.
    ///
    /// # Errors
    /// As [`walk::beneath`]; what is no regular file is [`io::ErrorKind::InvalidInput`].
    pub(super) fn file(&self, name: &OsStr, write: bool) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let fd = self.beneath(name, access | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let file = File::from(fd);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// All of a regular file; `None` where there is none.
    ///
    /// # Errors
    /// As [`Dir::file`]; one longer than `most` is [`io::ErrorKind::FileTooLarge`].
    pub(super) fn read(&self, name: impl AsRef<OsStr>, most: u64) -> io::Result<Option<Text>> {
        let mut file = match self.file(name.as_ref(), false) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let meta = file.metadata()?;
        let mut bytes = Vec::new();
        (&mut file).take(most + 1).read_to_end(&mut bytes)?;
        if most < bytes.len() as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mtime_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Ok(Some(Text { bytes, mtime_ns }))
    }

    /// Writes a file, over any that is there: the old one or the new one is there, whole.
    ///
    /// # Errors
    /// As `openat(2)`, `write(2)`, `rename(2)`.
    pub(super) fn put(&self, name: impl AsRef<OsStr>, bytes: &[u8], mode: u32) -> io::Result<()> {
        let half = self.begin(name.as_ref())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(mode);
        let made = rustix::fs::openat(&self.fd, &half, flags | OFlags::CLOEXEC, mode)?;
        let mut file = File::from(made);
        file.write_all(bytes)?;
        file.sync_all()?;
        self.finish(&half, name.as_ref())
    }

    /// Adds a line to a file, for good.
    ///
    /// # Errors
    /// As `openat(2)` and `write(2)`.
    pub(super) fn append(&self, name: &str, line: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat(&self.fd, name, flags | OFlags::CLOEXEC, mode)?;
        let mut file = File::from(fd);
        file.write_all(line)?;
        file.sync_all()
    }

    /// The name under which `name` is written before it is whole; nothing is there.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub(super) fn begin(&self, name: &OsStr) -> io::Result<OsString> {
        let mut half = OsString::from(".");
        half.push(name);
        half.push(".foundry-half");
        match rustix::fs::unlinkat(&self.fd, &half, AtFlags::empty()) {
            // What an earlier attempt left behind is ours alone.
            Ok(()) | Err(Errno::NOENT) => Ok(half),
            Err(e) => Err(e.into()),
        }
    }

    /// Gives what was written under `half` its name, for good.
    ///
    /// # Errors
    /// As `rename(2)`.
    pub(super) fn finish(&self, half: &OsStr, name: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.fd, half, &self.fd, name)?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Renames a file within it; nothing that is there is replaced unless `over`.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr, over: bool) -> io::Result<()> {
        let flags = if over { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        rustix::fs::renameat_with(&self.fd, from, &self.fd, to, flags)?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// A path to `name` that leads through the open directory, wherever that is by now.
    #[must_use]
    pub(super) fn place(&self, name: &OsStr) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd())).join(name)
    }

    /// Whether a file that is there may be written over: one of ours, or none.
    ///
    /// # Errors
    /// As [`Dir::file`].
    pub(super) fn may_replace(&self, name: &OsStr) -> io::Result<bool> {
        let mut head = Vec::new();
        match self.file(name, false) {
            Ok(file) => drop(file.take(4).read_to_end(&mut head)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(e),
        }
        let is_report = name.as_bytes().ends_with(b".json") && head.starts_with(b"{");
        Ok(head == b"V2BR" || head == b"\x89PNG" || is_report)
    }

    fn beneath(&self, way: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        walk::beneath(self.fd.as_fd(), way, flags, mode)
    }
}

/// A path below a directory, from what a file says: plain names only.
#[must_use]
pub(super) fn plain(path: &Path) -> Option<&Path> {
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    (is_plain && path.components().next().is_some()).then_some(path)
}
