//! Copies that the kernel makes.
//!
//! Knows: file ranges. Must never know: buffers.

use super::write::whole;
use super::{AT, Change, FILE_BYTES, Ground, Operation, range, ready, sys};
use std::fs::{self, File};
use std::io;

/// Clones begin and end at block boundaries.
const BLOCK: u64 = 65_536;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "copy_file_range",
        about: "copy_file_range(2)",
        prepare: |g| {
            let (to, from) = (g.open("file")?, source(g)?);
            ready(move || {
                let (read, write) = (Some(&mut 0), Some(&mut AT.clone()));
                whole(rustix::fs::copy_file_range(&from, read, &to, write, 100)?, 100)?;
                Ok(range("file", AT, AT + 100))
            })
        },
    },
    Operation {
        name: "clone",
        about: "FICLONE: all of a file",
        prepare: |g| {
            let (to, from) = (g.open("file")?, source(g)?);
            ready(move || {
                rustix::fs::ioctl_ficlone(&to, &from)?;
                Ok(range("file", 0, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "clone_range",
        about: "FICLONERANGE: some blocks",
        prepare: |g| {
            let (to, from) = (g.open("file")?, source(g)?);
            ready(move || {
                sys::clone_range(&from, 0, BLOCK, &to, BLOCK)?;
                Ok(range("file", BLOCK, 2 * BLOCK))
            })
        },
    },
    Operation {
        name: "dedupe",
        about: "FIDEDUPERANGE: shares blocks, changes no byte",
        prepare: |g| {
            fs::copy(g.outside.join("file"), g.tree.join("file"))?;
            let (to, from) = (g.open("file")?, source(g)?);
            // Only what is on the disk is shared.
            to.sync_all()?;
            ready(move || {
                if sys::dedupe(&from, &to, BLOCK)? != BLOCK {
                    return Err(io::Error::other("the same bytes were not shared"));
                }
                Ok(vec![Change::Bytes("file".into(), vec![])])
            })
        },
    },
];

fn source(ground: &Ground) -> io::Result<File> {
    let from = File::open(ground.outside.join("file"))?;
    from.sync_all()?;
    Ok(from)
}
