//! Clean-then-read: writes back dirty pages, so that the next store through a mapping faults.
//!
//! Knows: one system call that has no safe wrapper. Must never know: why it is called.
//! Keeps: memory is not touched.

use std::fs::File;
use std::os::fd::AsRawFd;

/// Starts write-back of all dirty pages of a file and waits for its end. No disk cache is flushed:
/// this is about page tables, not about power cuts. Where the file system has no write-back, nothing
/// happens.
pub(super) fn settle(fd: &File) {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open for as long as `fd` is borrowed, and the call takes no pointer.
    let _ = unsafe { libc::sync_file_range(fd.as_raw_fd(), 0, 0, flags) };
}
