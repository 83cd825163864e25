//! BPF arrays that both sides see, mapped into this process: words changed with atomics only.
//!
//! Knows: a mapped array is so many aligned 64-bit words. Must never know: what a word means.
//! Keeps: every access is in bounds, aligned and atomic, and the mapping lives as long as the array.

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU64;

/// A mapped array.
pub(super) struct SharedWords {
    map: MmapRaw,
    words: usize,
}

impl SharedWords {
    /// Maps `words` words of the BPF array behind `fd`.
    pub(super) fn map(fd: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let bytes = words.saturating_mul(8).next_multiple_of(page);
        let map = MmapOptions::new().len(bytes).map_raw(fd.as_raw_fd())?;
        Ok(Self { map, words })
    }

    /// The word `index`; `None` outside the array.
    pub(super) fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.words {
            return None;
        }
        // SAFETY: the mapping has at least `words` words, and `index` is less.
        let at = unsafe { self.map.as_mut_ptr().cast::<u64>().add(index) };
        // SAFETY: pages are aligned to more than 8 bytes, the mapping lives as long as `self`, and
        // the other side uses atomic instructions of the same width.
        Some(unsafe { AtomicU64::from_ptr(at) })
    }
}
