//! Three calls of the kernel that no package wraps: ask for a mapping, ask for pages, read memory.
//!
//! Knows: the bytes of `PROCMAP_QUERY` (Linux 6.11), `PAGEMAP_SCAN` (6.7) and `process_vm_readv`.
//! Must never know: what a mapping or a page is for.
//! Keeps: the only unsafe code about processes; each block is one call whose buffers outlive it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `_IOWR('f', number, size)`.
const fn request(number: u32, size: usize) -> u32 {
    // Both structures are far smaller than the 14 bits a size has.
    #[expect(clippy::cast_possible_truncation, reason = "sizes of two structures below")]
    let size = size as u32;
    3 << 30 | size << 16 | (b'f' as u32) << 8 | number
}

/// `struct procmap_query`, the fields in the kernel's order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProcmapQuery {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) flags: u64,
    pub(super) page_size: u64,
    pub(super) offset: u64,
    pub(super) inode: u64,
    pub(super) dev_major: u32,
    pub(super) dev_minor: u32,
    pub(super) name_size: u32,
    build_id_size: u32,
    name_addr: u64,
    build_id_addr: u64,
}

const PROCMAP_QUERY: u32 = request(17, size_of::<ProcmapQuery>());
const COVERING_OR_NEXT: u64 = 0x10;

/// The mapping that holds `address`, or the next one; its name goes to `name` and ends with a NUL.
/// `None` where there is none.
pub(super) fn procmap_query(
    maps: BorrowedFd<'_>,
    address: u64,
    name: &mut [u8],
) -> io::Result<Option<ProcmapQuery>> {
    let mut query = ProcmapQuery {
        size: size_of::<ProcmapQuery>() as u64,
        query_flags: COVERING_OR_NEXT,
        query_addr: address,
        name_size: u32::try_from(name.len()).unwrap_or(u32::MAX),
        name_addr: name.as_mut_ptr().expose_provenance() as u64,
        ..ProcmapQuery::default()
    };
    let (fd, request) = (maps.as_raw_fd(), libc::c_ulong::from(PROCMAP_QUERY));
    // SAFETY: `query` is the structure that this request names, by its size in the request; the kernel
    // writes into it and at most `name_size` bytes at `name_addr`, and both are borrowed until it returns.
    let answer = unsafe { libc::ioctl(fd, request, &raw mut query) };
    match answer {
        0.. => Ok(Some(query)),
        _ => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            e => Err(e),
        },
    }
}

/// `struct page_region`: neighbouring pages of the same categories.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageRegion {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) categories: u64,
}

pub(super) const IS_FILE: u64 = 1 << 2;
pub(super) const IS_PRESENT: u64 = 1 << 3;
pub(super) const IS_SWAPPED: u64 = 1 << 4;
pub(super) const IS_PFNZERO: u64 = 1 << 5;
pub(super) const IS_HUGE: u64 = 1 << 6;

/// `struct pm_scan_arg`, the fields in the kernel's order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

const PAGEMAP_SCAN: u32 = request(16, size_of::<ScanArg>());

/// Pages in `[start, end)` that are present or swapped, as runs in `out`. Gives how many runs, and
/// where the walk ended: at `end`, or before it where `out` was full.
pub(super) fn pagemap_scan(
    pagemap: BorrowedFd<'_>,
    start: u64,
    end: u64,
    out: &mut [PageRegion],
) -> io::Result<(usize, u64)> {
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start,
        end,
        vec: out.as_mut_ptr().expose_provenance() as u64,
        vec_len: out.len() as u64,
        category_anyof_mask: IS_PRESENT | IS_SWAPPED,
        return_mask: IS_FILE | IS_PRESENT | IS_SWAPPED | IS_PFNZERO | IS_HUGE,
        ..ScanArg::default()
    };
    let (fd, request) = (pagemap.as_raw_fd(), libc::c_ulong::from(PAGEMAP_SCAN));
    // SAFETY: `arg` is the structure that this request names, by its size in the request; the kernel
    // writes into it and at most `vec_len` regions at `vec`, and both are borrowed until it returns.
    let answer = unsafe { libc::ioctl(fd, request, &raw mut arg) };
    match usize::try_from(answer) {
        Ok(n) => Ok((n.min(out.len()), arg.walk_end)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Most pieces of one call of [`read_memory`]: `IOV_MAX`.
pub(super) const MOST_PIECES: usize = 1024;

/// Copies `pieces` (address and length) of a process's memory one after the other into `into`.
/// Gives the bytes copied: it ends at the first piece that cannot be read.
pub(super) fn read_memory(pid: i32, pieces: &[(u64, usize)], into: &mut [u8]) -> io::Result<usize> {
    let remote: Vec<libc::iovec> = pieces
        .iter()
        .take(MOST_PIECES)
        .map(|(address, len)| libc::iovec {
            iov_base: std::ptr::without_provenance_mut(usize::try_from(*address).unwrap_or(0)),
            iov_len: *len,
        })
        .collect();
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let (n, most) = (remote.len() as libc::c_ulong, &raw const local);
    // SAFETY: `local` names bytes that are borrowed for writing until the call returns; `remote` names
    // addresses of the other process, which the kernel checks itself.
    let copied = unsafe { libc::process_vm_readv(pid, most, 1, remote.as_ptr(), n, 0) };
    usize::try_from(copied).map_err(|_| io::Error::last_os_error())
}
