//! BPF arrays that both sides see, mapped into this process: words changed with atomics only.
//!
//! Knows: a mapped array is so many aligned 64-bit words. Must never know: what a word means.
//! Keeps: every access is in bounds, aligned and atomic, and a mapping lives as long as the array; what
//! nobody uses of a large array is not mapped, because the kernel maps every page of what is.

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// Words of one piece, 1 MiB: a whole number of pages of any size there is.
const PIECE_WORDS: usize = 1 << 17;

/// An array that is mapped piece by piece.
pub(super) struct SharedWords {
    fd: OwnedFd,
    pieces: Box<[OnceLock<MmapRaw>]>,
    words: usize,
}

impl SharedWords {
    /// Maps the `words` words of the BPF array behind `fd`.
    pub(super) fn map(fd: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let array = Self::open(fd, words)?;
        array.reach(0..words)?;
        Ok(array)
    }

    /// The same array with nothing mapped yet.
    pub(super) fn open(fd: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let pieces = (0..words.div_ceil(PIECE_WORDS)).map(|_| OnceLock::new()).collect();
        Ok(Self { fd: fd.try_clone_to_owned()?, pieces, words })
    }

    /// Makes sure that these words are mapped.
    ///
    /// # Errors
    /// Where they are not in the array, or the kernel refuses.
    pub(super) fn reach(&self, words: Range<usize>) -> io::Result<()> {
        if self.words < words.end {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        for nth in words.start / PIECE_WORDS..words.end.div_ceil(PIECE_WORDS) {
            let Some(piece) = self.pieces.get(nth) else { continue };
            if piece.get().is_none() {
                let first = nth * PIECE_WORDS;
                let bytes = (self.words - first).min(PIECE_WORDS) * 8;
                let bytes = bytes.next_multiple_of(rustix::param::page_size());
                let offset = u64::try_from(first * 8).map_err(io::Error::other)?;
                let map =
                    MmapOptions::new().offset(offset).len(bytes).map_raw(self.fd.as_raw_fd())?;
                // Whoever else was faster mapped the same.
                drop(piece.set(map));
            }
        }
        Ok(())
    }

    /// The word `index`; `None` outside of the array, or where it was never reached.
    pub(super) fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= self.words {
            return None;
        }
        let piece = self.pieces.get(index / PIECE_WORDS)?.get()?;
        // SAFETY: a piece has `PIECE_WORDS` words, but for the last, which has what is left of `words`;
        // `index` is less than that.
        let at = unsafe { piece.as_mut_ptr().cast::<u64>().add(index % PIECE_WORDS) };
        // SAFETY: pages are aligned to more than 8 bytes, the mapping lives as long as `self`, and
        // the other side uses atomic instructions of the same width.
        Some(unsafe { AtomicU64::from_ptr(at) })
    }
}
