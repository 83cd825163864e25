//! Writes: at the return of a file system's `write_iter`, and at its tracepoints.
//!
//! Knows: `kiocb`. Must never know: system calls.
//! Keeps: a range is marked after its bytes are in the page cache or on the disk.

use crate::foundry_common::abi::{field, mapping};
use crate::kernel::{self, Pointer, Typed, end_of};
use crate::{dirty, emit, interest, task};
use aya_ebpf::macros::{fentry, fexit, raw_tracepoint};
use aya_ebpf::programs::{FEntryContext, FExitContext, RawTracePointContext};

/// The request is a write.
const IOCB_WRITE: u32 = 1 << 18;
/// Queued: completion is reported elsewhere.
const EIOCBQUEUED: i64 = -529;

/// `ssize_t <fs>_file_write_iter(struct kiocb *, struct iov_iter *)`: after it, the position is the
/// end of what was written, even where the file was opened for appending.
#[inline(always)]
fn returned(kiocb: u64, result: i64, queued_is_seen: bool) -> Option<()> {
    if result <= 0 && result != EIOCBQUEUED {
        return None;
    }
    let kiocb = Typed::new(kiocb);
    let inode = kiocb.follow(field::KIOCB_FILE).follow(field::FILE_INODE);
    let slot = interest::slot_of_typed(inode)?;
    let end: u64 = kiocb.get(field::KIOCB_POS);
    if result == EIOCBQUEUED {
        if !queued_is_seen {
            // Nobody says when it is done, so the file is swept, too.
            dirty::mark(slot, end, u64::MAX);
            emit::mapping(slot, dirty::generation(slot)?, mapping::SHARED_WRITABLE);
        }
        return Some(());
    }
    match end.checked_sub(result as u64) {
        Some(start) => dirty::mark(slot, start, end),
        None => dirty::mark_whole(slot),
    }
    Some(())
}

macro_rules! write_iter {
    ($queued_is_seen:expr; $($program:ident),*) => {
        $(
            #[fexit]
            pub fn $program(ctx: FExitContext) -> i32 {
                let _ = returned(ctx.arg(0), ctx.arg(2), $queued_is_seen);
                0
            }
        )*
    };
}

// One program for each file system, because a program is loaded for one function. Queued direct I/O
// of the first ones ends in `iomap_dio_complete`.
write_iter!(true; fx_write_ext4, fx_write_xfs, fx_write_btrfs, fx_write_f2fs, fx_write_shmem);
write_iter!(false; fx_write_generic, fx_write_overlay, fx_write_fuse, fx_write_nfs, fx_write_ext2);

/// `ssize_t ovl_splice_write(pipe, struct file *, loff_t *position, size_t, unsigned)`: overlay does
/// not come back to its own `write_iter` for it.
#[fexit]
pub fn fx_splice_overlay(ctx: FExitContext) -> i32 {
    let result: i64 = ctx.arg(5);
    if result > 0 {
        let _ = spliced(ctx.arg(1), ctx.arg(2), result as u64);
    }
    0
}

#[inline(always)]
fn spliced(file: u64, position: u64, len: u64) -> Option<()> {
    let slot = interest::slot_of_file(Pointer::new(file)?)?;
    let position: u64 = kernel::at(Pointer::new(position)?)?;
    // Kernels differ in whether the position has moved by now.
    dirty::mark(slot, position.saturating_sub(len), end_of(position, len));
    Some(())
}

/// `ssize_t iomap_dio_complete(struct iomap_dio *)`: direct I/O that was queued ends here. The
/// structure is freed inside, so the range is noted before and marked after, when no stale page is
/// left in the page cache.
#[fentry]
pub fn fe_direct(ctx: FEntryContext) -> i32 {
    let _ = completing(ctx.arg(0));
    0
}

#[inline(always)]
fn completing(dio: u64) -> Option<()> {
    let dio = Pointer::new(dio)?;
    let kiocb = dio.follow(field::DIO_KIOCB)?;
    if kiocb.get::<u32>(field::KIOCB_FLAGS)? & IOCB_WRITE == 0 {
        return None;
    }
    // A worker completes what somebody else asked for, so nobody is left out here.
    let slot = interest::slot_for_anybody(kernel::inode_of(kiocb.follow(field::KIOCB_FILE)?)?)?;
    let start: u64 = kiocb.get(field::KIOCB_POS)?;
    task::note(slot, start, end_of(start, dio.get(field::DIO_SIZE)?));
    Some(())
}

/// See [`fe_direct`].
#[fexit]
pub fn fx_direct(ctx: FExitContext) -> i32 {
    let result: i64 = ctx.arg(1);
    if result != 0
        && let Some((slot, start, end)) = task::noted_any()
    {
        dirty::mark(slot, start, end);
    }
    0
}

/// `iomap_dio_complete(struct kiocb *, int error, ssize_t ret)`: direct I/O, also where it was queued.
#[raw_tracepoint(tracepoint = "iomap_dio_complete")]
pub fn tp_direct(ctx: RawTracePointContext) -> i32 {
    let _ = completed(ctx.arg(0), ctx.arg(2));
    0
}

#[inline(always)]
fn completed(kiocb: u64, result: i64) -> Option<()> {
    if result <= 0 {
        return None;
    }
    let kiocb = Pointer::new(kiocb)?;
    if kiocb.get::<u32>(field::KIOCB_FLAGS)? & IOCB_WRITE == 0 {
        return None;
    }
    // A worker completes what somebody else asked for, so nobody is left out here.
    let slot = interest::slot_for_anybody(kernel::inode_of(kiocb.follow(field::KIOCB_FILE)?)?)?;
    let end: u64 = kiocb.get(field::KIOCB_POS)?;
    match end.checked_sub(result as u64) {
        Some(start) => {
            dirty::mark(slot, start, end);
            task::note(slot, start, end);
        }
        None => dirty::mark_whole(slot),
    }
    Some(())
}

/// `ext4_da_write_end(struct inode *, loff_t pos, unsigned len, unsigned copied)`: the bytes are in
/// the page cache, the size of the file is not raised yet; the call's return marks them again.
#[raw_tracepoint(tracepoint = "ext4_da_write_end")]
pub fn tp_ext4_delayed(ctx: RawTracePointContext) -> i32 {
    let _ = buffered(ctx.arg(0), ctx.arg(1), ctx.arg(3));
    0
}

/// `ext4_write_end(struct inode *, loff_t pos, unsigned len, unsigned copied)`
#[raw_tracepoint(tracepoint = "ext4_write_end")]
pub fn tp_ext4(ctx: RawTracePointContext) -> i32 {
    let _ = buffered(ctx.arg(0), ctx.arg(1), ctx.arg(3));
    0
}

/// `ext4_journalled_write_end(struct inode *, loff_t pos, unsigned len, unsigned copied)`
#[raw_tracepoint(tracepoint = "ext4_journalled_write_end")]
pub fn tp_ext4_journalled(ctx: RawTracePointContext) -> i32 {
    let _ = buffered(ctx.arg(0), ctx.arg(1), ctx.arg(3));
    0
}

#[inline(always)]
fn buffered(inode: u64, start: u64, copied: u64) -> Option<()> {
    let copied = u64::from(copied as u32);
    if copied == 0 {
        return None;
    }
    let slot = interest::slot_of(Pointer::new(inode)?)?;
    dirty::mark(slot, start, end_of(start, copied));
    task::note(slot, start, end_of(start, copied));
    Some(())
}

/// `xfs_file_buffered_write(struct kiocb *, struct iov_iter *)`: what is going to be written, with
/// the position that an appending write gets. The bytes are not there yet, so it is only noted.
#[raw_tracepoint(tracepoint = "xfs_file_buffered_write")]
pub fn tp_xfs(ctx: RawTracePointContext) -> i32 {
    let _ = intended(ctx.arg(0), ctx.arg(1));
    0
}

#[inline(always)]
fn intended(kiocb: u64, iter: u64) -> Option<()> {
    let kiocb = Pointer::new(kiocb)?;
    let slot = interest::slot_of_file(kiocb.follow(field::KIOCB_FILE)?)?;
    let start: u64 = kiocb.get(field::KIOCB_POS)?;
    let len: u64 = Pointer::new(iter)?.get(field::ITER_COUNT)?;
    task::note(slot, start, end_of(start, len));
    Some(())
}
