//! System calls on their way out: the tracepoint family's main source of ranges.

use crate::config::class_of;
use crate::kernel::{self, Pointer};
use crate::{dirty, interest};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use foundry_common::abi::{field, syscall};

/// `sys_exit(struct pt_regs *regs, long ret)`
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn tp_sys_exit(ctx: RawTracePointContext) -> i32 {
    let ret: i64 = ctx.arg(1);
    let _ = handle(&ctx, ret);
    0
}

#[inline(always)]
fn handle(ctx: &RawTracePointContext, ret: i64) -> Option<()> {
    let regs = Pointer::new(ctx.arg(0))?;
    let class = class_of(regs.get(field::REGS_NUMBER)?);
    if class == syscall::WRITE && ret > 0 {
        let file = kernel::file_of(regs.get(field::REGS_ARG0)?)?;
        let slot = interest::slot_of(kernel::inode_of(file)?)?;
        let end: u64 = file.get(field::FILE_POS)?;
        dirty::mark(slot, end.wrapping_sub(ret as u64), end);
    }
    Some(())
}
