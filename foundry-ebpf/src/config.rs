//! Read-only settings: the loader writes them before the verifier sees the programs.
//!
//! Knows: tables of integers. Must never know: how they were found.
//! Keeps: an index is a constant, so the verifier sees every value and drops the code that it rules out.

use foundry_common::abi::{field, setting, syscall};

/// Offsets of kernel structures' fields, by `abi::field`.
#[unsafe(no_mangle)]
static OFFSETS: [u32; field::COUNT] = [field::ABSENT; field::COUNT];

/// Numbers, by `abi::setting`.
#[unsafe(no_mangle)]
static SETTINGS: [u32; setting::COUNT] = [0; setting::COUNT];

/// What each system call does to files, by its number.
#[unsafe(no_mangle)]
static SYSCALLS: [u8; syscall::COUNT] = [0; syscall::COUNT];

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

/// The class of a system call, by its number.
#[inline(always)]
pub fn class_of(number: u64) -> u8 {
    if number >= syscall::COUNT as u64 {
        return syscall::NONE;
    }
    let index = (number as usize) & (syscall::COUNT - 1);
    // SAFETY: as above; the index is masked to the table.
    unsafe { core::ptr::read_volatile(SYSCALLS.as_ptr().add(index)) }
}
