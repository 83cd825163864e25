//! Dirty state: sets the bits of a range and says when the doorbell has to ring.
//!
//! Knows: `FileState`, words, atomics. Must never know: which probe called.
//! The functions that every probe calls are subprograms of their own, so that the large probes stay
//! within the kernel's limits.
//! Keeps: fine bits first, then the summary; user space clears the summary first, then the fine
//! bits. So a set bit is always found, and a range that does not fit becomes the whole artifact.

use crate::atomic::Word;
use crate::emit::{self, count};
use crate::foundry_common::abi::{FileState, Geometry, MAX_WORDS, WORDS_PER_CHANGE, global, state};
use crate::maps::{BITMAPS, FILES, SEEN};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;

/// A slot's state.
struct Slot {
    file: *mut FileState,
    summary: Word,
    flags: Word,
    position: Word,
}

impl Slot {
    #[inline(always)]
    fn at(index: u32) -> Option<Self> {
        let file: *mut FileState = FILES.get_ptr_mut(index)?;
        // SAFETY: the element is live as long as the program runs, and aligned.
        let summary = unsafe { Word::new(&raw mut (*file).summary) };
        // SAFETY: as above.
        let flags = unsafe { Word::new(&raw mut (*file).flags) };
        // SAFETY: as above.
        let position = unsafe { Word::new(&raw mut (*file).position) };
        Some(Self { file, summary, flags, position })
    }

    #[inline(always)]
    fn geometry(&self) -> Geometry {
        // SAFETY: an aligned word of a live element; user space changes it as a whole.
        Geometry::unpack(unsafe { core::ptr::read_volatile(&raw const (*self.file).geometry) })
    }

    #[inline(always)]
    fn generation(&self) -> u32 {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const (*self.file).generation) }
    }

    /// Makes the current process the last writer; whether it was not.
    #[inline(always)]
    fn changes_hands(&self) -> bool {
        let writer = (bpf_get_current_pid_tgid() >> 32) as u32;
        // SAFETY: as above.
        let last = unsafe { core::ptr::read_volatile(&raw const (*self.file).last_writer) };
        if last != writer {
            // SAFETY: as above. Of two that race one stays, and both ring.
            unsafe { core::ptr::write_volatile(&raw mut (*self.file).last_writer, writer) };
        }
        last != writer
    }
}

/// Who holds a slot now.
#[inline(always)]
pub fn generation(slot: u32) -> Option<u32> {
    Some(Slot::at(slot)?.generation())
}

/// Bits `from..=to` of a word.
#[inline(always)]
fn bits(from: u64, to: u64) -> u64 {
    (u64::MAX << (from & 63)) & (u64::MAX >> (63 - (to & 63)))
}

/// A directory whose names did not fit the ring: user space lists it again.
#[inline(always)]
pub fn mark_directory(slot: u32) {
    if let Some(file) = Slot::at(slot) {
        file.summary.fetch_or(1);
    }
}

/// `len` bytes were written at a file position, which is `end` now. Where it is shared, somebody
/// else may have moved it since, so the range is stretched to what cannot be missed.
#[inline(never)]
pub fn mark_position(slot: u32, len: u64, end: u64, shared: bool) {
    let Some(file) = Slot::at(slot) else { return };
    let before = file.position.load();
    file.position.store(end);
    let Some(start) = end.checked_sub(len) else { return mark_whole(slot) };
    if !shared {
        mark(slot, start, end);
    } else if start >= before {
        // Whoever wrote between the last end and this one wrote in here.
        mark(slot, before, end);
    } else {
        mark_whole(slot);
    }
}

/// The file was cut or extended to `len` bytes.
#[inline(never)]
pub fn mark_from(slot: u32, len: u64) {
    if let Some(file) = Slot::at(slot) {
        file.position.store(len);
    }
    mark(slot, len, u64::MAX);
}

/// Every byte may have changed, because the range is not known.
#[inline(never)]
pub fn mark_whole(slot: u32) {
    count(global::WHOLE_UNSURE);
    mark(slot, 0, u64::MAX);
}

/// Bytes `[start, end)` may have changed.
#[inline(never)]
pub fn mark(slot: u32, start: u64, end: u64) {
    if end <= start {
        return;
    }
    let Some(file) = Slot::at(slot) else { return };
    if let Some(seen) = SEEN.get_ptr_mut(0) {
        // SAFETY: the element belongs to this CPU, and programs are not preempted by themselves.
        unsafe { *seen += 1 };
    }
    let geometry = file.geometry();
    let first = start >> geometry.bit_shift;
    let last = (end - 1) >> geometry.bit_shift;
    let summary = if geometry.words == 0 {
        let first = if first > 63 { 63 } else { first };
        let last = if last > 63 { 63 } else { last };
        bits(first, last)
    } else {
        set_words(&file, &geometry, first, last)
    };
    ring_if_needed(&file, slot, summary, start, end);
}

/// Sets the fine bits, and returns the summary bits that say so.
#[inline(always)]
fn set_words(file: &Slot, geometry: &Geometry, first: u64, last: u64) -> u64 {
    let top = u64::from(geometry.words) * 64 - 1;
    let first = if first > top { top } else { first };
    let last = if last > top { top } else { last };
    let mut word = first >> 6;
    let last_word = last >> 6;
    if last_word - word >= u64::from(WORDS_PER_CHANGE) || last_word >= u64::from(MAX_WORDS) {
        file.flags.fetch_or(state::WHOLE);
        count(global::WHOLE_RANGE);
        return 1 << 63;
    }
    let mut summary = 0;
    for _ in 0..WORDS_PER_CHANGE {
        if word > last_word {
            break;
        }
        let from = if word == first >> 6 { first & 63 } else { 0 };
        let to = if word == last_word { last & 63 } else { 63 };
        if let Some(cell) = BITMAPS.get_ptr_mut(geometry.base.wrapping_add(word as u32)) {
            // SAFETY: an element of an array.
            unsafe { Word::new(cell) }.fetch_or(bits(from, to));
        }
        summary |= 1 << ((word >> geometry.summary_shift) & 63);
        word += 1;
    }
    summary
}

#[inline(always)]
fn ring_if_needed(file: &Slot, slot: u32, summary: u64, start: u64, end: u64) {
    let before = file.summary.fetch_or(summary);
    let other = file.changes_hands();
    if before == 0 || other {
        emit::doorbell(slot, file.generation(), start, end, before);
    }
}
