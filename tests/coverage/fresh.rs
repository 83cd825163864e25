//! Whether the bricks of a tree are what folding its files anew gives.
//!
//! Knows: bricks, folding. Must never know: how a change was found.
//! Keeps: the files that changed are compared cell by cell, the others by their hash; a name that
//! is gone has no brick.

use crate::support::ops::Change;
use crate::support::regular_files;
use foundry_brick::cells::Cell;
use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Brick, Editor};
use foundry_user::store::brick_path;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What differs, in words; `None` where nothing does.
pub(super) fn differs(store: &Path, tree: &Path, changes: &[Change]) -> Option<String> {
    let files: BTreeSet<PathBuf> = regular_files(tree).into_iter().collect();
    let named = changes.iter().map(|change| match change {
        Change::Bytes(path, _) | Change::Entry(path) => tree.join(path),
    });
    for path in named.filter(|path| !files.contains(path) && !path.is_dir()) {
        if brick_path(store, path.as_os_str().as_bytes()).exists() {
            return Some(format!("{}: gone, and its brick is not", path.display()));
        }
    }
    let changed: BTreeSet<PathBuf> = changes
        .iter()
        .map(|change| match change {
            Change::Bytes(path, _) | Change::Entry(path) => tree.join(path),
        })
        .collect();
    files.iter().find_map(|path| {
        let place = brick_path(store, path.as_os_str().as_bytes());
        let what = compare(path, &place, changed.contains(path)).err()?;
        Some(format!("{}: {what}", path.display()))
    })
}

fn compare(path: &Path, place: &Path, cells: bool) -> Result<(), String> {
    let content = fs::read(path).map_err(|error| error.to_string())?;
    let stored = fs::read(place).map_err(|error| format!("no brick: {error}"))?;
    let brick = Brick::open(MemStorage::from(stored)).map_err(|error| error.to_string())?;
    let size = u64::try_from(content.len()).map_err(|error| error.to_string())?;
    if brick.meta().size != size {
        return Err(format!("{} bytes, and the brick says {}", size, brick.meta().size));
    }
    if brick.blake3() != Some(*blake3::hash(&content).as_bytes()) {
        return Err("other bytes".to_owned());
    }
    if !cells {
        return Ok(());
    }
    if let Some(problem) = brick.verify().first() {
        return Err(format!("{problem:?}"));
    }
    let fresh = fold(&brick, &content).map_err(|error| error.to_string())?;
    for level in brick.levels() {
        if all_cells(&brick, level.level) != all_cells(&fresh, level.level) {
            return Err(format!("other cells on level {}", level.level));
        }
    }
    Ok(())
}

/// The same artifact, folded anew.
fn fold<S: Storage>(
    like: &Brick<S>,
    content: &[u8],
) -> Result<Brick<MemStorage>, foundry_brick::Error> {
    let mut editor = Editor::create(MemStorage::new(), like.meta().clone())?;
    editor.put(0, content)?;
    editor.commit(like.at_ns())?;
    Brick::open(editor.into_storage())
}

fn all_cells<S: Storage>(brick: &Brick<S>, level: u32) -> Vec<Cell> {
    let mut cells = Vec::new();
    let read = brick.cells(level, 0..u64::MAX, &mut cells);
    read.unwrap_or_else(|error| panic!("cells of level {level}: {error}"));
    cells
}
