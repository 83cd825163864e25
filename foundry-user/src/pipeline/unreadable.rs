//! What could not be read: which artifacts, and when they are tried again.
//!
//! Knows: the last attempt's failure. Must never know: how anything is read, I/O.
//! Keeps: after a sync, a brick that is not what the disk has lies at or beneath an artifact that is
//! here, and was tried since the sync was asked for; what is not known to be gone keeps its brick.

use super::Pipeline;
use super::debts::Seq;
use super::input::ReadFailure;
use super::registry::{Body, Child};
use crate::artifact::{ArtifactId, OsBytes};
use std::collections::{BTreeMap, BTreeSet};

/// By artifact: why the last attempt failed.
pub(super) type Unreadable = BTreeMap<ArtifactId, ReadFailure>;

/// One artifact that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Where it is.
    pub path: OsBytes,
    /// Why it cannot.
    pub failure: ReadFailure,
    /// It was read before, so that there are bricks that may not be true any more.
    pub behind: bool,
}

impl Pipeline {
    /// Every artifact that cannot be read, at each of its places.
    #[must_use]
    pub fn unread(&self) -> Vec<Unread> {
        let mut all: Vec<Unread> = vec![];
        for (id, failure) in &self.unreadable {
            let Some(node) = self.registry.node(*id) else { continue };
            match &node.body {
                Body::Directory(dir) => all.extend(self.registry.dir_path(*id).map(|path| {
                    let behind = dir.read || self.bricks.has_beneath(&path);
                    Unread { path, failure: *failure, behind }
                })),
                Body::File(_) => all.extend(self.registry.paths(*id).into_iter().map(|path| {
                    let behind = self.bricks.get(&path).is_some_and(|brick| brick.stored);
                    Unread { path, failure: *failure, behind }
                })),
            }
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    /// An attempt that was begun with input number `begun`, because of `seq`, failed. Whoever asked for
    /// a sync since then gets another attempt.
    pub(super) fn set_unreadable(
        &mut self,
        id: ArtifactId,
        failure: ReadFailure,
        seq: Seq,
        begun: Seq,
    ) {
        if self.unreadable.insert(id, failure).is_none() {
            self.touched_node(id, seq);
        }
        self.moved_out_of(id, seq);
        if let Some(sync) = self.sync.asked_since(begun) {
            self.try_again(id, sync);
        }
    }

    /// A directory is at one place only. One that was seen elsewhere is not in `dir` any more, though that
    /// does not say so.
    fn moved_out_of(&mut self, dir: ArtifactId, seq: Seq) {
        let Some(state) = self.registry.dir(dir) else { return };
        let elsewhere = |child: &Child| {
            let node = child.node().and_then(|child| self.registry.node(child));
            let directory = node.filter(|node| matches!(node.body, Body::Directory(_)));
            directory.is_some_and(|node| node.places.iter().any(|place| place.dir != dir))
        };
        let moved = state.children.iter().filter(|(_, child)| elsewhere(child));
        let moved: Vec<(OsBytes, ArtifactId)> =
            moved.filter_map(|(name, child)| Some((name.clone(), child.node()?))).collect();
        for (name, child) in moved {
            self.lost(dir, &name, seq);
            // It was looked for where it is not, and what is in it, too.
            self.want_list(child, seq, true);
        }
    }

    /// It can be read. Says whether that is news.
    pub(super) fn set_readable(&mut self, id: ArtifactId, seq: Seq) -> bool {
        let news = self.unreadable.remove(&id).is_some();
        if news {
            self.touched_node(id, seq);
            self.bricks.call_back(self.orphan(seq));
        }
        news
    }

    /// Reads it as a whole, and everything beneath it: nobody knows what was missed.
    pub(super) fn try_again(&mut self, id: ArtifactId, seq: Seq) {
        self.want_list(id, seq, true);
        self.mark(id, seq, |dirty| {
            dirty.live = true;
            dirty.check = true;
            false
        });
    }

    /// Everything that could not be read is tried again.
    pub(super) fn try_all_again(&mut self, seq: Seq) {
        let all: Vec<ArtifactId> = self.unreadable.keys().copied().collect();
        for id in all {
            self.try_again(id, seq);
        }
    }

    /// Of bricks that wait for their artifacts, those whose artifacts are gone. What an earlier run left
    /// beneath a directory that cannot be read may be there still.
    pub(super) fn known_to_be_gone(&mut self, orphans: Vec<OsBytes>) -> Vec<OsBytes> {
        if self.unreadable.is_empty() || orphans.is_empty() {
            return orphans;
        }
        let directory = |id: &ArtifactId| self.registry.dir(*id).is_some();
        let closed = self.unreadable.keys().copied().filter(directory);
        let closed: BTreeSet<OsBytes> =
            closed.filter_map(|id| self.registry.dir_path(id)).collect();
        let is_closed = |path: &OsBytes| above(path).any(|dir| closed.contains(dir));
        let earlier = |path: &OsBytes| self.bricks.get(path).is_some_and(|b| b.last.is_none());
        let (kept, gone): (Vec<_>, Vec<_>) =
            orphans.into_iter().partition(|path| earlier(path) && is_closed(path));
        kept.into_iter().for_each(|path| self.bricks.set_aside(path));
        gone
    }

    fn touched_node(&mut self, id: ArtifactId, seq: Seq) {
        if self.registry.dir(id).is_some() {
            self.touched(id, seq);
        } else {
            self.touched_file(id, seq);
        }
    }
}

/// Every directory above `path`.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at.max(1)])
}
