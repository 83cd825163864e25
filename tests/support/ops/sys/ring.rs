//! The smallest io_uring: one entry at a time, submitted and waited for.
//!
//! Knows: the layout of the rings. Must never know: what an entry asks for.

use super::answer;
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

const ENTRIES: u32 = 4;
const ENTRY_BYTES: usize = 64;
const COMPLETION_BYTES: usize = 16;

/// Where mmap(2) finds the rings.
const COMPLETIONS_AT: u64 = 0x0800_0000;
const ENTRIES_AT: u64 = 0x1000_0000;

/// Words of `struct io_uring_params` that are read here.
const N_ENTRIES: usize = 0;
const N_COMPLETIONS: usize = 1;
const QUEUE: usize = 10;
const COMPLETED: usize = 20;

/// `IORING_ENTER_GETEVENTS`, `IORING_REGISTER_BUFFERS`, `IORING_REGISTER_FILES`.
const GETEVENTS: libc::c_uint = 1;
const REGISTER_BUFFERS: libc::c_uint = 0;
const REGISTER_FILES: libc::c_uint = 2;

pub(crate) struct Ring {
    fd: OwnedFd,
    params: [u32; 30],
    queue: MmapRaw,
    completions: MmapRaw,
    entries: MmapRaw,
}

fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        let mut params = [0_u32; 30];
        let place = params.as_mut_ptr();
        // SAFETY: the kernel reads and writes one `struct io_uring_params`: 120 bytes.
        let fd = answer(unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, place) })?;
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the call above has just made this descriptor, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let map = |at, len| MmapOptions::new().offset(at).len(len).map_raw(fd.as_raw_fd());
        // The index array stands at the end of the queue's ring, the results at the end of the other.
        let queue = map(0, size(params[QUEUE + 6] + params[N_ENTRIES] * 4))?;
        let results = COMPLETION_BYTES * size(params[N_COMPLETIONS]);
        let completions = map(COMPLETIONS_AT, size(params[COMPLETED + 5]) + results)?;
        let entries = map(ENTRIES_AT, ENTRY_BYTES * size(params[N_ENTRIES]))?;
        Ok(Self { fd, params, queue, completions, entries })
    }

    /// Submits the entry, waits until it is done, and gives its result.
    pub(crate) fn run(&self, entry: [u8; ENTRY_BYTES]) -> io::Result<i32> {
        let tail = word(&self.queue, self.params[QUEUE + 1])?;
        let mask = word(&self.queue, self.params[QUEUE + 2])?.load(Ordering::Relaxed);
        let at = tail.load(Ordering::Relaxed);
        let slot = at & mask;
        let target = self.entries.as_mut_ptr().wrapping_add(size(slot) * ENTRY_BYTES);
        // SAFETY: `slot` is below the number of entries, all of which are mapped; the kernel
        // does not look at an entry before the tail passes it.
        unsafe { target.copy_from_nonoverlapping(entry.as_ptr(), ENTRY_BYTES) };
        word(&self.queue, self.params[QUEUE + 6] + slot * 4)?.store(slot, Ordering::Relaxed);
        tail.store(at.wrapping_add(1), Ordering::Release);
        let (fd, nothing) = (self.fd.as_raw_fd(), std::ptr::null::<libc::c_void>());
        let enter = libc::SYS_io_uring_enter;
        // SAFETY: submits one entry and waits for one completion; no signal mask is given.
        answer(unsafe { libc::syscall(enter, fd, 1, 1, GETEVENTS, nothing, 0) })?;
        self.completion()
    }

    /// Takes the oldest completion.
    fn completion(&self) -> io::Result<i32> {
        let head = word(&self.completions, self.params[COMPLETED])?;
        let tail = word(&self.completions, self.params[COMPLETED + 1])?.load(Ordering::Acquire);
        let at = head.load(Ordering::Relaxed);
        if at == tail {
            return Err(io::Error::other("the ring was entered, and nothing was completed"));
        }
        let mask = word(&self.completions, self.params[COMPLETED + 2])?.load(Ordering::Relaxed);
        let result = self.params[COMPLETED + 5] + (at & mask) * 16 + 8;
        let result = word(&self.completions, result)?.load(Ordering::Relaxed);
        head.store(at.wrapping_add(1), Ordering::Release);
        Ok(result.cast_signed())
    }

    /// Registers one buffer, which has to outlive the ring's use of it.
    pub(crate) fn register_buffer(&self, buffer: &[u8]) -> io::Result<()> {
        let vector = [std::io::IoSlice::new(buffer)];
        self.register(REGISTER_BUFFERS, vector.as_ptr().cast())
    }

    /// Registers one open file.
    pub(crate) fn register_file(&self, file: RawFd) -> io::Result<()> {
        self.register(REGISTER_FILES, [file].as_ptr().cast())
    }

    fn register(&self, what: libc::c_uint, one: *const libc::c_void) -> io::Result<()> {
        let (fd, register) = (self.fd.as_raw_fd(), libc::SYS_io_uring_register);
        // SAFETY: the kernel reads one element of the kind that `what` names (a `struct iovec`,
        // which `IoSlice` has the layout of, or an int), which outlives the call.
        answer(unsafe { libc::syscall(register, fd, what, one, 1) })?;
        Ok(())
    }
}

/// The word at `offset` of a ring.
fn word(ring: &MmapRaw, offset: u32) -> io::Result<&AtomicU32> {
    let offset = size(offset);
    if !offset.is_multiple_of(4) || offset + 4 > ring.len() {
        return Err(io::Error::other("the kernel named a word outside the ring"));
    }
    let place = ring.as_mut_ptr().wrapping_add(offset).cast();
    // SAFETY: inside the mapping, aligned, shared with the kernel, which changes it atomically.
    Ok(unsafe { AtomicU32::from_ptr(place) })
}
