//! `sync`: returns when every change made before the call is in the bricks.
//!
//! Knows: the control client. Must never know: how the promise is kept.

use super::output::say;
use super::{Store, text};
use crate::args::Sync;
use crate::control::client::{self, ControlError};
use crate::error::{CommandError, Exit};
use crate::stats::LeftOut;
use std::time::Duration;

/// So many artifacts are named in one line.
const NAMED: usize = 3;

/// Runs the command.
pub(super) fn run(args: &Sync, store: &Store) -> Result<Exit, CommandError> {
    let limit = args.timeout.map_or(Duration::MAX, Duration::from_secs);
    let left_out = client::sync(&store.path()?, limit).map_err(refused)?;
    if let Some(note) = judged(&left_out)? {
        say(&note);
    }
    Ok(Exit::Done)
}

/// What is to be said of artifacts that cannot be read. Where there are bricks that may not be true any
/// more, the promise is not kept.
fn judged(left_out: &LeftOut) -> Result<Option<String>, CommandError> {
    let of = |n, one: &str, many: &str| text::plural(n, one, many);
    if 0 < left_out.behind {
        let named = named(left_out, left_out.behind);
        let what = of(
            left_out.behind,
            "artifact cannot be read any more, and its brick",
            "artifacts cannot be read any more, and their bricks",
        );
        let why = format!("{what} may be older than the disk: {named}; mend that and sync again");
        let exit = if 0 < left_out.broken { Exit::Io } else { Exit::NotAllowed };
        return Err(CommandError::Ended { exit, why });
    }
    let what = of(
        left_out.count,
        "artifact cannot be read, and has no brick",
        "artifacts cannot be read, and have no bricks",
    );
    let note = || format!("{what}: {}", named(left_out, left_out.count));
    Ok((0 < left_out.count).then(note))
}

/// A few of the first `n` of them, and why they cannot be read.
fn named(left_out: &LeftOut, n: u64) -> String {
    let most = usize::try_from(n).map_or(NAMED, |n| n.min(NAMED));
    let some = left_out.some.iter().take(most);
    let mut words: Vec<String> =
        some.map(|(path, why)| format!("{} ({})", text::clean(path), text::clean(why))).collect();
    if n > NAMED as u64 {
        words.push("... (`foundry-user status` names more)".to_owned());
    }
    words.join(", ")
}

/// A failure of the control connection as one of the command line.
pub(super) fn refused(error: ControlError) -> CommandError {
    match error {
        ControlError::Io(source) => CommandError::io("ask", "the daemon", source),
        other => CommandError::NotAllowed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(count: u64, behind: u64, broken: u64) -> LeftOut {
        let one = |n| (format!("/w/{n}\n"), "the daemon may not read it".to_owned());
        LeftOut { count, behind, broken, some: (0..count.min(10)).map(one).collect() }
    }

    #[test]
    fn what_never_had_a_brick_is_a_note_and_what_had_one_a_failure() {
        assert_eq!(judged(&LeftOut::default()).unwrap(), None);
        let note = judged(&left_out(1, 0, 0)).unwrap().unwrap();
        assert!(note.starts_with("1 artifact cannot be read, and has no brick: /w/0"), "{note}");
        assert!(!note.contains('\n') && !note.contains("status"), "{note}");
        let many = judged(&left_out(4, 0, 0)).unwrap().unwrap();
        assert!(many.contains("/w/2") && !many.contains("/w/3"), "{many}");
        assert!(many.ends_with("(`foundry-user status` names more)"), "{many}");
        let denied = judged(&left_out(3, 2, 0)).unwrap_err();
        assert_eq!(denied.exit(), Exit::NotAllowed, "{denied}");
        let denied = denied.to_string();
        assert!(denied.starts_with("2 artifacts cannot be read any more, and their"), "{denied}");
        // The third never had a brick.
        assert!(denied.contains("/w/1") && !denied.contains("/w/2"), "{denied}");
        assert_eq!(judged(&left_out(3, 2, 1)).unwrap_err().exit(), Exit::Io);
    }
}
