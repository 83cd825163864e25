//! Which directory is folded when: each after those in it, because it shows what they look like.
//!
//! All that lie equally deep are folded together, the deepest first. That order saves folds and nothing
//! depends on it: a directory whose brick looks different than before marks the one above anew.
//!
//! Knows: what is marked, since when, how deep. Must never know: what a fold is of.
//! Keeps: what somebody waits for waits for nothing that came later; nothing waits for ever because
//! something below it never rests.

use super::{Directories, MOST, Pipeline};
use crate::artifact::ArtifactId;
use crate::event::MonotonicNs;
use crate::pipeline::debts::Seq;
use std::cmp::Reverse;

/// A directory waits so long for those below it that are due as well.
const PATIENCE_NS: u64 = 2_000_000_000;

/// And so long before its first fold in this run, when everything is looked at anew.
const FIRST_PATIENCE_NS: u64 = 60_000_000_000;

/// How often it is looked at who has waited too long.
const OVERLOOKED_NS: u64 = 1_000_000_000;

/// What may begin: what has rested, and whatever somebody waits for.
#[derive(Clone, Copy)]
struct Due {
    now: MonotonicNs,
    /// Somebody waits for everything that was caused up to here.
    awaited: Option<Seq>,
}

impl Due {
    fn is(self, dirty: Option<Seq>, not_before: MonotonicNs) -> bool {
        not_before <= self.now || self.awaited.is_some_and(|seq| dirty.is_none_or(|d| d <= seq))
    }

    /// Whether the directories above wait for what was caused by this input.
    fn holds_back(self, seq: Seq) -> bool {
        self.awaited.is_none_or(|awaited| seq <= awaited)
    }

    /// Whether what has been due since then has waited long enough.
    fn is_over(self, due: MonotonicNs, patience: u64) -> bool {
        due.0.saturating_add(patience) <= self.now.0
    }
}

impl Directories {
    /// It waits to be folded, and lies so deep.
    pub(super) fn enqueue(&mut self, id: ArtifactId, queued: &mut Option<u32>, level: u32) {
        if *queued != Some(level) {
            self.dequeue(id, queued);
            *queued = Some(level);
            self.dirty.insert((Reverse(level), id));
        }
    }

    pub(super) fn dequeue(&mut self, id: ArtifactId, queued: &mut Option<u32>) {
        if let Some(level) = queued.take() {
            self.dirty.remove(&(Reverse(level), id));
        }
    }
}

impl Pipeline {
    /// Folds what has waited long enough.
    pub(in crate::pipeline) fn fold_due(&mut self) {
        if self.stats.first_fold.complete && !self.sync.stopping {
            let due = Due { now: self.now, awaited: None };
            self.look_at_aged(due);
            self.fold_directories(due);
        }
    }

    /// Folds also what was caused up to `seq`, for those who wait for it. Says whether something had to
    /// be looked at first.
    pub(in crate::pipeline) fn fold_all(&mut self, seq: Seq) -> bool {
        let due = Due { now: self.now, awaited: Some(seq) };
        let looked = !self.sync.stopping && self.look_at_aged(due);
        if !looked {
            self.fold_directories(due);
        }
        looked
    }

    /// Has the directories looked at whose own times moved, for those that show them.
    fn look_at_aged(&mut self, due: Due) -> bool {
        let registry = &self.registry;
        let ready = |id: &ArtifactId| {
            registry.dir(*id).is_none_or(|d| due.is(d.fold.dirty, d.fold.not_before))
        };
        let ready: Vec<ArtifactId> = self.directories.aged.iter().copied().filter(ready).collect();
        let mut looked = false;
        for id in ready {
            self.directories.aged.remove(&id);
            let Some(dir) = self.registry.dir(id) else { continue };
            let seq = dir.fold.dirty.unwrap_or(self.seq);
            let shown = self.registry.level(id).is_some_and(|l| l <= self.settings.depth);
            let place = self.registry.node(id).and_then(|n| n.places.first()).cloned();
            if let Some(place) = place.filter(|_| shown) {
                self.want_look(place.dir, &place.name, seq, None);
                looked = true;
            }
        }
        looked
    }

    /// Begins as many folds as there may be, from below.
    fn fold_directories(&mut self, due: Due) {
        let overlooked = due.awaited.is_none() && self.directories.overlooked <= due.now;
        if overlooked {
            self.directories.overlooked = MonotonicNs(due.now.0.saturating_add(OVERLOOKED_NS));
        }
        let held_back = self.directories.running.values().filter(|f| due.holds_back(f.seq));
        let mut deepest = held_back.filter_map(|f| f.level).max();
        let mut next = self.directories.dirty.first().copied();
        while let Some(at @ (Reverse(level), id)) = next
            && self.directories.running.len() < MOST
        {
            use std::ops::Bound::{Excluded, Unbounded};
            next = self.directories.dirty.range((Excluded(at), Unbounded)).next().copied();
            let waits = deepest.is_some_and(|deepest| level < deepest);
            if waits && !overlooked {
                break;
            }
            let Some(dir) = self.registry.dir(id) else { continue };
            let (fold, seq) = (&dir.fold, dir.fold.dirty);
            let patience = if fold.folded { PATIENCE_NS } else { FIRST_PATIENCE_NS };
            if fold.running
                || !due.is(seq, fold.not_before)
                || (waits && !due.is_over(fold.not_before, patience))
            {
                continue;
            }
            if self.fold_directory(id, level) && seq.is_none_or(|seq| due.holds_back(seq)) {
                deepest = deepest.max(Some(level));
            }
        }
        let world = &self.directories.world;
        let waits = deepest.is_some() && !due.is_over(world.not_before, PATIENCE_NS);
        if !waits
            && !world.running
            && world.dirty.is_some()
            && due.is(world.dirty, world.not_before)
        {
            self.fold_world();
        }
    }
}
