//! Bounded windows into the bytes of a file that may be huge, hostile, or shrinking.
//!
//! Knows: offsets and lengths. Must never know: formats.
//! Keeps: no window is larger than the file, than [`MAX_WINDOW`], or than what is left of the
//! reading budget of the whole description.

use super::ReadAt;
use crate::pipeline::ranges::Ranges;
use std::cell::{Cell, RefCell};
use std::io;

/// Largest single window, in bytes.
const MAX_WINDOW: u64 = 32 << 20;

/// Bytes one description may read in total. A file with larger tables is described in part.
const MAX_READ: u64 = 128 << 20;

/// Bytes a table is read in, at a time.
const TABLE_CHUNK: u64 = 256 << 10;

/// Why a format could not be read to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The medium failed.
    Io(io::Error),
    /// The file breaks the rules of its format.
    Malformed(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<scroll::Error> for Trouble {
    fn from(_: scroll::Error) -> Self {
        Self::Malformed("a table ends before its last entry")
    }
}

impl From<goblin::error::Error> for Trouble {
    fn from(_: goblin::error::Error) -> Self {
        Self::Malformed("a header does not fit its format")
    }
}

/// A file, or a member of one, and what of it may still be read.
pub(crate) struct Source<'a> {
    bytes: &'a dyn ReadAt,
    base: u64,
    size: u64,
    budget: &'a Budget,
}

/// Bytes that may still be read, and where they were read.
pub(crate) struct Budget {
    left: Cell<u64>,
    read: RefCell<Ranges>,
}

impl<'a> Source<'a> {
    /// The whole file.
    pub(crate) fn new(bytes: &'a dyn ReadAt, size: u64, budget: &'a Budget) -> Self {
        Self { bytes, base: 0, size, budget }
    }

    /// The member `[offset, offset + len)` as a file of its own, clipped to this one.
    pub(super) fn member(&self, offset: u64, len: u64) -> Source<'a> {
        let start = offset.min(self.size);
        let size = len.min(self.size - start);
        Source { bytes: self.bytes, base: self.base + start, size, budget: self.budget }
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether something was left unread for lack of budget.
    pub(crate) fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    /// Where the member starts in the whole file.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The bytes `[offset, offset + len)`, as far as they exist and the bounds allow.
    pub(crate) fn window(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let Some(left) = self.size.checked_sub(offset) else { return Ok(Vec::new()) };
        let len = len.min(left).min(MAX_WINDOW).min(self.budget.left.get());
        let Ok(wanted) = usize::try_from(len) else { return Ok(Vec::new()) };
        self.budget.left.set(self.budget.left.get() - len);
        self.budget.note(self.base + offset, len);
        let mut buf = vec![0; wanted];
        let n = self.bytes.read_at(&mut buf, self.base + offset)?;
        buf.truncate(n);
        Ok(buf)
    }

    /// Calls `each` with every whole entry of a table of `count` entries; stops at the end of the
    /// file or where `each` says so.
    pub(super) fn table(
        &self,
        offset: u64,
        count: u64,
        entry: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<bool, Trouble>,
    ) -> Result<(), Trouble> {
        if entry == 0 {
            return Err(Trouble::Malformed("a table's entries have no size"));
        }
        let fits = self.size.saturating_sub(offset) / entry;
        let count = count.min(fits);
        let per_chunk = (TABLE_CHUNK / entry).max(1);
        let step = usize::try_from(entry).map_err(|_| Trouble::Malformed("table entry size"))?;
        let mut index = 0;
        while index < count {
            let n = per_chunk.min(count - index);
            let chunk = self.window(offset + index * entry, n * entry)?;
            if chunk.len() < step {
                return Ok(());
            }
            for bytes in chunk.chunks_exact(step) {
                if !each(index, bytes)? {
                    return Ok(());
                }
                index += 1;
            }
        }
        Ok(())
    }
}

impl Budget {
    /// What one description may read.
    pub(crate) fn new() -> Self {
        Self { left: Cell::new(MAX_READ), read: RefCell::default() }
    }

    /// Whether something was left unread for lack of it.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Bytes that were read.
    pub(crate) fn spent(&self) -> u64 {
        MAX_READ - self.left.get()
    }

    /// These bytes were read; whoever reads past a [`Source`] says so here.
    pub(crate) fn note(&self, offset: u64, len: u64) {
        self.read.borrow_mut().add(offset, offset.saturating_add(len));
    }

    /// The tiles that something was read of.
    pub(crate) fn into_read(self) -> Ranges {
        self.read.into_inner()
    }
}

/// A table of NUL-terminated names.
#[derive(Default)]
pub(super) struct Strings(Vec<u8>);

impl Strings {
    /// The table at `[offset, offset + len)`.
    pub(super) fn read(source: &Source<'_>, offset: u64, len: u64) -> io::Result<Self> {
        source.window(offset, len).map(Self)
    }

    /// The name that starts at `at`, without its NUL; empty where there is none.
    pub(super) fn get(&self, at: u64) -> &[u8] {
        let Some(rest) = usize::try_from(at).ok().and_then(|at| self.0.get(at..)) else {
            return &[];
        };
        until_nul(rest)
    }
}

/// The bytes before the first NUL, at most [`super::draft::MAX_NAME`] of them.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(super::draft::MAX_NAME)];
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}
