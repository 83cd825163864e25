//! The story that README tells, as a test: a program is copied, patched, found, verified, unfolded.
//!
//! Knows: the commands of the everyday. Must never know: the crates behind them.

use super::start;
use crate::support::{Scratch, act, brick, program, regular_files};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A real program of this machine, of several tiles.
fn real_program() -> PathBuf {
    // The program under test is one, and it is there on every machine that runs these tests.
    program::path()
}

fn dd(file: &Path, seek: u64) {
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", "bs=1", "count=3", "conv=notrunc"])
        .arg(format!("seek={seek}"))
        .arg(format!("of={}", file.display()));
    program::finish(dd).ok();
}

/// Copy a program in, patch three bytes, and ask who, where and whether.
pub(super) fn run(backend: &str) {
    let scratch = Scratch::new();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let tool = scratch.tree().join("tool");
    fs::copy(real_program(), &tool).unwrap();
    daemon.sync();
    let before = brick::inspect(&scratch.store(), &tool).unwrap();
    assert_eq!(before.blake3(), brick::b3sum(&tool));

    let middle = fs::metadata(&tool).unwrap().len() / 2;
    // Bytes that are zero already would be no change.
    act::patch(&tool, middle, b"abc").unwrap();
    daemon.sync();
    let patched = brick::inspect(&scratch.store(), &tool).unwrap();
    dd(&tool, middle);
    daemon.sync();
    let after = brick::inspect(&scratch.store(), &tool).unwrap();
    assert!(after.generation() > patched.generation(), "{}", after.json);
    assert_eq!(after.blake3(), brick::b3sum(&tool));
    let last = (middle + 2) >> 16;
    let changed = after.changed_since(patched.generation());
    assert_eq!(changed, (middle >> 16..=last).collect::<Vec<_>>(), "{}", after.json);
    if backend != "fanotify" {
        assert_eq!(after.last_writer().as_deref(), Some("dd"), "{}", after.json);
    }
    daemon.verify_all();

    let back = scratch.file("back");
    let back_text = back.to_str().unwrap().to_owned();
    brick::ask("unfold", &scratch.store(), &tool, &["-o", &back_text]).ok();
    assert_eq!(brick::b3sum(&back), brick::b3sum(&tool));
}

/// A recorded run replays, twice and without privileges, to files that are the same byte for byte.
pub(super) fn replay(backend: &str) {
    let scratch = Scratch::new();
    let log = scratch.file("run.log");
    let log_text = log.to_str().unwrap().to_owned();
    act::write(&scratch.tree().join("before"), &[1; 200_000]).unwrap();
    let Some(daemon) = start(&scratch, backend, &["--record", &log_text]) else { return };
    for i in 0..20_u8 {
        act::write(&scratch.tree().join(format!("f{i}")), &vec![i; 10_000 * usize::from(i)])
            .unwrap();
    }
    dd(&scratch.tree().join("before"), 100_000);
    daemon.sync();
    act::replace(&scratch.tree().join("f7"), b"replaced").unwrap();
    fs::remove_file(scratch.tree().join("f8")).unwrap();
    fs::rename(scratch.tree().join("f9"), scratch.tree().join("g9")).unwrap();
    daemon.sync();
    let (status, said) = daemon.stop();
    assert_eq!(status.code(), Some(0), "{said}");

    let live = contents(&scratch.store());
    assert!(live.len() >= 20, "too few bricks: {:?}", live.keys());
    // The original tree is not needed.
    fs::remove_dir_all(scratch.tree()).unwrap();
    let first = scratch.file("first");
    program::run(&["replay".as_ref(), log.as_os_str(), "--store".as_ref(), first.as_os_str()]).ok();
    assert_eq!(contents(&first), live, "a replay and the run it was recorded from");
    let second = replay_as_nobody(&scratch, &log);
    assert_eq!(contents(&second), live, "a replay without privileges");
}

/// Replays as a user who may do nothing, from a copy of the log in a place of their own.
fn replay_as_nobody(scratch: &Scratch, log: &Path) -> PathBuf {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let home = tempfile::TempDir::with_prefix("foundry-nobody-").unwrap().keep();
    let (copy, tool) = (home.join("run.log"), home.join("foundry-user"));
    fs::copy(log, &copy).unwrap();
    // Another test's child could inherit our open copy for a moment, and a file that is open for
    // writing cannot be run; so another process writes it.
    let mut cp = Command::new("cp");
    cp.arg(program::path()).arg(&tool);
    program::finish(cp).ok();
    for path in [&home, &copy, &tool] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let mut command = Command::new(&tool);
    command
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir(&home)
        .arg("replay")
        .arg(&copy)
        .arg("--store")
        .arg(home.join("store"));
    program::finish(command).ok();
    let kept = scratch.file("second");
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(home.join("store")).arg(&kept);
    program::finish(copy).ok();
    fs::remove_dir_all(&home).unwrap();
    kept
}

/// Every brick of a store by its name, as a hash of its bytes.
fn contents(store: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    let bricks = store.join("bricks");
    regular_files(&bricks)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "brick"))
        .map(|file| (file.strip_prefix(&bricks).unwrap().to_path_buf(), brick::b3sum(&file)))
        .collect()
}
