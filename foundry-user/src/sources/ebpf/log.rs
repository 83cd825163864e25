//! What the probes say of themselves, told on where the daemon tells its own.
//!
//! Knows: aya's log. Must never know: what is said.
//! Keeps: whether anybody listens is asked once, before the probes are loaded; where nobody does,
//! they are loaded silent, and cost nothing.

use super::{Shared, load};
use aya_log::{EbpfLogger, Level};
use foundry_common::abi::{LOGGED_KINDS, global};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;

/// The level's place in the object.
pub(super) const LEVEL: &str = aya_log::LEVEL;
/// Below every level.
const SILENT: u8 = 0;

/// The BPF map that messages take.
pub(super) const RING: &str = "AYA_LOGS";
/// Several times as many messages as are said between two drains.
const RING_BYTES: u32 = 1 << 17;

/// As much as anybody wants to hear: `RUST_LOG=foundry_ebpf=debug`.
pub(super) fn level() -> u8 {
    match tracing::enabled!(target: "foundry_ebpf", tracing::Level::DEBUG) {
        true => Level::Debug.into(),
        false => SILENT,
    }
}

/// The size of the ring: the least there is, for the silent.
pub(super) fn ring_bytes(level: u8) -> u32 {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(RING_BYTES);
    if level == SILENT { page } else { RING_BYTES.max(page) }
}

/// The messages' way out.
pub(super) struct Messages(EbpfLogger<&'static dyn log::Log>);

impl Messages {
    /// # Errors
    /// Where the object has no ring for them.
    pub(super) fn of(ebpf: &mut aya::Ebpf) -> Result<Self, String> {
        EbpfLogger::init(ebpf).map(Self).map_err(|error| load::describe(&error))
    }

    /// Readable while there are messages.
    pub(super) fn wait_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Tells what was said. As little is said meanwhile that it ends, and from now on as much again.
    pub(super) fn flush(&mut self, shared: &Shared) {
        self.0.flush();
        let kinds = global::LOGGED..global::LOGGED + LOGGED_KINDS;
        for said in kinds.filter_map(|kind| shared.global.word(kind)) {
            said.store(0, Relaxed);
        }
    }
}
