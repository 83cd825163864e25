//! Is this inode tracked? One lookup, and the daemon's own doing is left out.
//!
//! Knows: the interest map. Must never know: what happened to the inode.
//! Keeps: the daemon never feeds itself (invariant 6).

use crate::config::setting;
use crate::emit::count;
use crate::foundry_common::abi::{global, setting as set};
use crate::kernel::{self, Pointer, Typed};
use crate::maps::INTEREST;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;

/// The slot of an inode, if it is tracked and the current thread, which changes it, is not ours.
#[inline(always)]
pub fn slot_of(inode: Pointer) -> Option<u32> {
    found(look_up(inode, false))
}

/// The slot of an inode, where the current thread may have nothing to do with the change.
#[inline(always)]
pub fn slot_for_anybody(inode: Pointer) -> Option<u32> {
    found(look_up(inode, true))
}

/// As [`slot_of`], for a pointer with a type: the hot path of the fentry family.
#[inline(always)]
pub fn slot_of_typed(inode: Typed) -> Option<u32> {
    let key = kernel::key_of_typed(inode);
    // SAFETY: as in `look_up`.
    let slot = unsafe { INTEREST.get(&key) }.copied()?;
    if own() {
        count(global::OWN);
        return None;
    }
    Some(slot)
}

const NONE: u64 = u64::MAX;

#[inline(always)]
fn found(slot: u64) -> Option<u32> {
    (slot != NONE).then_some(slot as u32)
}

/// The slot, or [`NONE`]: a subprogram returns one register.
#[inline(never)]
fn look_up(inode: Pointer, anybody: bool) -> u64 {
    let Some(key) = kernel::key_of(inode) else { return NONE };
    // SAFETY: the value is one aligned integer; a torn read is impossible, and a slot that was
    // freed meanwhile is not given to another inode before a grace period has passed.
    let Some(slot) = unsafe { INTEREST.get(&key) }.copied() else { return NONE };
    if !anybody && own() {
        count(global::OWN);
        return NONE;
    }
    u64::from(slot)
}

/// The slot of the inode of an open file.
#[inline(always)]
pub fn slot_of_file(file: Pointer) -> Option<u32> {
    slot_of(kernel::inode_of(file)?)
}

/// Whether the current thread belongs to the daemon.
#[inline(always)]
pub fn own() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == setting(set::OWN_PID)
}
