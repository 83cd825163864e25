//! Read-only settings: the loader writes them before the verifier sees the programs.
//!
//! Knows: tables of integers. Must never know: how they were found.
//! Keeps: an index is a constant, so the verifier sees every value and drops the code that it rules out.

use crate::foundry_common::abi::{field, setting, syscall};

/// Offsets of kernel structures' fields, by `abi::field`.
#[unsafe(no_mangle)]
static OFFSETS: [u32; field::COUNT] = [field::ABSENT; field::COUNT];

/// Numbers, by `abi::setting`.
#[unsafe(no_mangle)]
static SETTINGS: [u32; setting::COUNT] = [0; setting::COUNT];

/// What each system call does to files, by its number.
#[unsafe(no_mangle)]
static SYSCALLS: [u8; syscall::COUNT] = [0; syscall::COUNT];

/// The same for the calls of 32-bit programs.
#[unsafe(no_mangle)]
static SYSCALLS32: [u8; syscall::COUNT] = [0; syscall::COUNT];

/// Offset of a field, or `field::ABSENT`.
#[inline(always)]
pub fn offset(index: usize) -> u32 {
    // SAFETY: a reference to a static of plain integers is always readable; volatile keeps the
    // compiler from folding the value that the loader replaces.
    unsafe { core::ptr::read_volatile(&OFFSETS[index]) }
}

/// A setting.
#[inline(always)]
pub fn setting(index: usize) -> u32 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile(&SETTINGS[index]) }
}

/// The class of a system call by its number: of 64-bit programs, and of 32-bit ones.
#[inline(always)]
pub fn classes_of(number: u64) -> (u8, u8) {
    let index = number as usize;
    if index >= syscall::COUNT {
        return (syscall::NONE, syscall::NONE);
    }
    // SAFETY: as above; the index is inside the table.
    let wide = unsafe { core::ptr::read_volatile(SYSCALLS.as_ptr().add(index)) };
    // SAFETY: as above.
    let narrow = unsafe { core::ptr::read_volatile(SYSCALLS32.as_ptr().add(index)) };
    (wide, narrow)
}
