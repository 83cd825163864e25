//! Which system calls change files, by number, for the tracepoint backend.
//!
//! Knows: system call numbers of this architecture. Must never know: what the probes make of a class.

use foundry_common::abi::syscall as class;

/// Classes by number, as the probes read them.
pub(super) fn table() -> [u8; class::COUNT] {
    let mut table = [class::NONE; class::COUNT];
    for (number, class) in CALLS.iter().chain(OLD_CALLS) {
        if let Some(entry) = usize::try_from(*number).ok().and_then(|nth| table.get_mut(nth)) {
            *entry = *class;
        }
    }
    table
}

const CALLS: &[(libc::c_long, u8)] = &[
    (libc::SYS_write, class::WRITE),
    (libc::SYS_writev, class::WRITE),
    (libc::SYS_pwrite64, class::PWRITE),
    (libc::SYS_pwritev, class::PWRITEV),
    (libc::SYS_pwritev2, class::PWRITEV2),
    (libc::SYS_sendfile, class::SENDFILE),
    (libc::SYS_splice, class::COPY),
    (libc::SYS_copy_file_range, class::COPY),
    (libc::SYS_ftruncate, class::FTRUNCATE),
    (libc::SYS_truncate, class::TRUNCATE),
    (libc::SYS_fallocate, class::FALLOCATE),
    (libc::SYS_openat, class::OPENAT),
    (libc::SYS_openat2, class::OPENAT2),
    (libc::SYS_ioctl, class::IOCTL),
    (libc::SYS_mmap, class::MMAP),
    (libc::SYS_io_submit, class::IO_SUBMIT),
];

/// Calls that newer architectures never had.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(libc::c_long, u8)] =
    &[(libc::SYS_open, class::OPEN), (libc::SYS_creat, class::CREAT)];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(libc::c_long, u8)] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_fits_the_table() {
        let table = table();
        for (number, class) in CALLS.iter().chain(OLD_CALLS) {
            assert_eq!(table[usize::try_from(*number).unwrap()], *class, "call {number}");
        }
    }
}
