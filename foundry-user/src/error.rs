//! How a command ends, and why it did not end well.
//!
//! Knows: exit codes, paths, causes. Must never know: what a command does.
//! Keeps: every failure has one of the exit codes of the command line's contract, and says what to do
//! where something can be done.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Every exit code there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A difference was found.
    Difference = 1,
    /// The command line, or the configuration file, makes no sense.
    Usage = 2,
    /// The environment does not allow it.
    NotAllowed = 3,
    /// The input is not valid.
    Invalid = 4,
    /// Input or output failed.
    Io = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Arguments that exclude each other, or lack something.
    #[error("{0}")]
    Usage(String),
    /// The configuration file is not valid.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The kernel, the privileges or what is (not) running do not allow it.
    #[error("{0}")]
    NotAllowed(String),
    /// A file that is not what the command needs.
    #[error("{}: {what}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The artifact is not what its brick says any more.
    #[error("{}: {what}", path.display())]
    Differs {
        /// The artifact.
        path: PathBuf,
        /// How it differs.
        what: String,
    },
    /// A system call failed.
    #[error("cannot {op} {}: {}", path.display(), reason(source))]
    Io {
        /// What was tried.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
    /// The daemon, or a replay, ended; it said itself how bad that is.
    #[error("{why}")]
    Ended {
        /// The exit code.
        exit: Exit,
        /// What it said.
        why: String,
    },
    /// Standard output was closed by its reader: not an error.
    #[error("standard output was closed")]
    BrokenPipe,
}

impl CommandError {
    /// An I/O failure of `op` on `path`.
    pub fn io(op: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { op, path: path.as_ref().to_owned(), source }
    }

    /// A brick that cannot be read or written, as the brick library says it.
    pub fn brick(path: impl AsRef<Path>, error: foundry_brick::Error) -> Self {
        match error {
            foundry_brick::Error::Io(source) => Self::io("read", path, source),
            other => Self::Invalid { path: path.as_ref().to_owned(), what: other.to_string() },
        }
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Config { .. } => Exit::Usage,
            Self::NotAllowed(_) => Exit::NotAllowed,
            Self::Invalid { .. } => Exit::Invalid,
            Self::Differs { .. } => Exit::Difference,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::NotAllowed
            }
            Self::Io { .. } => Exit::Io,
            Self::Ended { exit, .. } => *exit,
            Self::BrokenPipe => Exit::Done,
        }
    }
}

/// What to do about an I/O error, where it is in the user's hands.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; try as a user who may, or with sudo".to_owned()
        }
        io::ErrorKind::StorageFull => "the file system is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_exit_code_and_names_its_path() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let missing = io::Error::from(io::ErrorKind::NotFound);
        for (error, exit, words) in [
            (
                CommandError::io("open", "/a", denied),
                Exit::NotAllowed,
                "cannot open /a: permission",
            ),
            (CommandError::io("open", "/a", missing), Exit::Io, "cannot open /a: there is no such"),
            (
                CommandError::brick("/b.brick", foundry_brick::Error::NotABrick),
                Exit::Invalid,
                "/b.brick: not a .brick file",
            ),
            (CommandError::Usage("x".to_owned()), Exit::Usage, "x"),
            (CommandError::NotAllowed("x".to_owned()), Exit::NotAllowed, "x"),
        ] {
            assert_eq!(error.exit(), exit, "{error}");
            assert!(error.to_string().starts_with(words), "{error}");
        }
    }
}
