//! Trees that grow while they are being tracked.
//!
//! Knows: a watcher. Must never know: which source.

use super::Kind;
use super::watcher::Watcher;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const TREES: usize = 40;
const DEPTH: usize = 6;

/// Another thread makes deep trees, moves and removes some, while events are followed.
pub(super) fn names_made_during_tracking_are_found(kind: Kind, base: &Path) {
    let root = base.join("race");
    fs::create_dir_all(&root).unwrap();
    let mut watcher = Watcher::new(kind.open(), &root);
    std::thread::scope(|scope| {
        let maker = scope.spawn(|| make(&root));
        while !maker.is_finished() {
            watcher.follow();
        }
    });
    while watcher.follow() {}
    let mut there = BTreeSet::new();
    walk(&root, Path::new(""), &mut there);
    let known = watcher.known();
    let missed: Vec<_> = there.difference(&known).collect();
    let stale: Vec<_> = known.difference(&there).collect();
    assert!(missed.is_empty() && stale.is_empty(), "missed {missed:?}, stale {stale:?}");
    assert!(there.len() > TREES * DEPTH);
    if kind != Kind::Inotify && kernel() >= (6, 8) {
        // Since then no file system of these tests is refused, so nothing was left to the second best.
        assert_eq!(watcher.source.counters().other["inotify_watches"], 0);
    }
}

/// Major and minor version.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn make(root: &Path) {
    for tree in 0..TREES {
        let top = root.join(format!("t{tree}"));
        let deep: PathBuf = (0..DEPTH).map(|level| format!("d{level}")).collect();
        let deep = top.join(deep);
        fs::create_dir_all(&deep).unwrap();
        for level in deep.ancestors().take(DEPTH) {
            fs::write(level.join("file"), "content").unwrap();
        }
        match tree % 4 {
            1 => fs::rename(&top, root.join(format!("m{tree}"))).unwrap(),
            2 => fs::rename(top.join("d0/d1"), top.join("moved")).unwrap(),
            3 => fs::remove_dir_all(top.join("d0/d1/d2")).unwrap(),
            _ => {}
        }
    }
}

fn walk(root: &Path, path: &Path, found: &mut BTreeSet<PathBuf>) {
    found.insert(path.to_path_buf());
    if root.join(path).is_dir() {
        for entry in fs::read_dir(root.join(path)).unwrap() {
            walk(root, &path.join(entry.unwrap().file_name()), found);
        }
    }
}
