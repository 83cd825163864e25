//! One column: a daemon, and every operation before its eyes, one after the other.
//!
//! Knows: operations, the daemon's socket. Must never know: what a cell was before.
//! Keeps: everything is prepared before the daemon starts; each operation has a tree of its own and
//! is followed by a `sync`; what it opened stays open until its bricks were compared.

use super::found::{self, Done, Found};
use super::fresh;
use crate::support;
use crate::support::daemon::{Daemon, Refusal};
use crate::support::ops::{Ground, Perform, all};
use foundry_user::control::client;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for one `sync`.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where a column works.
pub(super) struct Place {
    /// On the file system in question.
    pub(super) stage: PathBuf,
    /// For the store and the recording, on a disk.
    pub(super) scratch: PathBuf,
}

/// What became of one operation, and why.
pub(super) struct Cell {
    pub(super) found: Found,
    pub(super) detail: String,
}

/// An operation that waits for the daemon.
struct Ready {
    name: &'static str,
    tree: PathBuf,
    perform: Perform,
}

/// Runs the column; `None`, and said, where the backend may not run here.
pub(super) fn every_operation(place: &Place, backend: &str) -> Option<BTreeMap<String, Cell>> {
    let mut cells = BTreeMap::new();
    let watched = place.stage.join("watched");
    let ready = prepare(place, &watched, &mut cells);
    std::fs::create_dir_all(&place.scratch).unwrap();
    let log = place.scratch.join("log");
    let store = place.scratch.join("store");
    let more = ["--no-listen", "--record", log.to_str().unwrap()];
    let daemon = match Daemon::start(&watched, &store, backend, &more) {
        Ok(daemon) => daemon,
        Err(Refusal::NotAllowed(why)) => {
            support::skip(&format!("backend {backend}: {why}"));
            return None;
        }
    };
    let mut syncs = 1;
    sync(&store, &daemon, "the first look");
    let mut done = Vec::new();
    for Ready { name, tree, perform } in ready {
        let kept = match perform() {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                cells.insert(name.to_owned(), refused(&error));
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        syncs += 1;
        sync(&store, &daemon, name);
        let differs = fresh::differs(&store, &tree, &kept.changes);
        done.push(Done { name, sync: syncs, tree, changes: kept.changes.clone(), differs });
    }
    let (status, said) = daemon.stop();
    assert_eq!(status.code(), Some(0), "the daemon's end:\n{said}");
    for (name, cell) in found::classify(&log, &done) {
        cells.insert(name.to_owned(), cell);
    }
    Some(cells)
}

fn prepare(place: &Place, watched: &Path, cells: &mut BTreeMap<String, Cell>) -> Vec<Ready> {
    let mut ready = Vec::new();
    for operation in all() {
        let tree = watched.join(operation.name);
        let outside = place.stage.join("outside").join(operation.name);
        let ground = Ground::between(tree.clone(), outside).unwrap();
        match operation.prepare(&ground) {
            Ok(perform) => ready.push(Ready { name: operation.name, tree, perform }),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                cells.insert(operation.name.to_owned(), refused(&error));
            }
            Err(error) => panic!("{}: {error}", operation.name),
        }
    }
    ready
}

fn refused(error: &io::Error) -> Cell {
    Cell { found: Found::Refused, detail: error.to_string() }
}

fn sync(store: &Path, daemon: &Daemon, after: &str) {
    if let Err(error) = client::sync(store, PATIENCE) {
        panic!("sync after {after}: {error}\ndaemon:\n{}", daemon.last_words());
    }
}
