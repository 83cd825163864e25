//! Atomic operations on words that user space shares.
//!
//! Knows: the instruction set. Must never know: what a word means.
//! Keeps: the compiler's own atomics for this target have loads and stores only, so the others are
//! spelled here, once.

use core::arch::asm;

/// A word of an array that lives as long as the programs do.
#[derive(Clone, Copy)]
pub struct Word(*mut u64);

impl Word {
    /// # Safety
    /// `word` must be an aligned word inside an element of a BPF array.
    #[inline(always)]
    pub unsafe fn new(word: *mut u64) -> Self {
        Self(word)
    }

    /// The value now.
    #[inline(always)]
    pub fn load(self) -> u64 {
        // SAFETY: see `new`; an aligned load of 8 bytes is one instruction.
        unsafe { core::ptr::read_volatile(self.0) }
    }

    /// Replaces the value.
    #[inline(always)]
    pub fn store(self, value: u64) {
        // SAFETY: see `new`; an aligned store of 8 bytes is one instruction.
        unsafe { core::ptr::write_volatile(self.0, value) }
    }

    /// Sets bits, and returns the value before.
    #[inline(always)]
    pub fn fetch_or(self, bits: u64) -> u64 {
        let mut value = bits;
        // SAFETY: see `new`; the instruction is fully ordered and touches nothing else.
        unsafe {
            asm!("{value} = atomic_fetch_or((u64 *)({at} + 0), {value})",
                at = in(reg) self.0, value = inout(reg) value, options(nostack));
        }
        value
    }

    /// Keeps only these bits, and returns the value before.
    #[inline(always)]
    pub fn fetch_and(self, bits: u64) -> u64 {
        let mut value = bits;
        // SAFETY: see `new`; the instruction is fully ordered and touches nothing else.
        unsafe {
            asm!("{value} = atomic_fetch_and((u64 *)({at} + 0), {value})",
                at = in(reg) self.0, value = inout(reg) value, options(nostack));
        }
        value
    }

    /// Adds.
    #[inline(always)]
    pub fn add(self, value: u64) {
        // SAFETY: see `new`; the instruction touches nothing else.
        unsafe {
            asm!("lock *(u64 *)({at} + 0) += {value}",
                at = in(reg) self.0, value = in(reg) value, options(nostack));
        }
    }
}
