//! The names and sizes of a watched tree.
//!
//! Knows: directories. Must never know: content.
//! Keeps: no link is followed, nothing is opened but directories.

use super::super::layout::{NodeKind, Tree};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Deeper than this nothing is walked; the daemon's updates place it.
const MOST_DEPTH: u32 = 200;

/// A root's parent path, and the tree at it, without what lies in `skip`.
pub(super) fn tree(root: &[u8], skip: &Path) -> (Vec<u8>, Option<Tree>) {
    let path = Path::new(std::ffi::OsStr::from_bytes(root));
    let parent = path.parent().map(|parent| parent.as_os_str().as_bytes()).unwrap_or_default();
    let parent = parent.strip_suffix(b"/").unwrap_or(parent).to_vec();
    let name = path.file_name().map(|name| name.as_bytes().to_vec());
    let found = name.zip(path.symlink_metadata().ok());
    (parent, found.map(|(name, meta)| walk(path, name, &meta, skip, 0)))
}

fn walk(path: &Path, name: Vec<u8>, meta: &Metadata, skip: &Path, depth: u32) -> Tree {
    let kind = if meta.is_dir() {
        NodeKind::Directory
    } else if meta.is_file() {
        NodeKind::File
    } else if meta.is_symlink() {
        NodeKind::Symlink
    } else {
        NodeKind::Other
    };
    let mut tree = Tree { name, kind, size: 0, children: vec![] };
    if kind == NodeKind::File {
        tree.size = meta.len();
    }
    if kind != NodeKind::Directory || depth >= MOST_DEPTH || path == skip {
        return tree;
    }
    // What cannot be listed is empty here, and reported by the daemon.
    let Ok(entries) = std::fs::read_dir(path) else { return tree };
    for entry in entries.flatten() {
        if let Ok(meta) = entry.metadata() {
            let name = entry.file_name().as_bytes().to_vec();
            tree.children.push(walk(&entry.path(), name, &meta, skip, depth + 1));
        }
    }
    tree
}
