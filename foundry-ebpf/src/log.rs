//! What the probes say of themselves, in words: of what is rare, where somebody asked.
//!
//! Knows: aya's log. Must never know: names and bytes of files; those are nobody's business.
//! Keeps: at the level that the loader sets where nobody asked, the verifier finds every word of it
//! dead; where somebody did, no more is said between two drains than these can take.

use crate::atomic::Word;
use crate::foundry_common::abi::{LOGGED_MOST, global};
use crate::maps::GLOBAL;
use aya_log_ebpf::debug;
use aya_log_ebpf::macro_support::{Level, level_enabled};

/// A message: asking whether anybody listens is part of the caller, and all that is left of it where
/// nobody does; saying it is a subprogram of its own, because what it says lies on its stack.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*), $kind:literal, $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name($($argument: $type),*) {
            #[inline(never)]
            fn say($($argument: $type),*) {
                if may($kind) {
                    // As `RUST_LOG` names it, whatever this crate's modules are called.
                    debug!(&(), target: "foundry_ebpf", $text $(, $argument)*);
                }
            }
            if level_enabled(Level::Debug) {
                say($($argument),*);
            }
        }
    };
}

/// Whether not enough of this kind was said since the last drain.
#[inline(always)]
fn may(kind: usize) -> bool {
    let Some(cell) = GLOBAL.get_ptr_mut((global::LOGGED + kind) as u32) else { return false };
    // SAFETY: an element of an array.
    let said = unsafe { Word::new(cell) };
    if said.load() >= LOGGED_MOST {
        return false;
    }
    said.add(1);
    true
}

message! {
    /// The ring of doorbells is full.
    no_room_for_bell(), 0, "no room on the ring of doorbells: every slot will be looked at"
}

message! {
    /// The ring of programs and mappings is full.
    no_room_for_life(), 1, "no room on the ring of programs and mappings: one of them goes untold"
}

message! {
    /// A name could not be read.
    no_name(slot: u32), 2, "slot {}: a name could not be read, the directory will be listed"
}
