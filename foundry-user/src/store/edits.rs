//! Changing bricks: the jobs of the pipeline, carried out one after the other.
//!
//! Knows: bricks, where they lie, what the pipeline asks for. Must never know: why.
//! Keeps: a brick shows its last committed generation until the next one is; a new one is not there
//! before its first is; what the medium fails at stops the store, what a brick fails at is reported.

use super::{FileStorage, Store, brick_path, directories, place};
use crate::artifact::{OsBytes, Stat};
use crate::binary::Description;
use crate::directory::{Entry, Face};
use crate::event::UnixNs;
use crate::pipeline::effect::{Attribution, StoreJob, StoreOp};
use crate::pipeline::input::{Committed, StoreAnswer, StoreFailure};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Editor, Error, Kind, Meta, Writer};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Edits under way. Every path belongs to one of these.
#[derive(Debug)]
pub struct Edits {
    store: Arc<Store>,
    open: BTreeMap<OsBytes, Edit>,
}

/// One edit.
#[derive(Debug)]
enum Edit {
    Good(Box<Good>),
    /// It went wrong; its commit says so.
    Bad,
}

#[derive(Debug)]
struct Good {
    editor: Editor<FileStorage>,
    /// Where the brick belongs.
    place: PathBuf,
    /// It is written beside its place until it is whole.
    unfinished: bool,
}

/// What went wrong with a job.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The medium: the store stops.
    Medium(i32),
    /// The brick: it is folded anew.
    Brick,
    /// The annotation: it is of another content.
    Stale,
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Brick;
        }
        Self::Medium(e.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<Error> for Trouble {
    fn from(e: Error) -> Self {
        match e {
            Error::Io(e) => e.into(),
            _ => Self::Brick,
        }
    }
}

impl Edits {
    /// No edit is under way.
    #[must_use]
    pub const fn new(store: Arc<Store>) -> Self {
        Self { store, open: BTreeMap::new() }
    }

    /// Carries out one job. Answers commits, and what goes wrong without one.
    pub fn carry_out(&mut self, job: StoreJob) -> Option<StoreAnswer> {
        let StoreJob { artifact, path, ticket, op } = job;
        let answer = |path, outcome| Some(StoreAnswer { artifact, path, ticket, outcome });
        if let Some(errno) = self.store.failure() {
            let commits = matches!(op, StoreOp::Commit { .. });
            return commits.then(|| answer(path, Err(StoreFailure::Io(errno)))).flatten();
        }
        let (at_path, done) = match op {
            StoreOp::Begin { stat, whole, fresh } => {
                let edit = self.begin(&path, &stat, whole, fresh);
                let edit = self.keep(edit.map(Some));
                self.open.insert(path.clone(), edit);
                return self.failed().and_then(|errno| answer(path, Err(StoreFailure::Io(errno))));
            }
            StoreOp::Bytes { offset, bytes } => {
                return self.change(&path, |e| e.put(offset, &bytes.0));
            }
            StoreOp::Hole { offset, len } => {
                return self.change(&path, |e| e.put_hole(offset, len));
            }
            StoreOp::Describe(description) => return self.describe(&path, *description),
            StoreOp::Commit { writers, at } => {
                let done = self.commit(&path, writers, at);
                (path, done.map(Some))
            }
            StoreOp::Annotate { content, note, at } => {
                let done = self.annotate(&path, &content, note, at);
                (path, done.map(Some))
            }
            StoreOp::Directory { stat, fresh, entries, at } => {
                let done = self.directory(&path, stat.as_ref(), fresh, &entries, at);
                (path, done.map(Some))
            }
            StoreOp::Abandon => {
                let done = self.abandon(&path);
                (path, done.map(|()| None))
            }
            StoreOp::Rename { to, at } => {
                let done = self.rename(&path, &to, at);
                (to, done.map(|()| None))
            }
            StoreOp::Remove => {
                let done = remove(&brick_path(&self.store.dir, &path));
                (path, done.map(|()| None))
            }
        };
        match done {
            Ok(committed) => committed.and_then(|c| answer(at_path, Ok(c))),
            Err(Trouble::Brick) => answer(at_path, Err(StoreFailure::Corrupt)),
            Err(Trouble::Stale) => answer(at_path, Err(StoreFailure::Stale)),
            Err(Trouble::Medium(errno)) => {
                self.store.fail(errno);
                answer(at_path, Err(StoreFailure::Io(errno)))
            }
        }
    }

    fn failed(&self) -> Option<i32> {
        self.store.failure()
    }

    /// An edit that went well goes on; one that did not is remembered as that.
    fn keep(&self, edit: Result<Option<Good>, Trouble>) -> Edit {
        match edit {
            Ok(Some(good)) => Edit::Good(Box::new(good)),
            Ok(None) | Err(Trouble::Brick | Trouble::Stale) => Edit::Bad,
            Err(Trouble::Medium(errno)) => {
                self.store.fail(errno);
                Edit::Bad
            }
        }
    }

    fn begin(&self, path: &[u8], stat: &Stat, whole: bool, fresh: bool) -> Result<Good, Trouble> {
        let place = brick_path(&self.store.dir, path);
        let meta = stat.meta(path, self.store.payload);
        let existing = if fresh { None } else { self.existing(&place, path)? };
        if let Some(mut editor) = existing.filter(|e| e.meta().kind == Kind::File) {
            // The way the bytes are kept is fixed when a brick is made.
            if !whole || editor.meta().payload == meta.payload {
                editor.set_meta(meta);
                editor.resize(stat.size)?;
                return Ok(Good { editor, place, unfinished: false });
            }
        }
        if !whole {
            return Err(Trouble::Brick);
        }
        let beside = place::unfinished(&place);
        remove(&beside)?;
        let storage = match FileStorage::create(&beside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_parent(&place)?;
                FileStorage::create(&beside)?
            }
            other => other?,
        };
        let editor = Editor::create(storage, meta)?;
        Ok(Good { editor, place, unfinished: true })
    }

    /// The valid brick of this very path, if there is one.
    fn existing(&self, place: &Path, path: &[u8]) -> Result<Option<Editor<FileStorage>>, Trouble> {
        let storage = match FileStorage::open(place) {
            Ok(storage) => storage,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        match Editor::open(storage).map_err(Trouble::from) {
            Ok(editor) => Ok(Some(editor).filter(|e| e.meta().path == path)),
            Err(Trouble::Brick) => Ok(None),
            Err(other) => Err(other),
        }
    }

    fn directory(
        &self,
        path: &[u8],
        stat: Option<&Stat>,
        fresh: bool,
        entries: &[Entry],
        at: UnixNs,
    ) -> Result<Committed, Trouble> {
        directories::fold(&self.store.dir, path, stat, fresh, entries, at)
    }

    fn describe(&mut self, path: &[u8], description: Description) -> Option<StoreAnswer> {
        let (regions, facts) = description.into_brick();
        self.change(path, |e| {
            e.set_regions(&regions);
            e.set_facts(&facts);
            Ok(())
        })
    }

    /// A step of an edit. What goes wrong shows at the commit.
    fn change(
        &mut self,
        path: &[u8],
        step: impl FnOnce(&mut Editor<FileStorage>) -> Result<(), Error>,
    ) -> Option<StoreAnswer> {
        let Some(Edit::Good(good)) = self.open.get_mut(path) else { return None };
        if let Err(e) = step(&mut good.editor) {
            let unfinished = good.unfinished.then(|| place::unfinished(&good.place));
            if let Trouble::Medium(errno) = Trouble::from(e) {
                self.store.fail(errno);
            }
            self.open.insert(path.to_vec(), Edit::Bad);
            if let Some(beside) = unfinished {
                // It is in nobody's way; the next start clears it away, too.
                drop(remove(&beside));
            }
        }
        None
    }

    fn commit(
        &mut self,
        path: &[u8],
        writers: Vec<Attribution>,
        at: UnixNs,
    ) -> Result<Committed, Trouble> {
        if let Some(errno) = self.failed() {
            return Err(Trouble::Medium(errno));
        }
        let Some(Edit::Good(good)) = self.open.remove(path) else { return Err(Trouble::Brick) };
        let Good { mut editor, place, unfinished } = *good;
        for Attribution { ranges, actor } in writers {
            let Some(actor) = actor else { continue };
            let writer = Writer {
                exe: actor.exe.unwrap_or_default(),
                comm: actor.comm,
                pid: actor.pid,
                uid: actor.uid,
                at_ns: at.0,
            };
            for (start, end) in ranges {
                editor.set_writer(start..end, writer.clone());
            }
        }
        let done = editor.commit(at.0)?;
        if unfinished {
            std::fs::rename(place::unfinished(&place), &place)?;
        }
        if editor.needs_compaction() {
            compact(&editor, &place)?;
        }
        let face = Face::of_brick(&Brick::open(editor.into_storage())?)?;
        Ok(Committed {
            generation: done.generation,
            new: done.changed,
            size: done.size,
            changed_tiles: done.changed_tiles,
            face: Some(face),
        })
    }

    /// The annotation becomes a generation of its own, where the brick still shows what it is about.
    fn annotate(
        &self,
        path: &[u8],
        content: &[u8; 32],
        note: Vec<u8>,
        at: UnixNs,
    ) -> Result<Committed, Trouble> {
        if self.open.contains_key(path) {
            return Err(Trouble::Stale);
        }
        let place = brick_path(&self.store.dir, path);
        let mut editor = self.existing(&place, path)?.ok_or(Trouble::Brick)?;
        if editor.blake3() != Some(*content) {
            return Err(Trouble::Stale);
        }
        editor.set_annotation(Some(note));
        let done = editor.commit(at.0)?;
        if editor.needs_compaction() {
            compact(&editor, &place)?;
        }
        Ok(Committed {
            generation: done.generation,
            new: done.changed,
            size: done.size,
            changed_tiles: Some(vec![]),
            face: None,
        })
    }

    fn abandon(&mut self, path: &[u8]) -> Result<(), Trouble> {
        if let Some(Edit::Good(good)) = self.open.remove(path)
            && good.unfinished
        {
            remove(&place::unfinished(&good.place))?;
        }
        Ok(())
    }

    /// The brick says the new path, then it goes there. A crash in between leaves one that says
    /// another path than where it lies: the next start removes it, and it is folded again.
    fn rename(&self, from: &[u8], to: &[u8], at: UnixNs) -> Result<(), Trouble> {
        let (old, new) = (brick_path(&self.store.dir, from), brick_path(&self.store.dir, to));
        let renamed = self.existing(&old, from).and_then(|editor| {
            let mut editor = editor.ok_or(Trouble::Brick)?;
            let meta = Meta { path: to.to_vec(), ..editor.meta().clone() };
            editor.set_meta(meta);
            editor.commit(at.0)?;
            Ok(())
        });
        if let Err(Trouble::Brick) = renamed {
            remove(&old)?;
            remove(&new)?;
        }
        renamed?;
        match std::fs::rename(&old, &new) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                make_parent(&new)?;
                std::fs::rename(&old, &new)?;
            }
            other => other?,
        }
        Ok(())
    }
}

/// Writes what the last generation needs beside the brick, makes it durable, and puts it in its place.
pub(super) fn compact(editor: &Editor<FileStorage>, place: &Path) -> Result<(), Trouble> {
    let beside = place::unfinished(place);
    remove(&beside)?;
    let mut to = FileStorage::create(&beside)?;
    editor.compact_into(&mut to)?;
    to.sync()?;
    Brick::open(&mut to)?;
    std::fs::rename(&beside, place)?;
    Ok(())
}

pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

pub(super) fn make_parent(path: &Path) -> Result<(), Trouble> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
