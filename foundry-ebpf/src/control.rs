//! The control program: the daemon runs it in its own thread to learn the key of an inode.
//!
//! Knows: descriptors of the current task. Must never know: who tracks what.
//! Keeps: user space never has to guess how a file system numbers its inodes.

use crate::atomic::Word;
use crate::foundry_common::abi::reply;
use crate::kernel;
use crate::maps::REPLY;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

#[inline(always)]
fn answer(index: usize, value: u64) {
    if let Some(cell) = REPLY.get_ptr_mut(index as u32) {
        // SAFETY: an element of an array.
        unsafe { Word::new(cell) }.store(value);
    }
}

/// Argument 0 is a descriptor; answers in `REPLY`.
#[raw_tracepoint]
pub fn control(ctx: RawTracePointContext) -> i32 {
    let descriptor: u64 = ctx.arg(0);
    if describe(descriptor).is_none() {
        answer(reply::VALID, 0);
    }
    0
}

#[inline(always)]
fn describe(descriptor: u64) -> Option<()> {
    let inode = kernel::inode_of(kernel::file_of(descriptor)?)?;
    let key = kernel::key_of(inode)?;
    answer(reply::KEY0, key[0]);
    answer(reply::KEY1, key[1]);
    answer(reply::MAPPED, kernel::writable_mappings(inode).unwrap_or(0));
    answer(reply::VALID, 1);
    Some(())
}
