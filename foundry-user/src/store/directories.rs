//! Bricks of directories: what is there is compared with what should be, and folded where it differs.
//!
//! Knows: one brick, the entries it is to show. Must never know: where entries come from.
//! Keeps: an entry that is as it was keeps its place and is not folded again; the brick shows its last
//! generation until the next one is whole.

use super::edits::{Trouble, settle};
use super::medium::Opened;
use super::{Store, brick_path};
use crate::artifact::Stat;
use crate::directory::{self, Entry, Face};
use crate::event::UnixNs;
use crate::pipeline::effect::Durable;
use crate::pipeline::input::Committed;
use foundry_brick::directory::Directory;
use foundry_brick::{Brick, Editor, Kind, Meta};
use std::io;
use std::path::Path;

/// What a directory's brick is to show.
pub(super) struct Show {
    pub(super) stat: Option<Stat>,
    pub(super) fresh: bool,
    pub(super) entries: Vec<Entry>,
    pub(super) at: UnixNs,
    pub(super) durable: Durable,
}

/// Makes the brick of the directory `path` show what it is to show.
pub(super) fn fold(store: &Store, path: &[u8], show: &Show) -> Result<Committed, Trouble> {
    let place = brick_path(&store.dir, path);
    let meta = directory::meta(path, show.stat.as_ref());
    let existing = if show.fresh { None } else { existing(store, &place, path)? };
    let unfinished = existing.is_none();
    let (mut editor, mut shown) = match existing {
        Some(found) => found,
        None => (store.beside(&place, meta.clone())?, Directory::default()),
    };
    if unfinished && show.durable != Durable::Nothing {
        // What lies there now has been promised: it goes when its successor is on the medium.
        editor.written_apart();
    }
    directory::fold(&mut editor, &mut shown, &show.entries)?;
    editor.set_meta(Meta { size: editor.meta().size, ..meta });
    settle(&mut editor, show.durable)?;
    let done = editor.commit(show.at.0)?;
    store.finish(&editor, &place, unfinished)?;
    // What was written just now need not be doubted.
    let face = Face::of_plane(&Brick::open_settled(editor.into_storage())?, shown.parts())?;
    Ok(Committed {
        generation: done.generation,
        new: done.changed,
        size: done.size,
        changed_tiles: done.changed_tiles,
        face: Some(face),
    })
}

/// The valid brick of this very directory, if there is one.
fn existing(
    store: &Store,
    place: &Path,
    path: &[u8],
) -> Result<Option<(Editor<Opened>, Directory)>, Trouble> {
    let storage = match store.medium.open(place) {
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
