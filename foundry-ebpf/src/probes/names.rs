//! Directory entries that come, go or are replaced: the fentry family.
//!
//! Knows: dentries. Must never know: whether the call succeeded, mostly: a name is a place to look at.
//! Keeps: a name is reported when the directory has changed already.

use crate::config::setting;
use crate::foundry_common::abi::{field, setting as set};
use crate::kernel::{self, Pointer};
use crate::maps::{RENAMES, Renaming};
use crate::{dirty, emit, interest};
use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::bpf_get_func_ret;
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

const FMODE_CREATED: u32 = 0x10_0000;

/// Reports the name of `dentry` in the directory `dir`.
#[inline(always)]
fn report(dir: Pointer, dentry: Pointer) -> Option<()> {
    let slot = interest::slot_of(dir)?;
    emit::name(slot, dirty::generation(slot)?, dentry.follow(field::DENTRY_NAME)?);
    Some(())
}

/// Reports the name of `dentry` in whatever directory it is in now.
#[inline(always)]
fn report_here(dentry: Pointer) -> Option<()> {
    report(dentry.follow(field::DENTRY_PARENT)?.follow(field::DENTRY_INODE)?, dentry)
}

#[inline(always)]
fn report_at(dir: u64, dentry: u64) -> i32 {
    if let (Some(dir), Some(dentry)) = (Pointer::new(dir), Pointer::new(dentry)) {
        let _ = report(dir, dentry);
    }
    0
}

/// `struct file *do_filp_open(int dfd, struct filename *, const struct open_flags *)`; newer
/// kernels call it `do_file_open`.
#[fexit]
pub fn fx_open(ctx: FExitContext) -> i32 {
    // Where it is an error, it is no address, and reading there fails.
    let _ = Pointer::new(ctx.arg(3)).and_then(created);
    0
}

#[inline(always)]
fn created(file: Pointer) -> Option<()> {
    if file.get::<u32>(field::FILE_MODE)? & FMODE_CREATED == 0 {
        return None;
    }
    report_here(file.follow(field::FILE_DENTRY)?)
}

/// `int vfs_create(idmap, struct inode *dir, struct dentry *, umode_t, bool)`; of late
/// `(idmap, struct dentry *, umode_t, struct delegated_inode *)`.
#[fexit]
pub fn fx_create(ctx: FExitContext) -> i32 {
    if setting(set::CREATE_TAKES_DENTRY) != 0 {
        let _ = Pointer::new(ctx.arg(1)).and_then(report_here);
        return 0;
    }
    report_at(ctx.arg(1), ctx.arg(2))
}

/// `int vfs_mknod(idmap, struct inode *dir, struct dentry *, umode_t, dev_t)`
#[fexit]
pub fn fx_mknod(ctx: FExitContext) -> i32 {
    report_at(ctx.arg(1), ctx.arg(2))
}

/// `vfs_mkdir(idmap, struct inode *dir, struct dentry *, umode_t)`: an integer, since 6.15 the dentry,
/// which may be another one than was passed. Kernels differ in the number of parameters, which it
/// follows, so the kernel is asked where it is.
#[fexit]
pub fn fx_mkdir(ctx: FExitContext) -> i32 {
    let mut made: u64 = ctx.arg(2);
    if setting(set::MKDIR_RETURNS_DENTRY) != 0 {
        // SAFETY: the context is that of a program for the return of a function, and the result is ours.
        unsafe { bpf_get_func_ret(ctx.as_ptr(), &raw mut made) };
    }
    report_at(ctx.arg(1), made)
}

/// `int vfs_symlink(idmap, struct inode *dir, struct dentry *, const char *)`
#[fexit]
pub fn fx_symlink(ctx: FExitContext) -> i32 {
    report_at(ctx.arg(1), ctx.arg(2))
}

/// `int vfs_link(struct dentry *old, idmap, struct inode *dir, struct dentry *new, struct inode **)`
#[fexit]
pub fn fx_link(ctx: FExitContext) -> i32 {
    report_at(ctx.arg(2), ctx.arg(3))
}

/// `int vfs_unlink(idmap, struct inode *dir, struct dentry *, struct inode **)`
#[fexit]
pub fn fx_unlink(ctx: FExitContext) -> i32 {
    report_at(ctx.arg(1), ctx.arg(2))
}

/// `int vfs_rmdir(idmap, struct inode *dir, struct dentry *)`
#[fexit]
pub fn fx_rmdir(ctx: FExitContext) -> i32 {
    report_at(ctx.arg(1), ctx.arg(2))
}

#[inline(always)]
fn thread() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// `int vfs_rename(struct renamedata *)`: keeps the name that goes away.
#[fentry]
pub fn fe_rename(ctx: FEntryContext) -> i32 {
    let _ = leaving(ctx.arg(0));
    0
}

#[inline(always)]
fn leaving(data: u64) -> Option<()> {
    let dentry = Pointer::new(data)?.follow(field::RENAME_OLD)?;
    let dir = dentry.follow(field::DENTRY_PARENT)?.follow(field::DENTRY_INODE)?;
    let slot = interest::slot_of(dir)?;
    let thread = thread();
    // The entry is made empty first, because a name is too long for the stack.
    RENAMES.insert(&thread, &EMPTY, 0).ok()?;
    let kept = RENAMES.get_ptr_mut(&thread)?;
    // SAFETY: only the thread itself uses its entry, and the map keeps it alive for the program.
    let name = unsafe { &raw mut (*kept).name };
    let len = kernel::string(dentry.follow(field::DENTRY_NAME)?, name)?;
    // SAFETY: as above.
    unsafe { (&raw mut (*kept).slot).write(u64::from(slot) << 1 | u64::from(len > 0)) };
    Some(())
}

static EMPTY: Renaming = Renaming { slot: 0, name: [0; 256] };

/// See [`fe_rename`].
#[fexit]
pub fn fx_rename(ctx: FExitContext) -> i32 {
    let _ = left();
    let _ = RENAMES.remove(&thread());
    let _ = arrived(ctx.arg(0));
    0
}

#[inline(always)]
fn left() -> Option<()> {
    let kept = RENAMES.get_ptr(&thread())?;
    // SAFETY: as in `leaving`.
    let slot = unsafe { (&raw const (*kept).slot).read() };
    if slot & 1 == 0 {
        return None;
    }
    let slot = (slot >> 1) as u32;
    // SAFETY: as in `leaving`.
    let name = unsafe { &raw const (*kept).name };
    emit::name(slot, dirty::generation(slot)?, Pointer::new(name as u64)?);
    Some(())
}

/// The entry that was moved has its new name and its new directory by now; and if two were
/// exchanged, the other one has the name that was kept.
#[inline(always)]
fn arrived(data: u64) -> Option<()> {
    report_here(Pointer::new(data)?.follow(field::RENAME_OLD)?)
}
