//! How the first look at the trees is going, for a person.
//!
//! Knows: counters and time as values. Must never know: who looks.

use crate::event::MonotonicNs;
use crate::stats::FirstFold;

/// The first look, as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The source that runs; empty until one does.
    pub backend: &'static str,
    /// Counters.
    pub first_fold: FirstFold,
    /// Nanoseconds since the start.
    pub elapsed_ns: u64,
    /// Bytes done per second, on the whole.
    pub bytes_per_second: u64,
    /// Nanoseconds left at that rate, of what was found so far.
    pub left_ns: Option<u64>,
}

impl Progress {
    pub(super) fn new(
        backend: &'static str,
        first_fold: FirstFold,
        started: MonotonicNs,
        now: MonotonicNs,
    ) -> Self {
        let elapsed_ns = now.0.saturating_sub(started.0);
        let per_second = u128::from(first_fold.bytes_done) * 1_000_000_000;
        let rate = per_second.checked_div(u128::from(elapsed_ns)).unwrap_or(0);
        let bytes_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
        let left = first_fold.bytes_found.saturating_sub(first_fold.bytes_done);
        let left_ns = (u128::from(left) * 1_000_000_000).checked_div(u128::from(bytes_per_second));
        let left_ns = left_ns.and_then(|ns| u64::try_from(ns).ok());
        Self { backend, first_fold, elapsed_ns, bytes_per_second, left_ns }
    }
}
