//! `verify --all`: every brick of a store, on every processor; and every file that has none.
//!
//! Knows: the store's directory, the running daemon if there is one. Must never know: formats.
//! Keeps: what differs is looked at again after a sync, so that a change on its way into a brick is
//! no difference; the document is in one order, whatever order the work was done in.

use super::missing;
use super::{ATTEMPTS, Checked, check};
use crate::cli::brick_file::BrickFile;
use crate::cli::output::say;
use crate::cli::tree::Trees;
use crate::control::client::{self, ControlError};
use crate::error::CommandError;
use crate::store;
use crate::wire::{Difference, VerifyDocument};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a running daemon may take to catch up before differences count.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Checks everything in `store`.
pub(super) fn run(directory: &Path) -> Result<VerifyDocument, CommandError> {
    let io = |e| CommandError::io("list", directory, e);
    // A store that was never made is a mistake in its name rather than a store without bricks.
    let directory = &std::fs::canonicalize(directory).map_err(io)?;
    let mut checked = check_all(store::bricks(directory).map_err(io)?, directory);
    // Only a running daemon knows what else should have a brick.
    let roots = client::status(directory).map(|report| report.roots).unwrap_or_default();
    let roots: Vec<PathBuf> = roots.into_iter().map(PathBuf::from).collect();
    let mut without = missing::files(directory, &roots);
    let is_clean = without.is_empty() && checked.iter().all(|(_, c)| c.differences.is_empty());
    if !is_clean && caught_up(directory) {
        let (good, bad): (Vec<_>, Vec<_>) =
            checked.into_iter().partition(|(_, c)| c.differences.is_empty());
        checked = good;
        checked.extend(check_all(bad.into_iter().map(|(path, _)| path).collect(), directory));
        without.retain(|path| missing::lacks_brick(directory, path));
    }
    Ok(document(checked, &without))
}

/// Whether a running daemon has taken in every change made so far.
fn caught_up(directory: &Path) -> bool {
    match client::sync(directory, CATCH_UP) {
        // What cannot be read is found below, brick by brick.
        Ok(_) => true,
        Err(ControlError::NotRunning { .. }) => false,
        Err(error) => {
            say(&format!("{error}; what differs may be on its way into the bricks"));
            false
        }
    }
}

fn document(checked: Vec<(PathBuf, Checked)>, without: &[PathBuf]) -> VerifyDocument {
    let mut found = VerifyDocument { bricks: checked.len() as u64, ..VerifyDocument::default() };
    for (_, one) in checked {
        found.bytes += one.bytes;
        found.differences.extend(one.differences);
    }
    found.differences.extend(without.iter().map(|path| Difference {
        brick: None,
        artifact: path.to_string_lossy().into_owned(),
        what: "missing",
        detail: "there is no brick of this file".to_owned(),
        start: None,
        end: None,
        regions: Vec::new(),
    }));
    found.differences.sort_by(|a, b| (&a.artifact, a.start).cmp(&(&b.artifact, b.start)));
    found.ok = found.differences.is_empty();
    found
}

/// Checks each brick on whichever processor is free; one that is gone by now is left out.
fn check_all(paths: Vec<PathBuf>, store: &Path) -> Vec<(PathBuf, Checked)> {
    let trees = Trees::new(Some(store.to_owned()));
    let found = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let bar = ProgressBar::new(paths.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} bricks  {eta} left") {
        bar.set_style(style);
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(checked) = settled(path, &trees) {
                        let mut found =
                            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        found.push((path.clone(), checked));
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Checks a brick until its artifact held still; `None` where the brick is gone by now.
fn settled(path: &Path, trees: &Trees) -> Option<Checked> {
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        // What was seen of the trees before may be what is not so any more.
        let anew = Trees::new(trees.store().map(Path::to_owned));
        let trees = if attempt == 0 { trees } else { &anew };
        let checked = match BrickFile::at(path.to_owned()).and_then(|file| check(&file, trees)) {
            Ok(checked) => checked,
            // The daemon removed it with its artifact.
            Err(CommandError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return None;
            }
            Err(error) => return Some(unreadable(path, &error)),
        };
        let is_settled = checked.differences.is_empty() || !checked.is_uncertain;
        last = Some(checked);
        if is_settled {
            break;
        }
    }
    last
}

fn unreadable(path: &Path, error: &CommandError) -> Checked {
    let difference = Difference {
        brick: Some(path.to_string_lossy().into_owned()),
        artifact: path.to_string_lossy().into_owned(),
        what: "corrupt",
        detail: error.to_string(),
        start: None,
        end: None,
        regions: Vec::new(),
    };
    Checked { differences: vec![difference], ..Checked::default() }
}
