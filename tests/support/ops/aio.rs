//! Writes through libaio's system calls, which need no library.
//!
//! Knows: offsets and buffers. Must never know: the layout of the kernel's structures.

use super::write::whole;
use super::{AT, Operation, bytes, range, ready, sys};

const LEN: u64 = 100;

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    name: "libaio",
    about: "io_submit(2) with IOCB_CMD_PWRITE",
    prepare: |g| {
        let (file, queue) = (g.open("file")?, sys::AioQueue::new()?);
        ready(move || {
            whole(queue.write(&file, &bytes(110, LEN), AT)?, LEN)?;
            Ok(range("file", AT, AT + LEN))
        })
    },
}];
