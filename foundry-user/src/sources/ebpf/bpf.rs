//! The few commands of bpf(2) for which aya has no call: programs on functions of kernel modules.
//!
//! Knows: the layout of `union bpf_attr` for these commands. Must never know: which programs.
//! Keeps: every structure is zeroed and as long as the kernel expects; a descriptor is owned from
//! the moment the kernel returns it.

use aya::maps::MapData;
use aya_obj::generated::bpf_insn;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const PROG_LOAD: i64 = 5;
const OBJ_PIN: i64 = 6;
const OBJ_GET_INFO_BY_FD: i64 = 15;
const RAW_TRACEPOINT_OPEN: i64 = 17;
const BTF_GET_FD_BY_ID: i64 = 19;
const BTF_GET_NEXT_ID: i64 = 23;

const PROG_TYPE_TRACING: u32 = 26;
const ATTACH_TRACE_FEXIT: u32 = 25;
/// Bytes of the verifier's log that are kept.
const LOG_BYTES: usize = 1 << 16;

/// A zeroed attribute, as words: the commands differ in which of them they read.
type Attribute = [u32; 40];

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(0)
}

fn put(attribute: &mut Attribute, word: usize, value: u64) {
    attribute[word] = low(value);
    attribute[word + 1] = low(value >> 32);
}

fn address<T>(of: *const T) -> u64 {
    u64::try_from(of.addr()).unwrap_or(0)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

fn call(command: i64, attribute: &mut Attribute, bytes: usize) -> io::Result<i32> {
    // SAFETY: the attribute has at least `bytes` bytes, and what it points at outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

fn call_for_fd(command: i64, attribute: &mut Attribute, bytes: usize) -> io::Result<OwnedFd> {
    let fd = call(command, attribute, bytes)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives an object a name on bpffs: it lives on while that is there.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut attribute: Attribute = [0; 40];
    put(&mut attribute, 0, address(path.as_ptr()));
    attribute[2] = number(object);
    call(OBJ_PIN, &mut attribute, 16).map(drop)
}

/// The BPF map with this name.
pub(super) fn map_at(path: &Path) -> io::Result<MapData> {
    let name = path.file_name().unwrap_or_default().display();
    let said = |error| format!("{name}: {}", super::load::describe(&error));
    MapData::from_pin(path).map_err(|error| io::Error::other(said(error)))
}

/// The BTF object of a loaded kernel module.
pub(super) fn btf_of_module(module: &str) -> io::Result<OwnedFd> {
    let mut id = 0;
    loop {
        let mut attribute: Attribute = [0; 40];
        attribute[0] = id;
        call(BTF_GET_NEXT_ID, &mut attribute, 12)?;
        id = attribute[1];
        let mut attribute: Attribute = [0; 40];
        attribute[0] = id;
        let Ok(fd) = call_for_fd(BTF_GET_FD_BY_ID, &mut attribute, 12) else { continue };
        if name_of_btf(&fd)? == module.as_bytes() {
            return Ok(fd);
        }
    }
}

fn name_of_btf(fd: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut name = [0u8; 64];
    // struct bpf_btf_info: btf, btf_size, id, name, name_len, kernel_btf
    let mut info = [0u32; 8];
    let at = address(name.as_mut_ptr());
    (info[4], info[5], info[6]) = (low(at), low(at >> 32), 64);
    let mut attribute: Attribute = [0; 40];
    attribute[0] = number(std::os::fd::AsFd::as_fd(fd));
    attribute[1] = 32;
    put(&mut attribute, 2, address(info.as_mut_ptr()));
    call(OBJ_GET_INFO_BY_FD, &mut attribute, 16)?;
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    Ok(name[..len].to_vec())
}

/// Loads a program for the return of the function with number `function` in a module's BTF.
///
/// # Errors
/// With the end of what the verifier said.
pub(super) fn load_exit(
    instructions: &[bpf_insn],
    module: BorrowedFd<'_>,
    function: u32,
) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let mut log = vec![0u8; LOG_BYTES];
    let mut attribute: Attribute = [0; 40];
    attribute[0] = PROG_TYPE_TRACING;
    attribute[1] = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    put(&mut attribute, 2, address(instructions.as_ptr()));
    put(&mut attribute, 4, address(license.as_ptr()));
    // Word 17 is the expected attach type; 27 and 28 are the function and where it is.
    attribute[17] = ATTACH_TRACE_FEXIT;
    attribute[27] = function;
    attribute[28] = number(module);
    let error = match call_for_fd(PROG_LOAD, &mut attribute, 128) {
        Ok(program) => return Ok(program),
        Err(error) => error,
    };
    attribute[6] = 1;
    attribute[7] = u32::try_from(LOG_BYTES).map_err(io::Error::other)?;
    put(&mut attribute, 8, address(log.as_mut_ptr()));
    match call_for_fd(PROG_LOAD, &mut attribute, 128) {
        Ok(program) => Ok(program),
        Err(_) => {
            let len = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            let said = super::load::refusal(&error, &String::from_utf8_lossy(&log[..len]));
            Err(io::Error::new(error.kind(), said))
        }
    }
}

/// Attaches a tracing program where it was loaded for; it runs until the descriptor is closed.
pub(super) fn attach(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attribute: Attribute = [0; 40];
    attribute[2] = number(program);
    call_for_fd(RAW_TRACEPOINT_OPEN, &mut attribute, 16)
}
