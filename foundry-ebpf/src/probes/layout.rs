//! Memory of watched processes: that its layout may have changed, and that there is a child. Both families.
//!
//! Every way to change a layout ends by releasing the lock of the whole memory that was held for writing:
//! system calls of any number and width, a stack that grows by a fault, another thread's or another
//! process's doing. So there is one hook, and no table of calls.
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

/// `mmap_lock_released(struct mm_struct *, [const char *memcg_path,] bool write)`
#[raw_tracepoint(tracepoint = "mmap_lock_released")]
pub fn tp_layout(ctx: RawTracePointContext) -> i32 {
    // Kept apart: the verifier takes no choice between addresses, and refuses a look at an argument that
    // is not there.
    let write: u64 = if setting(set::LOCK_HAS_PATH) != 0 {
        black_box(ctx.arg(2))
    } else {
        black_box(ctx.arg(1))
    };
    // A truth value is passed in a register whose other bits mean nothing.
    if write as u8 != 0 {
        let _ = happened(layouts::CHANGED);
    }
    0
}

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: in the parent.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn tp_fork(ctx: RawTracePointContext) -> i32 {
    let child = Pointer::new(ctx.arg(1)).and_then(|child| child.get::<u32>(field::TASK_TGID));
    // A thread is no process.
    if child != Some(tgid()) {
        let _ = happened(layouts::FORKED);
    }
    0
}

#[inline(always)]
fn tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

#[inline(always)]
fn happened(what: u64) -> Option<()> {
    // SAFETY: the value is one aligned integer. A word that was given to another process meanwhile has
    // that one looked at for nothing.
    let slot = unsafe { WATCHED.get(&tgid()) }.copied()?;
    let cell = LAYOUTS.get_ptr_mut(slot)?;
    // SAFETY: an element of an array.
    if unsafe { Word::new(cell) }.fetch_or(what) == 0 {
        emit::layout();
    }
    Some(())
}
