//! What an artifact is: its number in this run, its identity on the disk, and what `statx` said of it.
//!
//! Knows: numbers and names. Must never know: bytes of content, tiles, where bricks lie.
//! Keeps: an [`ArtifactId`] is never used twice in one run, so that a late message cannot reach
//! another artifact; a [`FileIdentity`] changes when an inode number is used again.

use foundry_brick::{Identity, Kind, Meta, Payload};
use serde::{Deserialize, Serialize};

/// A name inside a directory, or a path: any bytes but NUL, not necessarily UTF-8.
pub type OsBytes = Vec<u8>;

/// Number of an artifact in one run of the daemon (or in one replay log). Dense, from 1, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArtifactId(pub u32);

/// What sort of thing a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// Regular file: folded.
    File,
    /// Directory: listed and followed.
    Directory,
    /// Symbolic link: recorded, never followed.
    Symlink,
    /// Device, socket or pipe: recorded, never opened.
    Other,
}

/// Which inode this is, as user space can know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    /// `st_dev`, as `makedev(major, minor)`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// Birth time in nanoseconds since the epoch, 0 where the file system keeps none;
    /// tells a reused inode number from the first owner of it.
    pub btime_ns: i64,
}

/// The part of `statx` that decides whether a brick is still true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Which inode.
    pub identity: FileIdentity,
    /// What sort of entry.
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// 512-byte blocks allocated: fewer than `size` says where the file is sparse.
    pub blocks: u64,
    /// Permission bits and set-id bits (`st_mode & 0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Hard links.
    pub nlink: u32,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
}

impl Stat {
    /// What the brick of a file says of it.
    #[must_use]
    pub fn meta(&self, path: &[u8], payload: Payload) -> Meta {
        let id = self.identity;
        Meta {
            kind: Kind::File,
            path: path.to_vec(),
            pid: None,
            identity: Identity { dev: id.dev, ino: id.ino, btime_ns: id.btime_ns },
            size: self.size,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime_ns: self.mtime_ns,
            ctime_ns: self.ctime_ns,
            blocks: self.blocks,
            nlink: self.nlink,
            payload,
        }
    }

    /// Whether the bytes may be others than when `self` was taken.
    #[must_use]
    pub fn has_changed(&self, now: &Self) -> bool {
        let what = |stat: &Self| (stat.size, stat.mtime_ns, stat.ctime_ns);
        what(self) != what(now)
    }
}
