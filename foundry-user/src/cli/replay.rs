//! `replay`: the bricks of a recorded run again, byte for byte.
//!
//! Knows: the daemon's replay. Must never know: logs.

use super::Store;
use super::output::say;
use super::text;
use crate::args::Replay;
use crate::daemon::replay::{self, ReplayError};
use crate::error::{CommandError, Exit};
use crate::log::LogError;
use crate::store::StoreError;

/// Runs the command.
pub(super) fn run(args: &Replay, store: &Store) -> Result<Exit, CommandError> {
    // The default store belongs to the daemon: bricks of another run have no place in it.
    let Some(named) = &store.named else {
        let what = "replay needs a store of its own: give --store DIR";
        return Err(CommandError::Usage(what.to_owned()));
    };
    let named = std::path::absolute(named).map_err(|e| CommandError::io("find", named, e))?;
    let replayed = replay::run(&args.log, &named).map_err(refused)?;
    let mut line = format!(
        "{}: {} replayed, {}",
        args.log.display(),
        text::plural(replayed.inputs, "input", "inputs"),
        text::plural(replayed.stats.commits, "commit", "commits"),
    );
    if replayed.truncated {
        line.push_str("; the recording was cut short, and is replayed up to there");
    }
    say(&line);
    Ok(Exit::Done)
}

/// A failed replay as a failure of the command line.
fn refused(error: ReplayError) -> CommandError {
    match error {
        ReplayError::Log { path, source: LogError::Io(source) } => {
            CommandError::io("read", path, source)
        }
        ReplayError::Log { path, source } => {
            CommandError::Invalid { path, what: source.to_string() }
        }
        ReplayError::Store(StoreError::Io { op, path, source }) => {
            CommandError::io(op, path, source)
        }
        ReplayError::Store(error @ StoreError::Busy { .. }) => {
            CommandError::NotAllowed(error.to_string())
        }
        ReplayError::NotEmpty(_) => CommandError::Usage(error.to_string()),
        ReplayError::Medium(_) => CommandError::Ended { exit: Exit::Io, why: error.to_string() },
        ReplayError::Diverged { .. } => {
            CommandError::Ended { exit: Exit::Difference, why: error.to_string() }
        }
    }
}
