//! Is this inode tracked? One lookup, and the daemon's own doing is left out.
//!
//! Knows: the interest map. Must never know: what happened to the inode.
//! Keeps: the daemon never feeds itself (invariant 6).

use crate::config::setting;
use crate::emit::count;
use crate::kernel::{self, Pointer};
use crate::maps::INTEREST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use foundry_common::abi::{global, setting as set};

/// The slot of an inode, if it is tracked and somebody else is at work.
#[inline(always)]
pub fn slot_of(inode: Pointer) -> Option<u32> {
    let key = kernel::key_of(inode)?;
    slot_of_key(&key)
}

/// The same for a key that is known already.
#[inline(always)]
pub fn slot_of_key(key: &[u64; 2]) -> Option<u32> {
    // SAFETY: the value is one aligned integer; a torn read is impossible, and a slot that was
    // freed meanwhile is not given to another inode before a grace period has passed.
    let slot = unsafe { INTEREST.get(key) }.copied()?;
    if own() {
        count(global::OWN);
        return None;
    }
    Some(slot)
}

/// Whether the current thread belongs to the daemon.
#[inline(always)]
fn own() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == setting(set::OWN_PID)
}
