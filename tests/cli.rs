//! The command line as a person uses it: round trips, differences, mistakes, pipes, other programs' formats.
//!
//! Knows: the command line's contract. Must never know: the crates behind it.

mod annotate;
mod differences;
mod errors;
mod exports;
mod round_trip;
mod search;
mod shell;

use crate::support::program::{self, Said};
use std::ffi::OsStr;
use std::path::Path;

/// Runs `foundry-user` with arguments that may be paths.
fn run(args: &[&dyn AsRef<OsStr>]) -> Said {
    let args: Vec<&OsStr> = args.iter().map(|a| a.as_ref()).collect();
    program::run(&args)
}

/// Folds `file` into `brick`.
fn fold(file: &Path, brick: &Path, payload: &str) {
    let said = run(&[&"fold", &file, &"-o", &brick, &"--payload", &payload]).ok();
    assert_eq!(said.out, "", "fold has no results to print");
}

/// What `inspect --json` says of a `.brick` file.
fn inspect(brick: &Path) -> serde_json::Value {
    run(&[&"inspect", &brick, &"--json"]).ok().json()
}
