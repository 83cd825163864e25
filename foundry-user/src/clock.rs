//! The only reader of time.
//!
//! Knows: CLOCK_MONOTONIC and CLOCK_REALTIME. Must never know: what a moment is used for.
//! Keeps: everyone else takes time as a value, so that replays and tests decide what time it is.

use crate::event::{MonotonicNs, UnixNs};

/// Nanoseconds of CLOCK_MONOTONIC: the clock of `bpf_ktime_get_ns`.
#[must_use]
pub fn monotonic() -> MonotonicNs {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(t.tv_nsec).unwrap_or(0);
    MonotonicNs(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Nanoseconds since the Unix epoch.
#[must_use]
pub fn wall() -> UnixNs {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    UnixNs(t.tv_sec.saturating_mul(1_000_000_000).saturating_add(t.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_never_goes_back_and_wall_is_after_this_file_was_written() {
        let first = monotonic();
        assert!(first <= monotonic());
        assert!(wall() > UnixNs(1_750_000_000_000_000_000));
    }
}
