//! What every integration test stands on: the program, a running daemon, bricks, a place to work in.
//!
//! Knows: the command line of `foundry-user`. Must never know: the crates behind it.
//! Keeps: whatever a test started ends with it; whatever could not be tested is said.

pub(crate) mod act;
pub(crate) mod brick;
pub(crate) mod daemon;
pub(crate) mod mount;
pub(crate) mod ops;
pub(crate) mod program;
pub(crate) mod unseen;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Notes that a test cannot run here. `cargo xtask test` shows it; in CI it is a failure.
pub(crate) fn skip(why: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "skipped, which CI does not accept: {why}");
    println!("skipped: {why}");
    if let Some(notes) = std::env::var_os("FOUNDRY_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(notes).unwrap();
        writeln!(file, "{why}").unwrap();
    }
}

/// Two directories of a test's own: one that is watched, one for the store.
pub(crate) struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Made in `FOUNDRY_TEST_DIR`, where a test run names a file system to work on, else among
    /// what cargo built: a real disk, where `/tmp` may be none.
    pub(crate) fn new() -> Self {
        let base = std::env::var_os("FOUNDRY_TEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        std::fs::create_dir_all(&base).unwrap();
        let dir = TempDir::with_prefix_in("foundry-", &base)
            .unwrap_or_else(|error| panic!("{}: {error}", base.display()));
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        Self { dir }
    }

    /// The watched tree.
    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Any other file of the test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Every regular file below `dir`, sorted.
pub(crate) fn regular_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The seed of a random test: `FOUNDRY_SEED`, or a new one. Printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let seed = std::env::var("FOUNDRY_SEED").ok().and_then(|text| text.parse().ok());
    // The standard library's hasher is seeded by the system; no other source of chance is needed.
    let seed = seed
        .unwrap_or_else(|| std::collections::hash_map::RandomState::new().build_hasher().finish());
    println!("FOUNDRY_SEED={seed}");
    seed
}

/// Marsaglia's xorshift: chance that a seed repeats.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Zero is the one state it never leaves.
        Self(seed.max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
