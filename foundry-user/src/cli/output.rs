//! Standard output for results, standard error for everything else.
//!
//! Knows: the two streams. Must never know: what is written.
//! Keeps: a reader who has had enough ends the command quietly.

use crate::error::CommandError;
use std::io::{self, IsTerminal, Write};

/// Writes a result.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    print_bytes(text.as_bytes())
}

/// Writes a result that need not be text.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(CommandError::BrokenPipe),
        Err(e) => Err(CommandError::io("write", "standard output", e)),
    }
}

/// Says something beside the results.
pub(super) fn say(text: &str) {
    // Where standard error is closed nobody is left to tell.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Says what to run next.
pub(super) fn say_next(line: &str) {
    say(&format!("next: {line}"));
}

/// Says why the command failed.
pub(super) fn complain(error: &CommandError) {
    say(&format!("foundry-user: {error}"));
}

/// Whether pictures and colours have a place on standard output.
pub(super) fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
    io::stdout().is_terminal() && !refused && !dumb
}
