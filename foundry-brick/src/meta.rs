//! What a brick says of its artifact besides its bytes.
//!
//! Knows: plain values. Must never know: how they were found out, how they are encoded (`codec`).

use std::collections::BTreeMap;

/// What sort of artifact was folded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file: the content is its bytes.
    #[default]
    File,
    /// A directory: the content is its listing.
    Directory,
    /// A process: the content is structure and statistics of its memory.
    Process,
}

/// Which inode it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// `st_dev`.
    pub dev: u64,
    /// `st_ino`.
    pub ino: u64,
    /// Birth time in nanoseconds since the epoch, 0 where the file system keeps none.
    pub btime_ns: i64,
}

/// Where the bytes of level 0 are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payload {
    /// In the artifact itself; the brick holds hashes and levels.
    #[default]
    Reference,
    /// In the brick.
    Embedded,
}

/// The artifact as it was when it was folded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// What sort of artifact.
    pub kind: Kind,
    /// Its path: any bytes but NUL. Empty for a process.
    pub path: Vec<u8>,
    /// Process number, for a process.
    pub pid: Option<u32>,
    /// Which inode.
    pub identity: Identity,
    /// Bytes of content. The editor's `resize` changes it too.
    pub size: u64,
    /// Permission bits and set-id bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime_ns: i64,
    /// 512-byte blocks allocated.
    pub blocks: u64,
    /// Hard links.
    pub nlink: u32,
    /// Where level 0 is. Fixed when the brick is made.
    pub payload: Payload,
}

/// A named byte range of the artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Name as the artifact gives it.
    pub name: String,
    /// `segment`, `section`, `function`, `object`, `mapping`, ...
    pub kind: String,
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Address in memory, where it has one.
    pub address: Option<u64>,
}

/// Facts by name, in one order.
pub type Facts = BTreeMap<String, FactValue>;

/// A fact's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FactValue {
    /// Text.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
}

/// What a model or a person wrote about the artifact: data, never interpreted here.
pub type Annotation = Vec<u8>;

/// Who changed bytes, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// Path of the executable, empty where unknown.
    pub exe: Vec<u8>,
    /// Command name of the thread.
    pub comm: Vec<u8>,
    /// Process.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// When, nanoseconds since the epoch.
    pub at_ns: i64,
}
