//! Many writers at once, doing everything there is to do to a tree.
//!
//! Knows: chance, threads, system calls. Must never know: how changes are found.

use super::start;
use crate::support::{Random, Scratch, act, brick, regular_files, seed};
use std::fs;
use std::path::Path;

const WRITERS: u64 = 4;
const STEPS: u64 = 400;

/// Four threads change one tree; at the end, and twice in between, every brick is the disk's.
pub(super) fn run(backend: &str) {
    let seed = seed();
    let scratch = Scratch::new();
    fs::create_dir(scratch.tree().join("sub")).unwrap();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    for round in 0..3 {
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let tree = scratch.tree();
                let mut random = Random::new(seed ^ (round * 1000 + writer + 1));
                scope.spawn(move || {
                    for _ in 0..STEPS {
                        disturb(&tree, &mut random);
                    }
                });
            }
        });
        daemon.sync();
        daemon.verify_all();
        for file in regular_files(&scratch.tree()) {
            let found = brick::inspect(&scratch.store(), &file);
            let found = found.unwrap_or_else(|| panic!("{}: no brick", file.display()));
            assert_eq!(found.blake3(), brick::b3sum(&file), "{}", file.display());
        }
    }
}

/// One change to one of a few files. Another writer may have been quicker; then it does not happen.
fn disturb(tree: &Path, random: &mut Random) {
    let pick = |random: &mut Random| {
        let dir = if random.below(3) == 0 { tree.join("sub") } else { tree.to_path_buf() };
        dir.join(format!("f{}", random.below(12)))
    };
    let path = pick(random);
    let at = random.below(400_000);
    let len = usize::try_from(random.below(70_000)).unwrap();
    let done = match random.below(12) {
        0..=3 => act::patch(&path, at, &random.bytes(len)),
        4 => act::append(&path, &random.bytes(len)),
        5 => act::truncate(&path, at),
        6 => act::write(&path, &random.bytes(len)),
        7 => act::replace(&path, &random.bytes(len)),
        8 => fs::rename(&path, pick(random)),
        9 => fs::remove_file(&path),
        10 => fs::hard_link(&path, pick(random)),
        _ => act::punch(&path, at, 65536),
    };
    drop(done);
}
