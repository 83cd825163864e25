//! Everything too small, on purpose: a ring of one page, few slots, a daemon that does not come.
//!
//! Knows: the sizes that the daemon takes for tests, signals, `status`. Must never know: how an
//! overflow is repaired.
//! Keeps: after `sync` every brick is the disk's, and `status` names what overflowed and what was
//! done about it.

use super::start_with;
use crate::support::daemon::{Daemon, signal};
use crate::support::{Random, Scratch, act, brick, program, regular_files, seed};
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What the daemon reads its sizes from.
const SIZES: &str = "FOUNDRY_SIZES";
/// Set for a process that floods: the tree, and its number.
const FLOOD: &str = "FOUNDRY_FLOOD";
const FLOODERS: u64 = 4;
/// Larger than the bits that one change may set: half of it is a range that does not fit.
const BIG_BYTES: u64 = 1 << 28;

/// What each flooder has and does.
struct Flood {
    /// Files that are there before the daemon.
    files: u64,
    /// Files that it makes.
    makes: u64,
    /// Programs that it runs.
    programs: u64,
}

impl Flood {
    /// More than a page of records of each kind; where every instruction is emulated, not much more.
    fn of_this_machine() -> Self {
        match std::env::var_os("FOUNDRY_EMULATED") {
            Some(_) => Self { files: 15, makes: 30, programs: 8 },
            None => Self { files: 40, makes: 150, programs: 40 },
        }
    }
}

/// One round of everything that overflows a ring: writes, names, programs.
fn flood(tree: &Path, number: u64) {
    let own = tree.join(format!("d{number}"));
    let mut random = Random::new(number + 1);
    let most = Flood::of_this_machine();
    for nth in 0..most.files {
        let path = own.join(format!("old{nth}"));
        act::patch(&path, random.below(250_000), &random.bytes(300)).unwrap();
        act::append(&path, &random.bytes(50)).unwrap();
    }
    for nth in 0..most.makes {
        let path = own.join(format!("new{nth}"));
        act::write(&path, &random.bytes(2000)).unwrap();
        match nth % 3 {
            0 => fs::rename(&path, own.join(format!("renamed{nth}"))).unwrap(),
            1 => fs::remove_file(&path).unwrap(),
            _ => {}
        }
    }
    let to = tree.join(format!("d{}", (number + 1) % FLOODERS)).join(format!("from{number}"));
    fs::rename(own.join("old0"), to).unwrap();
    for _ in 0..most.programs {
        assert_eq!(program::finish(Command::new("true")).code, Some(0));
    }
    if number == 0 {
        act::punch(&tree.join("big"), 0, BIG_BYTES / 2).unwrap();
    }
}

/// The part that a process of its own does; nothing, where no test started it.
#[test]
fn flood_as_told() {
    let Ok(told) = std::env::var(FLOOD) else { return };
    let (number, tree) = told.split_once(' ').unwrap();
    flood(Path::new(tree), number.parse().unwrap());
}

fn flooders(tree: &Path) -> Vec<Child> {
    let one = |number| {
        Command::new(std::env::current_exe().unwrap())
            .args(["live::overflow::flood_as_told", "--exact"])
            .env(FLOOD, format!("{number} {}", tree.display()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    (0..FLOODERS).map(one).collect()
}

fn fill(tree: &Path) {
    let mut random = Random::new(seed());
    for number in 0..FLOODERS {
        let dir = tree.join(format!("d{number}"));
        fs::create_dir(&dir).unwrap();
        for nth in 0..Flood::of_this_machine().files {
            act::write(&dir.join(format!("old{nth}")), &random.bytes(250_300)).unwrap();
        }
    }
    let big = File::create(tree.join("big")).unwrap();
    big.set_len(BIG_BYTES).unwrap();
    act::patch(&tree.join("big"), 1 << 20, b"an island in what becomes a hole").unwrap();
}

/// Starts a daemon with these sizes, stops it for as long as the flood lasts, lets it go on.
fn flooded(scratch: &Scratch, backend: &str, sizes: &str, log: &str) -> Option<Daemon> {
    fill(&scratch.tree());
    let store = scratch.store();
    let variables = [(SIZES, sizes), ("RUST_LOG", log)];
    let daemon = start_with(scratch, &store, backend, &["--no-listen"], &variables)?;
    daemon.sync();
    signal(daemon.pid(), Signal::STOP);
    let floods = flooders(&scratch.tree());
    let ends: Vec<bool> = floods.into_iter().map(|mut f| f.wait().unwrap().success()).collect();
    signal(daemon.pid(), Signal::CONT);
    assert!(ends.iter().all(|well| *well), "a flooder failed: {ends:?}");
    daemon.sync();
    assert_true_to_the_disk(scratch, &daemon);
    Some(daemon)
}

fn assert_true_to_the_disk(scratch: &Scratch, daemon: &Daemon) {
    daemon.verify_all();
    let files: Vec<PathBuf> = regular_files(&scratch.tree());
    let small = files.iter().filter(|file| !file.ends_with("big"));
    for file in small {
        let found = brick::inspect(&scratch.store(), file);
        let found = found.unwrap_or_else(|| panic!("{}: no brick", file.display()));
        assert_eq!(found.blake3(), brick::b3sum(file), "{}", file.display());
    }
}

/// Numbers of `status --json`: losses by kind under `lost`, the others as they are called.
struct Counted(serde_json::Value);

impl Counted {
    fn of(daemon: &Daemon) -> Self {
        let status = daemon.ask(&["status", "--json"]).ok().json();
        println!("{status}");
        Self(status)
    }

    fn lost(&self, kind: &str) -> u64 {
        self.0["lost_by_kind"][kind].as_u64().unwrap_or(0)
    }

    fn assert_more_than_none(&self, lost: &[&str], done: &[&str]) {
        for kind in lost {
            assert!(self.lost(kind) > 0, "{kind} did not overflow: {}", self.0);
        }
        for name in done {
            let n = self.0[*name].as_u64().unwrap_or_else(|| panic!("no {name}: {}", self.0));
            assert!(n > 0, "{name} is 0: {}", self.0);
        }
    }
}

/// Rings of one page: doorbells, names and programs are dropped, and a range that does not fit makes
/// a file whole. Every slot is looked at, directories are listed again; and the probes say so, to
/// whoever asked them.
pub(super) fn rings(backend: &str) {
    if backend == "fanotify" {
        println!("no probes");
        return;
    }
    let scratch = Scratch::new();
    let sizes = "artifacts=4096,words=256,bell=4096,life=4096";
    let log = "warn,foundry_user=info,foundry_ebpf=debug";
    let Some(daemon) = flooded(&scratch, backend, sizes, log) else { return };
    let counted = Counted::of(&daemon);
    match backend {
        "fentry" => counted.assert_more_than_none(
            &["doorbell", "range", "name", "process"],
            &["source_scans", "whole_files", "relists"],
        ),
        _ => counted.assert_more_than_none(
            &["doorbell", "range", "process"],
            &["source_scans", "whole_files"],
        ),
    }
    assert_eq!(counted.lost("inode"), 0, "{}", counted.0);
    let (_, said) = daemon.stop();
    for message in ["no room on the ring of doorbells", "no room on the ring of programs"] {
        assert!(said.contains(message), "no probe said {message:?}:\n{said}");
    }
}

/// Fewer slots than files: those without one are compared at every `sync`.
pub(super) fn slots(backend: &str) {
    if backend == "fanotify" {
        println!("no slots");
        return;
    }
    let scratch = Scratch::new();
    let sizes = "artifacts=48,words=16,bell=4096,life=4096";
    let log = "warn,foundry_user=info";
    let Some(daemon) = flooded(&scratch, backend, sizes, log) else { return };
    Counted::of(&daemon).assert_more_than_none(&["inode"], &["compared"]);
    let (_, said) = daemon.stop();
    assert!(!said.contains("no room on the ring"), "nobody asked the probes:\n{said}");
}

/// More names than the kernel's queue holds: the tree is swept.
pub(super) fn queue(backend: &str) {
    if backend == "fentry" {
        println!("names come through a ring");
        return;
    }
    let scratch = Scratch::new();
    let sizes = [(SIZES, "queue=bounded")];
    let started = start_with(&scratch, &scratch.store(), backend, &["--no-listen"], &sizes);
    let Some(daemon) = started else { return };
    daemon.sync();
    let limit = fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap();
    let limit: u64 = limit.trim().parse().unwrap();
    signal(daemon.pid(), Signal::STOP);
    for nth in 0..limit + 100 {
        let path = scratch.tree().join("passing");
        File::create(&path).unwrap();
        fs::rename(&path, scratch.tree().join(format!("n{}", nth % 50))).unwrap();
    }
    act::write(&scratch.tree().join("last"), b"after the queue was full").unwrap();
    signal(daemon.pid(), Signal::CONT);
    daemon.sync();
    assert_true_to_the_disk(&scratch, &daemon);
    Counted::of(&daemon).assert_more_than_none(&["queue"], &["sweeps"]);
}
