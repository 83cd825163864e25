//! Everything the daemon can do to the world. The pipeline returns these; it never does them.
//!
//! Knows: values. Must never know: how an effect is carried out.
//! Keeps: effects are a function of the inputs so far, in order.

use crate::artifact::{ArtifactId, FileIdentity, OsBytes, Stat};
use crate::directory::Entry;
use crate::event::{Actor, UnixNs};
use crate::pipeline::input::Bytes;

/// One thing to do. Answers come back as inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Say which bricks the store has under a root.
    Recall { root: OsBytes },
    /// Track the directory in the source, then list it. In this order: what comes after is an event.
    List { dir: ArtifactId, path: OsBytes, expect: FileIdentity },
    /// Stat one entry of the directory `expect` at `path`.
    Look { dir: ArtifactId, path: OsBytes, expect: FileIdentity, name: OsBytes },
    /// Track the file in the source, then read it.
    Read(ReadRequest),
    /// The answer to this read is no longer wanted: end it early.
    Cancel { ticket: u64 },
    /// The source may forget this artifact.
    Untrack { artifact: ArtifactId },
    /// Change one brick. Jobs of one path are carried out in order.
    Store(StoreJob),
    /// Make everything stored so far durable.
    Flush { ticket: u64 },
    /// Find shared writable mappings of any process.
    ScanMappings,
    /// What became of `Input::Annotated`.
    AnnotationDone { ticket: u64, outcome: AnnotationOutcome },
    /// The promise of `Input::Sync` is kept.
    SyncDone { ticket: u64 },
    /// Something the map, the annotation queue or a person may want to see.
    Publish(Update),
    /// All done; leave.
    Stopped,
    /// The comparison that `Input::Audit` asked for is done: of so many files, so many were not what
    /// their bricks said although nobody had seen them change. They are by now.
    AuditDone { ticket: u64, files: u64, differing: u64 },
}

/// What to read, of which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Whose bytes.
    pub artifact: ArtifactId,
    /// Comes back with each part.
    pub ticket: u64,
    /// Where it was last seen.
    pub path: OsBytes,
    /// Another inode there is a failure.
    pub expect: FileIdentity,
    /// Whole tiles, ascending, disjoint. What lies beyond the end is not read.
    pub ranges: Vec<(u64, u64)>,
    /// The size that is already folded: the tiles between it and the real size are read too.
    pub known_size: u64,
    /// Write back dirty mapped pages first (clean-then-read).
    pub settle: bool,
    /// Find out regions and facts too: something changed that they stand on. Where the size is
    /// another than `known_size` they are found out anyway.
    pub describe: bool,
}

/// A change to one brick.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreJob {
    /// Whose brick.
    pub artifact: ArtifactId,
    /// Which brick: that of this path.
    pub path: OsBytes,
    /// Comes back with the answer to a commit; 0 for jobs without one.
    pub ticket: u64,
    /// What to do.
    pub op: StoreOp,
}

/// What can be done to a brick.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreOp {
    /// Start an edit: the brick is opened, or made where there is none, where it is invalid
    /// or where `fresh`; its content is given the size of `stat`.
    /// `whole` says that everything follows: without it, a missing or invalid brick is a failure.
    Begin { stat: Stat, whole: bool, fresh: bool },
    /// Fold bytes at a tile boundary.
    Bytes { offset: u64, bytes: Bytes },
    /// Fold a hole.
    Hole { offset: u64, len: u64 },
    /// Regions and facts.
    Describe(Box<crate::binary::Description>),
    /// Commit the edit as the next generation (none where nothing differs). Answers.
    /// Writers apply to the tiles among their ranges that changed, later ones over earlier ones; where
    /// they are `belated`, also to those that the generation before changed, nobody knew by whom.
    /// Where the brick was `recalled` from before this run, and folded too soon after a change to tell
    /// whether there was another, the commit dates it anew even if nothing differs.
    Commit {
        writers: Vec<Attribution>,
        belated: bool,
        at: UnixNs,
        durable: Durable,
        recalled: bool,
    },
    /// Put an annotation of this very content into the next generation. Answers.
    Annotate { content: [u8; 32], note: Vec<u8>, at: UnixNs, durable: Durable },
    /// Drop the edit: the last committed generation stays.
    Abandon,
    /// Make a directory's brick show exactly these entries, and commit it. Answers. What lies where is the
    /// brick's own affair, and stays as far as it can; `fresh` begins anew.
    Directory { stat: Option<Stat>, fresh: bool, entries: Vec<Entry>, at: UnixNs, durable: Durable },
    /// The artifact moved: so does its brick, over any other. `over` is how much of that is durable.
    Rename { to: OsBytes, at: UnixNs, durable: Durable, over: Durable },
    /// The artifact is gone: remove its brick.
    Remove,
}

/// How much of what lies at a brick's path is known to survive a power cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durable {
    /// Nothing is promised.
    #[default]
    Nothing,
    /// A generation that is not the last one.
    Older,
    /// The last one, once a flush that is under way has ended, and perhaps an older one until then.
    Soon,
    /// The last one.
    Newest,
}

/// Who changed which bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Half-open byte ranges.
    pub ranges: Vec<(u64, u64)>,
    /// Who it was.
    pub actor: Actor,
}

/// What became of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnotationOutcome {
    /// It is in the brick.
    Stored,
    /// The content has changed since, or is about to: it was dropped.
    Stale,
    /// There is no such brick.
    Missing,
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
        /// It was there before anybody watched, and has a brick now: nothing happened to it.
        found: bool,
    },
    /// An artifact is gone.
    Removed { artifact: ArtifactId, path: OsBytes },
    /// An artifact has another path.
    Renamed { artifact: ArtifactId, from: OsBytes, to: OsBytes },
    /// An artifact could not be read.
    Unreadable { artifact: ArtifactId, path: OsBytes, failure: crate::pipeline::input::ReadFailure },
    /// The brick of a directory has a new generation.
    Directory { path: OsBytes },
    /// The brick of a process has a new generation.
    Captured { pid: u32 },
    /// A program started.
    Exec { actor: Actor },
    /// A tracked artifact was mapped.
    Mapped { artifact: ArtifactId, path: OsBytes, actor: Actor, executable: bool },
}
