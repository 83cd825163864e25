//! A directory's brick against the tree as it is.
//!
//! Knows: entries by name, the layout in the brick. Must never know: what is in files.
//! Keeps: the entries are those of a fresh look, and the picture is that of the same layout folded from
//! nothing; where an entry lies is the brick's own affair.

use crate::cli::brick_file::BrickFile;
use crate::cli::text;
use crate::cli::tree::Trees;
use crate::directory::{Body, Entry, Faces, WORLD};
use crate::error::CommandError;
use foundry_brick::cells::ZERO_CELL;
use foundry_brick::directory::Directory;
use foundry_brick::geometry::{self, LEAF_BYTES, LEAF_LEVEL};
use foundry_brick::parts::{Attribute, Part, PartKind, Parts, Place};
use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Brick, Editor, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What differs: a word, and a sentence.
type Found = Vec<(&'static str, String)>;

/// Compares a directory's brick, or the world's, with what is there.
pub(super) fn compare(file: &BrickFile, trees: &Trees) -> Result<Found, CommandError> {
    let corrupt = |e| CommandError::brick(&file.path, e);
    let Some(parts) = file.brick.parts().map_err(corrupt)? else {
        return Ok(vec![("corrupt", "the brick of a directory has no entries at all".to_owned())]);
    };
    let entries = if file.brick.meta().path == WORLD {
        roots(&parts, trees)
    } else {
        match trees.look(&file.artifact()) {
            Ok(seen) => seen.entries,
            Err(CommandError::Io { source, .. })
                if matches!(source.kind(), NotFound | NotADirectory) =>
            {
                return Ok(vec![("gone", "there is no such directory any more".to_owned())]);
            }
            Err(error) => return Ok(vec![("unreadable", error.to_string())]),
        }
    };
    let mut found = by_name(&parts, &entries);
    if found.is_empty() && !same_picture(&file.brick, parts, &entries).map_err(corrupt)? {
        found.push(("content", "the entries do not look as their bricks do".to_owned()));
    }
    Ok(found)
}

/// The world: its roots as they are, its processes as they were.
fn roots(parts: &Parts, trees: &Trees) -> Vec<Entry> {
    let root = |(_, part): (_, &Part)| {
        let path = Path::new(OsStr::from_bytes(&part.name));
        (part.kind == PartKind::DIRECTORY).then(|| Entry {
            name: part.name.to_vec(),
            stat: None,
            body: Body::Directory(trees.below(path)),
        })
    };
    parts.iter().filter_map(root).collect()
}

fn by_name(parts: &Parts, entries: &[Entry]) -> Found {
    let shown: BTreeMap<&[u8], &Part> = parts.iter().map(|(_, part)| (&*part.name, part)).collect();
    let fresh: BTreeMap<&[u8], Part> =
        entries.iter().map(|entry| (entry.name.as_slice(), entry.part())).collect();
    let names: BTreeSet<&[u8]> = shown.keys().chain(fresh.keys()).copied().collect();
    let mut found = Vec::new();
    for name in names {
        let called = text::lossy(name);
        match (shown.get(name), fresh.get(name)) {
            (Some(part), None) if part.kind == PartKind::PROCESS => {}
            (Some(_), None) => found.push(("entry", format!("{called} is not there any more"))),
            (None, _) => found.push(("entry", format!("{called} is not in the brick"))),
            (Some(was), Some(is)) => {
                if let Some(what) = difference(was, is) {
                    found.push(("entry", format!("{called}: {what}")));
                }
            }
        }
    }
    found
}

fn difference(was: &Part, is: &Part) -> Option<String> {
    if was.kind != is.kind {
        return Some(format!("was a {}, and is a {} now", was.kind.name(), is.kind.name()));
    }
    for (code, name) in Attribute::NAMES {
        let of = |part: &Part| part.numbers.get(&Attribute(*code)).copied();
        if of(was) != of(is) {
            let said = |n: Option<u64>| n.map_or("nothing".to_owned(), |n| n.to_string());
            return Some(format!("{name} was {}, and is {} now", said(of(was)), said(of(is))));
        }
    }
    let rest = |part: &Part| (part.length, part.top, part.texts.clone());
    (rest(was) != rest(is)).then(|| "looks different".to_owned())
}

/// Whether the same layout folded from nothing gives the same leaves.
fn same_picture<S: Storage>(
    brick: &Brick<S>,
    parts: Parts,
    entries: &[Entry],
) -> Result<bool, Error> {
    let faces = Faces::of(entries);
    let meta = foundry_brick::Meta { size: 0, ..brick.meta().clone() };
    let mut editor = Editor::create(MemStorage::default(), meta)?;
    let mut fresh = Directory::resume(parts).anew();
    fresh.fold(&mut editor, &mut |part, order, range| Ok(faces.cells(part, order, range)))?;
    editor.commit(0)?;
    let again = Brick::open(editor.into_storage())?;
    let leaves = |size| geometry::cells(size, LEAF_LEVEL);
    let (mut was, mut is) = (Vec::new(), Vec::new());
    brick.cells(LEAF_LEVEL, 0..leaves(brick.meta().size), &mut was)?;
    again.cells(LEAF_LEVEL, 0..leaves(again.meta().size), &mut is)?;
    for hidden in processes(fresh.parts()) {
        was.get_mut(hidden.clone()).into_iter().for_each(|cells| cells.fill(ZERO_CELL));
        is.get_mut(hidden).into_iter().for_each(|cells| cells.fill(ZERO_CELL));
    }
    Ok(was == is)
}

/// The leaves where processes lie: they looked so when the world was folded, and nobody can look again.
fn processes(parts: &Parts) -> Vec<Range<usize>> {
    let leaves = |(place, _): (Place, &Part)| {
        let content = parts.content_range(parts.run(place)?);
        let leaf = |at: u64| usize::try_from(at / LEAF_BYTES as u64).ok();
        Some(leaf(content.start)?..leaf(content.end)?)
    };
    parts.iter().filter(|(_, part)| part.kind == PartKind::PROCESS).filter_map(leaves).collect()
}
