//! Programs that start and processes that end: both families.

use crate::emit;
use crate::foundry_common::abi::field;
use crate::kernel::Pointer;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

/// `sched_process_exec(struct task_struct *, pid_t old_pid, struct linux_binprm *)`
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn tp_exec(ctx: RawTracePointContext) -> i32 {
    if let Some(name) = Pointer::new(ctx.arg(2)).and_then(|b| b.follow(field::BPRM_FILENAME)) {
        emit::exec(name);
    }
    0
}

/// `sched_process_exit(struct task_struct *)`
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn tp_exit(_: RawTracePointContext) -> i32 {
    let ids = bpf_get_current_pid_tgid();
    // The thread that the process is named after; others may live a moment longer.
    if ids >> 32 == ids & 0xffff_ffff {
        emit::exit();
    }
    0
}
