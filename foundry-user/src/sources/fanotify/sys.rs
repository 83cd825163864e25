//! The three system calls of fanotify that no safe wrapper covers.
//!
//! Knows: flags and memory layouts of fanotify(7) and name_to_handle_at(2).
//! Must never know: artifacts, events, which marks are wanted.
//! Keeps: all unsafe code of this source; everything handed out is owned or plain bytes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Largest file handle the kernel makes (`MAX_HANDLE_SZ`).
const MAX_HANDLE_BYTES: usize = 128;

/// `struct file_handle` with room for the largest handle.
#[repr(C)]
struct RawHandle {
    n_bytes: u32,
    kind: i32,
    bytes: [u8; MAX_HANDLE_BYTES],
}

/// A new notification group that reports file handles and names instead of open files.
///
/// # Errors
/// EINVAL: this kernel does not know one of `flags`. EPERM: `flags` or the call need privileges.
/// EMFILE: `fs.fanotify.max_user_groups` is reached. ENOSYS: no fanotify in this kernel.
pub(super) fn init(flags: u32) -> io::Result<OwnedFd> {
    let event_flags = u32::try_from(libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: takes two integers by value and no pointer.
    let fd = unsafe { libc::fanotify_init(flags, event_flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds `mask` to the mark on what `fd` refers to (`flags` say: its inode, or its file system).
///
/// # Errors
/// As fanotify_mark(2). EXDEV: the file system's id is ambiguous beside the group's other marks.
pub(super) fn mark(
    group: BorrowedFd<'_>,
    flags: u32,
    mask: u64,
    fd: BorrowedFd<'_>,
) -> io::Result<()> {
    match mark_at(group, flags, mask, fd.as_raw_fd(), None) {
        // A descriptor opened with O_PATH is refused as such; its magic link is not.
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
            let link = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
            mark_at(group, flags, mask, libc::AT_FDCWD, Some(&link))
        }
        outcome => outcome,
    }
}

fn mark_at(
    group: BorrowedFd<'_>,
    flags: u32,
    mask: u64,
    dirfd: i32,
    path: Option<&CStr>,
) -> io::Result<()> {
    let path = path.map_or(std::ptr::null(), CStr::as_ptr);
    let flags = flags | libc::FAN_MARK_ADD;
    // SAFETY: `path` is null, which the call allows, or a C string that outlives the call.
    let answer = unsafe { libc::fanotify_mark(group.as_raw_fd(), flags, mask, dirfd, path) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The file handle of what `fd` refers to, as fanotify reports it: its type (native byte order),
/// then its bytes.
///
/// # Errors
/// EOPNOTSUPP: the file system has no handles.
pub(super) fn handle_of(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    // Handles that only identify are all that is needed, and overlay offers no others;
    // kernels before 6.5 do not know the flag.
    match handle_with(fd, libc::AT_EMPTY_PATH | libc::AT_HANDLE_FID) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            handle_with(fd, libc::AT_EMPTY_PATH)
        }
        outcome => outcome,
    }
}

fn handle_with(fd: BorrowedFd<'_>, flags: i32) -> io::Result<Vec<u8>> {
    let mut raw = RawHandle { n_bytes: 128, kind: 0, bytes: [0; MAX_HANDLE_BYTES] };
    let mut mount_id = 0;
    let raw_ptr: *mut libc::file_handle = (&raw mut raw).cast();
    // SAFETY: `raw` begins with the fields of `struct file_handle`, is followed by as many bytes as
    // `n_bytes` promises, and lives, like `mount_id` and the empty string, through the call.
    let answer = unsafe {
        libc::name_to_handle_at(fd.as_raw_fd(), c"".as_ptr(), raw_ptr, &raw mut mount_id, flags)
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let n_bytes = usize::try_from(raw.n_bytes).unwrap_or(usize::MAX);
    let Some(bytes) = raw.bytes.get(..n_bytes) else {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    };
    Ok([&raw.kind.to_ne_bytes(), bytes].concat())
}
