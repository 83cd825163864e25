//! Writing system calls, one after the other.
//!
//! Knows: offsets and buffers. Must never know: mappings, rings.

use super::{AT, Change, FILE_BYTES, Ground, Operation, bytes, entries, range, ready};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::ReadWriteFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

const LEN: u64 = 100;
const END: u64 = AT + LEN;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "write",
        about: "write(2) at the file's own position",
        prepare: |g| {
            let mut file = g.open("file")?;
            ready(move || {
                file.seek(SeekFrom::Start(AT))?;
                file.write_all(&bytes(50, LEN))?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "write_tiny_steps",
        about: "many one-byte writes in a row",
        prepare: |g| {
            let mut file = g.open("file")?;
            ready(move || {
                file.seek(SeekFrom::Start(AT))?;
                for byte in bytes(51, LEN) {
                    file.write_all(&[byte])?;
                }
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "write_duplicate",
        about: "two descriptors that share one position",
        prepare: |g| {
            let mut file = g.open("file")?;
            let mut twin = file.try_clone()?;
            ready(move || {
                file.seek(SeekFrom::Start(AT))?;
                file.write_all(&bytes(52, LEN / 2))?;
                twin.write_all(&bytes(53, LEN / 2))?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "pwrite",
        about: "pwrite(2)",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                file.write_all_at(&bytes(54, LEN), AT)?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "pwrite_two_places",
        about: "pwrite(2) far apart",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                file.write_all_at(&bytes(55, 10), 5)?;
                file.write_all_at(&bytes(56, 10), 200_000)?;
                Ok(vec![Change::Bytes("file".into(), vec![(5, 15), (200_000, 200_010)])])
            })
        },
    },
    Operation {
        name: "writev",
        about: "writev(2)",
        prepare: |g| {
            let mut file = g.open("file")?;
            ready(move || {
                file.seek(SeekFrom::Start(AT))?;
                let (one, two) = (bytes(57, 30), bytes(58, 70));
                whole(rustix::io::writev(&file, &[IoSlice::new(&one), IoSlice::new(&two)])?, LEN)?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "pwritev",
        about: "pwritev(2)",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                let (one, two) = (bytes(157, 30), bytes(158, 70));
                let slices = [IoSlice::new(&one), IoSlice::new(&two)];
                whole(rustix::io::pwritev(&file, &slices, AT)?, LEN)?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "pwritev2",
        about: "pwritev2(2)",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                let content = bytes(59, LEN);
                let flags = ReadWriteFlags::DSYNC;
                whole(rustix::io::pwritev2(&file, &[IoSlice::new(&content)], AT, flags)?, LEN)?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "pwritev2_append",
        about: "pwritev2(2) with RWF_APPEND: the offset is not where it lands",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                let content = bytes(60, LEN);
                let flags = ReadWriteFlags::APPEND;
                whole(rustix::io::pwritev2(&file, &[IoSlice::new(&content)], 0, flags)?, LEN)?;
                Ok(range("file", FILE_BYTES, FILE_BYTES + LEN))
            })
        },
    },
    Operation {
        name: "append",
        about: "O_APPEND",
        prepare: |g| {
            let mut file = OpenOptions::new().append(true).open(g.tree.join("file"))?;
            ready(move || {
                file.write_all(&bytes(61, LEN))?;
                Ok(range("file", FILE_BYTES, FILE_BYTES + LEN))
            })
        },
    },
    Operation {
        name: "direct",
        about: "O_DIRECT",
        prepare: |g| {
            let file = direct(g)?;
            ready(move || {
                file.write_all_at(&Block::filled(62).0, 65_536)?;
                Ok(range("file", 65_536, 69_632))
            })
        },
    },
    Operation {
        name: "beyond_the_end",
        about: "pwrite(2) that leaves a hole behind the old end",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                file.write_all_at(&bytes(63, LEN), 500_000)?;
                Ok(range("file", FILE_BYTES, 500_000 + LEN))
            })
        },
    },
    Operation {
        name: "rewrite_of_a_dirty_page",
        about: "write(2) into a page that is dirty already",
        prepare: |g| {
            let file = g.open("file")?;
            file.write_all_at(b"dirty before anybody looked", AT)?;
            ready(move || {
                file.write_all_at(&bytes(64, LEN), AT)?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "rewrite_of_the_whole",
        about: "O_TRUNC, then the new content",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                std::fs::write(&path, bytes(65, 100_000))?;
                Ok(range("file", 0, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "open_with_truncation",
        about: "O_TRUNC, and nothing more",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                File::create(&path)?;
                Ok(range("file", 0, FILE_BYTES))
            })
        },
    },
    Operation {
        name: "unnamed_file",
        about: "O_TMPFILE, then linkat(2)",
        prepare: |g| {
            let tree = g.tree.clone();
            let mode = Mode::RUSR | Mode::WUSR;
            let unnamed = rustix::fs::open(&tree, OFlags::TMPFILE | OFlags::RDWR, mode)?;
            ready(move || {
                whole(rustix::io::write(&unnamed, &bytes(66, LEN))?, LEN)?;
                let link = format!("/proc/self/fd/{}", unnamed.as_raw_fd());
                rustix::fs::linkat(CWD, link, CWD, tree.join("new"), AtFlags::SYMLINK_FOLLOW)?;
                Ok(entries(&["new"]))
            })
        },
    },
    Operation {
        name: "splice",
        about: "splice(2) from a pipe",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                splice_in(&file, &bytes(67, LEN))?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "tee",
        about: "tee(2) between pipes, then splice(2)",
        prepare: |g| {
            let file = g.open("file")?;
            ready(move || {
                let (first_out, first_in) = rustix::pipe::pipe()?;
                let (second_out, second_in) = rustix::pipe::pipe()?;
                whole(rustix::io::write(&first_in, &bytes(68, LEN))?, LEN)?;
                let flags = rustix::pipe::SpliceFlags::empty();
                whole(rustix::pipe::tee(&first_out, &second_in, 100, flags)?, LEN)?;
                let at = Some(&mut AT.clone());
                whole(rustix::pipe::splice(&second_out, None, &file, at, 100, flags)?, LEN)?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "sendfile",
        about: "sendfile(2)",
        prepare: |g| {
            let mut to = g.open("file")?;
            let from = std::fs::File::open(g.outside.join("file"))?;
            ready(move || {
                to.seek(SeekFrom::Start(AT))?;
                whole(rustix::fs::sendfile(&to, &from, None, 100)?, LEN)?;
                Ok(range("file", AT, END))
            })
        },
    },
];

/// A buffer where O_DIRECT wants it.
#[repr(align(4096))]
pub(super) struct Block(pub(super) [u8; 4096]);

impl Block {
    pub(super) fn filled(seed: u64) -> Box<Self> {
        let mut block = Box::new(Self([0; 4096]));
        block.0.copy_from_slice(&bytes(seed, 4096));
        block
    }
}

/// `tree/file`, open with O_DIRECT.
pub(super) fn direct(ground: &Ground) -> io::Result<File> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    OpenOptions::new().write(true).custom_flags(flags).open(ground.tree.join("file"))
}

/// A short count is a failure here: the ranges that are told would be wrong.
pub(super) fn whole(written: usize, wanted: u64) -> io::Result<()> {
    if u64::try_from(written) == Ok(wanted) {
        return Ok(());
    }
    Err(io::Error::other(format!("{written} of {wanted} bytes")))
}

fn splice_in(file: &std::fs::File, content: &[u8]) -> io::Result<()> {
    let (out, into) = rustix::pipe::pipe()?;
    let n = rustix::io::write(&into, content)?;
    let flags = rustix::pipe::SpliceFlags::empty();
    whole(rustix::pipe::splice(&out, None, file, Some(&mut AT.clone()), n, flags)?, LEN)
}
