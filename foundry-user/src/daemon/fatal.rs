//! What ends the daemon.
//!
//! Knows: causes, exit codes. Must never know: how to go on after them; there is no going on.

use crate::error::Exit;
use crate::log::LogError;
use crate::sources::SourceError;
use crate::store::StoreError;
use std::io;
use std::path::PathBuf;

/// Why the daemon cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it was written: what it shows is whole, but it stops.
    #[error("the store {} stopped after an I/O error ({}); make room or repair the medium, then start again", dir.display(), io::Error::from_raw_os_error(*errno))]
    StoreFailed {
        /// The store.
        dir: PathBuf,
        /// The error.
        errno: i32,
    },
    /// A watched directory cannot be opened.
    #[error("cannot watch {}: {source}", path.display())]
    Root {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Two places that must be apart are not.
    #[error("{} lies in {}: {why}", path.display(), other.display())]
    Place {
        /// What lies badly.
        path: PathBuf,
        /// Where.
        other: PathBuf,
        /// Why that cannot be.
        why: &'static str,
    },
    /// No backend runs here.
    #[error("no backend can run: {tried}; `foundry-user doctor` says more")]
    NoBackend {
        /// Each that was tried, and why not.
        tried: String,
    },
    /// The sizes for tests are not sizes.
    #[error("FOUNDRY_SIZES: {0}; it is for tests, unset it")]
    Sizes(String),
    /// The source stopped.
    #[error("the source of events stopped: {0}")]
    Source(#[from] SourceError),
    /// The recording cannot be written.
    #[error("cannot write the recording {}: {source}", path.display())]
    Record {
        /// The log.
        path: PathBuf,
        /// Why not.
        source: LogError,
    },
    /// A part of the daemon panicked: a bug.
    #[error("{0} panicked; this is a bug, please report it")]
    Panic(&'static str),
    /// Anything else the kernel refused.
    #[error("cannot {op}: {source}")]
    Io {
        /// What was tried.
        op: &'static str,
        /// How it failed.
        source: io::Error,
    },
}

impl FatalError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Place { .. } | Self::Sizes(_) => Exit::Usage,
            Self::NoBackend { .. } | Self::Store(StoreError::Busy { .. }) => Exit::NotAllowed,
            Self::Store(StoreError::Io { source, .. })
            | Self::Root { source, .. }
            | Self::Record { source: LogError::Io(source), .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::NotAllowed
            }
            Self::Source(SourceError::Unavailable { .. }) => Exit::NotAllowed,
            _ => Exit::Io,
        }
    }
}
