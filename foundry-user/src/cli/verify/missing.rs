//! Files under the watched roots that have no brick.
//!
//! Knows: directories, where a brick would lie. Must never know: what is in files.
//! Keeps: links are not followed; the store is no part of a tree; what comes and goes meanwhile is
//! not missed.

use crate::reader::anywhere;
use crate::store::brick_path;
use rustix::fs::{FileType, OFlags};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Regular files below `roots` without a brick in `store`, sorted.
pub(super) fn files(store: &Path, roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = roots.to_vec();
    while let Some(directory) = directories.pop() {
        // A directory that is gone, or closed to us, has nothing that could be compared.
        let Some(entries) = entries(&directory) else { continue };
        for entry in entries.flatten() {
            let path = directory.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && path != store => directories.push(path),
                Ok(kind) if kind.is_file() && lacks_brick(store, &path) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// What is in a directory, however long its path.
fn entries(directory: &Path) -> Option<fs::ReadDir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = anywhere(directory, flags).ok()?;
    fs::read_dir(format!("/proc/self/fd/{}", open.as_raw_fd())).ok()
}

/// Whether there is such a file, and no brick of it.
pub(super) fn lacks_brick(store: &Path, path: &Path) -> bool {
    // The file is looked at last: one that went away meanwhile took its brick with it.
    !brick_path(store, path.as_os_str().as_bytes()).exists()
        && anywhere(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)
            .and_then(rustix::fs::fstat)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_bricks_are_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tree");
        let store = root.join("store");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(&store).unwrap();
        for name in ["with", "sub/without", "store/own"] {
            fs::write(root.join(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("with", root.join("link")).unwrap();
        let brick = brick_path(&store, root.join("with").as_os_str().as_bytes());
        fs::create_dir_all(brick.parent().unwrap()).unwrap();
        fs::write(brick, "").unwrap();
        assert_eq!(files(&store, std::slice::from_ref(&root)), [root.join("sub/without")]);
    }
}
