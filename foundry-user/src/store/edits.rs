//! Changing bricks: the jobs of the pipeline, carried out one after the other.
//!
//! Knows: bricks, where they lie, what the pipeline asks for. Must never know: why.
//! Keeps: a brick shows its last committed generation until the next one is; a new one is not there
//! before its first is; what the medium fails at stops the store, what a brick fails at is reported.

use super::directories::{self, Show};
use super::medium::Opened;
use super::{Store, brick_path, place};
use crate::artifact::{OsBytes, Stat};
use crate::binary::Description;
use crate::directory::Face;
use crate::event::UnixNs;
use crate::pipeline::effect::{Attribution, Durable, StoreJob, StoreOp};
use crate::pipeline::input::{Committed, StoreAnswer, StoreFailure, tells_changes};
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
    editor: Editor<Opened>,
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
            let commits = matches!(
                op,
                StoreOp::Commit { .. } | StoreOp::Annotate { .. } | StoreOp::Directory { .. }
            );
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
            StoreOp::Commit { writers, belated, at, durable, recalled } => {
                let done = self.commit(&path, (writers, belated), at, (durable, recalled));
                (path, done.map(Some))
            }
            StoreOp::Annotate { content, note, at, durable } => {
                let done = self.annotate(&path, &content, note, at, durable);
                (path, done.map(Some))
            }
            StoreOp::Directory { stat, fresh, entries, at, durable } => {
                let show = Show { stat, fresh, entries, at, durable };
                let done = directories::fold(&self.store, &path, &show);
                (path, done.map(Some))
            }
            StoreOp::Abandon => {
                let done = self.abandon(&path);
                (path, done.map(|()| None))
            }
            StoreOp::Rename { to, at, durable, over } => {
                let done = self.rename(&path, &to, at, durable, over);
                (to, done.map(|()| None))
            }
            StoreOp::Remove => {
                let done = self.remove(&brick_path(&self.store.dir, &path));
                (path, done.map(|()| None))
            }
        };
        match done {
            Ok(committed) => committed.and_then(|c| answer(at_path, Ok(c))),
            Err(Trouble::Brick) => answer(at_path, Err(StoreFailure::Corrupt)),
            Err(Trouble::Stale) => answer(at_path, Err(StoreFailure::Stale)),
            Err(Trouble::Medium(errno)) => {
                self.store.stop(errno);
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
                self.store.stop(errno);
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
        let editor = self.store.beside(&place, meta)?;
        Ok(Good { editor, place, unfinished: true })
    }

    /// The valid brick of this very path, if there is one.
    fn existing(&self, place: &Path, path: &[u8]) -> Result<Option<Editor<Opened>>, Trouble> {
        let storage = match self.store.medium.open(place) {
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
        step: impl FnOnce(&mut Editor<Opened>) -> Result<(), Error>,
    ) -> Option<StoreAnswer> {
        let Some(Edit::Good(good)) = self.open.get_mut(path) else { return None };
        if let Err(e) = step(&mut good.editor) {
            let unfinished = good.unfinished.then(|| place::unfinished(&good.place));
            if let Trouble::Medium(errno) = Trouble::from(e) {
                self.store.stop(errno);
            }
            self.open.insert(path.to_vec(), Edit::Bad);
            if let Some(beside) = unfinished {
                // It is in nobody's way; the next start clears it away, too.
                drop(self.remove(&beside));
            }
        }
        None
    }

    fn commit(
        &mut self,
        path: &[u8],
        (writers, belated): (Vec<Attribution>, bool),
        at: UnixNs,
        (durable, recalled): (Durable, bool),
    ) -> Result<Committed, Trouble> {
        if let Some(errno) = self.failed() {
            return Err(Trouble::Medium(errno));
        }
        let Some(Edit::Good(good)) = self.open.remove(path) else { return Err(Trouble::Brick) };
        let Good { mut editor, place, unfinished } = *good;
        for Attribution { ranges, actor } in writers {
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
        if belated {
            editor.writers_came_late();
        }
        if unfinished && durable != Durable::Nothing {
            // What lies there now has been promised: it goes when its successor is on the medium.
            editor.written_apart();
        }
        settle(&mut editor, durable)?;
        // Without another date, every start would read the artifact again.
        let told = |at| tells_changes(editor.meta().ctime_ns, at);
        let dated = recalled && !told(UnixNs(editor.at_ns())) && told(at);
        let done = if dated { editor.commit_again(at.0)? } else { editor.commit(at.0)? };
        if dated && !done.changed {
            // What is known of the brick stays so: its last generation is durable.
            editor.settle()?;
        }
        self.store.finish(&editor, &place, unfinished)?;
        // What was written just now need not be doubted.
        let face = Face::of_brick(&Brick::open_settled(editor.into_storage())?)?;
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
        durable: Durable,
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
        settle(&mut editor, durable)?;
        let done = editor.commit(at.0)?;
        self.store.finish(&editor, &place, false)?;
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
            self.remove(&place::unfinished(&good.place))?;
        }
        Ok(())
    }

    /// The brick says the new path, then it goes there. A crash in between leaves one that says
    /// another path than where it lies: the next start takes it there.
    fn rename(
        &self,
        from: &[u8],
        to: &[u8],
        at: UnixNs,
        durable: Durable,
        over: Durable,
    ) -> Result<(), Trouble> {
        let (old, new) = (brick_path(&self.store.dir, from), brick_path(&self.store.dir, to));
        let renamed = self.existing(&old, from).and_then(|editor| {
            let mut editor = editor.ok_or(Trouble::Brick)?;
            settle(&mut editor, durable)?;
            let meta = Meta { path: to.to_vec(), ..editor.meta().clone() };
            editor.set_meta(meta);
            editor.commit(at.0)?;
            Ok(editor)
        });
        if let Err(Trouble::Brick) = renamed {
            self.remove(&old)?;
            self.remove(&new)?;
        }
        let editor = renamed?;
        if durable == Durable::Nothing && over != Durable::Nothing {
            // What lies there now has been promised; of what comes, nothing is on the medium yet.
            self.store.compact(&editor, &new)?;
            return self.remove(&old);
        }
        match self.store.medium.rename(&old, &new) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Trouble::Brick),
            done => Ok(done?),
        }
    }

    fn remove(&self, path: &Path) -> Result<(), Trouble> {
        Ok(self.store.medium.remove(path)?)
    }
}

impl Store {
    /// Begins a brick beside the place where it will be.
    pub(super) fn beside(&self, place: &Path, meta: Meta) -> Result<Editor<Opened>, Trouble> {
        let beside = place::unfinished(place);
        self.medium.remove(&beside)?;
        Ok(Editor::create(self.medium.create(&beside)?, meta)?)
    }

    /// After a commit: takes a brick that was written beside its place there, and out what nobody needs.
    pub(super) fn finish(
        &self,
        editor: &Editor<Opened>,
        place: &Path,
        unfinished: bool,
    ) -> Result<(), Trouble> {
        if unfinished {
            self.medium.rename(&place::unfinished(place), place)?;
        }
        if editor.needs_compaction() {
            self.compact(editor, place)?;
        }
        Ok(())
    }

    /// Writes what the last generation needs beside the brick, makes it durable, and puts it in its
    /// place.
    fn compact(&self, editor: &Editor<Opened>, place: &Path) -> Result<(), Trouble> {
        let beside = place::unfinished(place);
        self.medium.remove(&beside)?;
        let mut to = self.medium.create(&beside)?;
        editor.compact_into(&mut to)?;
        Brick::open(&mut to)?;
        self.medium.rename(&beside, place)?;
        Ok(())
    }
}

/// Tells the editor which slot it must leave alone. While a flush is under way that may make the newest
/// generation durable, the one before must stay as well, and there are two slots: so it is synced here.
pub(super) fn settle(editor: &mut Editor<Opened>, durable: Durable) -> Result<(), Trouble> {
    match durable {
        Durable::Nothing | Durable::Older => {}
        Durable::Soon => editor.settle_first(),
        Durable::Newest => editor.assume_durable(),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
