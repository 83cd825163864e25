//! Every way in which Linux lets the bytes and names of a tree change, each under a name of its own,
//! and which bytes of which file it changes.
//!
//! Knows: system calls. Must never know: who is watching.
//! Keeps: preparing and performing are apart, so that a watcher can start in between; what an
//! operation says it changes, it changes, and nothing else (`ops/check.rs` compares the bytes).

mod aio;
#[cfg(test)]
mod check;
mod clone;
mod elsewhere;
mod mapping;
mod names;
mod size;
mod sys;
mod uring;
mod write;

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of `tree/file` and `outside/file` at the start: some tiles, and a part of one.
pub(crate) const FILE_BYTES: u64 = 300_000;
/// Bytes of the files of which little is asked: two tiles and a part for what is written into, a
/// part of one for what only moves.
const LINKED_BYTES: u64 = 150_000;
const SMALL_BYTES: u64 = 10_000;
/// Where most operations change something: across the boundary between the first two tiles.
const AT: u64 = 65_500;

/// Where operations work: two directories of one file system.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Watched. Holds `file`, `other` and `dir/file`.
    pub(crate) tree: PathBuf,
    /// Not watched. Holds `file` and `linked`, another name of `tree/linked`.
    pub(crate) outside: PathBuf,
}

impl Ground {
    /// Makes both directories, and what is in them, inside the empty directory `base`.
    pub(crate) fn new(base: &Path) -> io::Result<Self> {
        Self::between(base.join("tree"), base.join("outside"))
    }

    /// The same, with both directories named: neither may be there yet.
    pub(crate) fn between(tree: PathBuf, outside: PathBuf) -> io::Result<Self> {
        let ground = Self { tree, outside };
        fs::create_dir_all(ground.tree.join("dir"))?;
        fs::create_dir_all(&ground.outside)?;
        for (seed, path, len) in [
            (1, ground.tree.join("file"), FILE_BYTES),
            (2, ground.tree.join("other"), SMALL_BYTES),
            (3, ground.tree.join("dir/file"), SMALL_BYTES),
            (4, ground.tree.join("linked"), LINKED_BYTES),
            (5, ground.outside.join("file"), FILE_BYTES),
        ] {
            fs::write(path, bytes(seed, len))?;
        }
        fs::hard_link(ground.tree.join("linked"), ground.outside.join("linked"))?;
        Ok(ground)
    }

    /// A file of the tree, open for reading and writing.
    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.tree.join(name))
    }
}

/// What an operation changed, by path in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Bytes of the file, half-open, ascending; where the size changed, the bytes between both sizes,
    /// too. Empty where bytes were written that were there already.
    Bytes(PathBuf, Vec<(u64, u64)>),
    /// Another inode is there now, or none, or one where there was none.
    Entry(PathBuf),
}

/// What was done, and what has to stay as it is (open files, mappings) until somebody has looked.
pub(crate) struct Done {
    pub(crate) changes: Vec<Change>,
    _kept: Box<dyn Any>,
}

/// The second half of an operation.
pub(crate) type Perform = Box<dyn FnOnce() -> io::Result<Done>>;

/// One way to change a tree.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// What a person would call it.
    pub(crate) about: &'static str,
    prepare: fn(&Ground) -> io::Result<Perform>,
}

impl Operation {
    /// Does what has to be there before anybody watches.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where this kernel, file system or user cannot do it
    /// (performing says so where only the call itself can tell).
    pub(crate) fn prepare(&self, ground: &Ground) -> io::Result<Perform> {
        (self.prepare)(ground).map_err(unsupported)
    }
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Operation> {
    [
        write::OPERATIONS,
        clone::OPERATIONS,
        uring::OPERATIONS,
        aio::OPERATIONS,
        mapping::OPERATIONS,
        size::OPERATIONS,
        names::OPERATIONS,
        elsewhere::OPERATIONS,
    ]
    .into_iter()
    .flatten()
}

/// The operation of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static Operation> {
    all().find(|operation| operation.name == name)
}

/// An operation that needs no preparation beyond what `change` captures.
fn ready(change: impl FnOnce() -> io::Result<Vec<Change>> + 'static) -> io::Result<Perform> {
    keeping(move || Ok((change()?, ())))
}

/// An operation after which something must stay open.
fn keeping<T: 'static>(
    change: impl FnOnce() -> io::Result<(Vec<Change>, T)> + 'static,
) -> io::Result<Perform> {
    Ok(Box::new(move || {
        let (changes, kept) = change().map_err(unsupported)?;
        Ok(Done { changes, _kept: Box::new(kept) })
    }))
}

/// One run of bytes of one file.
fn range(name: &str, start: u64, end: u64) -> Vec<Change> {
    vec![Change::Bytes(name.into(), vec![(start, end)])]
}

/// Entries that are to be looked at.
fn entries(names: &[&str]) -> Vec<Change> {
    names.iter().map(|name| Change::Entry(name.into())).collect()
}

/// The refusals that mean "not here", in one kind.
fn unsupported(error: io::Error) -> io::Error {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(
            Errno::OPNOTSUPP
            | Errno::NOSYS
            | Errno::PERM
            | Errno::XDEV
            | Errno::NOTTY
            | Errno::INVAL
            | Errno::ACCESS,
        ) => io::Error::new(io::ErrorKind::Unsupported, error.to_string()),
        _ => error,
    }
}

/// Bytes that are the same for the same seed, and differ from those of every other in (nearly) every place.
fn bytes(seed: u64, len: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}
