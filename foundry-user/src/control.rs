//! How a command speaks with the running daemon: one request, one answer, over a socket in the store.
//!
//! A frame is a length (4 bytes, little-endian) and a postcard value. The socket has mode 0600, and
//! whoever connects must be root or the daemon's own user.
//!
//! Knows: requests, answers, frames. Must never know: how they are answered.
//! Keeps: a frame from outside is bounded before it is read; one slow client holds up nobody else.

pub mod client;
pub mod server;

use crate::stats::Report;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::path::{Path, PathBuf};

/// Largest frame. A report has some dozens of counters, and the names of the roots.
const MAX_FRAME: usize = 1 << 20;

/// Bytes of the length in front of a frame.
const LENGTH: usize = 4;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// All counters.
    Status,
    /// An answer once every change made before this request is in the bricks.
    Sync,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Report>),
    /// To [`Request::Sync`]: it is so.
    Synced,
    /// It cannot be done, and why.
    Failed(String),
}

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than any frame.
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    /// Not what it should be.
    #[error("a frame that is not understood: is the other side of another version?")]
    Unknown,
}

/// The socket of the daemon that writes `store`.
#[must_use]
pub fn socket_path(store: &Path) -> PathBuf {
    store.join("control.sock")
}

/// A value as a frame.
///
/// # Errors
/// Where it is longer than a frame may be.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let body = postcard::to_stdvec(value).map_err(|_| FrameError::Unknown)?;
    let length = u32::try_from(body.len()).map_err(|_| FrameError::TooLong(body.len()))?;
    if MAX_FRAME < body.len() {
        return Err(FrameError::TooLong(body.len()));
    }
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend(body);
    Ok(frame)
}

/// The length that a frame's first bytes name.
fn body_len(length: [u8; LENGTH]) -> Result<usize, FrameError> {
    let len = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if MAX_FRAME < len { Err(FrameError::TooLong(len)) } else { Ok(len) }
}

/// The value in a frame's body.
fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    postcard::from_bytes(body).map_err(|_| FrameError::Unknown)
}

#[cfg(test)]
mod tests;
