//! Bricks, and the artifacts behind them, opened for reading only.
//!
//! Knows: where a path's brick lies (it is told), how to read files. Must never know: the layout.
//! Keeps: nothing is followed, waited for or written; an artifact is read only where it is the very
//! inode that was folded.

use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Kind, Meta};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the brick of a path lies.
pub type BrickPath = Arc<dyn Fn(&[u8]) -> PathBuf + Send + Sync>;

/// Why a brick or an artifact cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrickError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Brick { path: PathBuf, source: foundry_brick::Error },
}

/// A file that is only read.
#[derive(Debug)]
pub(super) struct ReadFile {
    file: File,
    len: u64,
}

impl ReadFile {
    /// Bytes it had when it was opened.
    pub(super) fn size(&self) -> u64 {
        self.len
    }

    /// # Errors
    /// As the medium fails, or where it has become shorter.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

impl Storage for ReadFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How bricks are found.
#[derive(Clone)]
pub(super) struct Bricks {
    path_of: BrickPath,
}

impl std::fmt::Debug for Bricks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bricks")
    }
}

impl Bricks {
    pub(super) fn new(path_of: BrickPath) -> Self {
        Self { path_of }
    }

    /// The container's file.
    pub(super) fn file(&self, artifact: &[u8]) -> PathBuf {
        (self.path_of)(artifact)
    }

    /// Opens the brick of an artifact, at its last generation or an earlier one.
    ///
    /// # Errors
    /// Where there is none, or it is not valid.
    pub(super) fn open(
        &self,
        artifact: &[u8],
        generation: Option<u64>,
    ) -> Result<Brick<ReadFile>, BrickError> {
        Self::open_file(self.file(artifact), generation)
    }

    /// As [`Self::open`], of the container's own file.
    pub(super) fn open_file(
        path: PathBuf,
        generation: Option<u64>,
    ) -> Result<Brick<ReadFile>, BrickError> {
        let io = |source| BrickError::Io { path: path.clone(), source };
        let file = open_plain(&path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let storage = ReadFile { file, len };
        let opened = match generation {
            None => Brick::open(storage),
            Some(number) => Brick::open_generation(storage, number),
        };
        opened.map_err(|source| BrickError::Brick { path, source })
    }
}

/// A container as it is, and when it was written last.
///
/// # Errors
/// Where it cannot be opened.
pub(super) fn open_to_read(path: &Path) -> io::Result<(ReadFile, i64)> {
    let file = open_plain(path)?;
    let meta = file.metadata()?;
    let written = meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec());
    Ok((ReadFile { file, len: meta.len() }, written))
}

/// Opens a file for reading, unless its last name is a link; never waits for a pipe.
fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// An artifact's own bytes, as long as it is the inode that was folded.
#[derive(Debug)]
pub(super) struct Content {
    file: File,
    /// Size or modification time are not what the brick says.
    pub(super) differs: bool,
}

impl Content {
    /// # Errors
    /// Where it cannot be opened, or another inode bears its name.
    pub(super) fn open(meta: &Meta) -> io::Result<Self> {
        if meta.kind != Kind::File {
            return Err(io::Error::other("only a file has bytes of its own"));
        }
        let file = open_plain(Path::new(std::ffi::OsStr::from_bytes(&meta.path)))?;
        let now = file.metadata()?;
        if !now.is_file() || (now.dev(), now.ino()) != (meta.identity.dev, meta.identity.ino) {
            return Err(io::Error::other("another file has its name now"));
        }
        let mtime = now.mtime().saturating_mul(1_000_000_000).saturating_add(now.mtime_nsec());
        Ok(Self { file, differs: now.len() != meta.size || mtime != meta.mtime_ns })
    }

    /// Reads what there is from `offset`, at most `buf.len()` bytes.
    ///
    /// # Errors
    /// As the medium fails.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}
