//! Records: reserve, fill, submit; and count what did not fit.
//!
//! Knows: the layout of records, the rings. Must never know: which probe called.
//! Keeps: a record that does not fit is counted, and a lost doorbell makes user space look at
//! every dirty state; nothing is lost silently (invariant 3).

use crate::atomic::Word;
use crate::foundry_common::abi::{
    COMM_BYTES, DirtyRecord, ExecRecord, Header, NameRecord, SlotRecord, global, kind,
};
use crate::kernel::{self, Pointer};
use crate::maps::{BELL, GLOBAL, LIFE};
use crate::{dirty, log};
use aya_ebpf::helpers::generated::bpf_get_current_comm;
use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_uid_gid, bpf_ktime_get_ns,
};
use aya_ebpf::maps::ring_buf::RingBufEntry;

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
        comm: comm(),
    }
}

/// The command name of the current thread. In words, so that it is copied by words: byte by byte,
/// old verifiers lose their way in the largest probe.
#[inline(always)]
fn comm() -> [u8; COMM_BYTES] {
    let mut words = [0_u64; COMM_BYTES / 8];
    // SAFETY: the helper writes as many bytes as it is told, and zeroes where it fails.
    unsafe { bpf_get_current_comm(words.as_mut_ptr().cast(), COMM_BYTES as u32) };
    // SAFETY: both are plain bytes, of one size.
    unsafe { core::mem::transmute(words) }
}

/// The doorbell.
#[inline(always)]
pub fn doorbell(slot: u32, generation: u32, start: u64, end: u64, before: u64) {
    let Some(mut entry) = bell::<DirtyRecord>(global::LOST_BELLS) else { return };
    let header = header(kind::DIRTY, size_of::<DirtyRecord>());
    entry.write(DirtyRecord { header, slot, generation, start, end, before });
    entry.submit(0);
}

/// Room on the ring of doorbells. Where there is none, user space is told to look at every slot,
/// whose state the caller has set; and because it may have emptied the ring before it could see
/// that, the ring is tried again: either there is room now, or it is read after the flag was raised.
#[inline(always)]
fn bell<T>(counter: usize) -> Option<RingBufEntry<T>> {
    if let Some(entry) = BELL.reserve::<T>(0) {
        return Some(entry);
    }
    raise_scan();
    count(counter);
    log::no_room_for_bell();
    BELL.reserve::<T>(0)
}

/// Room on the ring of programs and mappings.
#[inline(always)]
fn life<T>() -> Option<RingBufEntry<T>> {
    let entry = LIFE.reserve::<T>(0);
    if entry.is_none() {
        count(global::LOST_LIFE);
        log::no_room_for_life();
    }
    entry
}

/// Something about one slot that needs no more than its number.
#[inline(never)]
pub fn slot(kind: u16, slot: u32, generation: u32) {
    let Some(mut entry) = bell::<SlotRecord>(global::LOST_NAMES) else { return };
    let header = header(kind, size_of::<SlotRecord>());
    entry.write(SlotRecord { header, slot, generation, flags: 0, reserved: 0 });
    entry.submit(0);
}

/// A mapping.
#[inline(never)]
pub fn mapping(slot: u32, generation: u32, flags: u32) {
    let Some(mut entry) = life::<SlotRecord>() else { return };
    let header = header(kind::MMAP, size_of::<SlotRecord>());
    entry.write(SlotRecord { header, slot, generation, flags, reserved: 0 });
    entry.submit(0);
}

/// An entry of the directory in `slot`. If it does not fit, the directory is listed again.
#[inline(never)]
pub fn name(slot: u32, generation: u32, name: Pointer) {
    let mut entry = BELL.reserve::<NameRecord>(0);
    if entry.is_none() {
        dirty::mark_directory(slot);
        entry = bell::<NameRecord>(global::LOST_NAMES);
    }
    let Some(mut entry) = entry else { return };
    let record: *mut NameRecord = entry.as_mut_ptr();
    let header = header(kind::NAME, size_of::<NameRecord>());
    // SAFETY: the reserved bytes are a record's, and every field is written before it is submitted.
    let len = unsafe {
        (&raw mut (*record).header).write(header);
        (&raw mut (*record).slot).write(slot);
        (&raw mut (*record).generation).write(generation);
        (&raw mut (*record).reserved).write(0);
        kernel::string(name, &raw mut (*record).name).unwrap_or(0)
    };
    // SAFETY: as above.
    unsafe { (&raw mut (*record).name_len).write(len) };
    // A name that could not be read is sent as an empty one, and user space lists the directory.
    entry.submit(0);
    if len == 0 {
        log::no_name(slot);
    }
}

/// A program starts; `filename` is what exec was given.
#[inline(always)]
pub fn exec(filename: Pointer) {
    let Some(mut entry) = life::<ExecRecord>() else { return };
    let record: *mut ExecRecord = entry.as_mut_ptr();
    let header = header(kind::EXEC, size_of::<ExecRecord>());
    // SAFETY: the reserved bytes are a record's, and every field is written before it is read.
    unsafe {
        (&raw mut (*record).header).write(header);
        (&raw mut (*record).reserved).write(0);
        let len = kernel::string(filename, &raw mut (*record).filename).unwrap_or(0);
        (&raw mut (*record).name_len).write(len);
    }
    entry.submit(0);
}

/// A process ends.
#[inline(always)]
pub fn exit() {
    let Some(mut entry) = life::<Header>() else { return };
    entry.write(header(kind::EXIT, size_of::<Header>()));
    entry.submit(0);
}

/// A file was changed, and nobody can tell which. The count is the record, and what is sent only wakes.
#[inline(always)]
pub fn unnamed() {
    count(global::UNNAMED);
    let Some(mut entry) = LIFE.reserve::<Header>(0) else { return };
    entry.write(header(kind::UNNAMED, size_of::<Header>()));
    entry.submit(0);
}

/// A word of `LAYOUTS` has something. Where the ring is full, that is counted, and user space looks at
/// every word.
#[inline(always)]
pub fn layout() {
    let Some(mut entry) = LIFE.reserve::<Header>(0) else {
        return count(global::LOST_LIFE);
    };
    entry.write(header(kind::LAYOUT, size_of::<Header>()));
    entry.submit(0);
}
