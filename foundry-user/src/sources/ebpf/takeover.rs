//! Taking over from an earlier run, and leaving something to the next one.
//!
//! Knows: what is pinned, which artifacts are asked about. Must never know: how it is collected.
//! Keeps: an artifact is looked up once, after its own tracking began; what was found waits until
//! somebody asks for it.

use super::modules::Modules;
use super::pins::{self, Attached, Kept, Place};
use super::previous::{Found, Previous};
use super::shared::SharedWords;
use super::slots::Key;
use crate::artifact::ArtifactId;
use crate::event::Extents;
use std::collections::{BTreeMap, HashMap};

/// What earlier runs left, as far as it has come.
pub(super) struct Takeover {
    kept: Kept,
    /// Something is tracked.
    used: bool,
    previous: Vec<Previous>,
    changed: HashMap<ArtifactId, Extents>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    runs: u64,
    refused: u64,
    known: u64,
    unknown: u64,
    changed: u64,
}

impl Takeover {
    pub(super) fn new(links: Vec<Attached>) -> Self {
        Self {
            kept: Kept::new(links),
            used: false,
            previous: Vec::new(),
            changed: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// Opens what earlier runs left, then pins what this one needs.
    pub(super) fn begin(&mut self, place: &Place, modules: &Modules, global: &SharedWords) {
        let (previous, mut said) = pins::earlier(place);
        self.counts.runs = count(previous.len());
        self.counts.refused = count(said.len());
        self.previous = previous;
        if !place.keep && self.previous.is_empty() {
            pins::tidy(place);
        } else if place.keep {
            let (maps, links) = modules.objects();
            if let Err(error) = self.kept.pin(place, maps, links, global) {
                said.push(format!("nothing is kept for the next start: {error}"));
            }
        }
        for what in said {
            tracing::warn!(what, "files are compared by their times instead");
        }
    }

    /// Looks up an artifact whose tracking has begun. `sees_stores` is asked for what is there.
    pub(super) fn look(
        &mut self,
        artifact: ArtifactId,
        key: &Key,
        sees_stores: impl FnOnce() -> bool,
    ) {
        self.used = true;
        if self.previous.is_empty() {
            return;
        }
        let sees_stores = sees_stores();
        let (mut known, mut changed) = (false, None);
        for previous in &mut self.previous {
            match previous.look(key, sees_stores) {
                Found::Nothing => {}
                Found::Same => known = true,
                Found::Changed(extents) => {
                    known = true;
                    changed = Some(match changed {
                        None => extents,
                        Some(_) => Extents::Whole,
                    });
                }
            }
        }
        self.counts.known += u64::from(known);
        self.counts.unknown += u64::from(!known);
        if let Some(extents) = changed {
            self.counts.changed += 1;
            self.changed.insert(artifact, extents);
        }
    }

    /// What was found for an artifact; told once.
    pub(super) fn take(&mut self, artifact: ArtifactId) -> Option<Extents> {
        self.changed.remove(&artifact)
    }

    /// Everything was looked at: earlier runs end.
    pub(super) fn end(&mut self) {
        if self.previous.is_empty() {
            return;
        }
        let Counts { known, unknown, changed, .. } = self.counts;
        tracing::info!(known, changed, unknown, "an earlier run's state was taken over");
        let mut said = Vec::new();
        self.previous.drain(..).for_each(|previous| previous.end(&mut said));
        said.iter().for_each(|what| tracing::warn!(what, "kept state"));
    }

    /// For `status`.
    pub(super) fn count(&self, into: &mut BTreeMap<&'static str, u64>) {
        let Counts { runs, refused, known, unknown, changed } = self.counts;
        into.insert("pinned", u64::from(self.kept.is_pinned()));
        if runs + refused == 0 {
            return;
        }
        into.insert("runs taken over", runs);
        into.insert("runs in doubt", refused);
        into.insert("files taken over", known);
        into.insert("changed meanwhile", changed);
        into.insert("files not pinned", unknown);
    }
}

impl Drop for Takeover {
    /// A run that has tracked nothing has nothing to leave, and what it found stays as it is.
    fn drop(&mut self) {
        if !self.used
            && let Err(error) = self.kept.unpin()
        {
            tracing::warn!(%error, "what was pinned for the next start stays");
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
