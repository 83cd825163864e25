//! Media that refuse: a full disk, a spent quota, sectors that cannot be read.
//!
//! Knows: the command line, `mount`, exit codes. Must never know: how the store stops.
//! Keeps: the daemon ends with a clear word and exit code 5 or goes on right; what the store holds then
//! is whole; once there is room, the next start ends right.

use super::{start, start_with};
use crate::support::daemon::{Daemon, Refusal};
use crate::support::mount::{Mount, run};
use crate::support::{Random, Scratch, act, brick, program, regular_files, seed};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Exit code of an error of the medium.
const IO: i32 = 5;

/// Exit code where the environment does not allow it.
const NOT_ALLOWED: i32 = 3;

const MIB: usize = 1 << 20;

/// What a medium does has nothing to do with where events come from.
const BACKEND: &str = "fanotify";

/// No space is left in the store: real `ENOSPC`.
#[test]
fn a_full_store() {
    let scratch = Scratch::new();
    let mkfs = ["mkfs.ext4", "-q", "-F", "-m", "0"];
    let asked = std::env::var_os("FOUNDRY_LIVE").is_some();
    let Some(mount) = asked.then(|| Mount::make(&scratch, &mkfs, 24 << 20)).flatten() else {
        return;
    };
    let ballast = mount.dir().join("ballast");
    act::write(&ballast, &vec![1; 6 * MIB]).unwrap();
    let make_room = || fs::remove_file(&ballast).unwrap();
    fill_up(&scratch, &mount, "No space left", 9 * MIB, make_room);
}

/// The quota of the store's owner is spent: real `EDQUOT`, by a quota group of btrfs.
#[test]
fn a_spent_quota() {
    let scratch = Scratch::new();
    let asked = std::env::var_os("FOUNDRY_LIVE").is_some();
    let made = asked.then(|| Mount::make(&scratch, &["mkfs.btrfs", "-q"], 160 << 20));
    let Some(mount) = made.flatten() else { return };
    let btrfs = |args: &[&str]| run(Command::new("btrfs").args(args).arg(mount.dir()));
    assert!(btrfs(&["quota", "enable"]) && btrfs(&["qgroup", "limit", "8M"]));
    let lift = || assert!(btrfs(&["qgroup", "limit", "none"]));
    fill_up(&scratch, &mount, "uota exceeded", 6 * MIB, lift);
}

/// Fills the store until the medium refuses; then there is room again, for `fits` bytes at least.
fn fill_up(scratch: &Scratch, mount: &Mount, errno: &str, fits: usize, make_room: impl Fn()) {
    let mut random = Random::new(seed());
    let store = mount.dir().join("store");
    let begin = || start_with(scratch, &store, BACKEND, &["--payload", "embedded"], &[]);
    act::write(&scratch.tree().join("kept"), &random.bytes(100_000)).unwrap();
    let Some(daemon) = begin() else { return };
    daemon.sync();
    let kept = brick::inspect(&store, &scratch.tree().join("kept")).unwrap();
    for i in 0..40 {
        act::write(&scratch.tree().join(format!("file{i}")), &random.bytes(MIB)).unwrap();
    }
    let (status, log) = daemon.ended();
    assert_eq!(status.code(), Some(IO), "{log}");
    assert!(log.contains("stopped after an I/O error") && log.contains(errno), "{log}");
    // It says that nobody is there, and what is in the store is whole, the first file's brick too.
    let said = brick::ask("status", &store, Path::new("--json"), &[]);
    assert!(said.code != Some(0) && !said.err.is_empty(), "{said:?}");
    let said = brick::ask("verify", &store, Path::new("--all"), &["--json"]);
    let found = said.json();
    let differences = found["differences"].as_array().unwrap();
    let corrupt: Vec<_> = differences.iter().filter(|d| d["what"] == "corrupt").collect();
    assert!(corrupt.is_empty(), "{corrupt:?}");
    let after = brick::inspect(&store, &scratch.tree().join("kept")).unwrap();
    assert_eq!(kept.blake3(), after.blake3());
    // It stays so while there is no room, however often it is started.
    let mut again = Command::new(program::path());
    again.arg("--watch").arg(scratch.tree()).arg("--store").arg(&store);
    again.args(["--backend", BACKEND, "--payload", "embedded", "--no-listen"]);
    program::finish(again).coded(IO);
    for (i, file) in (1..).zip(regular_files(&scratch.tree())) {
        if fits / MIB / 2 < i {
            fs::remove_file(file).unwrap();
        }
    }
    make_room();
    let Some(daemon) = begin() else { return };
    daemon.sync();
    daemon.verify_all();
    assert!(daemon.stop().0.success());
}

/// The device ends in the middle of a file: real `EIO` while it is folded.
#[test]
fn sectors_that_cannot_be_read() {
    let mut random = Random::new(seed());
    let scratch = Scratch::new();
    let mkfs = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "^has_journal"];
    let asked = std::env::var_os("FOUNDRY_LIVE").is_some();
    let Some(mount) = asked.then(|| Mount::make(&scratch, &mkfs, 64 << 20)).flatten() else {
        return;
    };
    let tree = mount.dir().join("tree");
    fs::create_dir(&tree).unwrap();
    let (good, bad) = (random.bytes(50_000), random.bytes(6 * MIB));
    act::write(&tree.join("good"), &good).unwrap();
    act::write(&tree.join("bad"), &bad).unwrap();
    assert!(mount.unmount());
    // The last megabyte of the file goes, and whatever lies behind it.
    let image = File::options().read(true).write(true).open(&mount.image).unwrap();
    let bytes = fs::read(&mount.image).unwrap();
    let last = &bad[5 * MIB..5 * MIB + 4096];
    let cut = bytes.chunks(4096).position(|block| block == last).unwrap() * 4096;
    // Nothing of it is cached any more, and what is mounted looks at the size no more.
    assert!(mount.mount());
    image.set_len(cut as u64).unwrap();
    if File::open(tree.join("bad")).unwrap().read_at(&mut [0; 1], 5 * MIB as u64 + 8192).is_ok() {
        crate::support::skip("a loop device that is cut short reads as zeros here");
        return;
    }
    // Whoever may mount may watch: nothing is left out from here on.
    let begin = || match Daemon::start(&tree, &scratch.store(), BACKEND, &[]) {
        Ok(daemon) => daemon,
        Err(Refusal::NotAllowed(why)) => panic!("{why}"),
    };
    let daemon = begin();
    let said = daemon.ask(&["sync"]).ok();
    assert!(said.err.contains("tree/bad (") && said.err.contains("no brick"), "{said:?}");
    let status = daemon.ask(&["status", "--json"]).ok().json();
    assert_eq!(status["unreadable"], 1, "{status}");
    let found = brick::inspect(&scratch.store(), &tree.join("good")).unwrap();
    assert_eq!(found.blake3(), blake3_of(&good));
    assert!(brick::inspect(&scratch.store(), &tree.join("bad")).is_none(), "half a brick");
    let said = daemon.ask(&["verify", "--all"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(daemon.stop().0.success());
    // The sectors are back: the next start takes them in.
    image.write_all_at(&bytes[cut..], cut as u64).unwrap();
    let daemon = begin();
    daemon.sync();
    daemon.verify_all();
    assert!(daemon.stop().0.success());
}

fn blake3_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// A watched directory that goes, and comes again under the same name, is found again where no sandbox
/// closes it.
pub(super) fn the_root_goes_and_comes_again(backend: &str) {
    let scratch = Scratch::new();
    act::write(&scratch.tree().join("old"), b"before").unwrap();
    let Some(daemon) = start(&scratch, backend, &["--no-sandbox"]) else { return };
    daemon.sync();
    fs::remove_dir_all(scratch.tree()).unwrap();
    daemon.sync();
    assert!(brick::inspect(&scratch.store(), &scratch.tree().join("old")).is_none());
    fs::create_dir(scratch.tree()).unwrap();
    act::write(&scratch.tree().join("new"), b"after").unwrap();
    daemon.sync();
    daemon.verify_all();
    assert!(brick::inspect(&scratch.store(), &scratch.tree().join("new")).is_some());
    // Replaced in one go, as deployments do; what happens later is seen, too.
    let (next, last) = (scratch.file("next"), scratch.file("last"));
    fs::create_dir(&next).unwrap();
    act::write(&next.join("new"), b"deployed").unwrap();
    fs::rename(scratch.tree(), last).unwrap();
    fs::rename(next, scratch.tree()).unwrap();
    daemon.sync();
    daemon.verify_all();
    act::append(&scratch.tree().join("new"), b" and changed").unwrap();
    act::write(&scratch.tree().join("later"), b"once more").unwrap();
    daemon.sync();
    daemon.verify_all();
    assert!(brick::inspect(&scratch.store(), &scratch.tree().join("later")).is_some());
}

/// The sandbox is made for directories: one that is made again is closed, and nobody says that all is well.
#[test]
fn a_root_that_is_made_again_is_said_to_be_closed() {
    let scratch = Scratch::new();
    act::write(&scratch.tree().join("old"), b"before").unwrap();
    let Some(daemon) = start(&scratch, BACKEND, &["--no-listen"]) else { return };
    daemon.sync();
    let kept =
        |daemon: &Daemon| daemon.ask(&["status", "--json"]).ok().json()["closed_roots"].clone();
    assert_eq!(kept(&daemon), serde_json::json!([]));
    fs::remove_dir_all(scratch.tree()).unwrap();
    daemon.sync();
    fs::create_dir(scratch.tree()).unwrap();
    act::write(&scratch.tree().join("new"), b"after").unwrap();
    if !daemon.log().contains("landlock=\"Landlock") {
        println!("no Landlock here: nothing is closed");
        daemon.sync();
        return daemon.verify_all();
    }
    let said = daemon.ask(&["sync", "--timeout", "60"]).coded(NOT_ALLOWED);
    assert!(said.err.contains("cannot be read") && said.err.contains("restart"), "{said:?}");
    assert_eq!(kept(&daemon)[0], scratch.tree().to_str().unwrap());
    assert!(daemon.ask(&["status"]).ok().out.contains("cannot be read"));
    assert!(daemon.stop().0.success());
    let Some(daemon) = start(&scratch, BACKEND, &["--no-listen"]) else { return };
    daemon.sync();
    daemon.verify_all();
    assert!(brick::inspect(&scratch.store(), &scratch.tree().join("new")).is_some());
}
