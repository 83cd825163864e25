//! Which brick the store has at which path, and of which artifact.
//!
//! Knows: paths, owners, the state each brick shows. Must never know: content, how bricks are stored.
//! Keeps: a path has at most one brick and a brick at most one owner; a brick whose owner left its
//! path waits a moment, because the owner may turn up under another name and take it along.

use crate::artifact::{ArtifactId, OsBytes, Stat};
use crate::directory::Face;
use crate::event::{MonotonicNs, UnixNs};
use crate::pipeline::debts::Seq;
use crate::pipeline::effect::Durable;
use crate::pipeline::input::{BrickHead, FoldedState, tells_changes};
use std::collections::{BTreeMap, BTreeSet};

/// One brick in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Brick {
    pub(super) owner: Option<ArtifactId>,
    /// Who had it last, while it has no owner.
    pub(super) last: Option<ArtifactId>,
    /// The state it shows; `None` until something was committed, or where that is not known.
    pub(super) state: Option<FoldedState>,
    /// Some tiles were folded since everything was: it shows its state only if no event was lost.
    pub(super) patched: bool,
    /// The date of its newest generation; `None` where nothing is known of it.
    pub(super) date: Option<UnixNs>,
    /// The store may have something at this path, whatever it shows.
    pub(super) stored: bool,
    /// Begin anew, whatever is there.
    pub(super) fresh: bool,
    /// What the store's brick of a file looked like when this run began. Boxed: of a brick
    /// that this run made there is none.
    pub(super) face: Option<Box<Face>>,
    /// It is a directory's.
    pub(super) directory: bool,
    /// What of it is durable.
    known: Known,
    /// The ticket of the last change that was asked for; 0 where that has none.
    asked: u64,
}

/// What is known of how much of a brick is durable.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// How many flushes had been asked for when it was last changed; `None` where that was before
    /// this run.
    changed: Option<u64>,
    /// Some generation of it, or of what it replaced, is durable.
    promised: bool,
    /// The last change may come to nothing: then what is durable is the last generation.
    unsure: bool,
}

impl Known {
    /// Something is durable, and nobody knows which generation.
    const DOUBTFUL: Self = Self { changed: Some(u64::MAX), promised: true, unsure: true };
}

/// How many flushes of the store there were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flushes {
    /// That were asked for.
    pub(super) begun: u64,
    /// The last one that is known to have been carried out, by number.
    pub(super) done: u64,
}

impl Brick {
    /// How much of what the store has at its path survives a power cut. The store carries out a
    /// flush after everything that was asked of it before: so a later one makes a change durable.
    pub(super) fn durable(&self, flushes: Flushes) -> Durable {
        let Known { changed, promised, unsure } = self.known;
        match changed {
            _ if !self.stored => Durable::Nothing,
            None => Durable::Newest,
            Some(begun) if begun < flushes.done => Durable::Newest,
            Some(begun) if begun < flushes.begun || (promised && unsure) => Durable::Soon,
            Some(_) if promised => Durable::Older,
            Some(_) => Durable::Nothing,
        }
    }

    /// Whether it is from before this run, and as it was then.
    pub(super) const fn is_recalled(&self) -> bool {
        self.stored && self.known.changed.is_none()
    }

    /// Whether the store was never asked to change it.
    pub(super) const fn is_untouched(&self) -> bool {
        self.asked == 0
    }

    /// The store is asked to change it. Says how much was durable, and what was known.
    pub(super) fn change(&mut self, flushes: Flushes, ticket: u64) -> (Durable, Known) {
        let (durable, before) = (self.durable(flushes), self.known);
        let promised = durable != Durable::Nothing;
        self.known = Known { changed: Some(flushes.begun), promised, unsure: true };
        self.asked = ticket;
        self.stored = true;
        (durable, before)
    }

    /// A change was carried out, or came to nothing: then what was known before it is still so.
    /// Where another was asked for since, that one's answer counts.
    pub(super) const fn changed(&mut self, ticket: u64, new: bool, before: Known) {
        if self.asked == ticket {
            self.known = if new { Known { unsure: false, ..self.known } } else { before };
        }
    }

    /// The store is asked to take it to a path where so much was durable: the promise stays one.
    /// That is a change in any case, and nobody answers.
    pub(super) fn moved(&mut self, flushes: Flushes, over: Durable) {
        self.change(flushes, 0);
        self.known.promised |= over != Durable::Nothing;
        self.known.unsure = false;
    }

    /// Whether it is still true of a file whose `statx` says `stat`; where events may have been
    /// lost (`audit`), only if all of it was folded at once.
    pub(super) fn proves(&self, stat: &Stat, audit: bool) -> bool {
        let doubtful = self.fresh || (audit && self.patched);
        !doubtful && self.state.is_some_and(|s| agrees(&s, stat))
    }
}

/// A brick that waits for its owner, or for its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphan {
    pub(super) seq: Seq,
    pub(super) since: MonotonicNs,
}

/// All bricks of the watched trees.
#[derive(Debug, Default)]
pub(super) struct Bricks {
    /// Boxed: a tree of large values is half empty.
    at: BTreeMap<OsBytes, Box<Brick>>,
    orphans: BTreeMap<OsBytes, Orphan>,
    /// Orphans for whom nobody can come for now: they are not waited for.
    aside: BTreeSet<OsBytes>,
    /// Orphans by their last owner.
    left_by: BTreeSet<(ArtifactId, OsBytes)>,
    /// Some were forgotten while the store may still have been at work on them.
    forgot: bool,
}

impl Bricks {
    pub(super) fn get(&self, path: &[u8]) -> Option<&Brick> {
        self.at.get(path).map(|brick| &**brick)
    }

    pub(super) fn get_mut(&mut self, path: &[u8]) -> Option<&mut Brick> {
        self.at.get_mut(path).map(|brick| &mut **brick)
    }

    /// A brick the store had before this run.
    pub(super) fn recalled(&mut self, head: BrickHead, fresh: bool, orphan: Orphan) {
        let BrickHead { path, state, face, directory } = head;
        if let Some(brick) = self.at.get_mut(&path) {
            // Somebody has taken the path meanwhile: theirs it stays.
            brick.stored = true;
            return;
        }
        // What a recording does not hold cannot be built upon.
        let state = (!fresh && !directory).then_some(state);
        let date = state.map(|s| s.at);
        let known = if self.forgot { Known::DOUBTFUL } else { Known::default() };
        let face = face.map(Box::new);
        let brick = Brick { state, date, stored: true, face, directory, known, ..Brick::default() };
        self.at.insert(path.clone(), Box::new(brick));
        self.orphans.insert(path, orphan);
    }

    /// `owner` takes the brick at `path`, whosesoever it was, or will make one.
    pub(super) fn take(&mut self, path: &[u8], owner: ArtifactId) {
        self.unorphan(path);
        let brick = self.at.entry(path.to_vec()).or_default();
        brick.owner = Some(owner);
        brick.last = None;
        brick.directory = false;
    }

    /// As [`Bricks::take`], for the brick of a directory.
    pub(super) fn take_directory(&mut self, path: &[u8], owner: ArtifactId) {
        self.take(path, owner);
        if let Some(brick) = self.at.get_mut(path) {
            (brick.state, brick.date, brick.face) = (None, None, None);
            brick.directory = true;
        }
    }

    /// The directory is at `path` again, or was there before this run: the brick there is its own.
    pub(super) fn keep_directory(&mut self, path: &[u8], owner: ArtifactId) {
        let left = |b: &Brick| b.directory && b.owner.is_none();
        if self.get(path).is_some_and(left) {
            self.take_directory(path, owner);
        }
    }

    /// The owner left this path. Only the owner can; others have no say.
    pub(super) fn leave(&mut self, path: &[u8], owner: ArtifactId, orphan: Orphan) {
        if let Some(brick) = self.at.get_mut(path)
            && brick.owner == Some(owner)
        {
            brick.owner = None;
            brick.last = Some(owner);
            self.orphans.insert(path.to_vec(), orphan);
            self.left_by.insert((owner, path.to_vec()));
        }
    }

    /// A brick that `owner` left behind.
    pub(super) fn left_behind(&self, owner: ArtifactId) -> Option<OsBytes> {
        let from = (owner, OsBytes::new());
        self.left_by.range(from..).next().filter(|l| l.0 == owner).map(|l| l.1.clone())
    }

    /// The brick at `from` is at `to` from now on, and nothing else is.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) {
        self.unorphan(from);
        self.unorphan(to);
        if let Some(mut brick) = self.at.remove(from) {
            if let Some(over) = self.at.get(to).filter(|over| !brick.stored && over.stored) {
                (brick.stored, brick.known, brick.asked) = (true, over.known, over.asked);
            }
            self.at.insert(to.to_vec(), brick);
        }
    }

    /// There is no brick at `path` any more.
    pub(super) fn forget(&mut self, path: &[u8]) {
        self.unorphan(path);
        self.at.remove(path);
    }

    /// Forgets every brick at `root` and beneath it, as if there had never been any.
    pub(super) fn forget_beneath(&mut self, root: &[u8]) {
        let gone: Vec<OsBytes> = self.beneath(root).chain([root.to_vec()]).collect();
        self.forgot = true;
        for path in gone {
            self.forget(&path);
        }
    }

    /// Whether there is a brick beneath `dir`.
    pub(super) fn has_beneath(&self, dir: &[u8]) -> bool {
        self.beneath(dir).next().is_some()
    }

    fn beneath(&self, dir: &[u8]) -> impl Iterator<Item = OsBytes> {
        let mut start = dir.to_vec();
        super::registry::push_name(&mut start, b"");
        let from = self.at.range(start.clone()..).map(|(path, _)| path.clone());
        from.take_while(move |path| path.starts_with(&start))
    }

    /// Orphans for which `over` says that nobody will come.
    pub(super) fn over(&self, over: impl Fn(&Orphan) -> bool) -> Vec<OsBytes> {
        self.orphans.iter().filter(|(_, o)| over(o)).map(|(path, _)| path.clone()).collect()
    }

    /// Nobody can see whether somebody will come for this orphan.
    pub(super) fn set_aside(&mut self, path: OsBytes) {
        if self.orphans.remove(&path).is_some() {
            self.aside.insert(path);
        }
    }

    /// For what was set aside somebody may come again.
    pub(super) fn call_back(&mut self, orphan: Orphan) {
        self.orphans.extend(std::mem::take(&mut self.aside).into_iter().map(|path| (path, orphan)));
    }

    pub(super) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    fn unorphan(&mut self, path: &[u8]) {
        self.aside.remove(path);
        if self.orphans.remove(path).is_some()
            && let Some(last) = self.at.get(path).and_then(|b| b.last)
        {
            self.left_by.remove(&(last, path.to_vec()));
        }
    }
}

/// Whether a brick that shows `state` is still true of a file whose `statx` says `stat`.
fn agrees(state: &FoldedState, stat: &Stat) -> bool {
    same_state(state, stat) && tells_changes(stat.ctime_ns, state.at)
}

/// Whether `state` and `stat` say the same, be it by chance of coarse clocks.
pub(super) fn same_state(state: &FoldedState, stat: &Stat) -> bool {
    state.identity == stat.identity
        && state.size == stat.size
        && state.mtime_ns == stat.mtime_ns
        && state.ctime_ns == stat.ctime_ns
}

/// The state a brick shows once what was read after `stat` is committed.
pub(super) const fn folded(stat: &Stat, at: UnixNs) -> FoldedState {
    FoldedState {
        identity: stat.identity,
        size: stat.size,
        mtime_ns: stat.mtime_ns,
        ctime_ns: stat.ctime_ns,
        at,
    }
}

#[cfg(test)]
mod tests;
