//! kill -9 at a bad moment, and what the next start makes of it.
//!
//! Knows: copying, killing, starting. Must never know: how the store recovers.

use super::start;
use crate::support::{Random, Scratch, act, brick, program, regular_files, seed};
use std::fs;

/// Enough files and bytes that a copy of them is under way for a while.
fn fill(dir: &std::path::Path, random: &mut Random) {
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
        let mut copy =
            std::process::Command::new("cp").arg("-r").arg(&source).arg(&to).spawn().unwrap();
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
