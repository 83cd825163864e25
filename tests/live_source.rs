//! The eBPF source on the running kernel: what is changed is reported, for every way to change it.
//!
//! Another process (this program again) does the changing, because a source leaves its own process
//! out. `FOUNDRY_BACKEND` chooses `fentry` or `tracepoint`; otherwise it is the first that starts.
//! Without root it says that it skipped; with CI=true that is a failure.

#[path = "live_source/content.rs"]
mod content;
#[path = "live_source/limits.rs"]
mod limits;
#[path = "live_source/mounts.rs"]
mod mounts;
#[path = "live_source/names.rs"]
mod names;
#[path = "live_source/ops.rs"]
mod ops;
#[path = "live_source/process.rs"]
mod process;
#[path = "live_source/support.rs"]
mod support;
