//! Mappings: that there is one, and stores through it.
//!
//! Knows: `vm_fault`. Must never know: what is stored.
//! Keeps: a page is reported when it is dirty already, so that cleaning it makes the next store fault.

use crate::foundry_common::abi::{field, mapping};
use crate::kernel::{Pointer, end_of, page_shift};
use crate::{dirty, emit, interest};
use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;

const FMODE_WRITE: u32 = 2;
const PROT_EXEC: u64 = 4;
const MAP_TYPE: u64 = 0x0f;
const MAP_SHARED: u64 = 1;
const MAP_SHARED_VALIDATE: u64 = 3;

/// `vm_fault_t fault_dirty_shared_page(struct vm_fault *)`: the first store into a clean page.
#[fexit]
pub fn fx_fault(ctx: FExitContext) -> i32 {
    let _ = stored(ctx.arg(0));
    0
}

#[inline(always)]
fn stored(fault: u64) -> Option<()> {
    let fault = Pointer::new(fault)?;
    let slot = interest::slot_of_file(fault.follow(field::FAULT_VMA)?.follow(field::VMA_FILE)?)?;
    let start = fault.get::<u64>(field::FAULT_PGOFF)? << page_shift();
    dirty::mark(slot, start, end_of(start, 1 << page_shift()));
    Some(())
}

/// `int security_mmap_file(struct file *, unsigned long prot, unsigned long flags)`
#[fexit]
pub fn fx_mmap(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(3) == 0 {
        let _ = mapped(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    }
    0
}

#[inline(always)]
fn mapped(file: u64, protection: u64, flags: u64) -> Option<()> {
    let file = Pointer::new(file)?;
    let kind = flags & MAP_TYPE;
    let shared = kind == MAP_SHARED || kind == MAP_SHARED_VALIDATE;
    if !shared && protection & PROT_EXEC == 0 {
        return None;
    }
    let slot = interest::slot_of_file(file)?;
    let mut seen = 0;
    if shared && file.get::<u32>(field::FILE_MODE)? & FMODE_WRITE != 0 {
        seen |= mapping::SHARED_WRITABLE;
    }
    if protection & PROT_EXEC != 0 {
        seen |= mapping::EXECUTABLE;
    }
    if seen != 0 {
        emit::mapping(slot, dirty::generation(slot)?, seen);
    }
    Some(())
}
