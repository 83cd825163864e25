//! Everything the daemon can do to the world. The pipeline returns these; it never does them.
//!
//! Knows: values. Must never know: how an effect is carried out.
//! Keeps: effects are a function of the inputs so far, in order.

use crate::artifact::{ArtifactId, FileIdentity, FileKind, OsBytes, Stat};
use crate::event::{Actor, UnixNs};
use crate::pipeline::input::Bytes;

/// One thing to do. Answers come back as inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Track the directory in the source, then list it. In this order: what comes after is an event.
    List { dir: ArtifactId, path: OsBytes, expect: FileIdentity },
    /// Stat one entry.
    Look { dir: ArtifactId, path: OsBytes, name: OsBytes },
    /// Track the file in the source, then read the ranges (whole tiles, ascending, disjoint).
    /// `settle` asks for write-back of dirty mapped pages first (clean-then-read).
    Read {
        artifact: ArtifactId,
        ticket: u64,
        path: OsBytes,
        expect: FileIdentity,
        ranges: Vec<(u64, u64)>,
        settle: bool,
    },
    /// Parse the artifact's headers for regions and facts.
    Describe { artifact: ArtifactId, ticket: u64, path: OsBytes, expect: FileIdentity },
    /// The source may forget this artifact.
    Untrack { artifact: ArtifactId },
    /// Change one brick. Jobs of one artifact are carried out in order.
    Store(StoreJob),
    /// Make everything stored so far durable.
    Flush { ticket: u64 },
    /// Find shared writable mappings of any process.
    ScanMappings,
    /// The promise of `Input::Sync` is kept.
    SyncDone { ticket: u64 },
    /// Something the map, the annotation queue or a person may want to see.
    Publish(Update),
    /// All done; leave.
    Stopped,
}

/// A change to one brick.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreJob {
    /// Whose brick.
    pub artifact: ArtifactId,
    /// Comes back with the answer; 0 where no answer is wanted.
    pub ticket: u64,
    /// What to do.
    pub op: StoreOp,
}

/// What can be done to a brick.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreOp {
    /// Start an edit: the brick at `path` is opened, or made where there is none, where it is invalid
    /// or where `fresh`; its content is given `size`.
    Begin { path: OsBytes, kind: FileKind, size: u64, fresh: bool },
    /// Fold bytes at a tile boundary.
    Bytes { offset: u64, bytes: Bytes },
    /// Fold a hole.
    Hole { offset: u64, len: u64 },
    /// Regions and facts.
    Describe(Box<crate::binary::Description>),
    /// Commit the edit as the next generation (none where nothing differs). Answers.
    Commit { stat: Stat, writers: Vec<(Vec<(u64, u64)>, Actor)>, at: UnixNs },
    /// Drop the edit: the last committed generation stays.
    Abandon,
    /// The artifact moved: so does its brick.
    Rename { from: OsBytes, to: OsBytes },
    /// The artifact is gone: remove its brick.
    Remove { path: OsBytes },
}

/// What happened, for those who watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A brick has a new generation.
    Committed {
        artifact: ArtifactId,
        path: OsBytes,
        generation: u64,
        size: u64,
        changed_tiles: Option<Vec<u64>>,
        actor: Option<Actor>,
    },
    /// An artifact is gone.
    Removed { artifact: ArtifactId, path: OsBytes },
    /// An artifact has another path.
    Renamed { artifact: ArtifactId, from: OsBytes, to: OsBytes },
    /// An artifact could not be read.
    Unreadable { artifact: ArtifactId, path: OsBytes, failure: crate::pipeline::input::ReadFailure },
    /// A program started.
    Exec { actor: Actor },
    /// A tracked artifact was mapped.
    Mapped { artifact: ArtifactId, path: OsBytes, actor: Actor, executable: bool },
}
