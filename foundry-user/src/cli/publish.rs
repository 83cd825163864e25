//! `publish`: the map as plain files.
//!
//! Knows: where a store's bricks and its layout lie. Must never know: what a page asks for.
//! Keeps: the directory appears whole, or stays what it was.

use super::Store;
use super::output::say;
use super::text;
use crate::args::Publish;
use crate::error::{CommandError, Exit};
use crate::sinks::map_server::{PublishConfig, PublishError, publish};
use crate::store::{brick_path, bricks};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;

/// Runs the command.
pub(super) fn run(args: &Publish, store: &Store) -> Result<Exit, CommandError> {
    let directory = store.path()?;
    let io = |e| CommandError::io("list", &directory, e);
    let directory = std::fs::canonicalize(&directory).map_err(io)?;
    let found = bricks(&directory).map_err(io)?;
    let config = PublishConfig {
        bricks: found,
        saved: directory.join("map.layout"),
        out: args.out.clone(),
        brick_path: {
            let store = directory.clone();
            Arc::new(move |name: &[u8]| brick_path(&store, name))
        },
    };
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {eta} left") {
        bar.set_style(style);
    }
    let done = publish(&config, &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let done = done.map_err(|error| match error {
        PublishError::Occupied(path) => {
            let what = "is there already and holds something else; give a directory of its own";
            CommandError::Invalid { path, what: what.to_owned() }
        }
        PublishError::Io { path, source } => CommandError::io("write", path, source),
    })?;
    if done.left_out > 0 {
        let bricks = text::plural(done.left_out, "brick", "bricks");
        say(&format!("left out: {bricks} that are not of a file, or not valid"));
    }
    say(&format!(
        "{}: {}, {}, {}; it holds the files' bytes, so it is as private as they are",
        args.out.display(),
        text::plural(done.artifacts, "artifact", "artifacts"),
        text::plural(done.tiles, "tile", "tiles"),
        text::bytes(done.bytes),
    ));
    Ok(Exit::Done)
}
