//! Changes that no time of a file tells of, and a look into what is pinned in the kernel.
//!
//! Knows: mappings, xfs's handles, bpf(2). Must never know: what a test makes of it.
//! Keeps: each says whether it could be done.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Flips a bit through a shared mapping that is read first: on tmpfs no store faults then, so that
/// neither time moves.
pub(crate) fn store(path: &Path, at: usize) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    // SAFETY: the file is the test's own and nobody makes it shorter while it is mapped.
    let mut mapping = unsafe { memmap2::MmapMut::map_mut(&file)? };
    let byte = mapping.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)?;
    let was = std::hint::black_box(*byte);
    *byte = was ^ 1;
    Ok(())
}

/// `struct xfs_fsop_handlereq`.
#[repr(C)]
struct HandleRequest {
    fd: u32,
    path: *const libc::c_char,
    flags: u32,
    from: *const u8,
    from_len: u32,
    to: *mut u8,
    to_len: *mut u32,
}

/// `_IOWR('X', 105, struct xfs_fsop_handlereq)`.
const PATH_TO_HANDLE: libc::Ioctl = 0xc038_5869;
/// `_IOWR('X', 107, struct xfs_fsop_handlereq)`.
const OPEN_BY_HANDLE: libc::Ioctl = 0xc038_586b;

/// Writes as tools do that move files to tape and back: xfs touches no time of a file that was opened by
/// its handle.
pub(crate) fn write(path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    // It opens beneath a directory only.
    let above = File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
    let fd = u32::try_from(above.as_raw_fd()).map_err(io::Error::other)?;
    let name = CString::new(path.as_os_str().as_bytes())?;
    let (mut handle, mut len) = ([0u8; 64], 64u32);
    let mut request = HandleRequest {
        fd,
        path: name.as_ptr(),
        flags: 0,
        from: std::ptr::null(),
        from_len: 0,
        to: handle.as_mut_ptr(),
        to_len: &raw mut len,
    };
    // SAFETY: the kernel reads the request and the path, and writes at most 24 bytes and the length.
    if unsafe { libc::ioctl(above.as_raw_fd(), PATH_TO_HANDLE, &raw mut request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    request.path = std::ptr::null();
    request.flags = u32::try_from(libc::O_RDWR).map_err(io::Error::other)?;
    (request.from, request.from_len) = (handle.as_ptr(), len);
    (request.to, request.to_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the kernel reads the request and the handle.
    let opened = unsafe { libc::ioctl(above.as_raw_fd(), OPEN_BY_HANDLE, &raw mut request) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let opened = unsafe { OwnedFd::from_raw_fd(opened) };
    File::from(opened).write_all_at(bytes, at)
}

const OBJ_GET: libc::c_long = 7;

/// Sets a 64-bit word of a pinned BPF array that is one page long.
pub(crate) fn set_word(pinned: &Path, index: usize, value: u64) -> io::Result<()> {
    let path = CString::new(pinned.as_os_str().as_bytes())?;
    let attribute = [u64::try_from(path.as_ptr().addr()).map_err(io::Error::other)?, 0, 0];
    // SAFETY: the kernel reads 24 bytes and the path; both outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET, attribute.as_ptr(), 24) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let array = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: a BPF array stays as long as it is.
    let mut words = unsafe { memmap2::MmapOptions::new().len(4096).map_mut(&array)? };
    let target = words.get_mut(index * 8..index * 8 + 8).ok_or(io::ErrorKind::UnexpectedEof)?;
    target.copy_from_slice(&value.to_ne_bytes());
    Ok(())
}
