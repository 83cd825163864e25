//! `cargo xtask run -- ARGS`: builds `foundry-user` and becomes it.
//!
//! Knows: cargo, sudo. Must never know: what the arguments mean.

use crate::Outcome;
use crate::place;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) fn run(args: &[String]) -> Outcome {
    let args = match args.split_first() {
        Some((dashes, rest)) if dashes == "--" => rest,
        _ => args,
    };
    let built =
        place::cargo().args(["build", "--release", "--package", "foundry-user"]).status()?;
    if !built.success() {
        return Err("the build failed; what cargo said is above".into());
    }
    let program = place::target_dir().join("release/foundry-user");
    let mut command = if place::is_root() {
        Command::new(&program)
    } else {
        eprintln!("xtask run: probes need root, so sudo may ask for your password");
        let mut sudo = Command::new("sudo");
        sudo.arg("--").arg(&program);
        sudo
    };
    // Replacing this process lets Ctrl-C and the exit code go straight through.
    let error = command.args(args).exec();
    Err(format!("{}: cannot start: {error}", program.display()).into())
}
