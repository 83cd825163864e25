//! The main job: starts the daemon and shows how it goes.
//!
//! Knows: the daemon's listeners. Must never know: what the daemon does inside.
//! Keeps: showing never holds the daemon up; it ends when the daemon ends.

mod map;
mod view;

use super::output::{say, say_next};
use super::text;
use crate::config::WatchConfig;
use crate::daemon::{self, FatalError, Listeners, Progress};
use crate::error::{CommandError, Exit};
use crate::next::Step;
use crate::pipeline::effect::Update;
use crate::sandbox::{self, Needs};
use crate::store::Store;
use crate::witness;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use view::View;

/// Runs until a signal ends it.
pub(super) fn run(config: &WatchConfig) -> Result<Exit, CommandError> {
    if config.sandbox {
        witness::start().map_err(|e| CommandError::io("start", "the witness", e))?;
    }
    let roots: Vec<String> = config.roots.iter().map(|r| r.display().to_string()).collect();
    say(&format!("watching {}; the bricks are in {}", roots.join(" "), config.store.display()));
    let (store, source) = daemon::prepare(config).map_err(fatal)?;
    if config.sandbox {
        confine(config, &store)?;
    }
    super::annotate::warn_of_remote(&config.annotate);
    let listeners = Listeners::default();
    let (progress, updates) = (listeners.progress.subscribe(), listeners.updates.subscribe());
    let showing = std::thread::Builder::new()
        .name("view".to_owned())
        .spawn(move || show(progress, updates))
        .map_err(|e| CommandError::io("start", "the view", e))?;
    let map = map::start(config, listeners.updates.subscribe())?;
    let bridge = map::bridge(config, listeners.updates.subscribe())?;
    say_next(&Step::Watching.line(Some(&config.store)));
    let outcome = daemon::run_with(config, listeners, store, source);
    // The daemon has dropped its ends, so the view and the map come to their own.
    drop(showing.join());
    if let Some(map) = map {
        map.stop();
    }
    if let Some(bridge) = bridge {
        bridge.stop();
    }
    witness::end();
    let summary = outcome.map_err(fatal)?;
    let number = |name: &str| summary.report.numbers.get(name).copied().unwrap_or(0);
    say(&format!(
        "stopped: {}, {}, {} folded",
        text::plural(number("artifacts"), "artifact", "artifacts"),
        text::plural(number("commits"), "commit", "commits"),
        text::bytes(number("bytes")),
    ));
    say_next(&Step::Stopped.line(Some(&config.store)));
    Ok(Exit::Done)
}

/// Gives up what is not needed any more, while there is one thread to give it up.
fn confine(config: &WatchConfig, store: &Store) -> Result<(), CommandError> {
    let refused = |what: String| CommandError::Ended { exit: Exit::Io, why: what };
    if !sandbox::is_alone() {
        return Err(refused("threads were started before the sandbox; this is a bug".to_owned()));
    }
    let mut needs = Needs::of(config);
    needs.reads.extend(daemon::asked_roots(&config.store));
    needs.writes.extend(daemon::pinned(store).map_err(fatal)?);
    let kept = sandbox::enter(&needs).map_err(|e| {
        refused(format!("cannot give up privileges: {e}; --no-sandbox goes on with all of them"))
    })?;
    let landlock = kept.landlock.map(|version| format!("Landlock {version}"));
    let landlock = landlock.unwrap_or_else(|why| format!("no Landlock ({why})"));
    let capabilities = match kept.capabilities.as_slice() {
        [] => "no capability".to_owned(),
        some => some.join(" "),
    };
    tracing::info!(landlock, capabilities, "sandbox");
    Ok(())
}

/// The witness of a running daemon, which is how the daemon starts it.
pub(super) fn witness() -> Result<Exit, CommandError> {
    witness::serve().map_err(|e| CommandError::io("answer", "the daemon", e))?;
    Ok(Exit::Done)
}

/// The daemon's failure as one of the command line.
fn fatal(error: FatalError) -> CommandError {
    CommandError::Ended { exit: error.exit(), why: error.to_string() }
}

/// Shows what comes until nothing more can come.
fn show(mut progress: watch::Receiver<Progress>, mut updates: broadcast::Receiver<Arc<Update>>) {
    let mut view = View::new();
    // Without a runtime there is nothing to wait with; the daemon runs all the same.
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    runtime.block_on(async {
        loop {
            tokio::select! {
                // What was committed before the first look was complete is no change after it.
                biased;
                update = updates.recv() => match update {
                    Ok(update) => view.update(&update),
                    Err(RecvError::Lagged(n)) => view.missed(n),
                    Err(RecvError::Closed) => break,
                },
                changed = progress.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let lines = view.progress(&progress.borrow_and_update());
                    view.say(&lines);
                }
            }
        }
    });
    view.finish();
}
