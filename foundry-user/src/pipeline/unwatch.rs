//! A root that is watched no more: everything beneath it is forgotten, and its bricks stay.
//!
//! Knows: roots, what is beneath them. Must never know: why somebody wants it, I/O.
//! Keeps: no brick beneath the root is changed or removed any more; what another root leads to, too,
//! stays watched there; nothing that was owed for it is waited for.

use super::Pipeline;
use super::effect::Effect;
use super::schedule::FlightSlot;
use crate::artifact::{ArtifactId, OsBytes};
use std::collections::BTreeSet;

impl Pipeline {
    pub(super) fn on_unwatch(&mut self, root: &[u8]) {
        let is_it = |id: &ArtifactId| {
            self.registry.dir(*id).and_then(|dir| dir.root.as_deref()) == Some(root)
        };
        let Some(id) = self.roots.iter().copied().find(is_it) else { return };
        let seq = self.seq;
        self.roots.retain(|other| *other != id);
        self.held.retain(|other| other != root);
        if let Some((owed, _)) = self.recalls.remove(root) {
            self.debts.pay(owed);
        }
        let Some(dir) = self.registry.dir_mut(id) else { return };
        dir.root = None;
        if self.registry.node(id).is_some_and(|node| node.places.is_empty()) {
            // Edits under way end first: the bricks know of which paths they are.
            self.drop_artifact(id, seq);
        } else {
            self.resettle(id, seq, false);
            self.enqueue_names(id);
        }
        self.end_flights_beneath(root);
        self.bricks.forget_beneath(root);
        if self.settings.depth != 0 {
            self.touched_world(seq);
        }
    }

    /// Looks at roots that came, once nothing is read any more for artifacts that are forgotten: those may
    /// be the same inodes, and a source that takes one for an old name does not have it for another.
    pub(super) fn begin_roots(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let forgotten = |f: &FlightSlot| self.registry.node(f.artifact).is_none();
        if self.lists.values().any(|gone| *gone) || self.flights.values().any(forgotten) {
            return;
        }
        for root in std::mem::take(&mut self.held) {
            self.out.push(Effect::Recall { root });
        }
    }

    /// What just lost its place may be read still, for bricks that are to rest.
    fn end_flights_beneath(&mut self, root: &[u8]) {
        let is_beneath = |path: &OsBytes| {
            let rest = path.strip_prefix(root.strip_suffix(b"/").unwrap_or(root));
            rest.is_some_and(|rest| rest.starts_with(b"/"))
        };
        let flying: BTreeSet<ArtifactId> = self.flights.values().map(|f| f.artifact).collect();
        for id in flying {
            let flight = self.registry.file(id).and_then(|file| file.flight.as_ref());
            if flight.is_some_and(|flight| flight.paths.iter().any(is_beneath)) {
                self.cancel_flight(id, self.seq);
            }
        }
    }
}
