//! A live file: what it is, where it has bytes, and the bytes.
//!
//! Knows: one open regular file. Must never know: bricks.
//! Keeps: nothing is waited for (a FIFO, a device), nothing but a regular file is read.

use crate::artifact::{FileKind, Stat};
use crate::error::CommandError;
use crate::reader::stat_fd;
use foundry_brick::geometry::TILE_BYTES;
use foundry_brick::{Meta, Payload};
use rustix::fs::{OFlags, SeekFrom};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};

/// Bytes that are read at a time: whole tiles.
pub(super) const CHUNK: u64 = 16 * TILE_BYTES;

/// An open regular file.
pub(super) struct LiveFile {
    path: PathBuf,
    file: File,
    stat: Stat,
}

/// A run of whole tiles (but for the file's end) that has bytes, or is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_hole: bool,
}

impl LiveFile {
    /// Opens the file at `path`; links are followed.
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        let io = |e: rustix::io::Errno| CommandError::io("open", path, e.into());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file: File = match crate::reader::anywhere(path, flags) {
            Ok(fd) => fd.into(),
            // A socket cannot be opened at all; what it is says more than the error.
            Err(rustix::io::Errno::NXIO) => return Err(not_regular(path, "a socket or a device")),
            Err(e) => return Err(io(e)),
        };
        let stat = stat_fd(&file).map_err(io)?;
        let kind = file.metadata().map_err(|e| CommandError::io("stat", path, e))?.file_type();
        match stat.kind {
            FileKind::File => Ok(Self { path: path.to_owned(), file, stat }),
            FileKind::Directory => Err(CommandError::Invalid {
                path: path.to_owned(),
                what: "is a directory; to keep bricks of all that is in it: \
                       foundry-user --watch DIR"
                    .to_owned(),
            }),
            _ if kind.is_fifo() => Err(not_regular(path, "a FIFO")),
            _ if kind.is_char_device() || kind.is_block_device() => {
                Err(not_regular(path, "a device"))
            }
            _ => Err(not_regular(path, "no regular file")),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// As a record of facts sees it.
    pub(super) fn subject(&self) -> crate::facts::Subject<'_> {
        crate::facts::Subject {
            path: self.path.as_os_str().as_bytes(),
            size: self.stat.size,
            uid: self.stat.uid,
            gid: self.stat.gid,
        }
    }

    /// Bytes, when it was opened.
    pub(super) fn size(&self) -> u64 {
        self.stat.size
    }

    /// What a brick says of it.
    pub(super) fn meta(&self, payload: Payload) -> Meta {
        self.stat.meta(self.path.as_os_str().as_bytes(), payload)
    }

    /// Whether it changed since it was opened.
    pub(super) fn changed(&self) -> Result<bool, CommandError> {
        let now = stat_fd(&self.file);
        let now = now.map_err(|e| CommandError::io("stat", &self.path, e.into()))?;
        Ok(self.stat.has_changed(&now))
    }

    /// Where it has bytes and where holes, in whole tiles, in order, without gaps.
    pub(super) fn extents(&self) -> Vec<Extent> {
        let size = self.size();
        let mut data: Vec<(u64, u64)> = Vec::new();
        let mut at = 0;
        while at < size {
            let start = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(rustix::io::Errno::NXIO) => break,
                // A file system that knows no holes: everything is data.
                Err(_) => at,
            };
            let end = rustix::fs::seek(&self.file, SeekFrom::Hole(start)).unwrap_or(size);
            let first = start.min(size) / TILE_BYTES * TILE_BYTES;
            let last = end.clamp(start, size).next_multiple_of(TILE_BYTES).min(size);
            match data.last_mut() {
                Some(before) if first <= before.1 => before.1 = before.1.max(last),
                _ => data.push((first, last)),
            }
            at = end.max(start + 1);
        }
        let mut out = Vec::new();
        let mut at = 0;
        for (start, end) in data.into_iter().filter(|(start, end)| start < end) {
            if at < start {
                out.push(Extent { start: at, end: start, is_hole: true });
            }
            out.push(Extent { start, end, is_hole: false });
            at = end;
        }
        if at < size {
            out.push(Extent { start: at, end: size, is_hole: true });
        }
        out
    }

    /// Reads up to `buf.len()` bytes; fewer only where the file became shorter.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<usize, CommandError> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(CommandError::io("read", &self.path, e)),
            }
        }
        Ok(done)
    }
}

fn not_regular(path: &Path, kind: &str) -> CommandError {
    let what = format!("is {kind}: only regular files can be folded");
    CommandError::Invalid { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_cover_the_file_in_whole_tiles() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(100 * TILE_BYTES + 5).unwrap();
        file.write_all_at(b"x", 10 * TILE_BYTES + 7).unwrap();
        file.write_all_at(b"x", 50 * TILE_BYTES - 1).unwrap();
        file.write_all_at(b"x", 100 * TILE_BYTES + 4).unwrap();
        let extents = LiveFile::open(&path).unwrap().extents();
        let mut at = 0;
        for extent in &extents {
            assert_eq!(extent.start, at);
            assert!(extent.start < extent.end && extent.start % TILE_BYTES == 0, "{extent:?}");
            at = extent.end;
        }
        assert_eq!(at, 100 * TILE_BYTES + 5);
        for tile in [10, 49, 100] {
            let at = tile * TILE_BYTES;
            let holder = extents.iter().find(|e| e.start <= at && at < e.end).unwrap();
            assert!(!holder.is_hole, "{tile}: {extents:?}");
        }
    }

    #[test]
    fn an_empty_file_has_no_extents() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty");
        File::create(&path).unwrap();
        assert_eq!(LiveFile::open(&path).unwrap().extents(), []);
    }

    #[test]
    fn a_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "before").unwrap();
        let live = LiveFile::open(&path).unwrap();
        assert!(!live.changed().unwrap());
        std::fs::write(&path, "afterwards").unwrap();
        assert!(live.changed().unwrap());
    }
}
