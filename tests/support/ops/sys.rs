//! System calls that no safe wrapper covers, for operations that need them.
//!
//! Knows: their memory layouts. Must never know: which operation asks.
//! Keeps: all unsafe code of the operations; what is handed out is owned and safe to use.

mod ring;

pub(super) use ring::Ring;

use memmap2::MmapMut;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a system call that answers with a long said.
fn answer(result: libc::c_long) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// What a system call that answers with an int said.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The whole file, shared and writable.
pub(super) fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the file is the operation's own; nobody shortens it while it is mapped.
    unsafe { MmapMut::map_mut(file) }
}

/// `truncate(2)`: by path, with no file open.
pub(super) fn truncate(path: &Path, size: i64) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with NUL and outlives the call.
    checked(unsafe { libc::truncate(path.as_ptr(), size) })?;
    Ok(())
}

/// A part of a mapping.
fn part(map: &mut MmapMut, at: u64, len: usize) -> io::Result<&mut [u8]> {
    let at = usize::try_from(at).map_err(io::Error::other)?;
    let end = at.checked_add(len).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(map.get_mut(at..end).ok_or(io::ErrorKind::UnexpectedEof)?)
}

/// `process_vm_writev(2)`, as a debugger writes: here into this process's own mapping.
pub(super) fn store_as_debugger(map: &mut MmapMut, at: u64, content: &[u8]) -> io::Result<()> {
    let target = part(map, at, content.len())?;
    let from = libc::iovec { iov_base: content.as_ptr().cast_mut().cast(), iov_len: content.len() };
    let to = libc::iovec { iov_base: target.as_mut_ptr().cast(), iov_len: target.len() };
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: both runs of memory are borrowed for the call, and the second one mutably.
    let written = unsafe { libc::process_vm_writev(own, &raw const from, 1, &raw const to, 1, 0) };
    match usize::try_from(written) {
        Ok(n) if n == content.len() => Ok(()),
        Ok(n) => Err(io::Error::other(format!("{n} bytes"))),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Forks; the child stores into the mapping that it inherits, and ends.
pub(super) fn store_in_child(map: &mut MmapMut, at: u64, content: &[u8]) -> io::Result<()> {
    let target = part(map, at, content.len())?;
    // SAFETY: the child only copies memory that exists already and ends; it takes no lock and
    // runs no destructor, so threads of the parent cannot have left anything half done for it.
    let child = unsafe { libc::fork() };
    if checked(child)? == 0 {
        target.copy_from_slice(content);
        // SAFETY: ends the child at once and touches nothing.
        unsafe { libc::_exit(0) }
    }
    let child = rustix::process::Pid::from_raw(child);
    let ended = rustix::process::waitpid(child, rustix::process::WaitOptions::empty())?;
    match ended {
        Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}

/// `struct file_clone_range`.
#[repr(C)]
struct CloneRange {
    source: i64,
    source_offset: u64,
    length: u64,
    target_offset: u64,
}

/// Lets `length` bytes of `to` be those of `from`.
pub(super) fn clone_range(
    from: &File,
    from_at: u64,
    length: u64,
    to: &File,
    to_at: u64,
) -> io::Result<()> {
    let source = i64::from(from.as_raw_fd());
    let range = CloneRange { source, source_offset: from_at, length, target_offset: to_at };
    // SAFETY: the kernel reads one `struct file_clone_range`, which outlives the call.
    checked(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONERANGE, &raw const range) })?;
    Ok(())
}

/// `struct file_dedupe_range` with one `struct file_dedupe_range_info`.
#[repr(C)]
struct DedupeRange {
    source_offset: u64,
    length: u64,
    n_targets: u16,
    reserved: [u16; 3],
    target: i64,
    target_offset: u64,
    shared: u64,
    status: i32,
    reserved_too: u32,
}

/// `_IOWR(0x94, 54, struct file_dedupe_range)`.
const FIDEDUPERANGE: libc::Ioctl = 0xc018_9436;

/// Shares the first `length` bytes of two files, where they are the same; says how many it shared.
pub(super) fn dedupe(from: &File, to: &File, length: u64) -> io::Result<u64> {
    let mut range = DedupeRange {
        source_offset: 0,
        length,
        n_targets: 1,
        reserved: [0; 3],
        target: i64::from(to.as_raw_fd()),
        target_offset: 0,
        shared: 0,
        status: 0,
        reserved_too: 0,
    };
    // SAFETY: the kernel reads and writes the structure and the one target it announces.
    checked(unsafe { libc::ioctl(from.as_raw_fd(), FIDEDUPERANGE, &raw mut range) })?;
    if range.status < 0 {
        return Err(io::Error::from_raw_os_error(-range.status));
    }
    Ok(range.shared)
}

/// Gives this thread a mount namespace of its own, whose mounts nobody else sees.
pub(super) fn own_mounts() -> io::Result<()> {
    // SAFETY: the flag changes nothing that memory safety rests on; the thread's root and current
    // directory are no longer shared with other threads, and it ends soon.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }?;
    let flags = rustix::mount::MountPropagationFlags::PRIVATE;
    let deep = rustix::mount::MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", flags | deep)?)
}

/// Makes this thread an ordinary user's.
pub(super) fn become_nobody() -> io::Result<()> {
    const NOBODY: u32 = 65534;
    let gid = rustix::process::Gid::from_raw(NOBODY);
    let uid = rustix::process::Uid::from_raw(NOBODY);
    if rustix::process::geteuid() == uid {
        return Ok(());
    }
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_SET_FD: libc::Ioctl = 0x4c00;
const LOOP_CLR_FD: libc::Ioctl = 0x4c01;

/// A block device whose disk is a file; detached when it is dropped.
pub(super) struct LoopDevice(pub(super) File);

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // SAFETY: takes no argument. Where it fails there is nothing left to detach.
        unsafe { libc::ioctl(self.0.as_raw_fd(), LOOP_CLR_FD) };
    }
}

/// Makes `file` the disk of a free loop device.
pub(super) fn attach_loop(file: &File) -> io::Result<LoopDevice> {
    let missing = |error: io::Error| io::Error::new(io::ErrorKind::Unsupported, error);
    let open = |path: &str| OpenOptions::new().read(true).write(true).open(path).map_err(missing);
    let control = open("/dev/loop-control")?;
    loop {
        // SAFETY: takes no argument.
        let number = checked(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
        let device = open(&format!("/dev/loop{number}"))?;
        // SAFETY: takes a descriptor by value.
        match checked(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD, file.as_raw_fd()) }) {
            Ok(_) => return Ok(LoopDevice(device)),
            // Somebody else was quicker to take it.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A queue of libaio's kind.
pub(super) struct AioQueue(libc::c_ulong);

impl AioQueue {
    pub(super) fn new() -> io::Result<Self> {
        let mut queue = Self(0);
        let place = &raw mut queue.0;
        // SAFETY: the kernel writes the queue's number to `place`.
        answer(unsafe { libc::syscall(libc::SYS_io_setup, 4, place) })?;
        Ok(queue)
    }

    /// Writes, and waits until it is written.
    pub(super) fn write(&self, file: &File, content: &[u8], at: u64) -> io::Result<usize> {
        let mut control = control_block(file.as_raw_fd(), content, at)?;
        let mut blocks = [control.as_mut_ptr()];
        let first = blocks.as_mut_ptr();
        // SAFETY: one pointer to one control block, whose buffer is borrowed until completion.
        answer(unsafe { libc::syscall(libc::SYS_io_submit, self.0, 1, first) })?;
        let mut event = [0_u64; 4];
        let place = event.as_mut_ptr();
        let for_ever = std::ptr::null::<libc::timespec>();
        let wait = libc::SYS_io_getevents;
        // SAFETY: room for the one event that is asked for; null means no limit of time.
        answer(unsafe { libc::syscall(wait, self.0, 1, 1, place, for_ever) })?;
        let [_, _, result, _] = event;
        usize::try_from(result.cast_signed())
            .map_err(|_| io::Error::other(format!("errno {}", result.cast_signed())))
    }
}

impl Drop for AioQueue {
    fn drop(&mut self) {
        // SAFETY: takes the queue's number by value; nothing is in flight any more.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.0) };
    }
}

/// `struct iocb` of a write, in eight words.
fn control_block(fd: RawFd, content: &[u8], at: u64) -> io::Result<[u64; 8]> {
    const PWRITE: u16 = 1;
    let mut bytes = [0; 64];
    let address = u64::try_from(content.as_ptr().addr()).map_err(io::Error::other)?;
    let length = u64::try_from(content.len()).map_err(io::Error::other)?;
    bytes[16..18].copy_from_slice(&PWRITE.to_ne_bytes());
    bytes[20..24].copy_from_slice(&fd.to_ne_bytes());
    bytes[24..32].copy_from_slice(&address.to_ne_bytes());
    bytes[32..40].copy_from_slice(&length.to_ne_bytes());
    bytes[40..48].copy_from_slice(&at.to_ne_bytes());
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().map_err(io::Error::other)?);
    }
    Ok(words)
}
