//! What can go wrong with a brick.
//!
//! Knows: kinds of failure. Must never know: paths (the caller adds them), what to do about it.

/// Why a brick could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage failed.
    #[error("brick storage failed: {0}")]
    Io(#[from] std::io::Error),
    /// The first bytes are not a brick's.
    #[error("not a .brick file: it does not begin with V2BR version 2")]
    NotABrick,
    /// A later version of the container.
    #[error("brick version {0} is not known to this program: use a newer one")]
    Version(u32),
    /// Features this program does not know and must not ignore.
    #[error("brick uses features {0:#x} that this program does not know: use a newer one")]
    Features(u64),
    /// No root slot is valid: nothing was ever committed, or the file is damaged.
    #[error("brick holds no valid generation: fold the artifact again")]
    NoGeneration,
    /// The generation asked for is not in this file (any more).
    #[error("brick does not hold generation {0}: compaction may have dropped it")]
    UnknownGeneration(u64),
    /// Bytes in the container are not what their checksum or their place says.
    #[error("brick is corrupt at offset {at}: {what}")]
    Corrupt {
        /// What was found wrong.
        what: &'static str,
        /// Where in the file.
        at: u64,
    },
    /// A tile was never given to the editor: the content is incomplete.
    #[error("tile {tile} of the artifact was not folded before the commit")]
    MissingTile {
        /// Index of the level-0 tile.
        tile: u64,
    },
    /// A call that the interface does not allow.
    #[error("bad request to a brick: {0}")]
    Usage(&'static str),
    /// The artifact's bytes are not in the brick.
    #[error("the brick does not hold the artifact's bytes (payload: reference)")]
    NoPayload,
    /// Bytes of another format that do not parse.
    #[error("not valid {format}: {what}")]
    Foreign {
        /// The format that was expected.
        format: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// An image could not be encoded or decoded.
    #[error("png: {0}")]
    Png(String),
}

pub(crate) fn corrupt(what: &'static str, at: u64) -> Error {
    Error::Corrupt { what, at }
}
