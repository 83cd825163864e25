//! How many inodes there are beneath the roots, before any of them is watched.
//!
//! Knows: directories. Must never know: BPF, the pipeline, what becomes of the number.
//! Keeps: it is an estimate that costs a part of the first look, which finds the directories warm after
//! it; what cannot be read, or goes meanwhile, is not counted.

use crate::reader::is_made_up;
use rustix::fs::{AtFlags, Mode, OFlags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Inodes at and beneath these directories; not more than `most` are counted.
pub(super) fn count(roots: &[PathBuf], most: u32) -> u32 {
    let mut todo: Vec<PathBuf> = roots.to_vec();
    let mut found = u32::try_from(todo.len()).unwrap_or(most);
    while let Some(dir) = todo.pop() {
        found = found.saturating_add(list(&dir, &mut todo));
        if most <= found {
            return most;
        }
    }
    found
}

/// Entries of one directory. Those that are directories are yet to be looked into.
fn list(path: &Path, todo: &mut Vec<PathBuf>) -> u32 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(fd) = rustix::fs::openat(rustix::fs::CWD, path, flags, Mode::empty()) else { return 0 };
    if is_made_up(&fd) {
        return 0;
    }
    let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { return 0 };
    let mut found: u32 = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        found = found.saturating_add(1);
        let is_directory = match entry.file_type() {
            rustix::fs::FileType::Directory => true,
            rustix::fs::FileType::Unknown => {
                rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
            }
            _ => false,
        };
        if is_directory {
            todo.push(path.join(OsStr::from_bytes(name.to_bytes())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_beneath_is_counted_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["x", "a/y", "a/b/z"] {
            std::fs::write(dir.path().join(name), b"1").unwrap();
        }
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        let roots = [dir.path().to_path_buf(), PathBuf::from("/proc/self")];
        // Two roots, two directories, three files and a link; nothing of what the kernel makes up.
        assert_eq!(count(&roots, 1000), 8);
        assert_eq!(count(&roots, 5), 5);
        assert_eq!(count(&[dir.path().join("gone")], 1000), 1);
    }
}
