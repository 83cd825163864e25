//! Memory of watched processes: that its layout may have changed, and that there is a child. Both families.
//!
//! Every way to change a layout ends by giving up the lock of the whole memory that was held for writing:
//! system calls of any number and width, a stack that grows by a fault, another thread's or another
//! process's doing. So there is one lock, and no table of calls. It is given up by a release, or, when
//! mappings go, by making a reader of the writer (`mmap_write_downgrade` in `munmap`, `brk` and `mremap`):
//! then it is taken as a reader by somebody who held it as a writer, which nobody else does.
//!
//! Knows: `task_struct`. Must never know: mappings.
//! Keeps: the word is set after the change, and the bell is rung only when the word was clean.

use crate::atomic::Word;
use crate::config::setting;
use crate::emit;
use crate::foundry_common::abi::{field, layouts, setting as set};
use crate::kernel::Pointer;
use crate::maps::{LAYOUTS, WATCHED};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use core::hint::black_box;

/// `mmap_lock_acquire_returned(struct mm_struct *, [const char *memcg_path,] bool write, bool success)`
#[raw_tracepoint(tracepoint = "mmap_lock_acquire_returned")]
pub fn tp_layout_held(ctx: RawTracePointContext) -> i32 {
    let Some(word) = word() else { return 0 };
    if !writes(&ctx) {
        if word.load() & layouts::HELD != 0 {
            changed(word);
        }
    } else if succeeded(&ctx) {
        let _ = word.fetch_or(layouts::HELD);
    }
    0
}

/// `mmap_lock_released(struct mm_struct *, [const char *memcg_path,] bool write)`
#[raw_tracepoint(tracepoint = "mmap_lock_released")]
pub fn tp_layout(ctx: RawTracePointContext) -> i32 {
    if writes(&ctx)
        && let Some(word) = word()
    {
        changed(word);
    }
    0
}

/// Whether it is about a writer.
#[inline(always)]
fn writes(ctx: &RawTracePointContext) -> bool {
    // Kept apart: the verifier takes no choice between addresses, and refuses a look at an argument that
    // is not there.
    let write: u64 = if setting(set::LOCK_HAS_PATH) != 0 {
        black_box(ctx.arg(2))
    } else {
        black_box(ctx.arg(1))
    };
    // A truth value is passed in a register whose other bits mean nothing.
    write as u8 != 0
}

/// Whether the lock was taken: whoever only tries may go without.
#[inline(always)]
fn succeeded(ctx: &RawTracePointContext) -> bool {
    let success: u64 = if setting(set::LOCK_HAS_PATH) != 0 {
        black_box(ctx.arg(3))
    } else {
        black_box(ctx.arg(2))
    };
    success as u8 != 0
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: in the parent.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn tp_fork(ctx: RawTracePointContext) -> i32 {
    let child = Pointer::new(ctx.arg(1)).and_then(|child| child.get::<u32>(field::TASK_TGID));
    // A thread is no process.
    if child != Some(tgid()) {
        if let Some(word) = word() {
            tell(word, layouts::FORKED);
        }
    }
    0
}

#[inline(always)]
fn tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// What is kept of this process, if it is watched.
#[inline(always)]
fn word() -> Option<Word> {
    // SAFETY: the value is one aligned integer. A word that was given to another process meanwhile has
    // that one looked at for nothing.
    let slot = unsafe { WATCHED.get(&tgid()) }.copied()?;
    let cell = LAYOUTS.get_ptr_mut(slot)?;
    // SAFETY: an element of an array.
    Some(unsafe { Word::new(cell) })
}

/// The lock is about to be no writer's any more.
#[inline(always)]
fn changed(word: Word) {
    let _ = word.fetch_and(!layouts::HELD);
    tell(word, layouts::CHANGED);
}

#[inline(always)]
fn tell(word: Word, what: u64) {
    if word.fetch_or(what) & !layouts::HELD == 0 {
        emit::layout();
    }
}
