//! Counters by name, with their units: what `status` shows.
//!
//! Knows: numbers. Must never know: sinks, who asks.
//! Keeps: a counter only grows, a gauge says how things stand now; names are stable, scripts rely on them.

use crate::event::LossKind;
use crate::sources::SourceCounters;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The number in a report that says when everything was last compared, in seconds since the epoch:
/// when that began, as far as it has ended.
pub const COMPARED: &str = "compared_unix_seconds";

/// What the pipeline has counted. Part of its state: a replay counts the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineStats {
    /// Events taken in.
    pub events: u64,
    /// Events that added nothing to what was already dirty.
    pub coalesced: u64,
    /// Records the sources reported as dropped, by kind.
    pub lost: BTreeMap<LossKind, u64>,
    /// Directories listed again, and trees swept, because names were lost.
    pub resyncs: u64,
    /// Of those: directories that were listed again.
    pub relists: u64,
    /// Of those: sweeps of everything.
    pub sweeps: u64,
    /// Files to be read as a whole, because the source could not say which part.
    pub whole_files: u64,
    /// Comparisons of artifacts that no source follows, one for each `sync` and artifact.
    pub compared: u64,
    /// Bytes handed to the store to fold.
    pub bytes_folded: u64,
    /// Commits that made a new generation.
    pub commits: u64,
    /// New generations of directories' bricks.
    pub directory_commits: u64,
    /// Commits that found nothing changed.
    pub unchanged: u64,
    /// Artifacts that are tracked now.
    pub artifacts: u64,
    /// Artifacts with work waiting or in flight.
    pub pending: u64,
    /// Artifacts that could not be read.
    pub unreadable: u64,
    /// Artifacts whose changes nobody tells of: they are true as of the last time they were compared.
    pub stale: u64,
    /// Files that were compared with their bricks because it was time.
    pub audited: u64,
    /// Of these, those that differed although nobody had seen them change.
    pub drifted: u64,
    /// How the first look at the tree is going.
    pub first_fold: FirstFold,
}

/// Progress of the first look at the watched trees, and what a restart had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstFold {
    /// Files found so far.
    pub files_found: u64,
    /// Bytes in them.
    pub bytes_found: u64,
    /// Files done: folded, or found to agree with their brick.
    pub files_done: u64,
    /// Bytes of the files done.
    pub bytes_done: u64,
    /// Files whose brick agreed, so that they were not read.
    pub files_agreed: u64,
    /// Files read because their brick did not agree, or there was none.
    pub files_read: u64,
    /// Bytes read for that.
    pub bytes_read: u64,
    /// Of the files read: those whose hashes showed that nothing had changed.
    pub files_unchanged: u64,
    /// Bricks removed because their artifact was gone.
    pub bricks_removed: u64,
    /// All is listed and done.
    pub complete: bool,
}

/// Everything `status` says, by name. `text` for words, `number` for the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The source that runs.
    pub backend: String,
    /// Watched roots, as given (lossily UTF-8).
    pub roots: Vec<String>,
    /// Of these, those whose directory cannot be read.
    pub closed: Vec<String>,
    /// What cannot be read.
    pub left_out: LeftOut,
    /// Counters and gauges; names end in their unit where they are not plain counts.
    pub numbers: BTreeMap<String, u64>,
    /// Dropped records by kind. Each was repaired by a coarser event.
    pub lost: BTreeMap<String, u64>,
    /// Progress of the first look.
    pub first_fold: FirstFold,
}

/// Artifacts that cannot be read: no promise is kept for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many, at each of their places.
    pub count: u64,
    /// Of these, those that were read before: what is in their bricks may not be true any more.
    pub behind: u64,
    /// Of these, those that fail for another reason than that the daemon may not read them.
    pub broken: u64,
    /// The first of them, those with bricks before all others: path (lossily UTF-8), and why.
    pub some: Vec<(String, String)>,
}

/// Each kind of loss: its name, and what is done about it, as `status` shows them.
const LOSSES: [(LossKind, &str, &str); 7] = [
    (LossKind::Doorbell, "doorbell", "every file's state was looked at"),
    (LossKind::Range, "range", "whole files were read"),
    (LossKind::Inode, "inode", "compared at each sync"),
    (LossKind::Name, "name", "directories were listed again"),
    (LossKind::Attribution, "attribution", "bricks are right; who wrote is not known"),
    (
        LossKind::Process,
        "process",
        "bricks are right; of who wrote, only the short name may be known",
    ),
    (LossKind::Queue, "queue", "everything was compared"),
];

/// The name of a kind of loss.
#[must_use]
pub fn loss_name(kind: LossKind) -> &'static str {
    LOSSES.iter().find(|loss| loss.0 == kind).map_or("unknown", |loss| loss.1)
}

/// What is done about a loss of this name; nothing where a newer daemon calls it so.
#[must_use]
pub fn recovery(name: &str) -> Option<&'static str> {
    LOSSES.iter().find(|loss| loss.1 == name).map(|loss| loss.2)
}

impl Report {
    /// The report of a running daemon: its source's and its pipeline's counters side by side.
    #[must_use]
    pub fn new(
        backend: &str,
        roots: Vec<String>,
        source: &SourceCounters,
        stats: &PipelineStats,
    ) -> Self {
        let mut numbers: BTreeMap<String, u64> = [
            ("seen", source.seen.max(stats.events)),
            ("coalesced", source.coalesced + stats.coalesced),
            ("events", stats.events),
            ("resyncs", stats.resyncs),
            ("relists", stats.relists),
            ("sweeps", stats.sweeps),
            ("whole_files", stats.whole_files),
            ("compared", stats.compared),
            ("pending", stats.pending),
            ("artifacts", stats.artifacts),
            ("unreadable", stats.unreadable),
            ("stale", stats.stale),
            ("commits", stats.commits),
            ("directory_commits", stats.directory_commits),
            ("unchanged", stats.unchanged),
            ("bytes", stats.bytes_folded),
            ("audited", stats.audited),
            ("drifted", stats.drifted),
        ]
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n))
        .collect();
        for (name, n) in &source.other {
            numbers.insert(format!("source_{name}"), *n);
        }
        let mut lost = BTreeMap::new();
        for (kind, n) in stats.lost.iter().chain(&source.lost) {
            let slot: &mut u64 = lost.entry(loss_name(*kind).to_owned()).or_default();
            *slot = (*slot).max(*n);
        }
        numbers.insert("lost".to_owned(), lost.values().sum());
        let (backend, first_fold) = (backend.to_owned(), stats.first_fold);
        Self {
            backend,
            roots,
            closed: vec![],
            left_out: LeftOut::default(),
            numbers,
            lost,
            first_fold,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_has_a_name_and_what_is_done_about_it() {
        for kind in [
            LossKind::Doorbell,
            LossKind::Range,
            LossKind::Inode,
            LossKind::Name,
            LossKind::Attribution,
            LossKind::Process,
            LossKind::Queue,
        ] {
            let name = loss_name(kind);
            assert_eq!(LOSSES.iter().filter(|loss| loss.1 == name).count(), 1, "{kind:?}");
            assert!(recovery(name).is_some(), "{kind:?}");
        }
        assert_eq!(recovery("of a later version"), None);
    }

    #[test]
    fn a_loss_counted_on_both_sides_is_shown_once() {
        let source = SourceCounters {
            seen: 10,
            lost: [(LossKind::Name, 3)].into(),
            ..SourceCounters::default()
        };
        let stats = PipelineStats {
            events: 4,
            lost: [(LossKind::Name, 2), (LossKind::Range, 1)].into(),
            ..PipelineStats::default()
        };
        let report = Report::new("test", vec![], &source, &stats);
        assert_eq!(report.numbers["lost"], 4);
        assert_eq!(report.lost["name"], 3);
        assert_eq!(report.numbers["seen"], 10);
    }
}
