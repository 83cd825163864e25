//! Files in shared writable mappings: their bytes change without a system call.
//!
//! Knows: which files are mapped, as far as it was seen. Must never know: /proc, page tables.
//! Keeps: such a file is read clean-then-read, so that the next store faults and is seen; where
//! stores are never seen, it is read again every second and for every sync.

use super::Pipeline;
use super::debts::Seq;
use super::effect::{Effect, Update};
use crate::artifact::{ArtifactId, FileIdentity, OsBytes};
use crate::event::{Actor, Extents, MonotonicNs};
use std::collections::BTreeSet;

const SWEEP_NS: u64 = 1_000_000_000;
/// Sources that see mappings being made leave little to find; the others get this.
const SCAN_NS: u64 = 10_000_000_000;

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
    next_sweep: MonotonicNs,
    next_scan: MonotonicNs,
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
    pub(super) fn arrived_mapped(&mut self, id: ArtifactId, identity: &FileIdentity) {
        if self.mapped.seen.contains(identity) {
            self.map(id, self.seq, None);
        }
    }

    fn map(&mut self, id: ArtifactId, seq: Seq, actor: Option<&Actor>) {
        if let Some(file) = self.registry.file_mut(id) {
            file.mapped = true;
            self.mapped.files.insert(id);
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
        self.mapped.seen = shared_writable.iter().copied().collect();
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
            let quiet = self.registry.file(id).is_some_and(|f| f.mapped && f.sees_mapped_stores);
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
        let due = SCAN_NS.min(if self.mapped.files.is_empty() { SCAN_NS } else { SWEEP_NS });
        if self.mapped.running.is_none() && self.mapped.next_scan <= self.now && !self.sync.stopping
        {
            self.mapped.next_scan = MonotonicNs(self.now.0.saturating_add(due));
            self.scan_mappings(self.seq);
        }
        if self.now < self.mapped.next_sweep {
            return;
        }
        self.mapped.next_sweep = MonotonicNs(self.now.0.saturating_add(SWEEP_NS));
        for id in self.mapped.files.clone() {
            if self.registry.file(id).is_some_and(|f| !f.sees_mapped_stores) {
                self.map(id, self.seq, None);
            }
        }
    }
}
