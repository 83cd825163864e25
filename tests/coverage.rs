//! The coverage matrix: every way to change a tree, on every file system, with every backend.
//!
//! Knows: which cells there are, what was found of each before. Must never know: how a change is
//! made or found.
//! Keeps: a cell never gets worse than `tests/data/coverage` says of this kernel; after `sync` every
//! brick equals a fresh fold, but in the cells that are named as missed there.
//!
//! `cargo xtask coverage` writes those files and COVERAGE.md. `FOUNDRY_LIVE=1` asks for these tests.

mod found;
mod fresh;
mod run;
mod table;

use crate::sources::stage;
use crate::support::{self, Scratch};
use run::Place;
use std::process::Command;

/// Where a process that a test started works: the mounted file system, the place for everything else.
const STAGE: &str = "FOUNDRY_COVERAGE";
const INSIDE: &str = "coverage::inside";

/// One cell column: all operations on one file system with one backend.
fn column(backend: &str, file_system: &str) {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        println!("not asked for: FOUNDRY_LIVE is not set");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return support::skip(&format!("coverage on {file_system}: mounting needs root"));
    }
    let images = tempfile::Builder::new().prefix("foundry-").tempdir().unwrap();
    let scratch = Scratch::new();
    // An overlay's layers lie where there is a disk, images where there is room.
    let base = match file_system {
        "overlay" => scratch.tree(),
        _ => images.path().to_path_buf(),
    };
    let script = format!(
        "set -e; PATH=$PATH:/usr/sbin:/sbin; cd '{}'; mkdir mounted
         {}
         mkdir -p mounted/work; export {STAGE}=\"$PWD/mounted/work\"; cd /; exec \"$@\"",
        base.display(),
        stage::mount(if file_system == "btrfs" { "btrfs_subvolume" } else { file_system }),
    );
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([INSIDE, "--exact", "--nocapture"])
        .env("FOUNDRY_COVERAGE_COLUMN", format!("{file_system} {backend}"))
        .env("FOUNDRY_COVERAGE_SCRATCH", scratch.store())
        .status()
        .unwrap();
    assert!(status.success(), "{file_system} with {backend}: {status}");
}

/// The part that runs in a mount namespace of its own; nothing, where no test started it.
#[test]
fn inside() {
    let Some(stage) = std::env::var_os(STAGE) else { return };
    let column = std::env::var("FOUNDRY_COVERAGE_COLUMN").unwrap();
    let (file_system, backend) = column.split_once(' ').unwrap();
    let scratch = std::env::var_os("FOUNDRY_COVERAGE_SCRATCH").unwrap().into();
    let place = Place { stage: stage.into(), scratch };
    let Some(cells) = run::every_operation(&place, backend) else { return };
    let known = table::Known::of_this_kernel();
    let mut worse = Vec::new();
    for (operation, cell) in &cells {
        let (word, why) = (cell.found.word(), &cell.detail);
        println!("coverage\t{}\t{file_system}\t{backend}\t{operation}\t{word}", known.kernel);
        let before = known.cell(file_system, backend, operation);
        if cell.found.is_worse_than(before) {
            worse.push(format!("{operation}: {word}, was {}: {why}", before.word()));
        }
    }
    assert!(worse.is_empty(), "{file_system} with {backend}:\n  {}", worse.join("\n  "));
}

macro_rules! columns {
    ($($backend:ident)*) => { $( mod $backend { columns!(on $backend: ext4 xfs btrfs tmpfs overlay); } )* };
    (on $backend:ident: $($file_system:ident)*) => { $(
        #[test]
        fn $file_system() {
            super::column(stringify!($backend), stringify!($file_system));
        }
    )* };
}

columns! { fentry tracepoint fanotify }
