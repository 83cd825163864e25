//! `cargo xtask check`: format, lints, documentation, and every test that needs no privileges.
//!
//! Knows: cargo's subcommands. Must never know: root, kernels, other machines.

use crate::Outcome;
use crate::place;
use crate::stage::Tally;

pub(crate) fn run(_args: &[String]) -> Outcome {
    let mut tally = Tally::default();
    stages(&mut tally);
    tally.close()
}

/// The stages that `test` begins with, too.
pub(crate) fn stages(tally: &mut Tally) {
    tally.stage("format", 2, place::cargo().args(["fmt", "--all", "--check"]));
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    tally.stage("lints", 20, place::cargo().args(clippy));
    tally.stage(
        "documentation",
        10,
        place::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    );
    tally.stage(
        "tests without privileges",
        20,
        place::cargo().args(["test", "--workspace", "--locked", "--no-fail-fast", "--"]).args([
            // Live tests have a stage of their own, which knows what this machine allows.
            "--skip", "live::",
        ]),
    );
}
