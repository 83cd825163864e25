//! Kernel structures: the only file that reads kernel or user memory through raw pointers.
//!
//! Knows: which field lies behind which pointer; where it lies is read from `config`.
//! Must never know: BPF maps, records.
//! Keeps: a pointer read from the kernel is only ever handed to a probing read, which fails
//! instead of faulting; a field that this kernel lacks reads as nothing.

use crate::config::{offset, setting};
use crate::foundry_common::abi::{NAME_BYTES, field, inode_key, setting as set};
use aya_ebpf::helpers::{
    bpf_probe_read_kernel, bpf_probe_read_user,
    generated::{bpf_get_current_task_btf, bpf_probe_read_kernel_str, bpf_task_pt_regs},
};
use core::ffi::c_void;

/// An address in kernel memory that is not null.
#[derive(Clone, Copy)]
pub struct Pointer(u64);

impl Pointer {
    /// `None` for null.
    #[inline(always)]
    pub fn new(address: u64) -> Option<Self> {
        (address != 0).then_some(Self(address))
    }

    /// Reads the field `index` (of `abi::field`).
    #[inline(always)]
    pub fn get<T: Copy>(self, index: usize) -> Option<T> {
        let at = offset(index);
        if at == field::ABSENT {
            return None;
        }
        read(self.0 + u64::from(at))
    }

    /// Reads the field `index` as a pointer.
    #[inline(always)]
    pub fn follow(self, index: usize) -> Option<Self> {
        Self::new(self.get(index)?)
    }

    /// The address of the field `index`, for a structure inside this one.
    #[inline(always)]
    pub fn inside(self, index: usize) -> Option<Self> {
        let at = offset(index);
        (at != field::ABSENT).then_some(Self(self.0 + u64::from(at)))
    }
}

/// A pointer whose type the verifier knows: arguments of functions and tracepoints, and what is read
/// through them. Such memory is read by plain loads, which cost next to nothing; where the address
/// is bad, the kernel makes them 0. It must not be passed to a subprogram or kept in a map.
#[derive(Clone, Copy)]
pub struct Typed(u64);

impl Typed {
    /// `argument` must come straight from the context, or from `task_typed`.
    #[inline(always)]
    pub fn new(argument: u64) -> Self {
        Self(argument)
    }

    /// Reads the field `index`, which every kernel must have.
    #[inline(always)]
    pub fn get<T: Copy>(self, index: usize) -> T {
        let at = self.0 + u64::from(offset(index));
        // SAFETY: the verifier refuses a program in which this is not a field of that size.
        unsafe { core::ptr::read_volatile(at as *const T) }
    }

    /// Reads the field `index` as a pointer of the type that the field has.
    #[inline(always)]
    pub fn follow(self, index: usize) -> Self {
        Self(self.get(index))
    }

    /// The same memory for everything that reads by probing.
    #[inline(always)]
    pub fn probing(self) -> Option<Pointer> {
        Pointer::new(self.0)
    }
}

/// The current task, with its type.
#[inline(always)]
pub fn task_typed() -> Typed {
    // SAFETY: the helper has no preconditions.
    Typed(unsafe { bpf_get_current_task_btf() } as u64)
}

/// The registers with which the current task entered the kernel.
#[inline(always)]
pub fn registers() -> Typed {
    // SAFETY: the task is the current one, of the type that the helper wants.
    Typed(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as u64)
}

/// The key of an inode in the interest map, by plain loads.
#[inline(always)]
pub fn key_of_typed(inode: Typed) -> [u64; 2] {
    inode_key(
        inode.get(field::INODE_INO),
        inode.get(field::INODE_SB),
        inode.get(field::INODE_GENERATION),
    )
}

#[inline(always)]
fn read<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper copies from any address, or fails; T is a plain integer.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}

/// Reads what a pointer points at.
#[inline(always)]
pub fn at<T: Copy>(pointer: Pointer) -> Option<T> {
    read(pointer.0)
}

/// Reads an integer from the memory of the current process.
#[inline(always)]
pub fn user<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: as for `read`.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Copies a string into `target` and returns its length without the NUL.
#[inline(always)]
pub fn string(source: Pointer, target: *mut [u8; NAME_BYTES]) -> Option<u32> {
    // SAFETY: the helper writes at most as many bytes as it is told, and reads any address or fails.
    let len = unsafe {
        bpf_probe_read_kernel_str(target.cast(), NAME_BYTES as u32, source.0 as *const c_void)
    };
    (len > 0).then(|| len as u32 - 1)
}

/// The open file behind a descriptor of the current task.
#[inline(always)]
pub fn file_of(descriptor: u64) -> Option<Pointer> {
    Pointer::new(file_address(descriptor))
}

/// As [`file_of`], or 0: a subprogram returns one register.
#[inline(never)]
fn file_address(descriptor: u64) -> u64 {
    let table = task_typed().follow(field::TASK_FILES).follow(field::FILES_FDT);
    if descriptor >= u64::from(table.get::<u32>(field::FDT_MAX_FDS)) {
        return 0;
    }
    read(table.get::<u64>(field::FDT_FD) + descriptor * 8).unwrap_or(0)
}

/// The inode of an open file.
#[inline(always)]
pub fn inode_of(file: Pointer) -> Option<Pointer> {
    file.follow(field::FILE_INODE)
}

/// The key of an inode in the interest map.
#[inline(always)]
pub fn key_of(inode: Pointer) -> Option<[u64; 2]> {
    Some(inode_key(
        inode.get(field::INODE_INO)?,
        inode.get(field::INODE_SB)?,
        inode.get(field::INODE_GENERATION)?,
    ))
}

/// How many shared writable mappings the inode has.
#[inline(always)]
pub fn writable_mappings(inode: Pointer) -> Option<u64> {
    let count: i32 = inode.follow(field::INODE_MAPPING)?.get(field::MAPPING_WRITABLE)?;
    Some(if count > 0 { count as u64 } else { 0 })
}

/// Inode number and device of the program that the current process runs.
#[inline(always)]
pub fn executable() -> Option<(u64, u32)> {
    let program = task_typed().follow(field::TASK_MM).follow(field::MM_EXE_FILE).probing()?;
    let inode = inode_of(program)?;
    Some((inode.get(field::INODE_INO)?, inode.follow(field::INODE_SB)?.get(field::SB_DEV)?))
}

/// Whether somebody else may have moved the position of `file`: another thread that shares the
/// table of open files, or another process that shares this open file.
#[inline(always)]
pub fn position_is_shared(file: Pointer) -> bool {
    let one_owner = match file.get::<u64>(field::FILE_REF) {
        Some(references) => references == 0,
        None => file.get::<u64>(field::FILE_COUNT) == Some(1),
    };
    let threads: i32 = task_typed().follow(field::TASK_FILES).get(field::FILES_COUNT);
    !one_owner || threads != 1
}

/// Whether the inode is a regular file.
#[inline(always)]
pub fn is_regular(inode: Pointer) -> bool {
    inode.get::<u16>(field::INODE_MODE).is_some_and(|mode| mode & 0o170_000 == 0o100_000)
}

/// The bytes of its file that a folio holds, `[start, end)`.
#[inline(always)]
pub fn folio_range(folio: Pointer) -> Option<(u64, u64)> {
    let index: u64 = folio.get(field::FOLIO_INDEX)?;
    let flags: u64 = folio.get(field::FOLIO_FLAGS)?;
    let large = flags & u64::from(setting(set::FOLIO_LARGE_MASK)) != 0;
    let order = if large { u64::from(folio.get::<u8>(field::FOLIO_ORDER)?) & 31 } else { 0 };
    let start = index << page_shift();
    Some((start, start.saturating_add(1 << (u64::from(page_shift()) + order))))
}

/// Whether the current task runs a system call of a 32-bit program.
#[inline(always)]
pub fn is_compat() -> bool {
    task_typed().get::<u32>(field::TASK_STATUS) & setting(set::COMPAT_MASK) != 0
}

/// Whether the current task has no memory of its own: then no system call ends in it.
#[inline(always)]
pub fn is_kernel_thread() -> bool {
    task_typed().get::<u64>(field::TASK_MM) == 0
}

/// The end of a range that may be open.
#[inline(always)]
pub fn end_of(start: u64, len: u64) -> u64 {
    start.saturating_add(len)
}

/// Bytes of a page, as a shift.
#[inline(always)]
pub fn page_shift() -> u32 {
    setting(set::PAGE_SHIFT) & 31
}
