//! Bricks of directories: what is there is compared with what should be, and folded where it differs.
//!
//! Knows: one brick, the entries it is to show. Must never know: where entries come from.
//! Keeps: an entry that is as it was keeps its place and is not folded again; the brick shows its last
//! generation until the next one is whole.

use super::edits::{Trouble, compact, make_parent, remove};
use super::{FileStorage, brick_path, place};
use crate::artifact::Stat;
use crate::directory::{self, Entry};
use crate::event::UnixNs;
use crate::pipeline::input::Committed;
use foundry_brick::directory::Directory;
use foundry_brick::{Brick, Editor, Kind, Meta};
use std::io;
use std::path::Path;

/// Makes the brick of the directory `path` in `store` show `entries`.
pub(super) fn fold(
    store: &Path,
    path: &[u8],
    stat: Option<&Stat>,
    fresh: bool,
    entries: &[Entry],
    at: UnixNs,
) -> Result<Committed, Trouble> {
    let place = brick_path(store, path);
    let meta = directory::meta(path, stat);
    let existing = if fresh { None } else { existing(&place, path)? };
    let unfinished = existing.is_none();
    let (mut editor, mut shown) = match existing {
        Some(found) => found,
        None => (begin(&place, meta.clone())?, Directory::default()),
    };
    directory::fold(&mut editor, &mut shown, entries)?;
    editor.set_meta(Meta { size: editor.meta().size, ..meta });
    let done = editor.commit(at.0)?;
    if unfinished {
        std::fs::rename(place::unfinished(&place), &place)?;
    }
    if editor.needs_compaction() {
        compact(&editor, &place)?;
    }
    Ok(Committed {
        generation: done.generation,
        new: done.changed,
        size: done.size,
        changed_tiles: done.changed_tiles,
        face: None,
    })
}

/// The valid brick of this very directory, if there is one.
fn existing(
    place: &Path,
    path: &[u8],
) -> Result<Option<(Editor<FileStorage>, Directory)>, Trouble> {
    let storage = match FileStorage::open(place) {
        Ok(storage) => storage,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let found = Brick::open(storage).map_err(Trouble::from).and_then(|brick| {
        let own = brick.meta().kind == Kind::Directory && brick.meta().path == path;
        let parts = brick.parts()?.filter(|_| own);
        let editor = Editor::open(brick.into_storage())?;
        Ok(parts.map(|parts| (editor, Directory::resume(parts))))
    });
    match found {
        // Whatever it is that cannot be opened: it is replaced.
        Err(Trouble::Brick) => Ok(None),
        other => other,
    }
}

fn begin(place: &Path, meta: Meta) -> Result<Editor<FileStorage>, Trouble> {
    let beside = place::unfinished(place);
    remove(&beside)?;
    let storage = match FileStorage::create(&beside) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_parent(place)?;
            FileStorage::create(&beside)?
        }
        other => other?,
    };
    Ok(Editor::create(storage, meta)?)
}
