//! Who is next: live changes before the backlog, everything within its limits.
//!
//! Knows: queues and counts. Must never know: what a read is for.
//! Keeps: never more under way than [`super::Settings`] say; within a queue, the oldest cause first.

use super::Pipeline;
use super::debts::Seq;
use super::dirty::Slot;
use crate::artifact::ArtifactId;
use crate::event::MonotonicNs;
use std::collections::BTreeSet;

/// A read under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlightSlot {
    pub(super) artifact: ArtifactId,
    pub(super) backlog: bool,
}

/// The queues, and how much is under way.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    live: BTreeSet<(Seq, ArtifactId)>,
    backlog: BTreeSet<(Seq, ArtifactId)>,
    /// Changed again right after a costly read: not before that moment.
    cooling: BTreeSet<(MonotonicNs, ArtifactId)>,
    /// Directories that want a listing or looks.
    names: BTreeSet<(Seq, ArtifactId)>,
    pub(super) reads: u32,
    pub(super) backlog_reads: u32,
    pub(super) lists: u32,
    pub(super) looks: u32,
}

impl Schedule {
    fn remove(&mut self, slot: Slot, id: ArtifactId) {
        match slot {
            Slot::Live(seq) => self.live.remove(&(seq, id)),
            Slot::Backlog(seq) => self.backlog.remove(&(seq, id)),
            Slot::Cooling(until) => self.cooling.remove(&(until, id)),
        };
    }

    fn insert(&mut self, slot: Slot, id: ArtifactId) {
        match slot {
            Slot::Live(seq) => self.live.insert((seq, id)),
            Slot::Backlog(seq) => self.backlog.insert((seq, id)),
            Slot::Cooling(until) => self.cooling.insert((until, id)),
        };
    }
}

impl Pipeline {
    /// Puts a dirty file where it belongs now. Does nothing for one that is read, or not dirty.
    pub(super) fn enqueue(&mut self, id: ArtifactId) {
        let hurry = self.sync.hurry();
        let Some(file) = self.registry.file_mut(id) else { return };
        if file.flight.is_some() {
            return;
        }
        let Some((seq, dirty)) = &file.dirty else { return };
        let slot = if !hurry && self.now < file.not_before {
            Slot::Cooling(file.not_before)
        } else if dirty.live {
            Slot::Live(*seq)
        } else {
            Slot::Backlog(*seq)
        };
        if file.queued == Some(slot) {
            return;
        }
        if let Some(old) = file.queued.replace(slot) {
            self.schedule.remove(old, id);
        }
        self.schedule.insert(slot, id);
    }

    /// Takes a file out of its queue.
    pub(super) fn dequeue(&mut self, id: ArtifactId) {
        if let Some(slot) = self.registry.file_mut(id).and_then(|f| f.queued.take()) {
            self.schedule.remove(slot, id);
        }
        if let Some(seq) = self.registry.dir_mut(id).and_then(|d| d.queued.take()) {
            self.schedule.names.remove(&(seq, id));
        }
    }

    /// Puts a directory in the queue where it wants something.
    pub(super) fn enqueue_names(&mut self, id: ArtifactId) {
        let Some(dir) = self.registry.dir_mut(id) else { return };
        let list = dir.list_wanted.map(|l| l.0);
        let look = dir.looks.values().find_map(|l| l.wanted.as_ref().map(|w| w.0));
        let Some(seq) = list.or(look) else { return };
        if dir.queued.is_none() {
            dir.queued = Some(seq);
            self.schedule.names.insert((seq, id));
        }
    }

    /// Whoever has rested long enough may go on; everyone while somebody waits for a sync.
    pub(super) fn cooled(&mut self) {
        let until = if self.sync.hurry() { MonotonicNs(u64::MAX) } else { self.now };
        while let Some(&(due, id)) = self.schedule.cooling.first() {
            if until < due {
                break;
            }
            self.dequeue(id);
            self.enqueue_now(id);
        }
    }

    fn enqueue_now(&mut self, id: ArtifactId) {
        if let Some(file) = self.registry.file_mut(id) {
            file.not_before = MonotonicNs(0);
        }
        self.enqueue(id);
    }

    /// Begins what may begin.
    pub(super) fn pump(&mut self) {
        self.pump_names();
        while self.schedule.reads < self.settings.reads {
            let backlog = self.schedule.backlog_reads < self.settings.backlog_reads;
            let next = self.schedule.live.first().or_else(|| {
                self.schedule.backlog.first().filter(|_| backlog && !self.sync.stopping)
            });
            let Some(&(_, id)) = next else { break };
            self.dequeue(id);
            self.start_read(id);
        }
    }

    fn pump_names(&mut self) {
        let mut blocked = vec![];
        while let Some((seq, id)) = self.schedule.names.pop_first() {
            if let Some(dir) = self.registry.dir_mut(id) {
                dir.queued = None;
            }
            if self.sync.stopping || self.start_names(id) {
                continue;
            }
            blocked.push((seq, id));
            let full = self.settings.lists <= self.schedule.lists;
            if full && self.settings.looks <= self.schedule.looks {
                break;
            }
            // One kind is at its limit; the other may not be, but nobody scans the whole queue for it.
            if 32 < blocked.len() {
                break;
            }
        }
        for (seq, id) in blocked {
            if let Some(dir) = self.registry.dir_mut(id) {
                dir.queued = Some(seq);
                self.schedule.names.insert((seq, id));
            }
        }
    }
}
