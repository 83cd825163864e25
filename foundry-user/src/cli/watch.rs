//! The main job: starts the daemon and shows how it goes.
//!
//! Knows: the daemon's listeners. Must never know: what the daemon does inside.
//! Keeps: showing never holds the daemon up; it ends when the daemon ends.

mod map;
mod view;

use super::output::say;
use super::text;
use crate::config::WatchConfig;
use crate::daemon::{self, FatalError, Listeners, Progress};
use crate::error::{CommandError, Exit};
use crate::pipeline::effect::Update;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use view::View;

/// Runs until a signal ends it.
pub(super) fn run(config: &WatchConfig) -> Result<Exit, CommandError> {
    let roots: Vec<String> = config.roots.iter().map(|r| r.display().to_string()).collect();
    say(&format!("watching {}; the bricks are in {}", roots.join(" "), config.store.display()));
    let listeners = Listeners::default();
    let (progress, updates) = (listeners.progress.subscribe(), listeners.updates.subscribe());
    let showing = std::thread::Builder::new()
        .name("view".to_owned())
        .spawn(move || show(progress, updates))
        .map_err(|e| CommandError::io("start", "the view", e))?;
    let map = map::start(config, listeners.updates.subscribe())?;
    let bridge = map::bridge(config, listeners.updates.subscribe())?;
    let outcome = daemon::run(config, listeners);
    // The daemon has dropped its ends, so the view and the map come to their own.
    drop(showing.join());
    if let Some(map) = map {
        map.stop();
    }
    if let Some(bridge) = bridge {
        bridge.stop();
    }
    let summary = outcome.map_err(fatal)?;
    let number = |name: &str| summary.report.numbers.get(name).copied().unwrap_or(0);
    say(&format!(
        "stopped: {}, {}, {} folded",
        text::plural(number("artifacts"), "artifact", "artifacts"),
        text::plural(number("commits"), "commit", "commits"),
        text::bytes(number("bytes")),
    ));
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
