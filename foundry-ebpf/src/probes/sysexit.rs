//! System calls on their way out: the tracepoint family's source of ranges on every file system.
//!
//! Knows: system calls' arguments. Must never know: what lies below them.
//! Keeps: a call that changed a tracked file marks it after the fact, so whoever reads then sees it.

use crate::config::classes_of;
use crate::foundry_common::abi::{field, global, kind, mapping, syscall};
use crate::kernel::{self, Pointer, Typed, end_of};
use crate::{dirty, emit, interest, task};
use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;

const O_TRUNC: u64 = 0o1000;
const O_APPEND: u32 = 0o2000;
const RWF_APPEND: u64 = 0x10;
const FALLOC_SHIFTS: u64 = 0x08 | 0x20;
const FMODE_WRITE: u32 = 2;
const PROT_EXEC: u64 = 4;
const MAP_TYPE: u64 = 0x0f;
const MAP_SHARED: u64 = 1;
const MAP_SHARED_VALIDATE: u64 = 3;
const MAP_ANONYMOUS: u64 = 0x20;
const FICLONERANGE: u32 = 0x4020_940d;
const LOOP_SET_FD: u32 = 0x4c00;
const LOOP_CHANGE_FD: u32 = 0x4c06;
const LOOP_CONFIGURE: u32 = 0x4c0a;
/// Requests that programs send to any file and that change no byte: FIONREAD, FIONBIO, FIOASYNC,
/// FIOCLEX, FIONCLEX, FIOQSIZE, FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FIEMAP, FIDEDUPERANGE, TCGETS.
const HARMLESS: [u32; 11] = [
    0x541b,
    0x5421,
    0x5452,
    0x5451,
    0x5450,
    0x5460,
    0x8008_6601,
    0x801c_581f,
    0xc020_660b,
    0xc018_9436,
    0x5401,
];

/// A call that returned, and did not fail.
struct Call {
    regs: Typed,
    result: u64,
}

impl Call {
    #[inline(always)]
    fn arg(&self, field: usize) -> Option<u64> {
        Some(self.regs.get(field))
    }

    #[inline(always)]
    fn file(&self, field: usize) -> Option<Pointer> {
        kernel::file_of(u64::from(self.arg(field)? as u32))
    }
}

/// `sys_exit(struct pt_regs *regs, long ret)`
#[raw_tracepoint(tracepoint = "sys_exit")]
pub fn tp_sys_exit(ctx: RawTracePointContext) -> i32 {
    let result: i64 = ctx.arg(1);
    // Nothing changes what failed; addresses that mmap returns are never negative.
    if result < 0 {
        return 0;
    }
    // The same registers as the argument's, by plain loads.
    let regs = kernel::registers();
    let (wide, narrow) = classes_of(regs.get::<u32>(field::REGS_NUMBER).into());
    if wide == syscall::NONE && narrow == syscall::NONE {
        return 0;
    }
    let call = Call { regs, result: result as u64 };
    let _ = if kernel::is_compat() { narrow_call(&call, narrow) } else { wide_call(&call, wide) };
    0
}

#[inline(always)]
fn wide_call(call: &Call, class: u8) -> Option<()> {
    match class {
        syscall::WRITE => written(call, call.file(field::REGS_ARG0)?),
        syscall::SENDFILE => written(call, call.file(field::REGS_ARG0)?),
        syscall::PWRITE => placed(call, false),
        syscall::PWRITEV => placed(call, false),
        syscall::PWRITEV2 => placed(call, true),
        syscall::COPY => copied(call),
        syscall::FTRUNCATE => {
            let slot = interest::slot_of_file(call.file(field::REGS_ARG0)?)?;
            dirty::mark_from(slot, call.arg(field::REGS_ARG1)?);
            Some(())
        }
        syscall::TRUNCATE => {
            dirty::mark_from(task::cut()?, call.arg(field::REGS_ARG1)?);
            Some(())
        }
        syscall::FALLOCATE => allocated(call),
        syscall::OPEN => opened(call, call.arg(field::REGS_ARG1)?),
        syscall::OPENAT => opened(call, call.arg(field::REGS_ARG2)?),
        syscall::OPENAT2 => opened(call, kernel::user(call.arg(field::REGS_ARG2)?)?),
        syscall::CREAT => opened(call, O_TRUNC),
        syscall::IOCTL => controlled(call),
        syscall::MMAP => {
            let (protection, flags) = (call.arg(field::REGS_ARG2)?, call.arg(field::REGS_ARG3)?);
            mapped(call.arg(field::REGS_ARG4)?, protection, flags)
        }
        syscall::IO_SUBMIT => submitted(call),
        syscall::ATTR => {
            let slot = task::touched()?;
            emit::slot(kind::META, slot, dirty::generation(slot)?);
            Some(())
        }
        _ => None,
    }
}

/// 32-bit programs are rare: their calls make a file whole-dirty.
#[inline(always)]
fn narrow_call(call: &Call, class: u8) -> Option<()> {
    match class {
        syscall::WHOLE0 => whole(call.file(field::COMPAT_ARG0)?),
        syscall::WHOLE2 => whole(call.file(field::COMPAT_ARG2)?),
        syscall::TRUNCATE => {
            dirty::mark_whole(task::cut()?);
            Some(())
        }
        syscall::OPEN => opened(call, call.arg(field::COMPAT_ARG1)?),
        syscall::OPENAT => opened(call, call.arg(field::COMPAT_ARG2)?),
        syscall::CREAT => opened(call, O_TRUNC),
        syscall::MMAP => {
            let protection = call.arg(field::COMPAT_ARG2)?;
            mapped(call.arg(field::COMPAT_ARG4)?, protection, call.arg(field::COMPAT_ARG3)?)
        }
        _ => None,
    }
}

#[inline(always)]
fn whole(file: Pointer) -> Option<()> {
    dirty::mark_whole(interest::slot_of_file(file)?);
    Some(())
}

/// Written at the file position.
#[inline(always)]
fn written(call: &Call, file: Pointer) -> Option<()> {
    if call.result == 0 {
        return None;
    }
    let slot = interest::slot_of_file(file)?;
    at_position(call, file, slot)
}

#[inline(always)]
fn at_position(call: &Call, file: Pointer, slot: u32) -> Option<()> {
    moved(file, slot, call.result);
    Some(())
}

#[inline(never)]
fn moved(file: Pointer, slot: u32, len: u64) {
    let noted = task::noted(slot);
    let shared = kernel::position_is_shared(file);
    if let Some((start, end)) = noted {
        dirty::mark(slot, start, end);
        // The position says nothing better, then.
        if shared {
            return;
        }
    }
    match file.get(field::FILE_POS) {
        Some(end) => dirty::mark_position(slot, len, end, shared),
        None => dirty::mark_whole(slot),
    }
}

/// Written at an offset that is an argument.
#[inline(always)]
fn placed(call: &Call, flags: bool) -> Option<()> {
    if call.result == 0 {
        return None;
    }
    let file = call.file(field::REGS_ARG0)?;
    let slot = interest::slot_of_file(file)?;
    let start = call.arg(field::REGS_ARG3)?;
    if flags && start == u64::MAX {
        return at_position(call, file, slot);
    }
    let appends = file.get::<u32>(field::FILE_FLAGS)? & O_APPEND != 0
        || flags && call.arg(field::REGS_ARG5)? & RWF_APPEND != 0;
    let noted = task::noted(slot);
    if let Some((start, end)) = noted {
        dirty::mark(slot, start, end);
    }
    if !appends {
        dirty::mark(slot, start, end_of(start, call.result));
    } else if noted.is_none() {
        // Linux appends then, whatever the offset.
        dirty::mark_whole(slot);
    }
    Some(())
}

/// splice and `copy_file_range`: into argument 2, at the offset behind argument 3 or the position.
#[inline(always)]
fn copied(call: &Call) -> Option<()> {
    if call.result == 0 {
        return None;
    }
    let file = call.file(field::REGS_ARG2)?;
    let slot = interest::slot_of_file(file)?;
    let offset = call.arg(field::REGS_ARG3)?;
    if offset == 0 {
        return at_position(call, file, slot);
    }
    if let Some((start, end)) = task::noted(slot) {
        dirty::mark(slot, start, end);
        return Some(());
    }
    // The kernel has moved the offset to the end of what it wrote; another thread may have, too.
    let end = kernel::user::<u64>(offset).filter(|_| !kernel::position_is_shared(file));
    match end.and_then(|end| Some((end.checked_sub(call.result)?, end))) {
        Some((start, end)) => dirty::mark(slot, start, end),
        None => dirty::mark_whole(slot),
    }
    Some(())
}

#[inline(always)]
fn allocated(call: &Call) -> Option<()> {
    let slot = interest::slot_of_file(call.file(field::REGS_ARG0)?)?;
    let (start, len) = (call.arg(field::REGS_ARG2)?, call.arg(field::REGS_ARG3)?);
    let shifts = call.arg(field::REGS_ARG1)? & FALLOC_SHIFTS != 0;
    dirty::mark(slot, start, if shifts { u64::MAX } else { end_of(start, len) });
    Some(())
}

/// A file was opened; if that cut it, all of it changed.
#[inline(always)]
fn opened(call: &Call, flags: u64) -> Option<()> {
    if flags & O_TRUNC == 0 {
        return None;
    }
    dirty::mark_from(interest::slot_of_file(kernel::file_of(call.result)?)?, 0);
    Some(())
}

#[inline(always)]
fn controlled(call: &Call) -> Option<()> {
    let request = call.arg(field::REGS_ARG1)? as u32;
    for harmless in HARMLESS {
        if request == harmless {
            return None;
        }
    }
    let argument = call.arg(field::REGS_ARG2)?;
    match request {
        LOOP_SET_FD | LOOP_CHANGE_FD => return lent(argument),
        LOOP_CONFIGURE => return lent(kernel::user::<u32>(argument)?.into()),
        _ => {}
    }
    let inode = kernel::inode_of(call.file(field::REGS_ARG0)?)?;
    let slot = interest::slot_of(inode)?;
    if !kernel::is_regular(inode) {
        return None;
    }
    if request == FICLONERANGE {
        let len: u64 = kernel::user(argument + 16)?;
        let start: u64 = kernel::user(argument + 24)?;
        let end = if len == 0 { u64::MAX } else { end_of(start, len) };
        // Another thread may have changed the request meanwhile; then it is the whole file.
        if !kernel::position_is_shared(kernel::file_of(call.arg(field::REGS_ARG0)?)?) {
            dirty::mark(slot, start, end);
            return Some(());
        }
    }
    dirty::mark_whole(slot);
    Some(())
}

/// A file became the disk of a loop device: as with a mapping, no system call tells of what is stored.
#[inline(always)]
fn lent(descriptor: u64) -> Option<()> {
    let slot = interest::slot_of_file(kernel::file_of(u64::from(descriptor as u32))?)?;
    emit::mapping(slot, dirty::generation(slot)?, mapping::SHARED_WRITABLE);
    Some(())
}

#[inline(always)]
fn mapped(descriptor: u64, protection: u64, flags: u64) -> Option<()> {
    if flags & MAP_ANONYMOUS != 0 {
        return None;
    }
    let file = kernel::file_of(u64::from(descriptor as u32))?;
    let slot = interest::slot_of_file(file)?;
    let kind = flags & MAP_TYPE;
    let shared = kind == MAP_SHARED || kind == MAP_SHARED_VALIDATE;
    let mut seen = 0;
    // A mapping that is not writable yet can be made so later, if the file was opened for writing.
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

/// `io_submit(context, n, struct iocb **)`: requests that were executed at once, that is all but
/// direct I/O, which reports its own completion.
#[inline(always)]
fn submitted(call: &Call) -> Option<()> {
    const MOST: u64 = 16;
    if let Some((slot, start, end)) = task::noted_any() {
        dirty::mark(slot, start, end);
    }
    let list = call.arg(field::REGS_ARG2)?;
    if call.result > MOST {
        emit::count(global::LONG_SUBMIT);
    }
    for nth in 0..MOST {
        if nth >= call.result {
            break;
        }
        if let Some(request) = kernel::user::<u64>(list + nth * 8) {
            asynchronous(request);
        }
    }
    Some(())
}

#[inline(never)]
fn asynchronous(request: u64) -> u64 {
    u64::from(request_of(request).is_some())
}

#[inline(always)]
fn request_of(request: u64) -> Option<()> {
    const PWRITE: u16 = 1;
    const PWRITEV: u16 = 8;
    let opcode: u16 = kernel::user(request + 16)?;
    if opcode != PWRITE && opcode != PWRITEV {
        return None;
    }
    let file = kernel::file_of(u64::from(kernel::user::<u32>(request + 20)?))?;
    let slot = interest::slot_of_file(file)?;
    let start: u64 = kernel::user(request + 40)?;
    let len: u64 = kernel::user(request + 32)?;
    if file.get::<u32>(field::FILE_FLAGS)? & O_APPEND != 0 {
        dirty::mark_whole(slot);
    } else {
        dirty::mark(slot, start, if opcode == PWRITE { end_of(start, len) } else { u64::MAX });
    }
    Some(())
}
