//! `verify --all`: every brick of a store, on every processor.
//!
//! Knows: the store's directory. Must never know: formats.
//! Keeps: the document is in one order, whatever order the work was done in.

use super::{ATTEMPTS, Checked, check};
use crate::cli::brick_file::BrickFile;
use crate::error::CommandError;
use crate::store;
use crate::wire::{Difference, VerifyDocument};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Checks everything in `store`.
pub(super) fn run(directory: &Path) -> Result<VerifyDocument, CommandError> {
    let io = |e| CommandError::io("list", directory, e);
    // A store that was never made is a mistake in its name rather than a store without bricks.
    std::fs::metadata(directory).map_err(io)?;
    let paths = store::bricks(directory).map_err(io)?;
    let found = Mutex::new(VerifyDocument::default());
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
                    let checked = settled(path);
                    let mut found = lock(&found);
                    found.bricks += u64::from(checked.is_some());
                    if let Some(checked) = checked {
                        found.bytes += checked.bytes;
                        found.differences.extend(checked.differences);
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.differences.sort_by(|a, b| (&a.artifact, a.start).cmp(&(&b.artifact, b.start)));
    found.ok = found.differences.is_empty();
    Ok(found)
}

fn lock(found: &Mutex<VerifyDocument>) -> std::sync::MutexGuard<'_, VerifyDocument> {
    found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Checks a brick until its artifact held still; `None` where the brick is gone by now.
fn settled(path: &Path) -> Option<Checked> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let checked = match BrickFile::at(path.to_owned()).and_then(|file| check(&file)) {
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
        artifact: path_name(path),
        what: "corrupt",
        detail: error.to_string(),
        start: None,
        end: None,
        regions: Vec::new(),
    };
    Checked { differences: vec![difference], ..Checked::default() }
}

fn path_name(path: &Path) -> String {
    PathBuf::from(path).to_string_lossy().into_owned()
}
