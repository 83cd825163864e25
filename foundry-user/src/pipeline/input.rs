//! Everything that can make the daemon act. Closed on purpose: to add a cause, add a variant.
//!
//! Knows: values. Must never know: who reads, stores or shows.
//! Keeps: inputs are the only nondeterminism; a log of them is a complete recording.

use crate::artifact::{ArtifactId, FileIdentity, OsBytes, Stat};
use crate::event::{Event, Extents, MonotonicNs, UnixNs};
use serde::{Deserialize, Serialize};

/// One message to the pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A source saw something.
    Event(Event),
    /// A watched root, as named on the command line; opened at start.
    Watch { root: OsBytes, stat: Stat },
    /// The answer to `Effect::Recall`: the bricks the store already has under this root.
    Recalled { root: OsBytes, heads: Vec<BrickHead> },
    /// The answer to `Effect::List`.
    Listed { dir: ArtifactId, outcome: Result<Listing, ReadFailure> },
    /// The answer to `Effect::Look`: what is at `dir/name` now, if anything.
    Looked { dir: ArtifactId, name: OsBytes, outcome: Result<Option<Stat>, ReadFailure> },
    /// The answer to `Effect::Read`: one part of it.
    Read(ReadAnswer),
    /// The answer to `Effect::Store` with `StoreOp::Commit` or `StoreOp::Annotate`.
    Stored(StoreAnswer),
    /// The answer to `Effect::Flush`: everything stored before it survives a power cut.
    Flushed { ticket: u64, ok: bool },
    /// Files some process holds in a shared writable mapping (the answer to `Effect::ScanMappings`).
    Mappings { shared_writable: Vec<FileIdentity> },
    /// A client asked that all that happened before be in the bricks. Sources were drained first.
    Sync { ticket: u64 },
    /// Time passes. Comes before every batch of events, so that what they cause is dated.
    Tick { now: MonotonicNs, wall: UnixNs },
    /// Finish what is in flight, then stop.
    Shutdown,
    /// Somebody wrote an annotation of an artifact.
    Annotated(Annotated),
    /// What this machine says of these paths is not what it said before: packages came or went.
    /// Comes before every `Mappings`.
    Tables { changed: Vec<OsBytes> },
    /// A brick of a process was captured beside the pipeline, or the process ended.
    Process(crate::directory::Process),
    /// It is time to compare everything at or beneath `path` with its bricks, by content.
    Audit { path: OsBytes, ticket: u64 },
    /// A watched root is watched no more. Its bricks stay as they are.
    Unwatch { root: OsBytes },
}

/// An annotation, and what it was written of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotated {
    /// Comes back with the answer.
    pub ticket: u64,
    /// Which brick.
    pub path: OsBytes,
    /// BLAKE3 of the content it was written of.
    pub content: [u8; 32],
    /// What goes into the brick.
    pub note: Vec<u8>,
}

/// What the header of a stored brick says of the artifact it was folded from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrickHead {
    /// The artifact's path.
    pub path: OsBytes,
    /// Which state of which inode was folded.
    pub state: FoldedState,
    /// What it looks like. A recording builds upon no brick that was there before.
    #[serde(skip)]
    pub face: Option<crate::directory::Face>,
    /// It is a directory's.
    #[serde(skip)]
    pub directory: bool,
}

/// Which state of which inode a brick shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedState {
    /// Which inode.
    pub identity: FileIdentity,
    /// Bytes.
    pub size: u64,
    /// Modification time before the first byte was read.
    pub mtime_ns: i64,
    /// Change time before the first byte was read.
    pub ctime_ns: i64,
    /// When the reading began, or earlier.
    pub at: UnixNs,
}

/// Any change of content moves the change time, which nobody can set. But it may be as coarse as a
/// scheduler tick (10 ms at most on Linux): a file changed again within that time after it was read
/// may show the same one.
const RACY_NS: i64 = 20_000_000;

/// Whether a change time is old enough, at the moment when a reading begins, to tell any later change
/// from those before.
#[must_use]
pub const fn tells_changes(ctime_ns: i64, at: UnixNs) -> bool {
    ctime_ns.saturating_add(RACY_NS) < at.0
}

/// A directory's entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Names and what stood there, sorted by name; `.` is the directory itself, looked at last.
    pub entries: Vec<(OsBytes, Stat)>,
    /// The source took the directory, so that later changes are events.
    pub tracked: bool,
}

/// Why an artifact could not be read. Plain data: it goes into logs and bricks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadFailure {
    /// It is gone, or its place is another inode's now.
    Gone,
    /// The kernel refused.
    Denied,
    /// Any other error, as errno.
    Io(i32),
}

impl std::fmt::Display for ReadFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("it was gone, or another, when it was to be read"),
            Self::Denied => f.write_str("the daemon may not read it"),
            Self::Io(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

/// One answer to one `Effect::Read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadAnswer {
    /// Whose bytes.
    pub artifact: ArtifactId,
    /// The ticket of the request.
    pub ticket: u64,
    /// What came.
    pub part: ReadPart,
}

/// What an answer carries. `Start`, then bytes, holes and the description in file order, then `End`;
/// `Failed` may come at any point instead of the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReadPart {
    /// The file is open and tracked. `stat` was taken after that and before the first byte was read.
    Start {
        stat: Stat,
        /// The source took the file, so that later changes are events.
        tracked: bool,
        /// Stores through mappings become events once the pages are clean.
        sees_mapped_stores: bool,
    },
    /// Bytes at a tile boundary; whole tiles, but for the artifact's last one.
    Bytes { offset: u64, bytes: Bytes },
    /// A hole: `len` zero bytes that were not read.
    Hole { offset: u64, len: u64 },
    /// Regions and facts, where they were asked for and could be had.
    Described(Box<crate::binary::Description>),
    /// The request is answered; `after` was taken after the last byte was read.
    End { after: Stat },
    /// The request ended early; what came before is not to be trusted.
    Failed(ReadFailure),
    /// Which bytes the description stands on: it is asked for again when one of them changes.
    Stands {
        /// Half-open byte ranges.
        on: Vec<(u64, u64)>,
        /// Bytes that were read for it.
        cost: u64,
    },
    /// This much changed before the file was tracked, as far as the probes of an earlier run kept it.
    /// Comes after `Start`.
    Missed(Extents),
}

/// Shared bytes, cheap to pass on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "bytes_as_arc")] pub std::sync::Arc<[u8]>);

mod bytes_as_arc {
    use serde::{Deserializer, Serializer, de::Visitor};
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Arc<[u8]>, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Arc<[u8]>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, v: &[u8]) -> Result<Self::Value, E> {
                Ok(Arc::from(v))
            }
            fn visit_byte_buf<E>(self, v: Vec<u8>) -> Result<Self::Value, E> {
                Ok(Arc::from(v))
            }
        }
        d.deserialize_byte_buf(V)
    }
}

/// How one `Effect::Store` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAnswer {
    /// Whose brick.
    pub artifact: ArtifactId,
    /// Which of its bricks.
    pub path: OsBytes,
    /// The ticket of the job.
    pub ticket: u64,
    /// The committed generation, or why there is none.
    pub outcome: Result<Committed, StoreFailure>,
}

/// A committed generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its number.
    pub generation: u64,
    /// False where nothing differed, so that the last generation stays.
    pub new: bool,
    /// Content size in bytes.
    pub size: u64,
    /// Indices of level-0 tiles whose hash changed; `None` for all.
    pub changed_tiles: Option<Vec<u64>>,
    /// What the artifact looks like now. It follows from the brick: a replay finds it again.
    #[serde(skip)]
    pub face: Option<crate::directory::Face>,
}

/// Why a brick could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreFailure {
    /// The existing brick is missing or not valid, and the edit did not bring everything:
    /// it has to be folded anew.
    Corrupt,
    /// I/O error, as errno: the store has stopped until it is reopened.
    Io(i32),
    /// The content is not the one that an annotation was written of.
    Stale,
}
