//! What a task may read: files beneath what its project allows.
//!
//! Knows: paths, open files. Must never know: what is made of them.
//! Keeps: what is opened lies where the allow-list says, after every link was followed; nothing but a
//! regular file is read, so that no open blocks or has an effect; a file that changes while it is
//! read is no file.

use crate::artifact::{FileKind, Stat};
use crate::binary::ReadAt;
use crate::config::Project;
use crate::reader::stat_fd;
use crate::redact::is_withheld;
use crate::walk;
use foundry_brick::{Meta, Payload};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that says it is empty may not be (`/proc`): so much of it is read.
const MOST_UNSIZED: u64 = 16 << 20;

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    /// It is outside of what the project allows: somebody may approve it.
    #[error("{} is not among what this project's tasks may read", .0.display())]
    Outside(PathBuf),
    /// It is no regular file, and no directory where one will do.
    #[error("{} {}", .0.display(), .1)]
    Unfit(PathBuf, &'static str),
    /// The kernel refused.
    #[error("{}: {}", .0.display(), said(.1))]
    Io(PathBuf, io::Error),
}

/// An approval opens no sandbox: that was closed when the daemon started.
fn said(error: &io::Error) -> String {
    let mut words = error.to_string().to_lowercase();
    if error.kind() == io::ErrorKind::PermissionDenied {
        words.push_str(
            ": where the daemon's user could read it, its sandbox does not reach it; name it in \
             `may-watch` and restart the daemon, then retry",
        );
    }
    words
}

/// Where `path` leads, if it may be read. `approved` tasks may read anything.
///
/// # Errors
/// Where it is not there, or not allowed.
pub(super) fn resolve(
    project: &Project,
    path: &Path,
    approved: bool,
) -> Result<PathBuf, SourceError> {
    let real = path.canonicalize().map_err(|e| SourceError::Io(path.to_owned(), e))?;
    let is_inside = project.allow.iter().any(|allowed| real.starts_with(allowed));
    if approved || (is_inside && !is_private(&real)) {
        return Ok(real);
    }
    Err(SourceError::Outside(real))
}

fn is_private(path: &Path) -> bool {
    is_withheld(path.as_os_str().as_bytes(), &[]).is_some()
}

/// The regular files beneath a directory, or the file itself; sorted, at most `most`, and whether
/// there are more. No link is followed.
///
/// # Errors
/// Where the top cannot be listed.
pub(super) fn files(top: &Path, most: usize) -> Result<(Vec<PathBuf>, bool), SourceError> {
    if !top.is_dir() {
        return Ok((vec![top.to_owned()], false));
    }
    let mut found = Vec::new();
    let mut todo = vec![top.to_owned()];
    while let Some(dir) = todo.pop() {
        let listed = match std::fs::read_dir(&dir) {
            Ok(listed) => listed,
            Err(e) if dir == top => return Err(SourceError::Io(dir, e)),
            // What is hidden from us below it is left out, as what is gone by now is.
            Err(_) => continue,
        };
        let mut entries: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        let mut below = Vec::new();
        for path in entries {
            match path.symlink_metadata().map(|meta| meta.file_type()) {
                // Keys and passwords are not read because something beside them is.
                Ok(kind) if kind.is_file() && !is_private(&path) => found.push(path),
                Ok(kind) if kind.is_dir() => below.push(path),
                _ => {}
            }
        }
        todo.extend(below.into_iter().rev());
        if most < found.len() {
            found.truncate(most);
            return Ok((found, true));
        }
    }
    Ok((found, false))
}

/// An open file.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    file: File,
    stat: Stat,
    /// The bytes of a file that is not as long as it says.
    unsized_bytes: Option<Vec<u8>>,
}

impl Source {
    /// Opens the file that [`resolve`] led to.
    ///
    /// # Errors
    /// Where it is not there any more, is another's by now, or no regular file.
    pub(super) fn open(real: &Path) -> Result<Self, SourceError> {
        let failed = |e: rustix::io::Errno| SourceError::Io(real.to_owned(), e.into());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        // A link that was put there since it was resolved leads nowhere.
        let top = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let way = real.strip_prefix("/").unwrap_or(real).as_os_str();
        let fd = top.and_then(|top| walk::beneath(top.as_fd(), way, flags, Mode::empty()));
        let file = File::from(fd.map_err(|e| match e {
            rustix::io::Errno::NXIO => {
                SourceError::Unfit(real.to_owned(), "is a socket or a device")
            }
            e => failed(e),
        })?);
        let stat = stat_fd(&file).map_err(failed)?;
        match stat.kind {
            FileKind::File => {}
            FileKind::Directory => {
                return Err(SourceError::Unfit(real.to_owned(), "is a directory"));
            }
            _ => return Err(SourceError::Unfit(real.to_owned(), "is not a regular file")),
        }
        let mut bytes = Vec::new();
        if stat.size == 0 {
            let read = (&file).take(MOST_UNSIZED).read_to_end(&mut bytes);
            read.map_err(|e| SourceError::Io(real.to_owned(), e))?;
        }
        let unsized_bytes = (!bytes.is_empty()).then_some(bytes);
        Ok(Self { path: real.to_owned(), file, stat, unsized_bytes })
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes.
    #[must_use]
    pub(super) fn size(&self) -> u64 {
        self.unsized_bytes.as_ref().map_or(self.stat.size, |bytes| bytes.len() as u64)
    }

    /// Permission bits.
    #[must_use]
    pub(super) fn mode(&self) -> u32 {
        self.stat.mode
    }

    /// What a brick says of it.
    #[must_use]
    pub(super) fn meta(&self) -> Meta {
        let stat = Stat { size: self.size(), ..self.stat };
        stat.meta(self.path.as_os_str().as_bytes(), Payload::Embedded)
    }

    /// Whether it is what it was when it was opened. What the kernel makes up as it is read always is.
    #[must_use]
    pub(super) fn is_unchanged(&self) -> bool {
        self.unsized_bytes.is_some()
            || stat_fd(&self.file).is_ok_and(|now| !self.stat.has_changed(&now))
    }
}

impl ReadAt for Source {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.unsized_bytes {
            Some(bytes) => bytes[..].read_at(buf, offset),
            None => ReadAt::read_at(&self.file, buf, offset),
        }
    }
}
