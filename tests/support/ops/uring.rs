//! Writes through io_uring.
//!
//! Knows: submission entries. Must never know: how the rings are mapped.

use super::sys::Ring;
use super::write::whole;
use super::{AT, Operation, bytes, keeping, range};
use std::io;
use std::os::fd::AsRawFd;

const LEN: u64 = 100;
/// `IORING_OP_WRITEV`, `IORING_OP_WRITE_FIXED`, `IORING_OP_WRITE`; `IOSQE_FIXED_FILE`.
const WRITE_FIXED: u8 = 5;
const WRITE: u8 = 23;
const FIXED_FILE: u8 = 1;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "uring_write",
        about: "IORING_OP_WRITE",
        prepare: |g| {
            let (file, ring) = (g.open("file")?, Ring::new()?);
            keeping(move || {
                let content = bytes(100, LEN);
                let entry = entry(WRITE, 0, file.as_raw_fd(), &content)?;
                whole(done(ring.run(entry)?)?, LEN)?;
                Ok((range("file", AT, AT + LEN), (ring, file)))
            })
        },
    },
    Operation {
        name: "uring_write_fixed",
        about: "IORING_OP_WRITE_FIXED: from a registered buffer",
        prepare: |g| {
            let (file, ring) = (g.open("file")?, Ring::new()?);
            let content = bytes(101, LEN);
            ring.register_buffer(&content)?;
            keeping(move || {
                let entry = entry(WRITE_FIXED, 0, file.as_raw_fd(), &content)?;
                whole(done(ring.run(entry)?)?, LEN)?;
                Ok((range("file", AT, AT + LEN), (ring, file, content)))
            })
        },
    },
    Operation {
        name: "uring_registered_file",
        about: "IORING_OP_WRITE to a registered file whose descriptor is closed",
        prepare: |g| {
            let (file, ring) = (g.open("file")?, Ring::new()?);
            ring.register_file(file.as_raw_fd())?;
            drop(file);
            keeping(move || {
                let content = bytes(102, LEN);
                let entry = entry(WRITE, FIXED_FILE, 0, &content)?;
                whole(done(ring.run(entry)?)?, LEN)?;
                Ok((range("file", AT, AT + LEN), ring))
            })
        },
    },
];

/// The result of a completed entry: a count, or an errno below zero.
fn done(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// `struct io_uring_sqe`, as far as a write at [`AT`] needs it.
fn entry(op: u8, flags: u8, fd: i32, content: &[u8]) -> io::Result<[u8; 64]> {
    let mut entry = [0; 64];
    let address = u64::try_from(content.as_ptr().addr()).map_err(io::Error::other)?;
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    entry[..2].copy_from_slice(&[op, flags]);
    entry[4..8].copy_from_slice(&fd.to_ne_bytes());
    entry[8..16].copy_from_slice(&AT.to_ne_bytes());
    entry[16..24].copy_from_slice(&address.to_ne_bytes());
    entry[24..28].copy_from_slice(&length.to_ne_bytes());
    Ok(entry)
}
