//! The command line's side of the control socket.
//!
//! Knows: the protocol. Must never know: what the daemon does.
//! Keeps: what comes from the socket is parsed, never trusted; nothing is waited for without end.

use super::{MAX_ANSWER, MAX_WAIT_MS, PATIENCE, STATUS_WAIT, socket_path};
use crate::annotate::{Request, Status};
use crate::stats::{LeftOut, Report};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("no daemon is running for the store {}: start one with `foundry-user --watch DIR`, or name its store with --store", store.display())]
    NotRunning {
        /// The store.
        store: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("the daemon of the store {} belongs to another user: try with sudo", store.display())]
    Denied {
        /// The store.
        store: PathBuf,
    },
    /// It took too long.
    #[error(
        "not everything was in the bricks in time; try a longer --timeout, or see `foundry-user status`"
    )]
    Timeout,
    /// The daemon said no.
    #[error("the daemon refused: {0}")]
    Refused(String),
    /// What came was no answer.
    #[error("the daemon's answer makes no sense: is it another version?")]
    Invalid,
    /// The connection failed.
    #[error("the connection to the daemon failed: {0}")]
    Io(#[from] io::Error),
}

/// Returns when every change made before the call is in the bricks, and says which artifacts cannot be
/// read.
///
/// # Errors
/// Where there is no daemon, it refuses, or `limit` passes.
pub fn sync(store: &Path, limit: Duration) -> Result<LeftOut, ControlError> {
    let ms = u64::try_from(limit.as_millis()).unwrap_or(MAX_WAIT_MS).min(MAX_WAIT_MS);
    let wait = Duration::from_millis(ms).saturating_add(PATIENCE);
    let bytes = ask(store, &format!("sync {ms}\n"), wait)?;
    postcard::from_bytes(&bytes).map_err(|_| ControlError::Invalid)
}

/// Has the daemon look at its tasks, and returns when nothing is left that it may do.
///
/// # Errors
/// As [`sync`].
pub fn tasks(store: &Path, limit: Duration) -> Result<(), ControlError> {
    let ms = u64::try_from(limit.as_millis()).unwrap_or(MAX_WAIT_MS).min(MAX_WAIT_MS);
    let wait = Duration::from_millis(ms).saturating_add(PATIENCE);
    ask(store, &format!("tasks {ms}\n"), wait).map(|_| ())
}

/// The running daemon's counters.
///
/// # Errors
/// Where there is no daemon, or it does not answer.
pub fn status(store: &Path) -> Result<Report, ControlError> {
    let bytes = ask(store, "status\n", STATUS_WAIT)?;
    postcard::from_bytes(&bytes).map_err(|_| ControlError::Invalid)
}

/// Lets the running daemon's annotator do something; says how things stand then.
///
/// # Errors
/// Where there is no daemon, it refuses, or does not answer.
pub fn annotate(store: &Path, request: &Request) -> Result<Status, ControlError> {
    // Looking at every brick takes a while; work that is waited for takes what it takes.
    let wait = match request {
        Request::Drain => Duration::from_millis(MAX_WAIT_MS),
        _ => STATUS_WAIT * 10,
    };
    let bytes = ask(store, &super::annotate_line(request), wait)?;
    postcard::from_bytes(&bytes).map_err(|_| ControlError::Invalid)
}

fn ask(store: &Path, request: &str, wait: Duration) -> Result<Vec<u8>, ControlError> {
    let mut stream = UnixStream::connect(socket_path(store)).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning { store: store.to_owned() }
        }
        io::ErrorKind::PermissionDenied => ControlError::Denied { store: store.to_owned() },
        _ => e.into(),
    })?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(request.as_bytes())?;
    answer(stream)
}

/// What a daemon answered.
fn answer(from: impl Read) -> Result<Vec<u8>, ControlError> {
    let mut reader = BufReader::new(from.take(MAX_ANSWER));
    let mut line = vec![];
    reader.read_until(b'\n', &mut line).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::Timeout,
        _ => e.into(),
    })?;
    let line = line.strip_suffix(b"\n").ok_or(ControlError::Invalid)?;
    let line = std::str::from_utf8(line).map_err(|_| ControlError::Invalid)?;
    match line.split_once(' ') {
        Some(("error", "timeout")) => Err(ControlError::Timeout),
        Some(("error", text)) => Err(ControlError::Refused(text.escape_debug().collect())),
        Some(("ok", len)) => {
            let len: usize = len.parse().map_err(|_| ControlError::Invalid)?;
            let mut bytes = vec![];
            reader.read_to_end(&mut bytes)?;
            if bytes.len() == len { Ok(bytes) } else { Err(ControlError::Invalid) }
        }
        _ => Err(ControlError::Invalid),
    }
}

/// The counters in an answer of any bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_report(bytes: &[u8]) -> Result<Report, ControlError> {
    postcard::from_bytes(&answer(bytes)?).map_err(|_| ControlError::Invalid)
}
