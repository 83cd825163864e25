//! Places change: artifacts come, go, and turn up elsewhere; their bricks follow.
//!
//! Knows: places and which brick lies at which path. Must never know: content, I/O.
//! Keeps: an artifact that lost its last place waits in limbo until everything that was heard of
//! before is worked off, so that a rename is not taken for an end and a beginning; a path keeps its
//! brick, and with it the history, when another inode replaces the one that was there.

use super::Pipeline;
use super::bricks::Orphan;
use super::debts::Seq;
use super::dirty::Stands;
use super::effect::{Durable, Effect, StoreJob, StoreOp, Update};
use super::registry::{Body, Child, Place, push_name};
use crate::artifact::{ArtifactId, FileKind, OsBytes, Stat};
use crate::event::Actor;

/// How long an artifact without a place may take to turn up again.
const LIMBO_NS: u64 = 100_000_000;

impl Pipeline {
    /// A file or directory is at a name that led nowhere.
    pub(super) fn arrived(
        &mut self,
        dir: ArtifactId,
        name: &[u8],
        stat: &Stat,
        seq: Seq,
        listed: Option<bool>,
        actor: Option<Actor>,
    ) {
        let known = self.registry.find(&stat.identity).filter(|id| self.registry.is(*id, stat));
        if known.and_then(|id| self.registry.dir(id)).is_some_and(|d| d.root.is_some()) {
            // A watched root, mounted once more below another: one place is enough.
            self.registry.put(dir, name, Child::Other(stat.kind, stat.identity));
            self.touched(dir, seq);
            return;
        }
        let id = known.unwrap_or_else(|| self.registry.add(stat));
        let others = self.registry.node(id).map(|n| n.places.clone()).unwrap_or_default();
        let returned = self.limbo.remove(&id).is_some();
        self.registry.attach(dir, name, id);
        self.touched(dir, seq);
        for place in others {
            self.want_look(place.dir, &place.name, seq, None);
        }
        if stat.kind == FileKind::Directory {
            self.own_stat(id, stat, seq);
            self.resettle(id, seq, returned);
            if known.is_none() || listed != Some(false) {
                self.want_list(id, seq, listed == Some(true));
            }
            return;
        }
        let first = known.is_none() && seq <= self.sync.first_seq;
        let Some(file) = self.registry.file_mut(id) else { return };
        let same = std::mem::replace(&mut file.stat, *stat) == *stat;
        file.moved = true;
        file.first |= first;
        if first {
            self.stats.first_fold.files_found += 1;
            self.stats.first_fold.bytes_found += stat.size.min(stat.blocks.saturating_mul(512));
        }
        if !same {
            // Under its other names it was shown as it was before.
            self.touched_file(id, seq);
        }
        self.unpark(id, seq);
        self.mark(id, seq, |d| {
            d.live |= !first;
            d.check = true;
            d.blame_all(actor.as_ref());
            false
        });
        if known.is_none() {
            self.arrived_mapped(id, &stat.identity, seq);
        }
    }

    /// Nothing, or something else, is at this name now.
    pub(super) fn lost(&mut self, dir: ArtifactId, name: &[u8], seq: Seq) {
        let settled = self.registry.dir(dir).and_then(|d| d.settled_path.clone());
        let Some(child) = self.registry.detach(dir, name) else { return };
        self.touched(dir, seq);
        let Child::Node(id) = child else { return };
        if let Some(mut path) = settled {
            push_name(&mut path, name);
            self.leave_brick(id, &path, seq);
        }
        let Some(node) = self.registry.node(id) else { return };
        let homeless = node.places.is_empty();
        if self.registry.dir(id).is_some() {
            if homeless {
                if self.registry.dir(id).is_some_and(|d| d.root.is_none()) {
                    self.limbo.insert(id, self.orphan(seq));
                }
            } else {
                self.resettle(id, seq, false);
            }
            return;
        }
        if homeless {
            self.limbo.insert(id, self.orphan(seq));
            self.park(id);
            return;
        }
        // One of several links is gone: the others' bricks say how many there are.
        if let Some(file) = self.registry.file_mut(id) {
            file.moved = true;
        }
        self.unpark(id, seq);
        self.mark(id, seq, |d| {
            d.live = true;
            false
        });
    }

    /// This artifact's brick is no longer at `path`; an edit under way there is dropped and repeated.
    fn leave_brick(&mut self, id: ArtifactId, path: &[u8], seq: Seq) {
        if self.registry.file(id).and_then(|f| f.flight.as_ref()).is_some_and(|f| f.has(path)) {
            self.cancel_flight(id, seq);
        }
        self.bricks.leave(path, id, self.orphan(seq));
    }

    /// The directory may be elsewhere than its children's bricks: they follow it.
    pub(super) fn resettle(&mut self, id: ArtifactId, seq: Seq, returned: bool) {
        let Some(path) = self.registry.dir_path(id) else { return };
        let settled = self.registry.dir(id).and_then(|d| d.settled_path.as_ref());
        if !returned && settled == Some(&path) {
            return;
        }
        // What lies at its old place may be nobody's by now.
        self.bricks.call_back(self.orphan(seq));
        let mut todo = vec![(id, path)];
        while let Some((id, path)) = todo.pop() {
            let Some(dir) = self.registry.dir_mut(id) else { continue };
            let old = dir.settled_path.replace(path.clone());
            let children: Vec<(OsBytes, ArtifactId)> = dir
                .children
                .iter()
                .filter_map(|(name, child)| match child {
                    Child::Node(id) => Some((name.clone(), *id)),
                    Child::Other(..) => None,
                })
                .collect();
            if let Some(deep) = dir.parked.take() {
                self.want_list(id, seq, deep);
            }
            self.enqueue_names(id);
            if let Some(old) = old.clone().filter(|old| *old != path) {
                self.move_brick(id, &old, &path, seq);
            }
            self.bricks.keep_directory(&path, id);
            self.touched(id, seq);
            for (name, child) in children {
                let mut to = path.clone();
                push_name(&mut to, &name);
                let Some(node) = self.registry.node(child) else { continue };
                match &node.body {
                    Body::Directory(_) => {
                        if node.places.first().is_some_and(|p| p.dir == id && p.name == name) {
                            todo.push((child, to));
                        }
                    }
                    Body::File(_) => {
                        if let Some(mut from) = old.clone()
                            && from != path
                        {
                            push_name(&mut from, &name);
                            self.move_brick(child, &from, &to, seq);
                            self.moved_along.insert(child);
                        }
                        self.unpark(child, seq);
                        self.came_along(child, &to, seq);
                    }
                }
            }
        }
    }

    /// The file's directory has a path again: its brick there may be missing, or have missed what
    /// was folded for its other links meanwhile.
    fn came_along(&mut self, id: ArtifactId, path: &[u8], seq: Seq) {
        let links = self.registry.node(id).map_or(0, |n| n.places.len());
        let has = self.bricks.get(path).is_some_and(|b| b.owner == Some(id) && b.state.is_some());
        if has && links == 1 {
            self.enqueue(id);
            return;
        }
        if let Some(file) = self.registry.file_mut(id) {
            file.moved = true;
        }
        self.mark(id, seq, |d| {
            d.live = true;
            d.check = true;
            false
        });
    }

    /// Ends what another artifact that left this path writes there: the place is this one's now.
    pub(super) fn evict(&mut self, path: &[u8], id: ArtifactId, seq: Seq) {
        let other = self.bricks.get(path).and_then(|b| b.owner).filter(|owner| *owner != id);
        let flight = other.and_then(|id| self.registry.file(id)).and_then(|f| f.flight.as_ref());
        if let Some(other) = other.filter(|_| flight.is_some_and(|f| f.has(path))) {
            self.cancel_flight(other, seq);
        }
    }

    /// Takes the brick of `id` from one path to another, over any that lies there.
    fn move_brick(&mut self, id: ArtifactId, from: &[u8], to: &[u8], seq: Seq) {
        let Some(brick) = self.bricks.get(from) else { return };
        if from == to || (brick.owner != Some(id) && brick.last != Some(id)) {
            return;
        }
        let (stored, durable) = (brick.stored, brick.durable(self.sync.flushes));
        let over = self.bricks.get(to).map_or(Durable::Nothing, |b| b.durable(self.sync.flushes));
        if self.registry.file(id).and_then(|f| f.flight.as_ref()).is_some_and(|f| f.has(from)) {
            self.cancel_flight(id, seq);
        }
        self.evict(to, id, seq);
        self.bricks.rename(from, to);
        if self.registry.dir(id).is_some() {
            self.bricks.take_directory(to, id);
        } else {
            self.bricks.take(to, id);
        }
        // What a file is depends on where it lies: its package, whether it is read at all.
        if let Some(file) = self.registry.file_mut(id) {
            file.stands = Stands::Stale;
        }
        if stored {
            let flushes = self.sync.flushes;
            if let Some(brick) = self.bricks.get_mut(to) {
                brick.moved(flushes, over);
            }
            let op = StoreOp::Rename { to: to.to_vec(), at: self.wall, durable, over };
            self.store(id, from, 0, op);
            // Who shows trees moves a directory with what is in it.
            if self.registry.file(id).is_some() {
                let (from, to) = (from.to_vec(), to.to_vec());
                self.publish(Update::Renamed { artifact: id, from, to });
            }
        }
    }

    /// Before a read: every path of the file gets its brick, one that was left behind or a new one.
    /// Says whether all of them show one and the same state of this very file.
    pub(super) fn settle_bricks(&mut self, id: ArtifactId, paths: &[OsBytes], seq: Seq) -> bool {
        let Some(file) = self.registry.file(id) else { return false };
        let stat = file.stat;
        let mut same = true;
        let mut sizes = vec![];
        for path in paths {
            if self.bricks.get(path).is_none()
                && let Some(from) = self.bricks.left_behind(id)
            {
                self.move_brick(id, &from, path, seq);
            }
            if self.bricks.get(path).is_none_or(|b| b.owner != Some(id)) {
                self.evict(path, id, seq);
                self.bricks.take(path, id);
            }
            let state = self.bricks.get(path).filter(|b| !b.fresh).and_then(|b| b.state);
            same &= state.is_some_and(|s| s.identity == stat.identity);
            sizes.extend(state.map(|s| s.size));
        }
        same && sizes.windows(2).all(|w| w[0] == w[1])
    }

    /// Whether every brick of this file shows the state `stat` says.
    pub(super) fn shows(&self, id: ArtifactId, stat: &Stat, audit: bool) -> bool {
        self.registry.paths(id).iter().all(|path| {
            self.bricks.get(path).is_some_and(|b| b.owner == Some(id) && b.proves(stat, audit))
        })
    }

    /// Ends what has waited long enough, where nothing older may still bring it back.
    pub(super) fn reap_aged(&mut self) {
        let now = self.now.0;
        let old = |o: &Orphan| o.since.0.saturating_add(LIMBO_NS) <= now;
        if !self.limbo.is_empty() || self.bricks.has_orphans() {
            self.reap(old);
        }
    }

    /// Ends everything in limbo that `due` says, unless something older is still to be worked off.
    pub(super) fn reap(&mut self, due: impl Fn(&Orphan) -> bool) {
        let over: Vec<ArtifactId> = self
            .limbo
            .iter()
            .filter(|(_, o)| due(o) && self.debts.settled(o.seq))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            if let Some(o) = self.limbo.remove(&id) {
                self.drop_artifact(id, o.seq);
            }
        }
        let over = self.bricks.over(|o| due(o) && self.debts.settled(o.seq));
        for path in self.known_to_be_gone(over) {
            let last = self.bricks.get(&path).and_then(|b| b.last);
            let directory = self.bricks.get(&path).is_some_and(|b| b.directory);
            if last.is_none() && !directory {
                self.stats.first_fold.bricks_removed += 1;
            }
            self.bricks.forget(&path);
            let artifact = last.unwrap_or(ArtifactId(0));
            self.store(artifact, &path, 0, StoreOp::Remove);
            if !directory {
                self.publish(Update::Removed { artifact, path });
            }
        }
    }

    /// The artifact is gone, and everything below it.
    pub(super) fn drop_artifact(&mut self, id: ArtifactId, seq: Seq) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let names: Vec<OsBytes> = self
                .registry
                .dir(id)
                .map(|d| d.children.keys().cloned().collect())
                .unwrap_or_default();
            for name in names {
                let child = self.registry.dir(id).and_then(|d| d.children.get(&name).copied());
                self.lost(id, &name, seq);
                if let Some(Child::Node(child)) = child
                    && self.limbo.remove(&child).is_some()
                {
                    todo.push(child);
                }
            }
            self.dequeue(id);
            let Some(node) = self.registry.remove(id) else { continue };
            self.untracked.remove(&id);
            if self.unreadable.remove(&id).is_some() {
                self.bricks.call_back(self.orphan(seq));
            }
            self.mapped.files.remove(&id);
            let busy = match node.body {
                Body::File(file) => {
                    if let Some((seq, _)) = file.dirty {
                        self.debts.pay(seq);
                    }
                    if file.first {
                        self.stats.first_fold.files_done += 1;
                    }
                    self.end_flight_of_dropped(id, file.flight)
                }
                Body::Directory(dir) => {
                    self.forget_fold(id, dir.fold);
                    let wanted = dir.list_wanted.map(|l| l.0).into_iter();
                    let wanted = wanted.chain(dir.list_running.map(|l| l.seq));
                    let looks = dir.looks.into_values().flat_map(|l| [l.wanted, l.running]);
                    for seq in wanted.chain(looks.flatten().map(|l| l.0)) {
                        self.debts.pay(seq);
                    }
                    self.lists.get_mut(&id).is_some_and(|gone| {
                        *gone = true;
                        true
                    })
                }
            };
            if !busy {
                self.out.push(Effect::Untrack { artifact: id });
            }
        }
    }

    /// Whether some look may still say that a place of this file is another's by now.
    pub(super) fn places_in_doubt(&self, places: &[Place]) -> bool {
        places.iter().any(|p| {
            self.registry.dir(p.dir).is_some_and(|d| {
                d.looks.contains_key(&p.name)
                    || (1 < places.len() && (d.list_wanted.is_some() || d.list_running.is_some()))
            })
        })
    }

    pub(super) fn store(&mut self, artifact: ArtifactId, path: &[u8], ticket: u64, op: StoreOp) {
        self.out.push(Effect::Store(StoreJob { artifact, path: path.to_vec(), ticket, op }));
    }
}
