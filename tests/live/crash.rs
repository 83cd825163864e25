//! kill -9 at a bad moment, and what the next start makes of it.
//!
//! Knows: copying, killing, starting. Must never know: how the store recovers.

use super::start;
use crate::support::daemon::{Daemon, dies_with_this_thread};
use crate::support::{Random, Scratch, act, brick, program, regular_files, seed};
use std::fs;
use std::path::{Path, PathBuf};
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

/// Kills of one run: `FOUNDRY_KILLS`, or fewer in CI, where loading probes takes most of a start's time.
pub(super) fn kills(few: u64) -> u64 {
    std::env::var("FOUNDRY_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
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

/// A tree, and how daemons come to watch it.
pub(super) struct Killing<'a> {
    pub(super) tree: PathBuf,
    pub(super) kills: u64,
    /// Starts one that is waited for; `None` where it may not run here.
    pub(super) start: &'a dyn Fn() -> Option<Daemon>,
    /// One that nobody waits for.
    pub(super) command: &'a dyn Fn() -> Command,
    /// What happens while none runs.
    pub(super) meanwhile: &'a dyn Fn(&mut Random),
}

/// Kills the daemon at random moments of a busy run.
pub(super) fn killed_at_any_moment(backend: &str) {
    let scratch = Scratch::new();
    let (tree, store) = (scratch.tree(), scratch.store());
    let command = || {
        let mut command = Command::new(program::path());
        command.arg("--watch").arg(&tree).arg("--store").arg(&store);
        command.args(["--backend", backend, "--no-listen"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        dies_with_this_thread(&mut command);
        command
    };
    let killing = Killing {
        tree: tree.clone(),
        kills: kills(if backend == "fanotify" { 12 } else { 4 }),
        start: &|| start(&scratch, backend, &[]),
        command: &command,
        meanwhile: &|_| (),
    };
    killing.run();
}

impl Killing<'_> {
    /// Every fourth kill is in the middle of a start; after each, the next daemon has every brick equal to
    /// the disk.
    pub(super) fn run(&self) {
        let mut random = Random::new(seed());
        for i in 0..4 {
            fs::create_dir(self.tree.join(format!("d{i}"))).unwrap();
        }
        for _ in 0..60 {
            change(&self.tree, &mut random);
        }
        let (mut changes, mut in_start) = (0, 0);
        for kill in 0..self.kills {
            let seed = random.next();
            if kill % 4 == 3 {
                let mut child = (self.command)().spawn().unwrap();
                let moment = Duration::from_micros(random.below(1_500_000));
                changes += busy_until(&self.tree, seed, moment, || child.kill().unwrap());
                child.wait().unwrap();
                in_start += 1;
            } else {
                let Some(daemon) = (self.start)() else { return };
                daemon.sync();
                daemon.verify_all();
                let moment = Duration::from_micros(random.below(300_000));
                changes += busy_until(&self.tree, seed, moment, || daemon.kill());
            }
            (self.meanwhile)(&mut random);
            // A long run says how far it is.
            if kill % 50 == 49 {
                println!("{} kills, {changes} changes", kill + 1);
            }
        }
        let Some(daemon) = (self.start)() else { return };
        daemon.sync();
        daemon.verify_all();
        assert!(daemon.stop().0.success());
        let kills = self.kills;
        println!("{kills} kills ({in_start} of a starting daemon), {changes} changes: clean");
    }
}

/// Changes the tree until `kill` is done, at the given moment; says how often.
fn busy_until(tree: &Path, seed: u64, moment: Duration, kill: impl FnOnce()) -> u64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| keep_busy(tree, seed, &stop));
        pass(moment);
        kill();
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap()
    })
}
