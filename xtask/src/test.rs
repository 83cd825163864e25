//! `cargo xtask test`: everything there is to test, in stages, ending in one line of figures.
//!
//! Knows: the order of the stages and what each needs. Must never know: what a stage tests.
//! Keeps: what was not run is said, and fails in CI; the last line is `N passed, N failed`.

use crate::stage::Tally;
use crate::{Outcome, check, place, tools};
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn run(_args: &[String]) -> Outcome {
    let skips = place::target_dir().join("foundry-skips.txt");
    fs::create_dir_all(place::target_dir())?;
    fs::write(&skips, "")?;

    let mut tally = Tally::default();
    for (program, package) in [
        // The reader in another language that shows FORMAT.md is enough to write one.
        ("python3", "python3"),
        // File systems that live tests mount from an image.
        ("mkfs.ext4", "e2fsprogs"),
        ("mkfs.xfs", "xfsprogs"),
        ("mkfs.btrfs", "btrfs-progs"),
    ] {
        if let Err(why) = tools::ensure_debian(program, package) {
            tally.skip(&format!("what needs {program}"), &why);
        }
    }
    check::stages(&mut tally);
    live(&mut tally, &skips);
    for line in fs::read_to_string(&skips)?.lines() {
        tally.skip("in a test", line);
    }
    tally.close()
}

/// The tests that load probes into the running kernel and mount file systems.
fn live(tally: &mut Tally, skips: &Path) {
    const NAME: &str = "live tests";
    let Some(runner) = runner() else {
        tally.skip(NAME, "they need root; run this as root, or allow sudo without a password");
        return;
    };
    let mut command = place::cargo();
    command
        .args(["test", "--locked", "--package", "foundry-user", "--test", "integration", "--"])
        .args(["live::", "--test-threads", "2"])
        .env("FOUNDRY_SKIPS", skips);
    if let Some(runner) = runner {
        command.env(format!("CARGO_TARGET_{}_RUNNER", triple()), runner);
    }
    tally.stage(NAME, 20, &mut command);
}

/// What to put before a test binary to run it as root: nothing for root itself, `None` where
/// there is no way.
fn runner() -> Option<Option<&'static str>> {
    if place::is_root() {
        return Some(None);
    }
    tools::as_root("true").map(|_| Some("sudo -n -E --"))
}

/// The host's target triple as cargo writes it in the names of variables.
fn triple() -> String {
    let text = Command::new("rustc").arg("-vV").output().map(|out| out.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    host.to_uppercase().replace('-', "_")
}
