//! Files in shared writable mappings: their bytes change without a system call.
//!
//! Knows: which files are mapped, as far as it was seen. Must never know: /proc, page tables.
//! Keeps: such a file is read clean-then-read, so that the next store faults and is seen; where
//! stores are never seen, it is read again every second, or as often as a tenth of the time allows,
//! and for every sync.

use super::Pipeline;
use super::debts::Seq;
use super::dirty::FileState;
use super::effect::{Effect, Update};
use crate::artifact::{ArtifactId, FileIdentity, OsBytes};
use crate::event::{Actor, Extents, MonotonicNs};
use std::collections::BTreeSet;

const SWEEP_NS: u64 = 1_000_000_000;
/// Sources that see mappings being made leave little to find; the others get this.
const SCAN_NS: u64 = 10_000_000_000;
/// No look makes the next one wait longer: it may have taken so long because we were stopped.
const MAX_PAUSE_NS: u64 = 300_000_000_000;

/// What is known of mappings.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    pub(super) files: BTreeSet<ArtifactId>,
    /// What the last scan found, also where it is not (yet) an artifact.
    seen: BTreeSet<FileIdentity>,
    /// A scan is under way, for this input.
    running: Option<Seq>,
    /// Another one is wanted after it.
    wanted: Option<Seq>,
    /// Became known to be mapped since that scan was asked for: whoever asked has not marked them.
    meanwhile: BTreeSet<ArtifactId>,
    next_sweep: MonotonicNs,
    next_scan: MonotonicNs,
    round: Option<Round>,
    /// The last round took so long that there is none before this moment.
    not_before: MonotonicNs,
}

/// A look at what is mapped that was begun because it was time, and has not ended.
#[derive(Debug)]
struct Round {
    since: MonotonicNs,
    /// Number of the input that began it.
    seq: Seq,
    /// Its scan has not been answered.
    scans: bool,
    /// Files that wait to be read for it.
    left: BTreeSet<ArtifactId>,
}

impl Pipeline {
    pub(super) fn on_mmap(
        &mut self,
        id: ArtifactId,
        actor: Actor,
        shared_writable: bool,
        executable: bool,
    ) {
        let seq = self.seq;
        if shared_writable && self.registry.file(id).is_some() {
            self.map(id, seq, Some(&actor));
        }
        if let Some(path) = self.registry.paths(id).into_iter().next() {
            self.publish(Update::Mapped { artifact: id, path, actor, executable });
        }
    }

    /// A file that was not known at the last scan may have been found by it.
    pub(super) fn arrived_mapped(&mut self, id: ArtifactId, identity: &FileIdentity, seq: Seq) {
        if self.mapped.seen.contains(identity) {
            self.map(id, seq, None);
        }
    }

    fn map(&mut self, id: ArtifactId, seq: Seq, actor: Option<&Actor>) {
        if let Some(file) = self.registry.file_mut(id) {
            file.mapped = true;
            if self.mapped.files.insert(id) && self.mapped.running.is_some() {
                self.mapped.meanwhile.insert(id);
            }
        }
        self.mark(id, seq, |d| {
            d.live = true;
            d.add(&Extents::Whole, actor)
        });
    }

    /// Asks who maps what; `seq` waits for the answer.
    pub(super) fn scan_mappings(&mut self, seq: Seq) {
        self.debts.owe(seq);
        if self.mapped.running.is_none() {
            self.mapped.running = Some(seq);
            self.out.push(Effect::ScanMappings);
            return;
        }
        // The one under way may have passed the process that matters.
        self.mapped.wanted = match self.mapped.wanted {
            None => Some(seq),
            Some(s) => Some(self.debts.merge(s, seq)),
        };
    }

    /// What facts stand on beside the files changed: these files, and those whose directory moved.
    pub(super) fn on_tables(&mut self, changed: &[OsBytes]) {
        let seq = self.mapped.running.unwrap_or(self.seq);
        let mut renew = std::mem::take(&mut self.moved_along);
        renew.extend(changed.iter().filter_map(|path| self.bricks.get(path)?.owner));
        for id in renew {
            self.mark(id, seq, |d| {
                d.live = true;
                d.renew = true;
                false
            });
        }
    }

    pub(super) fn on_mappings(&mut self, shared_writable: &[FileIdentity]) {
        let Some(seq) = self.mapped.running.take() else { return };
        if let Some(round) = &mut self.mapped.round {
            round.scans = false;
        }
        self.mapped.seen = shared_writable.iter().copied().collect();
        let meanwhile = std::mem::take(&mut self.mapped.meanwhile);
        let now: BTreeSet<ArtifactId> = shared_writable
            .iter()
            .filter_map(|identity| self.registry.find(identity))
            .filter(|id| self.registry.file(*id).is_some())
            .collect();
        for id in self.mapped.files.clone() {
            if !now.contains(&id) {
                self.unmap(id, seq);
            }
        }
        for id in now {
            // Whoever asked for this has marked what was known to be mapped. Older recordings marked it again.
            let marked = 0 < self.settings.mapped_rest && !meanwhile.contains(&id);
            let quiet = self
                .registry
                .file(id)
                .is_some_and(|f| f.mapped && (f.sees_mapped_stores || marked));
            if !quiet {
                self.map(id, seq, None);
            }
        }
        self.debts.pay(seq);
        if let Some(seq) = self.mapped.wanted.take() {
            self.mapped.running = Some(seq);
            self.out.push(Effect::ScanMappings);
        }
    }

    /// Nobody maps it any more: what was stored last is read once more.
    fn unmap(&mut self, id: ArtifactId, seq: Seq) {
        self.mapped.files.remove(&id);
        let Some(file) = self.registry.file_mut(id) else { return };
        file.mapped = false;
        if !file.sees_mapped_stores {
            self.mark(id, seq, |d| {
                d.live = true;
                d.add(&Extents::Whole, None)
            });
        }
    }

    /// Files whose stores are only found by looking.
    pub(super) fn unseen_mapped(&self) -> u64 {
        let unseen = |id: &&ArtifactId| {
            let file = self.registry.file(**id);
            file.is_some_and(|f| !f.sees_mapped_stores && !f.untracked)
        };
        u64::try_from(self.mapped.files.iter().filter(unseen).count()).unwrap_or(u64::MAX)
    }

    /// Every second: what is mapped and not seen is read again.
    pub(super) fn sweep_mapped(&mut self) {
        if self.mapped.round.is_some() || self.now < self.mapped.not_before {
            return;
        }
        let mut round =
            Round { since: self.now, seq: self.seq, scans: false, left: BTreeSet::new() };
        let due = SCAN_NS.min(if self.mapped.files.is_empty() { SCAN_NS } else { SWEEP_NS });
        if self.mapped.running.is_none() && self.mapped.next_scan <= self.now && !self.sync.stopping
        {
            self.mapped.next_scan = MonotonicNs(self.now.0.saturating_add(due));
            self.scan_mappings(self.seq);
            round.scans = true;
        }
        if self.mapped.next_sweep <= self.now {
            self.mapped.next_sweep = MonotonicNs(self.now.0.saturating_add(SWEEP_NS));
            for id in self.mapped.files.clone() {
                if self.registry.file(id).is_some_and(|f| !f.sees_mapped_stores) {
                    self.map(id, self.seq, None);
                    round.left.insert(id);
                }
            }
        }
        if 0 < self.settings.mapped_rest && (round.scans || !round.left.is_empty()) {
            // One that rests after a read for somebody else's sake says nothing of what a round takes.
            let now = self.now;
            round.left.retain(|id| self.registry.file(*id).is_some_and(|f| f.not_before <= now));
            self.mapped.round = Some(round);
        }
    }

    /// What a round took, others wait for: so it takes no more than its share of the time.
    pub(super) fn end_round(&mut self) {
        let Some(round) = &mut self.mapped.round else { return };
        while let Some(id) = round.left.first() {
            let waits = |f: &FileState| f.mapped && f.parked.is_none() && f.read_since < round.seq;
            if self.registry.file(*id).is_some_and(waits) {
                break;
            }
            round.left.pop_first();
        }
        if round.scans || !round.left.is_empty() {
            return;
        }
        let took = self.now.0.saturating_sub(round.since.0);
        let pause = took.saturating_mul(self.settings.mapped_rest.into()).min(MAX_PAUSE_NS);
        self.mapped.not_before = MonotonicNs(self.now.0.saturating_add(pause));
        self.mapped.round = None;
    }
}

#[cfg(test)]
mod tests;
