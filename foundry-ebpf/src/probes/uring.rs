//! io_uring, whose writes are no system calls: the tracepoint family.
//!
//! Knows: `io_kiocb`. Must never know: the rings of io_uring.
//! Keeps: a write that posts no completion makes its file one that is swept.

use crate::config::setting;
use crate::foundry_common::abi::{field, mapping, setting as set};
use crate::kernel::{self, Pointer};
use crate::{dirty, emit, interest, task};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

const WRITEV: u8 = 2;
const WRITE_FIXED: u8 = 5;
const FALLOCATE: u8 = 17;
const OPENAT: u8 = 18;
const WRITE: u8 = 23;
const OPENAT2: u8 = 28;
const SPLICE: u8 = 30;
const FTRUNCATE: u8 = 55;
const WRITEV_FIXED: u8 = 61;

#[inline(always)]
fn writes(opcode: u8) -> bool {
    opcode == WRITE || opcode == WRITEV || opcode == WRITE_FIXED || opcode == WRITEV_FIXED
}

/// `io_uring_complete(ctx, req, cqe)`, before 6.13 `(ctx, req, user_data, res, ...)`
#[raw_tracepoint(tracepoint = "io_uring_complete")]
pub fn tp_uring(ctx: RawTracePointContext) -> i32 {
    let result = if setting(set::COMPLETE_HAS_ENTRY) != 0 {
        Pointer::new(ctx.arg(2)).and_then(|entry| entry.get::<i32>(field::CQE_RES))
    } else {
        Some(ctx.arg::<i32>(3))
    };
    let _ = result.and_then(|result| completed(ctx.arg(1), result));
    0
}

#[inline(always)]
fn completed(request: u64, result: i32) -> Option<()> {
    if result < 0 {
        return None;
    }
    let request = Pointer::new(request)?;
    let opcode: u8 = request.get(field::REQUEST_OPCODE)?;
    if opcode == OPENAT || opcode == OPENAT2 {
        return opened(result as u64);
    }
    if !writes(opcode) && opcode != FALLOCATE && opcode != FTRUNCATE && opcode != SPLICE {
        return None;
    }
    let slot = interest::slot_of_file(request.follow(field::REQUEST_FILE)?)?;
    if !writes(opcode) {
        dirty::mark_whole(slot);
        return Some(());
    }
    if let Some((start, end)) = task::noted(slot) {
        dirty::mark(slot, start, end);
    }
    if result > 0 {
        let end: u64 = request.inside(field::REQUEST_CMD)?.get(field::KIOCB_POS)?;
        match end.checked_sub(result as u64) {
            Some(start) => dirty::mark(slot, start, end),
            None => dirty::mark_whole(slot),
        }
    }
    Some(())
}

/// Whether opening cut the file is not said; one that is empty now may have been cut.
#[inline(always)]
fn opened(descriptor: u64) -> Option<()> {
    let inode = kernel::inode_of(kernel::file_of(descriptor)?)?;
    if inode.get::<u64>(field::INODE_SIZE)? == 0 {
        dirty::mark_from(interest::slot_of(inode)?, 0);
    }
    Some(())
}

/// `io_uring_submit_req(struct io_kiocb *)`
#[raw_tracepoint(tracepoint = "io_uring_submit_req")]
pub fn tp_uring_submit(ctx: RawTracePointContext) -> i32 {
    let _ = submitted(ctx.arg(0));
    0
}

#[inline(always)]
fn submitted(request: u64) -> Option<()> {
    let request = Pointer::new(request)?;
    if request.get::<u32>(field::REQUEST_FLAGS)? & setting(set::CQE_SKIP_MASK) == 0
        || !writes(request.get(field::REQUEST_OPCODE)?)
    {
        return None;
    }
    let slot = interest::slot_of_file(request.follow(field::REQUEST_FILE)?)?;
    emit::mapping(slot, dirty::generation(slot)?, mapping::SHARED_WRITABLE);
    Some(())
}
