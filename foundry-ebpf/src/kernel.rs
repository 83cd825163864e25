//! Kernel structures: the only file that reads kernel or user memory through raw pointers.
//!
//! Knows: which field lies behind which pointer; where it lies is read from `config`.
//! Must never know: BPF maps, records.
//! Keeps: a pointer read from the kernel is only ever handed to a probing read, which fails
//! instead of faulting; a field that this kernel lacks reads as nothing.

use crate::config::{offset, setting};
use aya_ebpf::helpers::{
    bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_kernel_str_bytes,
    bpf_probe_read_user,
};
use foundry_common::abi::{field, inode_key, setting as set};

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

#[inline(always)]
fn read<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: the helper copies from any address, or fails; T is a plain integer.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}

/// Reads an integer from the memory of the current process.
#[inline(always)]
pub fn user<T: Copy>(address: u64) -> Option<T> {
    // SAFETY: as for `read`.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// Copies a string into `target` and returns its length without the NUL.
#[inline(always)]
pub fn string(source: Pointer, target: &mut [u8]) -> Option<usize> {
    // SAFETY: the helper copies at most `target.len()` bytes from any address, or fails.
    unsafe { bpf_probe_read_kernel_str_bytes(source.0 as *const u8, target) }.ok().map(<[u8]>::len)
}

/// The current task.
#[inline(always)]
pub fn task() -> Option<Pointer> {
    // SAFETY: the helper has no preconditions.
    Pointer::new(unsafe { bpf_get_current_task() })
}

/// The open file behind a descriptor of the current task.
#[inline(always)]
pub fn file_of(descriptor: u64) -> Option<Pointer> {
    let table = task()?.follow(field::TASK_FILES)?.follow(field::FILES_FDT)?;
    if descriptor >= u64::from(table.get::<u32>(field::FDT_MAX_FDS)?) {
        return None;
    }
    Pointer::new(read(table.get::<u64>(field::FDT_FD)? + descriptor * 8)?)
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
    let inode = inode_of(task()?.follow(field::TASK_MM)?.follow(field::MM_EXE_FILE)?)?;
    Some((inode.get(field::INODE_INO)?, inode.follow(field::INODE_SB)?.get(field::SB_DEV)?))
}

/// Bytes of a page, as a shift.
#[inline(always)]
pub fn page_shift() -> u32 {
    setting(set::PAGE_SHIFT) & 31
}
