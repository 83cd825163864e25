//! `cargo xtask test`: everything there is to test, in stages, ending in one line of figures.
//!
//! Knows: the order of the stages and what each needs. Must never know: what a stage tests.
//! Keeps: what was not run is said, and fails in CI; the last line is `N passed, N failed`.

use crate::stage::Tally;
use crate::{Outcome, check, live, openspec, place, probes, tools, web};
use std::fs;

/// The stages by name, in the order they run.
const STAGES: [&str; 6] = ["check", "web", "openspec", "live", "probes", "fuzz"];

pub(crate) fn run(args: &[String]) -> Outcome {
    if let Some(unknown) = args.iter().find(|arg| !STAGES.contains(&arg.as_str())) {
        return Err(format!("no stage `{unknown}`; there are {}", STAGES.join(", ")).into());
    }
    let wanted = |stage: &str| args.is_empty() || args.iter().any(|arg| arg == stage);
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
        // What the unit in `deploy/` is for.
        ("systemd-analyze", "systemd"),
    ] {
        if let Err(why) = tools::ensure_debian(program, package) {
            tally.skip(&format!("what needs {program}"), &why);
        }
    }
    for stage in STAGES.into_iter().filter(|stage| wanted(stage)) {
        match stage {
            "check" => check::stages(&mut tally),
            "web" => web::stages(&mut tally),
            "openspec" => openspec::stages(&mut tally),
            "live" => live::stages(&mut tally, &skips),
            "probes" => probes::stages(&mut tally, &skips),
            _ => {
                let mut fuzz = place::cargo();
                tally.stage("fuzzing", 15, fuzz.args(["xtask", "fuzz", "--seconds", "60"]));
            }
        }
    }
    for line in fs::read_to_string(&skips)?.lines() {
        tally.skip("in a test", line);
    }
    tally.close()
}
