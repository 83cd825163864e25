//! `sync`: returns when every change made before the call is in the bricks.
//!
//! Knows: the control client. Must never know: how the promise is kept.

use super::Store;
use crate::args::Sync;
use crate::control::client::{self, ControlError};
use crate::error::{CommandError, Exit};
use std::time::Duration;

/// Runs the command.
pub(super) fn run(args: &Sync, store: &Store) -> Result<Exit, CommandError> {
    let limit = args.timeout.map_or(Duration::MAX, Duration::from_secs);
    client::sync(&store.path()?, limit).map_err(refused)?;
    Ok(Exit::Done)
}

/// A failure of the control connection as one of the command line.
pub(super) fn refused(error: ControlError) -> CommandError {
    match error {
        ControlError::Io(source) => CommandError::io("ask", "the daemon", source),
        other => CommandError::NotAllowed(other.to_string()),
    }
}
