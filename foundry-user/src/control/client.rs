//! The command's side: blocking, one request for each connection.
//!
//! Knows: the socket's path, frames. Must never know: exit codes.
//! Keeps: "no daemon" is told apart from every other failure.

use super::{Answer, FrameError, LENGTH, Request, body_len, decode, encode, socket_path};
use crate::stats::Report;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the daemon may take to answer what needs no waiting.
const PROMPT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no daemon is running for the store {}", store.display())]
    NoDaemon {
        /// The store.
        store: PathBuf,
    },
    /// This user may not ask.
    #[error("the daemon's socket {} may not be used by this user", path.display())]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// No answer in time.
    #[error("no answer from the daemon within {} seconds", after.as_secs())]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The daemon went away before it answered.
    #[error("the daemon closed the connection without an answer")]
    Closed,
    /// The connection failed.
    #[error("connection to the daemon: {0}")]
    Io(#[from] io::Error),
    /// An answer that makes no sense.
    #[error("answer of the daemon: {0}")]
    Frame(#[from] FrameError),
    /// The daemon says that it cannot.
    #[error("the daemon refuses: {0}")]
    Refused(String),
}

/// All counters of the daemon that writes `store`.
///
/// # Errors
/// Where it does not run, may not be asked, or does not answer.
pub fn status(store: &Path) -> Result<Report, ControlError> {
    match ask(store, Request::Status, Some(PROMPT))? {
        Answer::Status(report) => Ok(*report),
        Answer::Failed(why) => Err(ControlError::Refused(why)),
        Answer::Synced => Err(FrameError::Unknown.into()),
    }
}

/// Returns when every change made before the call is in the bricks of `store`.
///
/// # Errors
/// As [`status`]; and where it takes longer than `timeout`.
pub fn sync(store: &Path, timeout: Option<Duration>) -> Result<(), ControlError> {
    match ask(store, Request::Sync, timeout)? {
        Answer::Synced => Ok(()),
        Answer::Failed(why) => Err(ControlError::Refused(why)),
        Answer::Status(_) => Err(FrameError::Unknown.into()),
    }
}

fn ask(store: &Path, request: Request, timeout: Option<Duration>) -> Result<Answer, ControlError> {
    let path = socket_path(store);
    let mut stream = UnixStream::connect(&path).map_err(|e| match e.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            ControlError::NoDaemon { store: store.to_owned() }
        }
        ErrorKind::PermissionDenied => ControlError::Denied { path: path.clone() },
        _ => ControlError::Io(e),
    })?;
    // A timeout of zero means none to the kernel, and "at once" to whoever asks for it.
    let timeout = timeout.map(|t| t.max(Duration::from_millis(1)));
    stream.set_read_timeout(timeout)?;
    let failed = |e: io::Error| match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            ControlError::Timeout { after: timeout.unwrap_or_default() }
        }
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            ControlError::Closed
        }
        _ => ControlError::Io(e),
    };
    stream.write_all(&encode(&request)?).map_err(failed)?;
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length).map_err(failed)?;
    let mut body = vec![0; body_len(length)?];
    stream.read_exact(&mut body).map_err(failed)?;
    Ok(decode(&body)?)
}
