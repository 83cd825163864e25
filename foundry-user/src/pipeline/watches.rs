//! Trees that are compared with their bricks because it is time.
//!
//! Knows: roots, what is beneath them. Must never know: calendars, who asked.
//! Keeps: a comparison is done when every file that was there has been read again and committed.

use super::Pipeline;
use super::debts::Seq;
use super::effect::Effect;
use super::registry::{Child, push_name};
use crate::artifact::ArtifactId;
use crate::event::Extents;
use std::collections::BTreeSet;

/// A comparison under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audit {
    seq: Seq,
    files: u64,
    differing: u64,
}

impl Pipeline {
    /// Every file at or beneath `path` is read again, whatever its times say.
    pub(super) fn on_audit(&mut self, path: &[u8], ticket: u64) {
        let seq = self.seq;
        let mut audit = Audit { seq, files: 0, differing: 0 };
        let mut todo: Vec<ArtifactId> = self.at(path).into_iter().collect();
        if let Some(id) = todo.first().filter(|id| self.registry.dir(**id).is_some()) {
            // Names that nobody heard of are looked for, too.
            self.want_list(*id, seq, true);
        }
        // What was seen of a tree at different moments may hold a cycle.
        let mut seen = BTreeSet::new();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Some(dir) = self.registry.dir(id) {
                todo.extend(dir.children.values().filter_map(|child| match child {
                    Child::Node(id) => Some(*id),
                    Child::Other(..) => None,
                }));
                continue;
            }
            audit.files += 1;
            self.mark(id, seq, |d| d.add(&Extents::Whole, None));
        }
        self.audits.insert(ticket, audit);
    }

    /// What is at a path now, beneath any root.
    fn at(&self, path: &[u8]) -> Option<ArtifactId> {
        let root_of = |id: &ArtifactId| self.registry.dir(*id).and_then(|dir| dir.root.clone());
        for id in &self.roots {
            let Some(mut above) = root_of(id) else { continue };
            if path == above.as_slice() {
                return Some(*id);
            }
            push_name(&mut above, b"");
            let Some(rest) = path.strip_prefix(above.as_slice()) else { continue };
            let step = |at: Option<ArtifactId>, name: &[u8]| match self
                .registry
                .dir(at?)?
                .children
                .get(name)?
            {
                Child::Node(id) => Some(*id),
                Child::Other(..) => None,
            };
            return rest.split(|b| *b == b'/').fold(Some(*id), step);
        }
        None
    }

    /// A commit changed content that nobody had said was changed.
    pub(super) fn drifted(&mut self, seq: Seq) {
        for audit in self.audits.values_mut().filter(|audit| audit.seq == seq) {
            audit.differing += 1;
        }
    }

    /// Says which comparisons are done by now.
    pub(super) fn advance_audits(&mut self) {
        let done: Vec<u64> = self
            .audits
            .iter()
            .filter(|(_, audit)| self.debts.settled(audit.seq))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in done {
            if let Some(Audit { files, differing, .. }) = self.audits.remove(&ticket) {
                self.stats.audited += files;
                self.stats.drifted += differing;
                self.out.push(Effect::AuditDone { ticket, files, differing });
            }
        }
    }
}
