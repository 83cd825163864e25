//! What the daemon says of how it works, on standard error: for whoever looks for a reason.
//!
//! Knows: levels, the environment's `RUST_LOG`. Must never know: results; those are on standard output.
//! Keeps: what may come often is said once a second at most, with how often it came; what comes from
//! outside (paths, names) is escaped.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::EnvFilter;

/// What is said where nothing else was asked for.
const USUAL: &str = "warn,foundry_user=info";

/// Between two lines of one kind.
const PAUSE_NS: u64 = 1_000_000_000;

/// Starts to say what happens: as `asked` (a level, or a filter such as `foundry_user::reader=debug`),
/// else as `RUST_LOG` says.
///
/// # Errors
/// With what is wrong with the filter.
pub fn start(asked: Option<&str>) -> Result<(), String> {
    let environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let wanted = asked.or(environment.as_deref()).unwrap_or(USUAL);
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        format!("log filter `{}`: {error}; try `debug`", wanted.escape_default())
    })?;
    let terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line { terminal })
        .with_ansi(false)
        .with_target(false)
        // A service manager dates every line itself, and a person sees it when it comes.
        .without_time();
    // Whoever was first, in a process with several, has its way.
    drop(lines.try_init());
    Ok(())
}

/// A path, or any other bytes from outside, as a field.
#[must_use]
pub fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Standard error, taken line by line; a progress bar on a terminal makes way.
struct Line {
    terminal: bool,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stderr().lock();
        if self.terminal {
            out.write_all(b"\r\x1b[K")?;
        }
        out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps one kind of line from flooding.
#[derive(Debug, Default)]
pub struct Throttle {
    next: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    /// One that has said nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(0), held_back: AtomicU64::new(0) }
    }

    /// Whether to say it at `now`; and how many were held back since the last one.
    pub fn pass(&self, now: crate::event::MonotonicNs) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let later = now.0.saturating_add(PAUSE_NS);
        let mine = next <= now.0
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            return Some(self.held_back.swap(0, Ordering::Relaxed));
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MonotonicNs;

    #[test]
    fn one_a_second_and_the_others_are_counted() {
        let throttle = Throttle::new();
        let at = |ms: u64| throttle.pass(MonotonicNs(5_000_000_000 + ms * 1_000_000));
        assert_eq!(at(0), Some(0));
        assert_eq!([at(1), at(500), at(999)], [None; 3]);
        assert_eq!(at(1000), Some(3));
        assert_eq!(at(1001), None);
        assert_eq!(at(5000), Some(1));
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_named() {
        let error = start(Some("foundry_user=loud\u{1b}")).unwrap_err();
        assert!(error.contains("foundry_user=loud") && !error.contains('\u{1b}'), "{error}");
    }
}
