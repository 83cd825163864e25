//! Opening what lies beneath a directory, on a way that no symbolic link bends.
//!
//! Knows: `openat2`, and how to do without it. Must never know: what is opened, and for whom.
//! Keeps: no step leads through a link or to what is not beneath the start; a sandbox that refuses
//! `openat2` (systemd's `RestrictSUIDSGID` does, and older containers) changes nothing but the costs.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Opens `path` beneath `from`. A link at its end is opened as itself with `PATH` and `NOFOLLOW`, and is an
/// error otherwise; with `PATH` there has to be `NOFOLLOW`.
///
/// # Errors
/// As `openat2(2)`: a link on the way is [`Errno::LOOP`], a way out [`Errno::XDEV`].
pub fn beneath(
    from: BorrowedFd<'_>,
    path: &OsStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // A rename elsewhere may interrupt the walk; the kernel asks to try again.
    for _ in 0..8 {
        match rustix::fs::openat2(from, path, flags | OFlags::CLOEXEC, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS) => return in_steps(from, path.as_bytes(), flags, mode),
            other => return other,
        }
    }
    Err(Errno::NOENT)
}

/// The same, a name at a time. Ways up are refused, also those that would come back.
fn in_steps(
    from: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    if path[0] == b'/' || path.split(|byte| *byte == b'/').any(|name| name == b"..") {
        return Err(Errno::XDEV);
    }
    let mut names =
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    let last = names.next_back().unwrap_or(b".");
    let mut at: Option<OwnedFd> = None;
    for name in names {
        let way = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY;
        let dir = at.as_ref().map_or(from, AsFd::as_fd);
        at = Some(step(dir, name, way, Mode::empty(), true)?);
    }
    // What has a slash behind it would be followed.
    let passed = path.ends_with(b"/") || path.ends_with(b"/.");
    let more = if passed { OFlags::DIRECTORY } else { OFlags::empty() };
    let dir = at.as_ref().map_or(from, AsFd::as_fd);
    step(dir, last, flags | OFlags::NOFOLLOW | more, mode, passed)
}

/// One name of a directory; whether a link there would have been `passed`.
fn step(
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
    passed: bool,
) -> Result<OwnedFd, Errno> {
    let name = OsStr::from_bytes(name);
    for _ in 0..8 {
        match rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, mode) {
            Err(Errno::INTR) => {}
            // What is not followed is no directory; said as the walk in the kernel says it.
            Err(Errno::NOTDIR) if passed && is_link(dir, name) => return Err(Errno::LOOP),
            other => return other,
        }
    }
    Err(Errno::NOENT)
}

fn is_link(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    let seen = rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    seen.is_ok_and(|x| FileType::from_raw_mode(x.stx_mode.into()) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_walk_in_steps_leads_where_the_kernels_does() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), b"x").unwrap();
        symlink("a", dir.path().join("to-a")).unwrap();
        symlink("b/file", dir.path().join("a/to-file")).unwrap();
        symlink("/etc/passwd", dir.path().join("out")).unwrap();
        let from = fs::File::open(dir.path()).unwrap();
        let path = OFlags::PATH | OFlags::NOFOLLOW;
        let inode = |fd: OwnedFd| fs::File::from(fd).metadata().unwrap().ino();
        for flags in [path, path | OFlags::DIRECTORY, OFlags::RDONLY, OFlags::RDWR] {
            for name in [
                "a",
                "a/b",
                "a/b/file",
                "a//b/./file",
                "./a",
                ".",
                "a/",
                "a/.",
                "a/b/file/",
                "a/b/file/x",
                "to-a",
                "to-a/b",
                "to-a/",
                "a/to-file",
                "out",
                "out/x",
                "none",
                "none/x",
                "",
                "/etc",
                "../x",
                "a/../../x",
            ] {
                let asked = beneath(from.as_fd(), OsStr::new(name), flags, Mode::empty());
                let walked = in_steps(from.as_fd(), name.as_bytes(), flags, Mode::empty());
                assert_eq!(walked.map(inode), asked.map(inode), "{name:?} with {flags:?}");
            }
        }
    }

    #[test]
    fn a_file_is_made_where_there_is_none_and_not_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        symlink("elsewhere", dir.path().join("a/link")).unwrap();
        let from = fs::File::open(dir.path()).unwrap();
        let make = |path: &[u8]| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            in_steps(from.as_fd(), path, flags, Mode::from_raw_mode(0o600)).map(drop)
        };
        assert_eq!((make(b"a/new"), make(b"a/new")), (Ok(()), Err(Errno::EXIST)));
        assert_eq!(make(b"a/link"), Err(Errno::EXIST));
        assert!(!dir.path().join("a/elsewhere").exists());
        // The way back would be beneath; in steps nobody can tell.
        assert_eq!(make(b"a/../b"), Err(Errno::XDEV));
    }
}
