//! Changes that are not writes: allocation, truncation, clones; and pages that became dirty.
//!
//! Knows: the functions of the VFS. Must never know: system calls.
//! Keeps: as for writes, after the fact.

use crate::foundry_common::abi::{field, kind};
use crate::kernel::{self, Pointer, end_of};
use crate::{dirty, emit, interest, task};
use aya_ebpf::macros::{fexit, raw_tracepoint};
use aya_ebpf::programs::{FExitContext, RawTracePointContext};

const FALLOC_SHIFTS: u32 = 0x08 | 0x20;
/// ATTR_MODE, ATTR_UID, ATTR_GID, ATTR_MTIME_SET
const ATTRIBUTES: u32 = 1 | 2 | 4 | 0x100;
const ATTR_SIZE: u32 = 8;

/// `int vfs_fallocate(struct file *, int mode, loff_t offset, loff_t len)`
#[fexit]
pub fn fx_fallocate(ctx: FExitContext) -> i32 {
    let mode: u32 = ctx.arg(1);
    let (start, len): (u64, u64) = (ctx.arg(2), ctx.arg(3));
    if ctx.arg::<i32>(4) == 0 {
        let end = if mode & FALLOC_SHIFTS != 0 { u64::MAX } else { end_of(start, len) };
        let _ = changed(ctx.arg(0), start, end);
    }
    0
}

/// `loff_t vfs_clone_file_range(file_in, pos_in, file_out, pos_out, len, flags)`
#[fexit]
pub fn fx_clone(ctx: FExitContext) -> i32 {
    let (start, len): (u64, u64) = (ctx.arg(3), ctx.arg(4));
    if ctx.arg::<i64>(6) >= 0 {
        let end = if len == 0 { u64::MAX } else { end_of(start, len) };
        let _ = changed(ctx.arg(2), start, end);
    }
    0
}

/// `ssize_t vfs_copy_file_range(file_in, pos_in, file_out, pos_out, len, flags)`
#[fexit]
pub fn fx_copy(ctx: FExitContext) -> i32 {
    let (start, done): (u64, i64) = (ctx.arg(3), ctx.arg(6));
    if done > 0 {
        let _ = changed(ctx.arg(2), start, end_of(start, done as u64));
    }
    0
}

#[inline(always)]
fn changed(file: u64, start: u64, end: u64) -> Option<()> {
    dirty::mark(interest::slot_of_file(Pointer::new(file)?)?, start, end);
    Some(())
}

/// `int notify_change(idmap, struct dentry *, struct iattr *, struct inode **)`: every truncation
/// passes here, and every change of attributes.
#[fexit]
pub fn fx_attributes(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(4) == 0 {
        let _ = attributes(ctx.arg(1), ctx.arg(2));
    }
    0
}

#[inline(always)]
fn attributes(dentry: u64, change: u64) -> Option<()> {
    let slot = interest::slot_of(Pointer::new(dentry)?.follow(field::DENTRY_INODE)?)?;
    let change = Pointer::new(change)?;
    let which: u32 = change.get(field::IATTR_VALID)?;
    if which & ATTR_SIZE != 0 {
        dirty::mark_from(slot, change.get(field::IATTR_SIZE)?);
    } else if which & ATTRIBUTES != 0 {
        emit::slot(kind::META, slot, dirty::generation(slot)?);
    }
    Some(())
}

/// `writeback_dirty_folio(struct folio *, struct address_space *)`: clean to dirty. Where nothing is
/// mapped for writing, a system call did it, whose own range is finer than a folio of up to megabytes.
#[raw_tracepoint(tracepoint = "writeback_dirty_folio")]
pub fn tp_dirty_folio(ctx: RawTracePointContext) -> i32 {
    let _ = dirtied(ctx.arg(0), ctx.arg(1));
    0
}

#[inline(always)]
fn dirtied(folio: u64, mapping: u64) -> Option<()> {
    // Whoever ends a mapping hands its dirty pages over, so the current task does not matter.
    let inode = Pointer::new(mapping)?.follow(field::MAPPING_HOST)?;
    let slot = interest::slot_for_anybody(inode)?;
    if kernel::writable_mappings(inode)? == 0 && !kernel::is_kernel_thread() {
        return None;
    }
    let (start, end) = kernel::folio_range(Pointer::new(folio)?)?;
    dirty::mark(slot, start, end);
    Some(())
}

/// `inode_set_ctime_to_ts(struct inode *, struct timespec64 *)`: tells a truncation by path, whose
/// call has no descriptor, which inode it was.
#[raw_tracepoint(tracepoint = "inode_set_ctime_to_ts")]
pub fn tp_ctime_set(ctx: RawTracePointContext) -> i32 {
    touched(ctx.arg(0))
}

/// `ctime_ns_xchg(struct inode *, u32 old, u32 new, u32 cur)`
#[raw_tracepoint(tracepoint = "ctime_ns_xchg")]
pub fn tp_ctime_swap(ctx: RawTracePointContext) -> i32 {
    touched(ctx.arg(0))
}

/// `ctime_xchg_skip(struct inode *, struct timespec64 *)`
#[raw_tracepoint(tracepoint = "ctime_xchg_skip")]
pub fn tp_ctime_same(ctx: RawTracePointContext) -> i32 {
    touched(ctx.arg(0))
}

/// `ext4_truncate_enter(struct inode *)`: for kernels without the tracepoints above.
#[raw_tracepoint(tracepoint = "ext4_truncate_enter")]
pub fn tp_ext4_truncate(ctx: RawTracePointContext) -> i32 {
    touched(ctx.arg(0))
}

#[inline(always)]
fn touched(inode: u64) -> i32 {
    if let Some(slot) = Pointer::new(inode).and_then(interest::slot_of) {
        task::touch(slot);
    }
    0
}
