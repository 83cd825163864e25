//! Directory trees as they are on the disk now: what their bricks should show.
//!
//! Knows: directories, what files look like. Must never know: where entries lie in a brick.
//! Keeps: a link is not followed; what a store's bricks say of a file is taken for it only where they
//! are of its present state; with a store a directory looks as its brick there does, since where its
//! entries lie is that brick's own affair, and without one as a fold from nothing.

use super::brick_file::BrickFile;
use super::fold::contents;
use super::live::LiveFile;
use crate::artifact::{FileIdentity, FileKind, Stat};
use crate::directory::{self, Below, Body, Entry, Face};
use crate::error::CommandError;
use crate::facts::host::Host;
use crate::reader;
use crate::store::brick_path;
use foundry_brick::directory::Directory;
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, Error, Kind, Payload};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Deeper than this nothing is looked at, so that a call for each level ends.
const MOST_DEPTH: u32 = 2048;

/// Looks at trees, and remembers what is below a directory.
pub(super) struct Trees {
    store: Option<PathBuf>,
    hidden: Option<FileIdentity>,
    /// Who knows packages; their lists are read once somebody asks.
    host: Host,
    known: Mutex<BTreeMap<PathBuf, Below>>,
}

/// A directory.
pub(super) struct Seen {
    pub(super) stat: Stat,
    pub(super) entries: Vec<Entry>,
}

impl Trees {
    /// With a store its bricks say what files look like, and it is no part of any tree.
    pub(super) fn new(store: Option<PathBuf>) -> Self {
        let hidden = store.as_deref().and_then(|dir| reader::stat(dir).ok()).map(|s| s.identity);
        Self { store, hidden, host: Host::this(), known: Mutex::default() }
    }

    pub(super) fn store(&self) -> Option<&Path> {
        self.store.as_deref()
    }

    /// The entries of a directory.
    pub(super) fn look(&self, path: &Path) -> Result<Seen, CommandError> {
        let failed = |e| CommandError::io("list", path, e);
        let entries = self.entries(path, 0).map_err(failed)?;
        Ok(Seen { stat: reader::stat(path).map_err(failed)?, entries })
    }

    /// A directory as the one above shows it.
    pub(super) fn below(&self, path: &Path) -> Below {
        self.seen_from_above(path, 0)
    }

    fn seen_from_above(&self, path: &Path, depth: u32) -> Below {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(path) {
            return known.clone();
        }
        // What cannot be listed shows nothing, as in the daemon's bricks.
        let entries = self.entries(path, depth).unwrap_or_default();
        let mut below = Below { entries: entries.len() as u64, ..Below::default() };
        entries.iter().for_each(|entry| entry.add_to(&mut below.total));
        below.face = match self.store.as_deref() {
            Some(store) => kept(store, path),
            None => drawn(&entries).ok(),
        };
        lock().insert(path.to_owned(), below.clone());
        below
    }

    fn entries(&self, path: &Path, depth: u32) -> io::Result<Vec<Entry>> {
        if depth > MOST_DEPTH {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for (name, stat) in reader::entries(path)? {
            if Some(stat.identity) == self.hidden {
                continue;
            }
            let place = path.join(OsStr::from_bytes(&name));
            let body = match stat.kind {
                FileKind::File => Body::File(self.face(&place, &stat)),
                FileKind::Directory => Body::Directory(self.seen_from_above(&place, depth + 1)),
                FileKind::Symlink | FileKind::Other => Body::Other(stat.kind),
            };
            entries.push(Entry { name, stat: Some(stat), body });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn face(&self, path: &Path, stat: &Stat) -> Option<Face> {
        let kept = self.store.as_deref().and_then(|store| {
            let brick = BrickFile::at(brick_path(store, path.as_os_str().as_bytes())).ok()?.brick;
            let meta = brick.meta();
            let same = meta.kind == Kind::File
                && (meta.identity.dev, meta.identity.ino) == (stat.identity.dev, stat.identity.ino)
                && (meta.size, meta.mtime_ns) == (stat.size, stat.mtime_ns);
            if same { Face::of_brick(&brick).ok() } else { None }
        });
        kept.or_else(|| {
            let package = self.host.package_of(path.as_os_str().as_bytes());
            let name = package.map(|(name, _)| name.into_bytes().into());
            Some(fresh(path).ok()?.of_package(name))
        })
    }
}

/// What a directory's brick in a store looks like; one that is too deep has none.
fn kept(store: &Path, path: &Path) -> Option<Face> {
    let path = path.as_os_str().as_bytes();
    let brick = BrickFile::at(brick_path(store, path)).ok()?.brick;
    let own = brick.meta().kind == Kind::Directory && brick.meta().path == path;
    let parts = brick.parts().ok()?.filter(|_| own)?;
    Face::of_plane(&brick, &parts).ok()
}

/// What a directory with these entries looks like, folded from nothing.
fn drawn(entries: &[Entry]) -> Result<Face, Error> {
    let mut editor = Editor::create(MemStorage::default(), directory::meta(b"", None))?;
    let mut shown = Directory::default();
    directory::fold(&mut editor, &mut shown, entries)?;
    editor.commit(0)?;
    Face::of_plane(&Brick::open(editor.into_storage())?, shown.parts())
}

/// Reads a file to see what it looks like.
fn fresh(path: &Path) -> Result<Face, CommandError> {
    let broken = |e| CommandError::brick(path, e);
    let live = LiveFile::open(path)?;
    let meta = live.meta(Payload::Reference);
    let mut editor = Editor::create(MemStorage::default(), meta).map_err(broken)?;
    contents(&live, &mut editor, &mut |_| {})?;
    editor.commit(0).map_err(broken)?;
    let brick = Brick::open(editor.into_storage()).map_err(broken)?;
    Face::of_brick(&brick).map_err(broken)
}
