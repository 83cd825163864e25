//! Records: reserve, fill, submit; and count what did not fit.
//!
//! Knows: the layout of records, the rings. Must never know: which probe called.
//! Keeps: a record that does not fit is counted, and a lost doorbell makes user space look at
//! every dirty state; nothing is lost silently (invariant 3).

use crate::atomic::Word;
use crate::kernel;
use crate::maps::{BELL, GLOBAL};
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_get_current_uid_gid, bpf_ktime_get_ns,
};
use foundry_common::abi::{
    COMM_BYTES, DirtyRecord, Header, global, kind,
};

/// Adds one to a counter (of `abi::global`).
#[inline(always)]
pub fn count(counter: usize) {
    if let Some(cell) = GLOBAL.get_ptr_mut(counter as u32) {
        // SAFETY: an element of an array.
        unsafe { Word::new(cell) }.add(1);
    }
}

#[inline(always)]
fn raise_scan() {
    if let Some(cell) = GLOBAL.get_ptr_mut(global::SCAN as u32) {
        // SAFETY: an element of an array.
        unsafe { Word::new(cell) }.store(1);
    }
}

/// Who and when. The current task is the one that did it.
#[inline(always)]
fn header(kind: u16, len: usize) -> Header {
    let ids = bpf_get_current_pid_tgid();
    let (exe_ino, exe_dev) = kernel::executable().unwrap_or((0, 0));
    Header {
        kind,
        len: len as u16,
        pid: (ids >> 32) as u32,
        tid: ids as u32,
        uid: bpf_get_current_uid_gid() as u32,
        // SAFETY: the helper has no preconditions.
        at_ns: unsafe { bpf_ktime_get_ns() },
        exe_ino,
        exe_dev,
        reserved: 0,
        // SAFETY: the helper has no preconditions.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        comm: bpf_get_current_comm().unwrap_or([0; COMM_BYTES]),
    }
}

/// The doorbell.
#[inline(always)]
pub fn dirty(slot: u32, generation: u32, start: u64, end: u64, before: u64) {
    let Some(mut entry) = BELL.reserve::<DirtyRecord>(0) else {
        raise_scan();
        count(global::LOST_BELLS);
        return;
    };
    let header = header(kind::DIRTY, size_of::<DirtyRecord>());
    entry.write(DirtyRecord { header, slot, generation, start, end, before });
    entry.submit(0);
}
