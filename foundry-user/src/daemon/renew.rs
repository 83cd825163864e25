//! Records of facts that an earlier program wrote: found after the first look, written anew in the
//! background.
//!
//! Knows: the store's bricks, the version of records. Must never know: how a record is made.
//! Keeps: a few at a time, and only while nothing else is to be done; what was not renewed before the
//! end is found again by the next start.

use super::Progress;
use crate::artifact::OsBytes;
use crate::facts::VERSION;
use crate::store::{FileStorage, bricks};
use foundry_brick::{Brick, FactValue, Kind};
use std::path::Path;
use tokio::sync::{mpsc, watch};

/// Artifacts whose record is made anew at a time.
const BATCH: usize = 32;

/// Batches that wait for the loop to have nothing else to do.
const BATCHES: usize = 1;

/// Looks for old records, once the first look has ended.
pub(super) fn start(
    store: &Path,
    mut progress: watch::Receiver<Progress>,
) -> mpsc::Receiver<Vec<OsBytes>> {
    let (found, batches) = mpsc::channel(BATCHES);
    let store = store.to_owned();
    tokio::spawn(async move {
        if progress.wait_for(|now| now.first_fold.complete).await.is_ok() {
            // It ends with the store, or when nobody takes batches any more.
            drop(tokio::task::spawn_blocking(move || look(&store, &found)).await);
        }
    });
    batches
}

fn look(store: &Path, found: &mpsc::Sender<Vec<OsBytes>>) {
    let all = bricks(store).unwrap_or_default();
    let mut old = all.iter().filter_map(|file| outdated(file)).peekable();
    while old.peek().is_some() {
        if found.blocking_send(old.by_ref().take(BATCH).collect()).is_err() {
            return;
        }
    }
}

/// The artifact of a brick whose record is of an earlier version.
fn outdated(file: &Path) -> Option<OsBytes> {
    let brick = Brick::open(FileStorage::open_to_read(file).ok()?).ok()?;
    let meta = brick.meta();
    if meta.kind != Kind::File || meta.size == 0 {
        return None;
    }
    let is_old = match brick.facts().ok()?.get("facts.version") {
        Some(FactValue::Number(version)) => *version < VERSION,
        _ => true,
    };
    is_old.then(|| meta.path.clone())
}
