//! The normalized change: what every source says in one language.
//!
//! Knows: artifacts' numbers, byte ranges, who did it. Must never know: which source made it, content.
//! Keeps: an event is a hint. It says where to look, never what is there; losing, repeating or
//! reordering events may delay a brick, never make it wrong (invariant 1).

use crate::artifact::{ArtifactId, OsBytes};
use serde::{Deserialize, Serialize};

/// Nanoseconds of CLOCK_MONOTONIC, as `bpf_ktime_get_ns` counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MonotonicNs(pub u64);

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixNs(pub i64);

/// The process that did something, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Process (thread group) number.
    pub pid: u32,
    /// Thread number.
    pub tid: u32,
    /// User.
    pub uid: u32,
    /// Command name of the thread, at most 15 bytes.
    pub comm: OsBytes,
    /// Path of the executable, where the process was seen to exec or `/proc` still had it.
    pub exe: Option<OsBytes>,
    /// Inode number of the executable, 0 where unknown.
    pub exe_ino: u64,
    /// cgroup v2 id, 0 where unknown.
    pub cgroup: u64,
}

/// Which bytes of an artifact may have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extents {
    /// Half-open byte ranges, in any order, possibly overlapping.
    Ranges(Vec<(u64, u64)>),
    /// From this offset to the end, wherever the end is.
    From(u64),
    /// Any byte.
    Whole,
}

/// Why a source had to fall back to something coarser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LossKind {
    /// The doorbell ring was full: the dirty states were scanned instead. Nothing was lost.
    Doorbell,
    /// A range did not fit the dirty state: the artifact became whole-dirty.
    Range,
    /// An inode did not fit the interest map: its tree is swept.
    Inode,
    /// Names of directory entries were dropped: directories are listed again.
    Name,
    /// Who wrote was dropped; what was written was not.
    Attribution,
    /// exec and mmap events were dropped.
    Process,
    /// The kernel's own notification queue overflowed: everything is swept.
    Queue,
}

/// Something happened, or may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Bytes of an artifact may have changed.
    Dirty { artifact: ArtifactId, extents: Extents, actor: Option<Actor>, at: MonotonicNs },
    /// The entry `name` of a directory came, went, or is another inode now: look again.
    Entry { dir: ArtifactId, name: OsBytes, actor: Option<Actor>, at: MonotonicNs },
    /// Entries of a directory changed and their names are not known; `deep` asks for the whole tree below.
    Relist { dir: ArtifactId, deep: bool, at: MonotonicNs },
    /// Anything under any watched tree may have changed.
    Sweep { at: MonotonicNs },
    /// Owner, mode or another attribute changed; content did not.
    Meta { artifact: ArtifactId, at: MonotonicNs },
    /// A process replaced its program.
    Exec { actor: Actor, at: MonotonicNs },
    /// A process ended.
    Exit { actor: Actor, at: MonotonicNs },
    /// A tracked artifact was mapped. `shared_writable` mappings change bytes without system calls.
    Mmap {
        artifact: ArtifactId,
        actor: Actor,
        shared_writable: bool,
        executable: bool,
        at: MonotonicNs,
    },
    /// `n` records of one kind were dropped since the last such event. What repairs it follows as
    /// other events; this one is for the counters.
    Lost { kind: LossKind, n: u64 },
    /// The memory layout of a watched process may have changed, or it has a child. It concerns no
    /// artifact of the pipeline, and is not recorded.
    Layout { pid: u32 },
}
