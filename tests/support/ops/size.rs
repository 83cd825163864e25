//! Sizes and holes.
//!
//! Knows: truncate(2) and fallocate(2). Must never know: content.

use super::{FILE_BYTES, Operation, range, ready, sys};
use rustix::fs::{FallocateFlags, fallocate};

/// Two blocks of 64 KiB in the middle: a multiple of the block size everywhere.
const START: u64 = 65_536;
const LEN: u64 = 131_072;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "truncate_shorter",
        about: "truncate(2) cuts",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                sys::truncate(&path, 100_000)?;
                Ok(range("file", 100_000, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "truncate_longer",
        about: "truncate(2) lengthens",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                sys::truncate(&path, 400_000)?;
                Ok(range("file", FILE_BYTES, 400_000))
            })
        },
    },
    Operation {
        name: "ftruncate_shorter",
        about: "ftruncate(2) cuts an open file",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                file.set_len(1)?;
                Ok(range("file", 1, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "ftruncate_longer",
        about: "ftruncate(2) lengthens an open file",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                file.set_len(5_000_000)?;
                Ok(range("file", FILE_BYTES, 5_000_000))
            })
        },
    },
    Operation {
        name: "ftruncate_to_nothing_and_back",
        about: "cut to nothing, then as long as before",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                file.set_len(0)?;
                file.set_len(FILE_BYTES)?;
                Ok(range("file", 0, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "fallocate",
        about: "fallocate(2) beyond the end",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                fallocate(&file, FallocateFlags::empty(), 0, 400_000)?;
                Ok(range("file", FILE_BYTES, 400_000))
            })
        },
    },
    Operation {
        name: "punch_hole",
        about: "FALLOC_FL_PUNCH_HOLE",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&file, flags, START, LEN)?;
                Ok(range("file", START, START + LEN))
            })
        },
    },
    Operation {
        name: "zero_range",
        about: "FALLOC_FL_ZERO_RANGE",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                fallocate(&file, FallocateFlags::ZERO_RANGE, START, LEN)?;
                Ok(range("file", START, START + LEN))
            })
        },
    },
    Operation {
        name: "collapse_range",
        about: "FALLOC_FL_COLLAPSE_RANGE: what follows moves down",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                fallocate(&file, FallocateFlags::COLLAPSE_RANGE, START, LEN)?;
                Ok(range("file", START, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "insert_range",
        about: "FALLOC_FL_INSERT_RANGE: what follows moves up",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                fallocate(&file, FallocateFlags::INSERT_RANGE, START, LEN)?;
                Ok(range("file", START, FILE_BYTES + LEN))
            })
        },
    },
];
