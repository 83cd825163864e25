//! Writes through libaio's system calls, which need no library.
//!
//! Knows: offsets and buffers. Must never know: the layout of the kernel's structures.

use super::write::{Block, direct, whole};
use super::{AT, Operation, bytes, range, ready, sys};

const LEN: u64 = 100;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "libaio",
        about: "io_submit(2) with IOCB_CMD_PWRITE",
        prepare: |g| {
            let (file, queue) = (g.open("file")?, sys::AioQueue::new()?);
            ready(move || {
                whole(queue.write(&file, &bytes(110, LEN), AT)?, LEN)?;
                Ok(range("file", AT, AT + LEN))
            })
        },
    },
    Operation {
        name: "libaio_direct",
        about: "the same with O_DIRECT: it completes after the call",
        prepare: |g| {
            let (file, queue) = (direct(g)?, sys::AioQueue::new()?);
            ready(move || {
                let block = Block::filled(111);
                whole(queue.write(&file, &block.0, 65_536)?, 4096)?;
                Ok(range("file", 65_536, 69_632))
            })
        },
    },
];
