//! Promises: sync, the end of the first look, shutdown.
//!
//! Knows: which input a promise was asked by. Must never know: who asked.
//! Keeps: a sync is answered when nothing that was caused before it is left, and a flush after
//! that has been answered.

use super::Pipeline;
use super::bricks::Flushes;
use super::debts::Seq;
use super::effect::Effect;
use crate::artifact::ArtifactId;
use crate::event::Extents;
use std::collections::BTreeMap;

/// The ticket of the flush before the end.
const LAST_FLUSH: u64 = u64::MAX;

/// Promises that are not kept yet.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    /// By ticket: the number of the input that asked, and whether the flush is under way.
    open: BTreeMap<u64, (Seq, bool)>,
    /// The input that asked for the last root to be watched.
    pub(super) first_seq: Seq,
    /// Nothing new is begun.
    pub(super) stopping: bool,
    last_flush: bool,
    pub(super) flushes: Flushes,
    /// Flushes without an answer yet: their numbers by their tickets.
    flushing: BTreeMap<u64, u64>,
}

impl Syncs {
    /// Whether somebody waits.
    pub(super) fn hurry(&self) -> bool {
        !self.open.is_empty() || self.stopping
    }

    /// The first sync that is not kept yet and was asked for after input number `begun`.
    pub(super) fn asked_since(&self, begun: Seq) -> Option<Seq> {
        self.open.values().map(|sync| sync.0).filter(|seq| begun < *seq).min()
    }
}

impl Pipeline {
    pub(super) fn on_sync(&mut self, ticket: u64) {
        let seq = self.seq;
        self.sync.open.insert(ticket, (seq, false));
        for id in self.untracked.clone() {
            self.compare(id, seq);
        }
        for id in self.mapped.files.clone() {
            if self.registry.file(id).is_some_and(|f| !f.sees_mapped_stores) {
                self.mark(id, seq, |d| {
                    d.live = true;
                    d.add(&Extents::Whole, None)
                });
            }
        }
        self.try_all_again(seq);
        self.scan_mappings(seq);
        self.cooled();
    }

    /// Nobody says when this artifact changes: see for ourselves.
    fn compare(&mut self, id: ArtifactId, seq: Seq) {
        self.stats.compared += 1;
        self.want_list(id, seq, false);
        self.mark(id, seq, |d| {
            d.live = true;
            d.check = true;
            d.audit = true;
            false
        });
    }

    /// The source took this artifact, or did not: then only comparing tells whether it changed.
    /// What is being looked at since before a sync may have changed between the look and the sync.
    pub(super) fn set_untracked(&mut self, id: ArtifactId, untracked: bool, begun: Seq) {
        if let Some(file) = self.registry.file_mut(id) {
            file.untracked = untracked;
        } else if let Some(dir) = self.registry.dir_mut(id) {
            dir.untracked = untracked;
        } else {
            return;
        }
        if untracked {
            self.untracked.insert(id);
            if let Some(seq) = self.sync.asked_since(begun) {
                self.compare(id, seq);
            }
        } else {
            self.untracked.remove(&id);
        }
    }

    /// Keeps what can be kept by now.
    pub(super) fn advance_syncs(&mut self) {
        let waiting = self.sync.open.iter().filter(|(_, (_, flushing))| !flushing);
        let waiting: Vec<(u64, Seq)> = waiting.map(|(ticket, (seq, _))| (*ticket, *seq)).collect();
        for (ticket, seq) in waiting {
            if !self.debts.settled(seq) {
                continue;
            }
            // Whatever left its place before the sync and has not turned up by now is gone.
            // Where that leaves work for others, it is waited for too.
            self.reap(|o| o.seq <= seq);
            self.pump();
            if self.debts.settled(seq) && self.fold_all(seq) {
                self.pump();
            }
            // A directory that is too deep by now has left its brick.
            if self.is_settled(seq) {
                self.reap(|o| o.seq <= seq);
            }
            if self.is_settled(seq) {
                self.sync.open.insert(ticket, (seq, true));
                self.flush(ticket);
            }
        }
        let first = &mut self.stats.first_fold;
        if !first.complete && self.sync.first_seq != 0 && self.debts.settled(self.sync.first_seq) {
            first.complete = true;
        }
        let mut idle = self.flights.is_empty() && self.storing.is_empty();
        if self.sync.stopping && idle && self.stats.first_fold.complete {
            self.fold_all(self.seq);
        }
        idle &= self.directories.is_idle();
        if self.sync.stopping && idle && !self.sync.last_flush {
            self.sync.last_flush = true;
            self.flush(LAST_FLUSH);
        }
    }

    fn is_settled(&self, seq: Seq) -> bool {
        self.debts.settled(seq) && self.directories.debts.settled(seq)
    }

    fn flush(&mut self, ticket: u64) {
        self.sync.flushes.begun += 1;
        self.sync.flushing.insert(ticket, self.sync.flushes.begun);
        self.out.push(Effect::Flush { ticket });
    }

    pub(super) fn on_flushed(&mut self, ticket: u64, ok: bool) {
        let number = self.sync.flushing.remove(&ticket);
        if !ok {
            return;
        }
        let done = &mut self.sync.flushes.done;
        *done = number.map_or(*done, |number| number.max(*done));
        if ticket == LAST_FLUSH {
            if self.sync.last_flush {
                self.out.push(Effect::Stopped);
            }
        } else if self.sync.open.remove(&ticket).is_some() {
            self.out.push(Effect::SyncDone { ticket });
        }
    }
}
