//! Which brick the store has at which path, and of which artifact.
//!
//! Knows: paths, owners, the state each brick shows. Must never know: content, how bricks are stored.
//! Keeps: a path has at most one brick and a brick at most one owner; a brick whose owner left its
//! path waits a moment, because the owner may turn up under another name and take it along.

use crate::artifact::{ArtifactId, OsBytes, Stat};
use crate::directory::Face;
use crate::event::{MonotonicNs, UnixNs};
use crate::pipeline::debts::Seq;
use crate::pipeline::input::{BrickHead, FoldedState};
use std::collections::{BTreeMap, BTreeSet};

/// Any change of content moves the change time, which nobody can set. But it may be as coarse as a
/// scheduler tick (10 ms at most on Linux): a file changed again within that time after it was read
/// may show the same one.
const RACY_NS: i64 = 20_000_000;

/// One brick in the store.
#[derive(Clone, Debug)]
pub(super) struct Brick {
    pub(super) owner: Option<ArtifactId>,
    /// Who had it last, while it has no owner.
    pub(super) last: Option<ArtifactId>,
    /// The state it shows; `None` until something was committed, or where that is not known.
    pub(super) state: Option<FoldedState>,
    /// Some tiles were folded since everything was: it shows its state only if no event was lost.
    pub(super) patched: bool,
    /// The store may have something at this path, whatever it shows.
    pub(super) stored: bool,
    /// Begin anew, whatever is there.
    pub(super) fresh: bool,
    /// What the store's brick of a file looked like when this run began.
    pub(super) face: Option<Face>,
    /// It is a directory's.
    pub(super) directory: bool,
}

impl Brick {
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
    at: BTreeMap<OsBytes, Brick>,
    orphans: BTreeMap<OsBytes, Orphan>,
    /// Orphans by their last owner.
    left_by: BTreeSet<(ArtifactId, OsBytes)>,
}

impl Bricks {
    pub(super) fn get(&self, path: &[u8]) -> Option<&Brick> {
        self.at.get(path)
    }

    pub(super) fn get_mut(&mut self, path: &[u8]) -> Option<&mut Brick> {
        self.at.get_mut(path)
    }

    /// A brick the store had before this run.
    pub(super) fn recalled(&mut self, head: BrickHead, fresh: bool, orphan: Orphan) {
        let BrickHead { path, state, face, directory } = head;
        // What a recording does not hold cannot be built upon.
        let state = (!fresh && !directory).then_some(state);
        let brick = Brick {
            owner: None,
            last: None,
            state,
            patched: false,
            stored: true,
            fresh: false,
            face,
            directory,
        };
        if self.at.insert(path.clone(), brick).is_none() {
            self.orphans.insert(path, orphan);
        }
    }

    /// `owner` takes the brick at `path`, whosesoever it was, or will make one.
    pub(super) fn take(&mut self, path: &[u8], owner: ArtifactId) {
        self.unorphan(path);
        let brick = self.at.entry(path.to_vec()).or_insert(Brick {
            owner: None,
            last: None,
            state: None,
            patched: false,
            stored: false,
            fresh: false,
            face: None,
            directory: false,
        });
        brick.owner = Some(owner);
        brick.last = None;
        brick.directory = false;
    }

    /// As [`Bricks::take`], for the brick of a directory.
    pub(super) fn take_directory(&mut self, path: &[u8], owner: ArtifactId) {
        self.take(path, owner);
        if let Some(brick) = self.at.get_mut(path) {
            (brick.state, brick.face) = (None, None);
            (brick.stored, brick.directory) = (true, true);
        }
    }

    /// The directory is at `path` again, or was there before this run: the brick there is its own.
    pub(super) fn keep_directory(&mut self, path: &[u8], owner: ArtifactId) {
        let left = |b: &Brick| b.directory && b.owner.is_none();
        if self.at.get(path).is_some_and(left) {
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
            brick.stored |= self.at.get(to).is_some_and(|b| b.stored);
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
        let mut beneath = root.to_vec();
        super::registry::push_name(&mut beneath, b"");
        let from = self.at.range(beneath.clone()..);
        let below = from.map(|(path, _)| path).take_while(|path| path.starts_with(&beneath));
        let gone: Vec<OsBytes> = below.cloned().chain([root.to_vec()]).collect();
        for path in gone {
            self.forget(&path);
        }
    }

    /// Orphans for which `over` says that nobody will come.
    pub(super) fn over(&self, over: impl Fn(&Orphan) -> bool) -> Vec<OsBytes> {
        self.orphans.iter().filter(|(_, o)| over(o)).map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn has_orphans(&self) -> bool {
        !self.orphans.is_empty()
    }

    fn unorphan(&mut self, path: &[u8]) {
        if self.orphans.remove(path).is_some()
            && let Some(last) = self.at.get(path).and_then(|b| b.last)
        {
            self.left_by.remove(&(last, path.to_vec()));
        }
    }
}

/// Whether a brick that shows `state` is still true of a file whose `statx` says `stat`.
fn agrees(state: &FoldedState, stat: &Stat) -> bool {
    same_state(state, stat) && stat.ctime_ns.saturating_add(RACY_NS) < state.at.0
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
