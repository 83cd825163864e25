//! Having a file for oneself: `F_SETLEASE`.
//!
//! Knows: one call of the kernel. Must never know: what the file is.
//! Keeps: whoever wants the file meanwhile waits for us, and is told of by a signal that does nothing.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Which signal says that somebody waits for the file (of `fcntl.h`; libc does not name it everywhere).
const F_SETSIG: libc::c_int = 10;

/// Takes a write lease: from now until it is closed, nobody else has the file open, and whoever
/// opens it waits.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where somebody has it open; others where the file is not ours, or its
/// file system has no leases.
pub(super) fn take(file: &File) -> io::Result<()> {
    // SIGIO, which is usual, would end the process.
    // SAFETY: F_SETSIG takes a signal's number and touches no memory.
    let set = unsafe { libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: F_SETLEASE takes a kind of lease and touches no memory.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
    if taken == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
