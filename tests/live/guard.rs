//! What a running daemon may do: as root, after its start, and as a user who may nothing.
//!
//! Knows: `/proc`, the command line. Must never know: how privileges are given up.

use super::start;
use crate::support::daemon::Daemon;
use crate::support::{Scratch, act, brick, program};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// CAP_DAC_READ_SEARCH, all that a daemon keeps.
const READ_ALL: u64 = 1 << 2;
/// What its witness keeps: that, CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE.
const LOOK: u64 = READ_ALL | 1 << 19 | 1 << 40;
const NOBODY: u32 = 65534;

/// A field of a `status` file of /proc.
fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

fn assert_confined(status: &Path, most: u64) {
    let status = fs::read_to_string(status).unwrap();
    let set = |name: &str| u64::from_str_radix(&field(&status, name), 16).unwrap();
    assert_eq!(field(&status, "NoNewPrivs:"), "1", "{status}");
    for name in ["CapPrm:", "CapEff:"] {
        assert_eq!(set(name) & !most, 0, "{name} {status}");
    }
    for name in ["CapInh:", "CapAmb:", "CapBnd:"] {
        assert_eq!(set(name), 0, "{name} {status}");
    }
}

/// Whether this kernel has Landlock, as `doctor` says.
fn has_landlock() -> bool {
    let found = program::run(&["doctor", "--json"]).json();
    let checks = found["checks"].as_array().unwrap().clone();
    checks.iter().any(|check| check["name"] == "landlock" && check["ok"] == true)
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|status| field(&status, "PPid:") == parent.to_string())
    };
    pids.filter(is_child).collect()
}

/// Every thread of the daemon, and its witness, have given up what they do not need; and it works.
pub(super) fn privileges_are_given_up(backend: &str) {
    let scratch = Scratch::new();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let file = scratch.tree().join("file");
    act::write(&file, &[3; 70_000]).unwrap();
    // Whoever owns it, and whoever else may not read it.
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    act::patch(&file, 5, b"changed").unwrap();
    daemon.sync();
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let tasks: Vec<PathBuf> = tasks.map(|task| task.unwrap().path()).collect();
    assert!(tasks.len() > 3, "{tasks:?}");
    for task in &tasks {
        assert_confined(&task.join("status"), READ_ALL);
    }
    let children = children(daemon.pid());
    assert_eq!(children.len(), 1, "the witness, and nobody else");
    let said = daemon.log();
    assert!(said.contains("landlock=\"Landlock ") || !has_landlock(), "{said}");
    assert_confined(Path::new(&format!("/proc/{}/status", children[0])), LOOK);
    assert_eq!(brick::inspect(&scratch.store(), &file).unwrap().blake3(), brick::b3sum(&file));
    daemon.verify_all();
    let (status, said) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{said}");
    let witness = format!("/proc/{}", children[0]);
    assert!(!Path::new(&witness).exists(), "the witness outlives the daemon");
}

/// A place that belongs to a user without privileges, with the program in it.
struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::TempDir::with_prefix("foundry-nobody-").unwrap();
        let home = Self { dir };
        // A file that another test's child has open for writing cannot be run; so another process
        // writes it.
        let mut cp = Command::new("cp");
        cp.arg(program::path()).arg(home.at("foundry-user"));
        program::finish(cp).ok();
        fs::create_dir(home.at("tree")).unwrap();
        for path in [home.dir.path(), &home.at("foundry-user"), &home.at("tree")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
        chown(self.at(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A user without any privilege watches a tree of their own, and everything is right after a sync;
/// what nobody tells them is found by the sweep, and said to be stale until then.
#[test]
fn an_ordinary_user_watches_a_tree() {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        return println!("not asked for: FOUNDRY_LIVE is not set");
    }
    let home = Home::new();
    home.write("tree/file", &[1; 100_000]);
    // A name outside of the tree, for later.
    fs::hard_link(home.at("tree/file"), home.at("outside")).unwrap();
    let daemon = Daemon::start_as(
        NOBODY,
        &home.at("foundry-user"),
        &home.at("tree"),
        &home.at("store"),
        &["--sweep", "1"],
    );
    daemon.sync();
    let report = daemon.ask(&["status", "--json"]).ok().json();
    assert!(["fanotify", "inotify"].contains(&report["backend"].as_str().unwrap()), "{report}");
    assert!(report["stale"].is_u64(), "{report}");
    for name in ["made", "more"] {
        home.write(&format!("tree/{name}"), name.as_bytes());
    }
    act::patch(&home.at("tree/file"), 70_000, b"changed").unwrap();
    daemon.sync();
    daemon.verify_all();

    let said = brick::inspect(&home.at("store"), &home.at("tree/file")).unwrap();
    assert_eq!(said.json["freshness"]["stale"], true, "{}", said.json);
    // A link that is made after the tracking, and written through: nobody is told.
    fs::hard_link(home.at("tree/made"), home.at("later")).unwrap();
    daemon.sync();
    fs::write(home.at("later"), b"through another name").unwrap();
    let found = daemon.wait_for(&["status", "--json"], |said| {
        let hash = brick::inspect(&home.at("store"), &home.at("tree/made"));
        said.json()["compared_unix_seconds"].is_u64()
            && hash.is_some_and(|brick| brick.blake3() == brick::b3sum(&home.at("later")))
    });
    assert!(found, "a sweep finds what nobody told: {}", daemon.log());
    daemon.verify_all();
    let (status, said) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// A root that is made again, closed at first, and opened then: no `sync` says that all is well before.
#[test]
fn a_root_that_is_closed_for_a_while() {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        return println!("not asked for: FOUNDRY_LIVE is not set");
    }
    let home = Home::new();
    home.write("tree/file", b"before");
    let (program, tree) = (home.at("foundry-user"), home.at("tree"));
    let more = ["--no-sandbox", "--sweep", "3600"];
    let daemon = Daemon::start_as(NOBODY, &program, &tree, &home.at("store"), &more);
    daemon.sync();
    fs::remove_dir_all(&tree).unwrap();
    fs::create_dir(&tree).unwrap();
    home.write("tree/file", b"after");
    chown(&tree, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o000)).unwrap();
    let said = daemon.ask(&["sync", "--timeout", "60"]).coded(3);
    assert!(said.err.contains("cannot be read"), "{said:?}");
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).unwrap();
    daemon.sync();
    daemon.verify_all();
}

/// A directory and a file that were read and are closed then: no `sync` says that all is well, it says
/// which they are; what never could be read is only said. Opened again, both follow without a word.
#[test]
fn what_is_closed_for_a_while_is_named() {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        return println!("not asked for: FOUNDRY_LIVE is not set");
    }
    let home = Home::new();
    let dir = home.at("tree/dir");
    fs::create_dir_all(&dir).unwrap();
    for name in ["tree/file", "tree/dir/below", "tree/secret"] {
        home.write(name, b"before");
    }
    chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    chown(home.at("tree/secret"), Some(0), Some(0)).unwrap();
    let mode = |at: &Path, mode| fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    mode(&home.at("tree/secret"), 0o600);
    let more = ["--no-sandbox", "--sweep", "3600"];
    let (program, tree) = (home.at("foundry-user"), home.at("tree"));
    let daemon = Daemon::start_as(NOBODY, &program, &tree, &home.at("store"), &more);
    let said = daemon.ask(&["sync", "--timeout", "60"]).ok();
    assert!(said.err.contains("tree/secret (the daemon may not read it)"), "{said:?}");
    mode(&dir, 0o000);
    mode(&home.at("tree/file"), 0o000);
    for name in ["tree/file", "tree/dir/below", "tree/dir/more"] {
        fs::write(home.at(name), b"after").unwrap();
    }
    let said = daemon.ask(&["sync", "--timeout", "60"]).coded(3);
    assert!(said.err.contains("tree/file (the daemon may not read it)"), "{said:?}");
    assert!(said.err.contains("tree/dir (the daemon may not read it)"), "{said:?}");
    let left_out = || daemon.ask(&["status", "--json"]).ok().json()["left_out"].clone();
    assert_eq!(left_out()["behind"], 3, "{}", left_out());
    mode(&dir, 0o755);
    mode(&home.at("tree/file"), 0o644);
    let status = ["status", "--json"];
    let followed = daemon.wait_for(&status, |said| said.json()["left_out"]["behind"] == 0);
    assert!(followed, "nobody says that they can be read again: {}", left_out());
    mode(&home.at("tree/secret"), 0o644);
    daemon.sync();
    assert_eq!(left_out()["count"], 0, "{}", left_out());
    daemon.verify_all();
}
