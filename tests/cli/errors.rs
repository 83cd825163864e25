//! Everything that can be asked wrongly: the exit code, and a message that says what to do.

use super::{fold, run};
use crate::support::program::{self, Said};
use crate::support::{Scratch, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A message of one line, lower case, that names the program.
fn check_message(said: &Said, words: &[&str]) {
    let line = said.err.trim_end();
    assert!(line.starts_with("foundry-user: "), "{said:?}");
    assert!(!line.contains('\n'), "{said:?}");
    assert!(!line.contains("panicked") && !line.ends_with('.'), "{said:?}");
    assert_eq!(said.out, "", "a failure has no results");
    for word in words {
        assert!(line.contains(word), "no `{word}` in {line}");
    }
}

fn fold_fails(path: &Path, scratch: &Scratch, code: i32, words: &[&str]) {
    let output = scratch.file("never.brick");
    let said = run(&[&"fold", &path, &"-o", &output]).coded(code);
    check_message(&said, words);
    assert!(!output.exists(), "{} was made nevertheless", output.display());
}

#[test]
fn what_cannot_be_folded_is_said() {
    let scratch = Scratch::new();
    fold_fails(&scratch.file("missing"), &scratch, 5, &["missing", "no such file"]);
    fold_fails(Path::new("/dev/null"), &scratch, 4, &["/dev/null", "is a device"]);
    let fifo = scratch.file("fifo");
    let made = rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR);
    made.unwrap();
    fold_fails(&fifo, &scratch, 4, &["is a FIFO"]);
    let socket = scratch.file("socket");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fold_fails(&socket, &scratch, 4, &["socket"]);
    let loop_link = scratch.file("loop");
    std::os::unix::fs::symlink("loop", &loop_link).unwrap();
    fold_fails(&loop_link, &scratch, 5, &["loop"]);
    // Nothing half-done is left beside what was asked for.
    let left: Vec<_> = fs::read_dir(scratch.file(".")).unwrap().flatten().collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn an_unreadable_file_is_a_matter_of_privileges() {
    let scratch = Scratch::new();
    if !rustix::process::geteuid().is_root() {
        return skip("no root to give a file to, so nobody can be refused");
    }
    // Where nobody may go at all nothing is said about the file.
    let home = tempfile::TempDir::with_prefix("foundry-nobody-").unwrap();
    let (tool, secret) = (home.path().join("foundry-user"), home.path().join("secret"));
    // Written by another process: a test that forks meanwhile would hold it open for writing, and
    // a program that somebody writes cannot be run.
    let mut copy = Command::new("cp");
    copy.arg(program::path()).arg(&tool);
    program::finish(copy).ok();
    fs::write(&secret, "x").unwrap();
    for (path, mode) in [(home.path(), 0o755), (&tool, 0o755), (&secret, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(&tool).arg("fold").arg(&secret).arg("-o").arg(scratch.file("x.brick"));
    let said = program::finish(command).coded(3);
    check_message(&said, &["secret", "permission denied", "sudo"]);
    // Nor may others look into our memory.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(&tool).arg("capture").arg("--pid").arg(std::process::id().to_string());
    command.arg("-o").arg("/tmp/never.brick");
    let said = program::finish(command).coded(3);
    check_message(&said, &["belongs to user 0", "run as root"]);
}

#[test]
fn outputs_are_not_overwritten_by_mistake() {
    let scratch = Scratch::new();
    let (file, brick) = (scratch.file("file"), scratch.file("x.brick"));
    fs::write(&file, "precious").unwrap();
    check_message(&run(&[&"fold", &file, &"-o", &file]).coded(2), &["--output"]);
    fold(&file, &brick, "embedded");
    // A brick may be replaced, something else may not.
    fold(&file, &brick, "embedded");
    let other = scratch.file("other");
    fs::write(&other, "precious").unwrap();
    check_message(&run(&[&"fold", &file, &"-o", &other]).coded(4), &["other", "not a brick"]);
    check_message(&run(&[&"unfold", &brick, &"-o", &file]).coded(2), &["--output"]);
    check_message(&run(&[&"unfold", &brick, &"-o", &brick]).coded(2), &["--output"]);
    check_message(&run(&[&"unfold", &brick, &"-o", &scratch.tree()]).coded(4), &["directory"]);
    let nowhere = scratch.file("no/where");
    check_message(&run(&[&"unfold", &brick, &"-o", &nowhere]).coded(5), &["where"]);
    assert_eq!(fs::read(&other).unwrap(), b"precious");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_brick_that_is_none_is_said() {
    let scratch = Scratch::new();
    let (plain, cut) = (scratch.file("plain"), scratch.file("cut.brick"));
    fs::write(&plain, "no brick").unwrap();
    fs::write(&cut, "V2BR").unwrap();
    let store = scratch.store();
    for command in ["inspect", "verify"] {
        let said = run(&[&command, &plain, &"--store", &store]).coded(4);
        check_message(&said, &["plain", "not a .brick file", "foundry-user fold"]);
        let said = run(&[&command, &scratch.file("gone"), &"--store", &store]).coded(4);
        check_message(&said, &["gone", "no brick of it in the store"]);
        let said = run(&[&command, &cut]).coded(4);
        check_message(&said, &["cut.brick"]);
        let said = run(&[&command, &"pid:1", &"--store", &store]).coded(4);
        check_message(&said, &["pid:1"]);
    }
    let said = run(&[&"verify", &"--all", &"--store", &store]).coded(5);
    check_message(&said, &["store", "no such file"]);
}

#[test]
fn no_daemon_is_said() {
    let scratch = Scratch::new();
    for command in ["sync", "status"] {
        let said = run(&[&command, &"--store", &scratch.store()]).coded(3);
        check_message(&said, &["no daemon is running", "store", "--watch"]);
    }
}

#[test]
fn the_command_line_is_checked() {
    for (line, words) in [
        ("", "Usage"),
        ("frobnicate", "unrecognized subcommand"),
        ("fold", "required"),
        ("verify", "required"),
        ("--backend kprobe --watch /", "invalid value"),
        ("export x --format gif -o y", "invalid value"),
        ("--watch / inspect x", "go with the main job"),
    ] {
        let args: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let said = program::run(&args).coded(2);
        assert!(said.err.contains(words), "{line}: {said:?}");
    }
    let scratch = Scratch::new();
    let file = scratch.file("plain");
    fs::write(&file, "").unwrap();
    check_message(&run(&[&"--watch", &file]).coded(4), &["is not a directory"]);
    check_message(&run(&[&"--watch", &scratch.file("gone")]).coded(5), &["gone", "no such"]);
}

#[test]
fn the_configuration_file_is_checked() {
    let scratch = Scratch::new();
    let file = scratch.file("foundry.toml");
    for (text, words) in [
        ("bakend = 'auto'", ["unknown key `bakend`", "did you mean `backend`?"]),
        ("backend = 'kprobe'", ["unknown value `kprobe`", "fentry"]),
        ("watch = [", ["foundry.toml", "line 1"]),
        ("backend = 'auto'", ["nothing to watch", "--watch"]),
    ] {
        fs::write(&file, text).unwrap();
        check_message(&run(&[&"--config", &file]).coded(2), &words);
    }
    check_message(&run(&[&"--config", &scratch.file("gone")]).coded(5), &["gone", "no such"]);
}
