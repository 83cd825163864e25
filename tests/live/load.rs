//! `sync` while others write without a pause.
//!
//! Knows: threads, mappings, system calls. Must never know: how changes are found.
//! Keeps: what was written before a `sync` is in the brick after it, whatever else goes on; and a
//! writer who never ends does not keep it from answering.

use super::start;
use crate::support::{Random, Scratch, act, brick, seed};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const WRITERS: u64 = 3;
const ROUNDS: u64 = 8;
const BYTES: usize = 400_000;

pub(super) fn run(backend: &str) {
    let seed = seed();
    let mut random = Random::new(seed);
    let scratch = Scratch::new();
    let tree = scratch.tree();
    for nth in 0..WRITERS {
        act::write(&tree.join(format!("busy{nth}")), &random.bytes(BYTES)).unwrap();
    }
    let own = tree.join("own");
    act::write(&own, &random.bytes(BYTES)).unwrap();
    let Some(daemon) = start(&scratch, backend, &["--no-listen"]) else { return };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // However this ends, the writers end with it.
        let ending = Ending(&over);
        for nth in 0..WRITERS {
            let (path, over) = (tree.join(format!("busy{nth}")), &over);
            let random = Random::new(seed ^ (nth + 1));
            scope.spawn(move || write_on(&path, random, over));
        }
        for round in 0..ROUNDS {
            let at = random.below(390_000);
            let bytes = random.bytes(5000);
            let done = match round % 3 {
                0 => act::patch(&own, at, &bytes),
                1 => act::store_through_mapping(&own, at, &bytes),
                _ => act::append(&own, &bytes),
            };
            done.unwrap();
            daemon.sync();
            let found =
                brick::inspect(&scratch.store(), &own).expect("it was there from the start");
            assert_eq!(found.blake3(), brick::b3sum(&own), "round {round}");
        }
        drop(ending);
    });
    daemon.sync();
    daemon.verify_all();
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes, appends, cuts and stores until it is told to end.
fn write_on(path: &Path, mut random: Random, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let bytes = random.bytes(3000);
        let at = random.below(390_000);
        let done = match random.below(8) {
            0..=4 => act::patch(path, at, &bytes),
            5 => act::append(path, &bytes),
            6 => act::truncate(path, 400_000),
            _ => act::store_through_mapping(path, at, &bytes),
        };
        done.unwrap();
    }
}
