//! Opening beneath a root, and what `statx` says.
//!
//! Knows: how roots are walked, `statx`. Must never know: artifacts' numbers, content.
//! Keeps: what is opened for reading was a regular file or a directory when its place was resolved,
//! and the descriptor is that very inode.

use crate::artifact::{FileIdentity, FileKind, Stat};
use crate::walk;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel takes paths of less than `PATH_MAX` bytes; longer ones are walked in steps.
const STEP: usize = 4000;

/// Opens a root. Its own path may hold symbolic links: whoever named it meant where it leads.
pub(super) fn root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Resolves a path beneath a root, without opening what is there.
pub(super) fn resolve(root: &OwnedFd, rest: &Path) -> Result<OwnedFd, Errno> {
    let bytes = rest.as_os_str().as_bytes();
    if bytes.is_empty() {
        return rustix::io::dup(root);
    }
    let (ways, last) = steps(bytes)?;
    let mut at: Option<OwnedFd> = None;
    for way in ways {
        let from = at.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        at = Some(beneath(from, way)?);
    }
    beneath(at.as_ref().map_or(root.as_fd(), AsFd::as_fd), last)
}

/// A path as the kernel takes it: directories, each to be opened in the one before, and the rest.
fn steps(path: &[u8]) -> Result<(Vec<&[u8]>, &[u8]), Errno> {
    let (mut ways, mut left) = (vec![], path);
    while STEP < left.len() {
        let cut = left[..STEP].iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?;
        ways.push(&left[..cut]);
        left = &left[cut + 1..];
    }
    Ok((ways, left))
}

/// Opens any path, however long; symbolic links are followed as `flags` say.
///
/// # Errors
/// As `openat(2)`.
pub fn anywhere(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (ways, last) = steps(path.as_os_str().as_bytes())?;
    let mut at: Option<OwnedFd> = None;
    let from = |at: &Option<OwnedFd>, path: &[u8], flags: OFlags| {
        let dir = at.as_ref().map_or(rustix::fs::CWD, AsFd::as_fd);
        rustix::fs::openat(dir, OsStr::from_bytes(path), flags, Mode::empty())
    };
    for way in ways {
        at = Some(from(&at, way, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?);
    }
    from(&at, last, flags)
}

fn beneath(from: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    walk::beneath(from, OsStr::from_bytes(path), flags, Mode::empty())
}

/// Resolves the regular file or directory `expect` and opens it for reading.
/// Another inode at that place is [`Errno::NOENT`].
pub(super) fn open(root: &OwnedFd, rest: &Path, expect: &FileIdentity) -> Result<OwnedFd, Errno> {
    let place = resolve(root, rest)?;
    let stat = stat_fd(&place)?;
    if stat.identity != *expect {
        return Err(Errno::NOENT);
    }
    let flags = match stat.kind {
        FileKind::File => OFlags::RDONLY | OFlags::NONBLOCK,
        FileKind::Directory => OFlags::RDONLY | OFlags::DIRECTORY,
        FileKind::Symlink | FileKind::Other => return Err(Errno::NOENT),
    };
    // Through the descriptor: no second walk, so nothing else can be there by now.
    let link = format!("/proc/self/fd/{}", place.as_raw_fd());
    let quiet = flags | OFlags::CLOEXEC | OFlags::NOATIME;
    match rustix::fs::open(&link, quiet, Mode::empty()) {
        // Only the owner and root may leave the access time alone.
        Err(Errno::PERM) => rustix::fs::open(&link, flags | OFlags::CLOEXEC, Mode::empty()),
        other => other,
    }
}

/// `statx` of an open file.
///
/// # Errors
/// As `statx(2)`.
pub fn stat_fd(fd: &impl AsFd) -> Result<Stat, Errno> {
    stat(fd.as_fd(), "", AtFlags::EMPTY_PATH)
}

/// `statx` of one entry of an open directory; never of where a link leads.
pub(super) fn stat_entry(dir: &impl AsFd, name: &OsStr) -> Result<Stat, Errno> {
    stat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
}

/// `statx` of a path, links followed: for what `/proc` says of other processes.
pub(super) fn stat_path(path: &Path) -> Result<Stat, Errno> {
    stat(rustix::fs::CWD, path, AtFlags::NO_AUTOMOUNT)
}

fn stat(dir: BorrowedFd<'_>, path: impl rustix::path::Arg, flags: AtFlags) -> Result<Stat, Errno> {
    let x = rustix::fs::statx(dir, path, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let mode = u32::from(x.stx_mode);
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    };
    let ns = |t: rustix::fs::StatxTimestamp| {
        t.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(t.tv_nsec))
    };
    let has_btime = x.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(Stat {
        identity: FileIdentity {
            dev: rustix::fs::makedev(x.stx_dev_major, x.stx_dev_minor),
            ino: x.stx_ino,
            btime_ns: if has_btime { ns(x.stx_btime) } else { 0 },
        },
        kind,
        size: x.stx_size,
        blocks: x.stx_blocks,
        mode: mode & 0o7777,
        uid: x.stx_uid,
        gid: x.stx_gid,
        nlink: x.stx_nlink,
        mtime_ns: ns(x.stx_mtime),
        ctime_ns: ns(x.stx_ctime),
    })
}
