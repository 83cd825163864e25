//! The control socket: how `sync` and `status` reach the running daemon.
//!
//! A client sends one line (`sync MILLISECONDS`, `tasks MILLISECONDS`, `status`, or `annotate` with `status`, `all`,
//! `retry`, `drain` or `path HEX`) and gets one answer: `ok LENGTH` and that many bytes, or
//! `error TEXT`, each on a line of its own.
//!
//! Knows: the protocol. Must never know: the pipeline, the store's content.
//! Keeps: nobody but the same user and root is listened to; a request is at most `MAX_REQUEST`
//! bytes and has `PATIENCE` to arrive; a client that does not read its answer holds nobody up.

pub mod client;
pub mod server;

use crate::annotate::status as annotate;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest request line.
const MAX_REQUEST: usize = 2 * 4096 + 64;

/// Longest answer.
const MAX_ANSWER: u64 = 1 << 20;

/// How long a client may take to send its request, or to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer to `status` may take: on an overloaded machine the daemon waits for its disk first.
const STATUS_WAIT: Duration = Duration::from_secs(30);

/// Longest time a client may ask to wait for a sync: a day.
const MAX_WAIT_MS: u64 = 24 * 60 * 60 * 1000;

/// Where the socket of the daemon that writes `store` is.
#[must_use]
pub fn socket_path(store: &Path) -> PathBuf {
    store.join("control.sock")
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Sync { timeout: Duration },
    Tasks { timeout: Duration },
    Status,
    Annotate(annotate::Request),
}

/// Parses a request line, without its end.
fn parse(line: &[u8]) -> Option<Request> {
    if let Some(what) = line.strip_prefix(b"annotate ") {
        return parse_annotate(what).map(Request::Annotate);
    }
    match line {
        b"status" => Some(Request::Status),
        _ => {
            let (verb, ms) = std::str::from_utf8(line).ok()?.split_once(' ')?;
            let timeout = Duration::from_millis(ms.parse::<u64>().ok()?.min(MAX_WAIT_MS));
            match verb {
                "sync" => Some(Request::Sync { timeout }),
                "tasks" => Some(Request::Tasks { timeout }),
                _ => None,
            }
        }
    }
}

/// Whether a line, without its end, is a request.
#[cfg(any(test, fuzzing))]
pub(crate) fn is_request(line: &[u8]) -> bool {
    line.len() <= MAX_REQUEST && parse(line).is_some()
}

fn parse_annotate(what: &[u8]) -> Option<annotate::Request> {
    match what {
        b"status" => Some(annotate::Request::Status),
        b"all" => Some(annotate::Request::All),
        b"retry" => Some(annotate::Request::Retry),
        b"drain" => Some(annotate::Request::Drain),
        _ => unhex(what.strip_prefix(b"path ")?).map(annotate::Request::Path),
    }
}

/// The request as a line.
fn annotate_line(request: &annotate::Request) -> String {
    match request {
        annotate::Request::Status => "annotate status\n".to_owned(),
        annotate::Request::All => "annotate all\n".to_owned(),
        annotate::Request::Retry => "annotate retry\n".to_owned(),
        annotate::Request::Drain => "annotate drain\n".to_owned(),
        annotate::Request::Path(path) => format!("annotate path {}\n", crate::wire::hex(path)),
    }
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = digits.chunks_exact(2);
    let whole = pairs.remainder().is_empty() && !digits.is_empty();
    pairs.map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect::<Option<_>>().filter(|_| whole)
}

#[cfg(test)]
mod tests;
