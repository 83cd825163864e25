//! The ways in which Linux lets the bytes of a tree change, one function each.
//!
//! Knows: system calls. Must never know: who is watching.

use rustix::fs::{CWD, FallocateFlags, fallocate};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Creates or empties the file, then writes.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)
}

/// Writes at an offset and leaves the rest.
pub(crate) fn patch(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(bytes, at)
}

/// Writes at the end, wherever it is.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(bytes)
}

/// Cuts or extends (with a hole).
pub(crate) fn truncate(path: &Path, size: u64) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)?.set_len(size)
}

/// Stores through a shared mapping, and drops the mapping without msync.
pub(crate) fn store_through_mapping(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: the file is the test's own and nobody makes it shorter while it is mapped.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file)? };
    let at = usize::try_from(at).map_err(io::Error::other)?;
    let end = at + bytes.len();
    let Some(target) = mapping.get_mut(at..end) else {
        return Err(io::Error::other(format!("[{at}, {end}) is outside the file")));
    };
    target.copy_from_slice(bytes);
    Ok(())
}

/// Makes a hole where there were bytes.
pub(crate) fn punch(path: &Path, at: u64, len: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(&file, flags, at, len)?)
}

/// Copies bytes inside the kernel.
pub(crate) fn copy_range(from: &Path, to: &Path, at: u64) -> io::Result<()> {
    let source = File::open(from)?;
    let target = OpenOptions::new().write(true).create(true).truncate(false).open(to)?;
    let mut left = usize::try_from(source.metadata()?.len()).map_err(io::Error::other)?;
    let (mut read_at, mut write_at) = (0, at);
    while left > 0 {
        let (read, write) = (Some(&mut read_at), Some(&mut write_at));
        let n = rustix::fs::copy_file_range(&source, read, &target, write, left)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= n;
    }
    Ok(())
}

/// Puts each in the other's place at once.
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    Ok(rustix::fs::renameat_with(CWD, one, CWD, other, flags)?)
}

/// Writes a new file beside the old one and renames it over: what editors and package managers do.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
}
