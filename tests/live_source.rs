//! The eBPF source on the running kernel: what is changed is reported, for every way to change it.
//!
//! Another process (this program again) does the changing, because a source leaves its own process
//! out. `FOUNDRY_BACKEND` chooses `fentry` or `tracepoint`; otherwise it is the first that starts.
//! `FOUNDRY_LIVE=1` asks for them; without root they say that they skipped, and with CI=true that is
//! a failure.

// `cfg(test)` is always true here; it is what tells the linter that helpers are tests, too.
#[cfg(test)]
#[path = "live_source/content.rs"]
mod content;
#[cfg(test)]
#[path = "live_source/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "live_source/mounts.rs"]
mod mounts;
#[cfg(test)]
#[path = "live_source/names.rs"]
mod names;
#[cfg(test)]
#[path = "live_source/ops.rs"]
mod ops;
#[cfg(test)]
#[path = "live_source/process.rs"]
mod process;
#[cfg(test)]
#[path = "live_source/support.rs"]
mod support;
