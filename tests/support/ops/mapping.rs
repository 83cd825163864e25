//! Stores through shared mappings: bytes that change without a system call.
//!
//! Knows: mappings. Must never know: which hooks a fault runs into.

use super::{AT, Ground, Operation, bytes, keeping, range, ready, sys};
use memmap2::MmapMut;
use std::io::{self, Read};

const LEN: u64 = 100;
const END: u64 = AT + LEN;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "map_store",
        about: "a store into a clean page",
        prepare: |g| {
            let file = g.open("file")?;
            file.sync_all()?;
            keeping(move || {
                let mut map = sys::map(&file)?;
                store(&mut map, AT, &bytes(70, LEN))?;
                Ok((range("file", AT, END), (map, file)))
            })
        },
    },
    Operation {
        name: "map_store_in_dirty_page",
        about: "a store into a page that the same mapping made dirty before",
        prepare: |g| {
            let mut map = mapped(g)?;
            store(&mut map, AT, b"dirty before anybody looked")?;
            store(&mut map, AT + 4096, b"dirty before anybody looked")?;
            keeping(move || {
                store(&mut map, AT, &bytes(71, LEN))?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_twice",
        about: "a store, then another into the same pages",
        prepare: |g| {
            let mut map = mapped(g)?;
            keeping(move || {
                store(&mut map, AT, &bytes(72, LEN))?;
                store(&mut map, AT + 10, &bytes(73, LEN))?;
                Ok((range("file", AT, END + 10), map))
            })
        },
    },
    Operation {
        name: "map_store_after_msync",
        about: "store, msync(2), store",
        prepare: |g| {
            let mut map = mapped(g)?;
            keeping(move || {
                store(&mut map, AT, &bytes(74, LEN))?;
                map.flush()?;
                store(&mut map, AT, &bytes(75, LEN))?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_by_child",
        about: "a child stores through the mapping it inherited",
        prepare: |g| {
            let mut map = mapped(g)?;
            keeping(move || {
                sys::store_in_child(&mut map, AT, &bytes(76, LEN))?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_by_debugger",
        about: "process_vm_writev(2) into the mapping",
        prepare: |g| {
            let mut map = mapped(g)?;
            keeping(move || {
                sys::store_as_debugger(&mut map, AT, &bytes(170, LEN))?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_by_read",
        about: "read(2) from another file into the mapping",
        prepare: |g| {
            let mut map = mapped(g)?;
            let mut from = std::fs::File::open(g.outside.join("file"))?;
            keeping(move || {
                let at = usize::try_from(AT).map_err(io::Error::other)?;
                let target = map.get_mut(at..at + 100).ok_or(io::ErrorKind::UnexpectedEof)?;
                from.read_exact(target)?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_after_close",
        about: "the file is closed, the mapping is not",
        prepare: |g| {
            let mut map = mapped(g)?;
            keeping(move || {
                store(&mut map, AT, &bytes(77, LEN))?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_old_mapping",
        about: "through a mapping older than anybody who watches, whose pages were only read",
        prepare: |g| {
            let mut map = mapped(g)?;
            let sum: u64 = map.iter().map(|byte| u64::from(*byte)).sum();
            if sum == 0 {
                return Err(io::Error::other("the file is empty"));
            }
            keeping(move || {
                store(&mut map, AT, &bytes(78, LEN))?;
                Ok((range("file", AT, END), map))
            })
        },
    },
    Operation {
        name: "map_store_and_unmap",
        about: "store, then munmap(2) without msync(2)",
        prepare: |g| {
            let mut map = mapped(g)?;
            ready(move || {
                store(&mut map, AT, &bytes(79, LEN))?;
                drop(map);
                Ok(range("file", AT, END))
            })
        },
    },
];

/// `tree/file`, mapped, and closed again.
fn mapped(ground: &Ground) -> io::Result<MmapMut> {
    let file = ground.open("file")?;
    file.sync_all()?;
    sys::map(&file)
}

fn store(map: &mut MmapMut, at: u64, content: &[u8]) -> io::Result<()> {
    let at = usize::try_from(at).map_err(io::Error::other)?;
    let target = map.get_mut(at..at + content.len());
    target.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(content);
    Ok(())
}
