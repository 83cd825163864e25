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
    let timeout = args.timeout.map(Duration::from_secs);
    client::sync(&store.path()?, timeout).map_err(refused)?;
    Ok(Exit::Done)
}

/// A failure of the control connection as one of the command line.
pub(super) fn refused(error: ControlError) -> CommandError {
    match error {
        ControlError::NoDaemon { .. } => CommandError::NotAllowed(format!(
            "{error}; start one with foundry-user --watch DIR, or name its store with --store DIR"
        )),
        ControlError::Denied { .. } => {
            CommandError::NotAllowed(format!("{error}; try with sudo, as the daemon's user"))
        }
        ControlError::Timeout { .. } => {
            CommandError::NotAllowed(format!("{error}; foundry-user status shows what is pending"))
        }
        ControlError::Refused(_) | ControlError::Closed => {
            CommandError::NotAllowed(format!("{error}; its own output says more"))
        }
        ControlError::Io(source) => CommandError::io("ask", "the daemon", source),
        ControlError::Frame(_) => CommandError::NotAllowed(format!(
            "{error}; the daemon may be of another version: restart it"
        )),
    }
}
