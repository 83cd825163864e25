//! What an operation says it changes is what it changes.
//!
//! Knows: the bytes before and after. Must never know: how they were changed.

use super::{Change, Done, Ground, Operation, all, by_name};
use crate::support;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Inode and bytes (none for what is no regular file), by path in the tree.
type Tree = BTreeMap<PathBuf, (u64, Option<Vec<u8>>)>;

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir)).unwrap() {
            let path = dir.join(entry.unwrap().file_name());
            let full = root.join(&path);
            let stat = fs::symlink_metadata(&full).unwrap();
            let content = stat.is_file().then(|| fs::read(&full).unwrap());
            if stat.is_dir() {
                dirs.push(path.clone());
            }
            found.insert(path, (stat.ino(), content));
        }
    }
    found
}

/// Every place in which the two differ; a missing byte differs from every byte.
fn differing(before: &[u8], after: &[u8]) -> Vec<u64> {
    (0..before.len().max(after.len()))
        .filter(|i| before.get(*i) != after.get(*i))
        .map(|i| u64::try_from(i).unwrap())
        .collect()
}

fn check(name: &str, before: &Tree, after: &Tree, changes: &[Change]) {
    let mut told = BTreeSet::new();
    for change in changes {
        match change {
            Change::Entry(path) => {
                told.insert(path.clone());
            }
            Change::Bytes(path, ranges) => {
                let content = |tree: &Tree| tree[path].1.clone().unwrap();
                let differing = differing(&content(before), &content(after));
                for at in &differing {
                    let inside = ranges.iter().any(|(start, end)| start <= at && at < end);
                    assert!(inside, "{name}: byte {at} of {path:?} is not in {ranges:?}");
                }
                for (start, end) in ranges {
                    let edges = [*start, end - 1];
                    let near = |edge: u64| differing.iter().any(|at| at.abs_diff(edge) < 8);
                    assert!(edges.into_iter().all(near), "{name}: {ranges:?} of {path:?} is more");
                }
            }
        }
    }
    for path in before.keys().chain(after.keys()) {
        let same_inode =
            before.get(path).map(|(ino, _)| ino) == after.get(path).map(|(ino, _)| ino);
        let content = |tree: &Tree| tree.get(path).and_then(|(_, content)| content.clone());
        let bytes_told =
            changes.iter().any(|change| matches!(change, Change::Bytes(p, _) if p == path));
        // Entries inside a directory that came or went are found by listing it.
        let entry_told = path.ancestors().any(|path| told.contains(path));
        assert!(same_inode || entry_told, "{name}: entry {path:?} is not told");
        let same = content(before) == content(after);
        assert!(same || bytes_told || entry_told, "{name}: content of {path:?} is not told");
    }
}

fn run(operation: &Operation) -> io::Result<()> {
    let scratch = support::Scratch::new();
    let ground = Ground::new(&scratch.tree())?;
    let perform = operation.prepare(&ground)?;
    let before = tree(&ground.tree);
    let Done { changes, _kept } = perform()?;
    check(operation.name, &before, &tree(&ground.tree), &changes);
    Ok(())
}

#[test]
fn operations_change_what_they_say() {
    for operation in all() {
        match run(operation) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                println!("not here: {}: {error}", operation.name);
            }
            Err(error) => panic!("{}: {error}", operation.name),
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    let names: BTreeSet<&str> = all().map(|operation| operation.name).collect();
    assert_eq!(names.len(), all().count());
    assert!(names.iter().all(|name| by_name(name).is_some_and(|found| found.name == *name)));
    assert!(all().all(|operation| !operation.about.is_empty()));
}
