//! How the daemon behaves as a guest: its store, its lock, its signals, its answers.
//!
//! Knows: the command line, signals. Must never know: how any of it is done.

use super::{start, start_with};
use crate::support::{Scratch, act, brick, program};
use std::fs;
use std::process::Command;

/// What scripts rely on in `status --json`.
const COUNTERS: [&str; 8] =
    ["seen", "coalesced", "lost", "resyncs", "pending", "artifacts", "backend", "bytes"];

/// A store inside the watched tree is no part of it: the daemon does not feed itself.
pub(super) fn the_store_is_left_alone(backend: &str) {
    let scratch = Scratch::new();
    let store = scratch.tree().join("store");
    act::write(&scratch.tree().join("file"), &[1; 100_000]).unwrap();
    let Some(daemon) = start_with(&scratch, &store, backend, &[], &[]) else { return };
    daemon.sync();
    let before = daemon.ask(&["status", "--json"]).ok().json();
    // Had it taken its own bricks for artifacts, each round would commit, and so cause the next.
    for i in 0..10_u8 {
        act::patch(&scratch.tree().join("file"), 5, &[i]).unwrap();
        daemon.sync();
    }
    let after = daemon.ask(&["status", "--json"]).ok().json();
    assert_eq!(before["artifacts"], after["artifacts"], "{before}\n{after}");
    let made = crate::support::regular_files(&store.join("bricks")).len();
    assert!(made <= 3, "{made} bricks for one file and its directory");
    daemon.verify_all();
}

/// The store is for its owner alone, and for one daemon at a time.
pub(super) fn the_store_has_one_owner(backend: &str) {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.store()), 0o700);
    assert_eq!(mode(&scratch.store().join("control.sock")), 0o600);

    let mut second = Command::new(program::path());
    second.arg("--watch").arg(scratch.tree()).arg("--store").arg(scratch.store());
    let said = program::finish(second);
    assert!(said.code.is_some_and(|code| code != 0), "a second daemon: {said:?}");
    let named = said.err.contains(scratch.store().to_str().unwrap());
    assert!(named, "the error names the store: {said:?}");
    daemon.sync();
}

/// `status` has what scripts rely on, and counts.
pub(super) fn status_counts(backend: &str) {
    let scratch = Scratch::new();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let before = daemon.ask(&["status", "--json"]).ok().json();
    for name in COUNTERS {
        assert!(before.get(name).is_some_and(|value| !value.is_null()), "no {name}: {before}");
    }
    for i in 0..50 {
        act::write(&scratch.tree().join(format!("f{i}")), b"counted").unwrap();
    }
    daemon.sync();
    let after = daemon.ask(&["status", "--json"]).ok().json();
    let artifacts = |json: &serde_json::Value| json["artifacts"].as_u64();
    assert_eq!(artifacts(&after), artifacts(&before).map(|n| n + 50), "{before}\n{after}");
    assert!(after["seen"].as_u64() > before["seen"].as_u64(), "{before}\n{after}");
    assert_eq!(after["pending"], 0, "{after}");
}

/// Both signals end it in order, with everything so far in the bricks and nobody answering after.
pub(super) fn signals_end_it(backend: &str) {
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM] {
        let scratch = Scratch::new();
        let Some(daemon) = start(&scratch, backend, &[]) else { return };
        let file = scratch.tree().join("file");
        act::write(&file, &[3; 70_000]).unwrap();
        daemon.sync();
        act::patch(&file, 1000, b"just before the end").unwrap();
        let (status, log) = daemon.end_with(signal);
        assert_eq!(status.code(), Some(0), "{log}");
        let found = brick::inspect(&scratch.store(), &file).expect("the brick stays");
        assert_eq!(found.size(), 70_000);
        let mut sync = Command::new(program::path());
        sync.args(["sync", "--timeout", "5", "--store"]).arg(scratch.store());
        assert_ne!(program::finish(sync).code, Some(0), "a sync that nobody answered");
    }
}
