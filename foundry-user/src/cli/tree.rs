//! Directory trees as they are on the disk now: what their bricks should show.
//!
//! Knows: directories, what files look like. Must never know: where entries lie in a brick.
//! Keeps: a link is not followed; what a store's bricks say of a file is taken for it only where they
//! are of its present state.

use super::brick_file::BrickFile;
use super::fold::contents;
use super::live::LiveFile;
use crate::artifact::{FileIdentity, FileKind, Stat};
use crate::directory::{Body, Entry, Face, Total};
use crate::error::CommandError;
use crate::reader;
use crate::store::brick_path;
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, Kind, Payload};
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
    known: Mutex<BTreeMap<PathBuf, (Total, u64)>>,
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
        Self { store, hidden, known: Mutex::default() }
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

    /// What is below a directory, and how many entries it has.
    pub(super) fn below(&self, path: &Path) -> (Total, u64) {
        self.total(path, 0)
    }

    fn total(&self, path: &Path, depth: u32) -> (Total, u64) {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(path) {
            return *known;
        }
        // What cannot be listed shows nothing, as in the daemon's bricks.
        let entries = self.entries(path, depth).unwrap_or_default();
        let mut total = Total::default();
        entries.iter().for_each(|entry| entry.add_to(&mut total));
        let found = (total, entries.len() as u64);
        lock().insert(path.to_owned(), found);
        found
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
                FileKind::Directory => {
                    let (total, entries) = self.total(&place, depth + 1);
                    Body::Directory(total, entries)
                }
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
        kept.or_else(|| fresh(path).ok())
    }
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
