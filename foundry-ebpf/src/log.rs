//! What the probes say of themselves, in words: of what is rare, where somebody asked.
//!
//! Knows: aya's log. Must never know: names and bytes of files; those are nobody's business.
//! Keeps: at the level that the loader sets where nobody asked, the verifier finds every word of it
//! dead; where somebody did, no more is said between two drains than these can take.
//!
//! Each is a subprogram of its own: what it says lies on its stack.

use crate::atomic::Word;
use crate::foundry_common::abi::{LOGGED_MOST, global};
use crate::maps::GLOBAL;
use aya_log_ebpf::debug;
use aya_log_ebpf::macro_support::{Level, level_enabled};

/// As `RUST_LOG` names it, whatever this crate's modules are called.
macro_rules! say {
    ($kind:literal: $($word:expr),+) => {
        if asked($kind) {
            debug!(&(), target: "foundry_ebpf", $($word),+);
        }
    };
}

/// Whether anybody listens, and has not heard enough of this kind since the last drain.
#[inline(always)]
fn asked(kind: usize) -> bool {
    if !level_enabled(Level::Debug) {
        return false;
    }
    let Some(cell) = GLOBAL.get_ptr_mut((global::LOGGED + kind) as u32) else { return false };
    // SAFETY: an element of an array.
    let said = unsafe { Word::new(cell) };
    if said.load() >= LOGGED_MOST {
        return false;
    }
    said.add(1);
    true
}

/// The ring of doorbells is full.
#[inline(never)]
pub fn no_room_for_bell() {
    say!(0: "no room on the ring of doorbells: every slot will be looked at");
}

/// The ring of programs and mappings is full.
#[inline(never)]
pub fn no_room_for_life() {
    say!(1: "no room on the ring of programs and mappings: one of them goes untold");
}

/// A name could not be read.
#[inline(never)]
pub fn no_name(slot: u32) {
    say!(2: "slot {}: a name could not be read, the directory will be listed", slot);
}

/// A change has more bits than may be set at once.
#[inline(never)]
pub fn too_long(slot: u32, start: u64, end: u64) {
    say!(3: "slot {}: {} to {} is too long a range, the whole is dirty", slot, start, end);
}

/// Nobody knows which bytes were changed.
#[inline(never)]
pub fn no_range(slot: u32) {
    say!(4: "slot {}: changed, and the range is not known, the whole is dirty", slot);
}
