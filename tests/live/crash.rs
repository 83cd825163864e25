//! kill -9 at a bad moment, and what the next start makes of it.
//!
//! Knows: copying, killing, starting. Must never know: how the store recovers.

use super::start;
use crate::support::daemon::dies_with_this_thread;
use crate::support::{Random, Scratch, act, brick, program, regular_files, seed};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Enough files and bytes that a copy of them is under way for a while.
fn fill(dir: &Path, random: &mut Random) {
    fs::create_dir_all(dir).unwrap();
    for i in 0..60 {
        let len = usize::try_from(random.below(2_000_000)).unwrap();
        act::write(&dir.join(format!("file{i}")), &random.bytes(len)).unwrap();
    }
}

/// Kills the daemon while `cp -r` is filling the tree, three times, then lets it finish.
pub(super) fn killed_in_the_middle_of_a_copy(backend: &str) {
    let mut random = Random::new(seed());
    let scratch = Scratch::new();
    let source = scratch.file("source");
    fill(&source, &mut random);
    for round in 0..3 {
        let Some(daemon) = start(&scratch, backend, &[]) else { return };
        let to = scratch.tree().join(format!("copy{round}"));
        let mut copy = Command::new("cp").arg("-r").arg(&source).arg(&to).spawn().unwrap();
        // The moment is chance's: after some number of `status` answers while the copy runs.
        for _ in 0..random.below(8) {
            daemon.ask(&["status"]).ok();
        }
        daemon.kill();
        assert!(copy.wait().unwrap().success());
        // Whatever is in the store is whole: every brick opens and its checksums hold.
        for file in regular_files(&scratch.store().join("bricks")) {
            if file.extension().is_some_and(|extension| extension == "brick") {
                let said = program::run(&["inspect".as_ref(), file.as_os_str()]);
                assert_eq!(said.code, Some(0), "{}: {said:?}", file.display());
            }
        }
    }
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    daemon.sync();
    daemon.verify_all();
    for file in regular_files(&scratch.tree()) {
        let found = brick::inspect(&scratch.store(), &file);
        let found = found.unwrap_or_else(|| panic!("{}: no brick", file.display()));
        assert_eq!(found.blake3(), brick::b3sum(&file), "{}", file.display());
    }
}

/// Kills of one run in CI; `FOUNDRY_KILLS` asks for more. Loading probes takes most of a start's time.
fn kills(backend: &str) -> u64 {
    let asked = std::env::var("FOUNDRY_KILLS").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(if backend == "fanotify" { 12 } else { 4 })
}

/// Changes something at random. That it fails (the name is taken, or gone) is part of it.
fn change(dir: &Path, random: &mut Random) {
    let any = |random: &mut Random| {
        let (a, b) = (random.below(4), random.below(12));
        dir.join(format!("d{a}")).join(format!("f{b}"))
    };
    let (path, other) = (any(random), any(random));
    let len = usize::try_from(random.below(150_000)).unwrap();
    match random.below(12) {
        0 | 1 => act::write(&path, &random.bytes(len)).ok(),
        2 | 3 => act::append(&path, &random.bytes(len / 8)).ok(),
        4..=6 => {
            let at = random.below(150_000);
            act::patch(&path, at, &random.bytes(64)).ok()
        }
        7 => act::truncate(&path, len as u64).ok(),
        8 => fs::rename(&path, &other).ok(),
        9 => fs::hard_link(&path, &other).ok(),
        10 => fs::remove_file(&path).ok(),
        _ => {
            let (from, to) = (path.parent().unwrap(), other.parent().unwrap());
            fs::rename(from, to.with_extension("moved")).ok();
            fs::rename(to.with_extension("moved"), from).ok()
        }
    };
}

/// Changes the tree until it is told to stop; says how often.
fn keep_busy(dir: &Path, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = Random::new(seed);
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        change(dir, &mut random);
        changes += 1;
        // Busy, but not so that one processor is nobody else's.
        if changes % 8 == 0 {
            std::thread::yield_now();
        }
    }
    changes
}

/// Waits so long: a moment that chance has chosen, not an event.
pub(super) fn pass(time: Duration) {
    let (_keep, never) = channel::<()>();
    never.recv_timeout(time).ok();
}

/// Kills the daemon at random moments of a busy run, every fourth time in the middle of its start; after
/// each, the next one has every brick equal to the disk.
pub(super) fn killed_at_any_moment(backend: &str) {
    let kills = kills(backend);
    let seed = seed();
    let mut random = Random::new(seed);
    let scratch = Scratch::new();
    for i in 0..4 {
        fs::create_dir(scratch.tree().join(format!("d{i}"))).unwrap();
    }
    for _ in 0..60 {
        change(&scratch.tree(), &mut random);
    }
    let (mut changes, mut in_start) = (0, 0);
    for kill in 0..kills {
        if kill % 4 == 3 {
            killed_while_it_starts(&scratch, backend, &mut random);
            in_start += 1;
            continue;
        }
        let Some(daemon) = start(&scratch, backend, &[]) else { return };
        daemon.sync();
        daemon.verify_all();
        let stop = AtomicBool::new(false);
        let (seed, moment) = (random.next(), Duration::from_micros(random.below(300_000)));
        let tree = scratch.tree();
        changes += std::thread::scope(|scope| {
            let busy = scope.spawn(|| keep_busy(&tree, seed, &stop));
            pass(moment);
            daemon.kill();
            stop.store(true, Ordering::Relaxed);
            busy.join().unwrap()
        });
    }
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    daemon.sync();
    daemon.verify_all();
    assert!(daemon.stop().0.success());
    println!("{kills} kills ({in_start} of a starting daemon), {changes} changes: clean");
}

fn killed_while_it_starts(scratch: &Scratch, backend: &str, random: &mut Random) {
    let mut command = Command::new(program::path());
    command.arg("--watch").arg(scratch.tree()).arg("--store").arg(scratch.store());
    command.args(["--backend", backend, "--no-listen"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    dies_with_this_thread(&mut command);
    let mut child = command.spawn().unwrap();
    let seed = random.next();
    let stop = AtomicBool::new(false);
    let tree = scratch.tree();
    std::thread::scope(|scope| {
        scope.spawn(|| keep_busy(&tree, seed, &stop));
        pass(Duration::from_micros(random.below(1_500_000)));
        child.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    child.wait().unwrap();
}
