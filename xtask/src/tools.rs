//! Getting what the tests need onto this machine, where that is allowed.
//!
//! Knows: apt-get, cargo install, sudo. Must never know: what the tools are for.
//! Keeps: nothing is installed without root or a sudo that asks no questions.

use crate::place;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where a program lies, if it is on the path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        // Tools of the system administrator are often missing from a user's path.
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A command run as root, where that needs no question; `None` elsewhere.
pub(crate) fn as_root(program: &str) -> Option<Command> {
    if place::is_root() {
        return Some(Command::new(program));
    }
    let quiet = Command::new("sudo")
        .args(["-n", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    quiet.then(|| {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "--", program]);
        sudo
    })
}

/// Makes sure that `program` is there, installing Debian's `package` if need be.
///
/// # Errors
/// What a person has to do, where this machine does not let us.
pub(crate) fn ensure_debian(program: &str, package: &str) -> Result<PathBuf, String> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    install_debian(&[package])?;
    find(program).ok_or_else(|| format!("{package} is installed and yet there is no {program}"))
}

/// Installs Debian packages.
///
/// # Errors
/// What a person has to do, where this machine does not let us.
pub(crate) fn install_debian(packages: &[&str]) -> Result<(), String> {
    let wanted = packages.join(" ");
    let by_hand = || format!("as root: apt-get install {wanted}");
    if find("apt-get").is_none() {
        return Err(format!("install {wanted} (this is not Debian)"));
    }
    static UPDATED: OnceLock<bool> = OnceLock::new();
    let updated = *UPDATED.get_or_init(|| apt(&["update"]));
    if !updated {
        return Err(format!("apt-get update did not work; {}", by_hand()));
    }
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    if apt(&args) { Ok(()) } else { Err(by_hand()) }
}

fn apt(args: &[&str]) -> bool {
    println!("   apt-get {}", args.join(" "));
    // Debian's tools ask nothing under this front end; `env` carries it through sudo.
    as_root("env").is_some_and(|mut command| {
        command
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// Runs a command that has to end well.
pub(crate) fn succeed(command: &mut Command) -> crate::Outcome {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
