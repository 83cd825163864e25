//! Which system calls change files, by number, for the tracepoint backend.
//!
//! Knows: system call numbers of this architecture. Must never know: what the probes make of a class.

use foundry_common::abi::syscall as class;

/// Classes by number, as the probes read them.
pub(super) fn table() -> [u8; class::COUNT] {
    filled(CALLS.iter().chain(OLD_CALLS))
}

/// The same for 32-bit programs on a 64-bit kernel.
pub(super) fn table_of_32_bit() -> [u8; class::COUNT] {
    filled(CALLS_OF_32_BIT.iter())
}

fn filled<'a>(calls: impl Iterator<Item = &'a (libc::c_long, u8)>) -> [u8; class::COUNT] {
    let mut table = [class::NONE; class::COUNT];
    for (number, class) in calls {
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
    (libc::SYS_fchmod, class::ATTR),
    (libc::SYS_fchmodat, class::ATTR),
    (libc::SYS_fchown, class::ATTR),
    (libc::SYS_fchownat, class::ATTR),
    (SYS_FCHMODAT2, class::ATTR),
    (libc::SYS_utimensat, class::ATTR),
    (libc::SYS_setxattr, class::ATTR),
    (libc::SYS_lsetxattr, class::ATTR),
    (libc::SYS_fsetxattr, class::ATTR),
];

/// fchmodat2(2) has this number everywhere; the C library's bindings do not name it everywhere.
const SYS_FCHMODAT2: libc::c_long = 452;

/// Calls that newer architectures never had.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(libc::c_long, u8)] = &[
    (libc::SYS_open, class::OPEN),
    (libc::SYS_creat, class::CREAT),
    (libc::SYS_chmod, class::ATTR),
    (libc::SYS_chown, class::ATTR),
    (libc::SYS_lchown, class::ATTR),
    (libc::SYS_utime, class::ATTR),
    (libc::SYS_utimes, class::ATTR),
    (libc::SYS_futimesat, class::ATTR),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(libc::c_long, u8)] = &[];

/// By the numbers of the i386 table, which never change.
#[cfg(target_arch = "x86_64")]
const CALLS_OF_32_BIT: &[(libc::c_long, u8)] = &[
    (4, class::WHOLE0),   // write
    (146, class::WHOLE0), // writev
    (181, class::WHOLE0), // pwrite64
    (334, class::WHOLE0), // pwritev
    (379, class::WHOLE0), // pwritev2
    (187, class::WHOLE0), // sendfile
    (239, class::WHOLE0), // sendfile64
    (93, class::WHOLE0),  // ftruncate
    (194, class::WHOLE0), // ftruncate64
    (324, class::WHOLE0), // fallocate
    (313, class::WHOLE2), // splice
    (377, class::WHOLE2), // copy_file_range
    (92, class::TRUNCATE),
    (193, class::TRUNCATE), // truncate64
    (5, class::OPEN),
    (8, class::CREAT),
    (295, class::OPENAT),
    (192, class::MMAP), // mmap2
];
/// By the numbers of the 32-bit ARM table.
#[cfg(target_arch = "aarch64")]
const CALLS_OF_32_BIT: &[(libc::c_long, u8)] = &[
    (4, class::WHOLE0),   // write
    (146, class::WHOLE0), // writev
    (181, class::WHOLE0), // pwrite64
    (362, class::WHOLE0), // pwritev
    (393, class::WHOLE0), // pwritev2
    (187, class::WHOLE0), // sendfile
    (239, class::WHOLE0), // sendfile64
    (93, class::WHOLE0),  // ftruncate
    (194, class::WHOLE0), // ftruncate64
    (352, class::WHOLE0), // fallocate
    (340, class::WHOLE2), // splice
    (391, class::WHOLE2), // copy_file_range
    (92, class::TRUNCATE),
    (193, class::TRUNCATE), // truncate64
    (5, class::OPEN),
    (8, class::CREAT),
    (322, class::OPENAT),
    (192, class::MMAP), // mmap2
];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CALLS_OF_32_BIT: &[(libc::c_long, u8)] = &[];

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
