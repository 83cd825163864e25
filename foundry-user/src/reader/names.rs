//! Listing directories and looking at single names.
//!
//! Knows: directory entries. Must never know: content.
//! Keeps: track, then list; the store and the kernel's own file systems are not part of any tree.

use super::{Reader, failure, open};
use crate::artifact::{ArtifactId, FileIdentity, FileKind, OsBytes, Stat};
use crate::pipeline::input::{Input, Listing, ReadFailure};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// File systems without files: what the kernel makes up on reading (`f_type` of `statfs`).
const MADE_UP: [u32; 13] = [
    0x0000_9fa0, // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0xcafe_4a11, // bpf
    0x0000_1cd1, // devpts
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x6265_6570, // configfs
    0x6165_676c, // pstore
    0x6573_5543, // fusectl
];

impl Reader {
    /// Carries out `Effect::List`.
    #[must_use]
    pub fn list(&self, dir: ArtifactId, path: &[u8], expect: &FileIdentity) -> Input {
        Input::Listed { dir, outcome: self.try_list(dir, path, expect) }
    }

    fn try_list(
        &self,
        dir: ArtifactId,
        path: &[u8],
        expect: &FileIdentity,
    ) -> Result<Listing, ReadFailure> {
        let (root, rest) = self.split(path).ok_or(ReadFailure::Gone)?;
        let fd = open::open(&root, rest, expect).map_err(failure)?;
        if made_up(&fd) {
            return Ok(Listing { entries: vec![], tracked: true });
        }
        let tracked = self.tracker.track(fd.as_fd(), dir, FileKind::Directory, 0);
        let tracked = self.is_tracked(path, tracked);
        let mut entries =
            entries(&fd, |identity| self.hidden.contains(identity)).map_err(failure)?;
        // Last: an entry that comes before this is listed, one that comes after it is an event.
        entries.push((b".".to_vec(), open::stat_fd(&fd).map_err(failure)?));
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        Ok(Listing { entries, tracked })
    }

    /// Carries out `Effect::Look`.
    #[must_use]
    pub fn look(&self, dir: ArtifactId, path: &[u8], expect: &FileIdentity, name: &[u8]) -> Input {
        let outcome = self.try_look(path, expect, name);
        Input::Looked { dir, name: name.to_vec(), outcome }
    }

    fn try_look(
        &self,
        path: &[u8],
        expect: &FileIdentity,
        name: &[u8],
    ) -> Result<Option<Stat>, ReadFailure> {
        let (root, rest) = self.split(path).ok_or(ReadFailure::Gone)?;
        let fd = open::resolve(&root, rest).map_err(failure)?;
        if open::stat_fd(&fd).map_err(failure)?.identity != *expect {
            return Err(ReadFailure::Gone);
        }
        if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
            return Ok(None);
        }
        match open::stat_entry(&fd, OsStr::from_bytes(name)) {
            Ok(stat) if self.hidden.contains(&stat.identity) => Ok(None),
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NAMETOOLONG) => Ok(None),
            Err(e) => Err(failure(e)),
        }
    }
}

/// The entries of an open directory, but for those that are hidden.
pub(super) fn entries(
    fd: &OwnedFd,
    is_hidden: impl Fn(&FileIdentity) -> bool,
) -> Result<Vec<(OsBytes, Stat)>, Errno> {
    let mut entries = vec![];
    for entry in rustix::fs::Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        match open::stat_entry(fd, OsStr::from_bytes(name)) {
            Ok(stat) if is_hidden(&stat.identity) => {}
            Ok(stat) => entries.push((name.to_vec(), stat)),
            // Gone since it was listed: an event says so.
            Err(Errno::NOENT) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(entries)
}

/// Whether this directory is on a file system that the kernel makes up on reading.
pub(crate) fn made_up(fd: &OwnedFd) -> bool {
    // Magic numbers are 32 bits wide, whatever the type that carries them.
    let low = |n: i64| u32::try_from(n & 0xffff_ffff).unwrap_or(0);
    rustix::fs::fstatfs(fd).is_ok_and(|s| MADE_UP.contains(&low(s.f_type)))
}
