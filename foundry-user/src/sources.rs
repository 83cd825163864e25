//! Where events come from. Sources never name one another, the store or a sink.
//!
//! Knows: the contract every source keeps. Must never know: artifacts' content, the pipeline's rules.
//! Keeps: what happened before a call of [`Source::drain`] has been handed over when it returns;
//! that is what `sync` stands on.

mod actors;
pub mod backends;
mod batch;
pub mod btf;
pub mod composite;
pub mod ebpf;
pub mod fanotify;
pub mod inotify;
#[cfg(test)]
pub(crate) mod mutations;
mod owners;
pub mod proc_connector;
mod queue;
pub mod replay;
pub mod sweeper;

pub(crate) use actors::{look_up, program_of};
pub(crate) use batch::nameless;

use crate::event::{Event, LossKind};
use crate::tracker::Tracker;
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// One origin of events.
pub trait Source: Send {
    /// How the reader points this source at artifacts. Cheap to clone, usable from any thread.
    fn tracker(&self) -> Arc<dyn Tracker>;

    /// Readable (level-triggered) whenever [`Source::drain`] has something to hand over.
    fn wait_fd(&self) -> BorrowedFd<'_>;

    /// Takes and clears everything that happened before this call and appends it to `out`.
    /// Never blocks. Called when `wait_fd` is readable, and before each sync.
    ///
    /// # Errors
    /// Only where the source can no longer keep its promise: the daemon then stops.
    /// What it lost but can say so is an [`Event::Lost`] together with the event that repairs it.
    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError>;

    /// Everything was looked at once: what an earlier run left is of no use any more.
    fn looked(&mut self) {}

    /// What it has counted since it was started.
    fn counters(&self) -> SourceCounters;

    /// `fentry`, `tracepoint`, `fanotify`, `inotify`, ...
    fn name(&self) -> &'static str;
}

/// Counters of one source, for `status`. They only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCounters {
    /// Changes seen, before coalescing.
    pub seen: u64,
    /// Changes that were already covered by dirty state nobody had taken yet.
    pub coalesced: u64,
    /// What did not fit, by kind. Each was followed by an event that repairs it.
    pub lost: BTreeMap<LossKind, u64>,
    /// Anything else worth a line in `status`, by name.
    pub other: BTreeMap<&'static str, u64>,
}

/// Why a source cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// This kernel, or these privileges, do not offer it. `auto` goes on to the next backend.
    #[error("the {backend} backend is not available: {reason}")]
    Unavailable { backend: &'static str, reason: String },
    /// A system call failed.
    #[error("{op}: {source}")]
    Io { op: &'static str, source: std::io::Error },
    /// The kernel side sent something that cannot be.
    #[error("the {backend} backend sent an invalid record: {what}")]
    Invalid { backend: &'static str, what: String },
}
