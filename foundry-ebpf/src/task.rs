//! What the running system call of a thread did, from the hooks below it to its return.
//!
//! Knows: thread numbers, slots, ranges. Must never know: which call it is.
//! Keeps: one entry a thread; a hook below that saw another inode first has marked that one itself.

use crate::config::setting;
use crate::emit;
use crate::foundry_common::abi::setting as set;
use crate::maps::{TASKS, TOUCHED};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;

#[inline(always)]
fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// Bytes `[start, end)` of the artifact in `slot` were changed by the current thread.
#[inline(always)]
pub fn note(slot: u32, start: u64, end: u64) {
    let thread = thread();
    let slot = u64::from(slot);
    if let Some(entry) = TASKS.get_ptr_mut(&thread) {
        // SAFETY: only the thread itself uses its entry, and the map keeps it alive for the program.
        let [noted, from, to] = unsafe { *entry };
        if noted == slot {
            let from = if start < from { start } else { from };
            let to = if end > to { end } else { to };
            // SAFETY: as above.
            unsafe { *entry = [slot, from, to] };
            return;
        }
    }
    // A map that is full forgets the oldest; then the caller falls back to the file position.
    let _ = TASKS.insert(&thread, [slot, start, end], 0);
}

/// Takes what was noted for the artifact in `slot`.
#[inline(always)]
pub fn noted(slot: u32) -> Option<(u64, u64)> {
    let thread = thread();
    // SAFETY: as in `note`.
    let [noted, start, end] = unsafe { TASKS.get(&thread) }.copied()?;
    let _ = TASKS.remove(&thread);
    (noted == u64::from(slot)).then_some((start, end))
}

/// Takes whatever was noted.
#[inline(always)]
pub fn noted_any() -> Option<(u32, u64, u64)> {
    let thread = thread();
    // SAFETY: as in `note`.
    let [slot, start, end] = unsafe { TASKS.get(&thread) }.copied()?;
    let _ = TASKS.remove(&thread);
    Some((slot as u32, start, end))
}

/// The current thread touched the change time of the artifact in `slot`.
#[inline(always)]
pub fn touch(slot: u32) {
    let _ = TOUCHED.insert(&thread(), slot, 0);
}

/// Takes the last artifact that was touched.
#[inline(always)]
pub fn touched() -> Option<u32> {
    let thread = thread();
    // SAFETY: as in `note`.
    let slot = unsafe { TOUCHED.get(&thread) }.copied()?;
    let _ = TOUCHED.remove(&thread);
    Some(slot)
}

/// As [`touched`], for a call that changes bytes. Where kernels say nothing of what was touched, it may
/// have been any file.
#[inline(always)]
pub fn cut() -> Option<u32> {
    let slot = touched();
    if slot.is_none() && setting(set::TOUCHES_ARE_TOLD) == 0 {
        emit::unnamed();
    }
    slot
}
