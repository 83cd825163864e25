//! Every way to change a file, done by this program when it is started again for it.

use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

fn open(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644)).unwrap()
}

fn bytes(len: u64) -> Vec<u8> {
    vec![b'x'; usize::try_from(len).unwrap()]
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) {
    while !data.is_empty() {
        data = &data[rustix::io::write(fd, data).unwrap()..];
    }
}

/// Not a test: it does what the environment tells it, and nothing without.
#[test]
fn act_as_told() {
    let Ok(op) = std::env::var("FOUNDRY_OP") else { return };
    let path = std::path::PathBuf::from(std::env::var_os("FOUNDRY_PATH").unwrap());
    let args = std::env::var("FOUNDRY_ARGS").unwrap();
    let args: Vec<u64> = args.split(',').filter_map(|text| text.parse().ok()).collect();
    act(&op, &path, &args);
}

fn act(op: &str, path: &Path, args: &[u64]) {
    let arg = |nth: usize| args.get(nth).copied().unwrap_or(0);
    let (at, len) = (arg(0), arg(1));
    match op {
        "write" => {
            let fd = open(path, OFlags::WRONLY);
            rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(at)).unwrap();
            write_all(fd.as_fd(), &bytes(len));
        }
        "pwrite" => {
            rustix::io::pwrite(open(path, OFlags::WRONLY), &bytes(len), at).unwrap();
        }
        "pwritev2" => {
            let data = bytes(len);
            let slices = [std::io::IoSlice::new(&data)];
            let fd = open(path, OFlags::WRONLY);
            rustix::io::pwritev2(fd, &slices, at, rustix::io::ReadWriteFlags::empty()).unwrap();
        }
        "append" => write_all(open(path, OFlags::WRONLY | OFlags::APPEND).as_fd(), &bytes(len)),
        "append_pwrite" => {
            let fd = open(path, OFlags::WRONLY | OFlags::APPEND);
            rustix::io::pwrite(fd, &bytes(len), 0).unwrap();
        }
        "ftruncate" => rustix::fs::ftruncate(open(path, OFlags::WRONLY), at).unwrap(),
        "truncate" => {
            let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
            let len = i64::try_from(at).unwrap();
            // SAFETY: the path is NUL-terminated.
            assert_eq!(unsafe { libc::truncate(path.as_ptr(), len) }, 0);
        }
        "open_trunc" => drop(open(path, OFlags::WRONLY | OFlags::TRUNC)),
        "fallocate" => {
            rustix::fs::fallocate(open(path, OFlags::WRONLY), FallocateFlags::empty(), at, len)
                .unwrap();
        }
        "punch" => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(open(path, OFlags::WRONLY), flags, at, len).unwrap();
        }
        "collapse" => {
            let flags = FallocateFlags::COLLAPSE_RANGE;
            rustix::fs::fallocate(open(path, OFlags::WRONLY), flags, at, len).unwrap();
        }
        "sendfile" | "splice" | "copy_file_range" | "copy_at" | "clone" | "clone_range" => {
            between(op, path, at, len);
        }
        "mmap" => store(path, at, len),
        "direct" => direct(path, at, len),
        "aio" => aio(path, at, len, OFlags::empty()),
        "aio_direct" => aio(path, at, len, OFlags::DIRECT),
        "uring" => uring(path, at, len),
        "shared_position" => shared_position(path, at, len),
        "flood" => {
            let fd = open(path, OFlags::WRONLY);
            let data = bytes(4096);
            for nth in 0..arg(2) {
                rustix::io::pwrite(&fd, &data, at + nth * len).unwrap();
            }
        }
        other => panic!("no such operation: {other}"),
    }
}

/// From another file beside this one into it.
fn between(op: &str, path: &Path, at: u64, len: u64) {
    let other = path.with_extension("other");
    std::fs::write(&other, bytes(len)).unwrap();
    let from = open(&other, OFlags::RDONLY);
    let to = open(path, OFlags::RDWR);
    rustix::fs::seek(&to, rustix::fs::SeekFrom::Start(at)).unwrap();
    let count = usize::try_from(len).unwrap();
    match op {
        "sendfile" => {
            assert_eq!(rustix::fs::sendfile(&to, &from, None, count).unwrap(), count);
        }
        "splice" => {
            let (out, into) = rustix::pipe::pipe().unwrap();
            rustix::io::write(&into, &bytes(len.min(4096))).unwrap();
            let mut offset = at;
            let flags = rustix::pipe::SpliceFlags::empty();
            let count = usize::try_from(len.min(4096)).unwrap();
            rustix::pipe::splice(&out, None, &to, Some(&mut offset), count, flags).unwrap();
        }
        "copy_file_range" => {
            assert_eq!(rustix::fs::copy_file_range(&from, None, &to, None, count).unwrap(), count);
        }
        "copy_at" => {
            let mut offset = at;
            rustix::fs::copy_file_range(&from, None, &to, Some(&mut offset), count).unwrap();
        }
        "clone" => rustix::fs::ioctl_ficlone(&to, &from).unwrap(),
        _ => {
            let request: [u64; 4] = [u64::try_from(from.as_raw_fd()).unwrap(), 0, len, at];
            // SAFETY: FICLONERANGE reads a structure of four 64-bit words.
            let result = unsafe { libc::ioctl(to.as_raw_fd(), 0x4020_940d, request.as_ptr()) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        }
    }
}

fn store(path: &Path, at: u64, len: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    // SAFETY: nobody cuts the file meanwhile.
    let mut map = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
    let (at, end) = (usize::try_from(at).unwrap(), usize::try_from(at + len).unwrap());
    map[at..end].fill(b'm');
}

/// Memory aligned for direct I/O.
fn aligned(len: u64) -> memmap2::MmapMut {
    let mut map = memmap2::MmapMut::map_anon(usize::try_from(len).unwrap()).unwrap();
    map.fill(b'd');
    map
}

fn direct(path: &Path, at: u64, len: u64) {
    let data = aligned(len);
    let written = rustix::io::pwrite(open(path, OFlags::WRONLY | OFlags::DIRECT), &data, at);
    assert_eq!(written.unwrap(), data.len());
}

/// One write through libaio's system calls.
fn aio(path: &Path, at: u64, len: u64, flags: OFlags) {
    let data = aligned(len);
    let fd = open(path, OFlags::WRONLY | flags);
    // struct iocb: data, key and flags, opcode 1 (pwrite), fd, buffer, bytes, offset, reserved, flags
    let descriptor = u64::try_from(fd.as_raw_fd()).unwrap();
    let buffer = data.as_ptr() as usize as u64;
    let request: [u64; 8] = [7, 0, 1 | descriptor << 32, buffer, len, at, 0, 0];
    let list = [request.as_ptr()];
    let mut context: u64 = 0;
    // SAFETY: io_setup writes one word.
    assert_eq!(unsafe { libc::syscall(libc::SYS_io_setup, 8, &raw mut context) }, 0);
    // SAFETY: one request, laid out as the kernel wants it; buffer and file live until it is done.
    assert_eq!(unsafe { libc::syscall(libc::SYS_io_submit, context, 1, list.as_ptr()) }, 1);
    let mut done = [0u64; 4];
    let none = std::ptr::null::<u8>();
    // SAFETY: io_getevents writes one event of four words.
    let n =
        unsafe { libc::syscall(libc::SYS_io_getevents, context, 1, 1, done.as_mut_ptr(), none) };
    assert_eq!((n, done[2]), (1, len), "{}", std::io::Error::last_os_error());
    // SAFETY: the context is ours.
    assert_eq!(unsafe { libc::syscall(libc::SYS_io_destroy, context) }, 0);
}

/// Two threads write through one open file, so that its position belongs to neither.
fn shared_position(path: &Path, at: u64, len: u64) {
    let fd = open(path, OFlags::WRONLY);
    rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(at)).unwrap();
    let (half, data) = (len / 2, bytes(4096));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..half / 4096 {
                    assert_eq!(rustix::io::write(&fd, &data).unwrap(), 4096);
                }
            });
        }
    });
}

/// One write through io_uring, its rings mapped by hand.
fn uring(path: &Path, at: u64, len: u64) {
    const ENTRY: usize = 64;
    let fd = open(path, OFlags::WRONLY);
    let mut params = [0u32; 30];
    // SAFETY: io_uring_setup fills a structure of 120 bytes.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, params.as_mut_ptr()) };
    assert!(ring >= 0, "io_uring_setup: {}", std::io::Error::last_os_error());
    let ring = i32::try_from(ring).unwrap();
    let map = |len: usize, offset: u64| {
        memmap2::MmapOptions::new().len(len).offset(offset).map_raw(ring).unwrap()
    };
    // sq_off: head tail ring_mask ring_entries flags dropped array; cq_off follows at word 20.
    let (sq_tail, sq_array) = (params[11] as usize, params[16] as usize);
    let queue = map(sq_array + 4 * params[0] as usize, 0);
    let entries = map(ENTRY * params[0] as usize, 0x1000_0000);
    let data = bytes(len);
    let mut entry = [0u64; 8];
    entry[0] = 23 | (fd.as_raw_fd() as u64) << 32;
    entry[1] = at;
    entry[2] = data.as_ptr() as usize as u64;
    entry[3] = len;
    // SAFETY: the first entry of the mapped array; nobody else uses this ring.
    unsafe { entries.as_mut_ptr().cast::<[u64; 8]>().write_volatile(entry) };
    // SAFETY: the kernel says that the array begins there, inside the mapping.
    let array = unsafe { queue.as_mut_ptr().add(sq_array).cast::<u32>() };
    // SAFETY: an aligned word that nobody else writes.
    unsafe { array.write_volatile(0) };
    // SAFETY: as for the array.
    let tail = unsafe { queue.as_mut_ptr().add(sq_tail).cast::<u32>() };
    // SAFETY: aligned, and the kernel changes it atomically, too.
    let tail = unsafe { std::sync::atomic::AtomicU32::from_ptr(tail) };
    tail.store(1, std::sync::atomic::Ordering::Release);
    let none = std::ptr::null::<u8>();
    // SAFETY: submits one request and waits for its completion.
    let n = unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 1, 1, 1, none, 0) };
    assert_eq!(n, 1, "io_uring_enter: {}", std::io::Error::last_os_error());
    let mut seen = vec![0; data.len()];
    rustix::io::pread(open(path, OFlags::RDONLY), &mut seen, at).unwrap();
    assert_eq!(seen, data, "the ring's write did not land");
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(ring) };
}
