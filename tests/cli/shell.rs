//! What shells, pipes and readers of manual pages get.

use super::{fold, run};
use crate::support::{Scratch, program};
use std::io::Read;
use std::process::{Command, Stdio};

const COMMANDS: [&str; 11] = [
    "sync",
    "status",
    "fold",
    "unfold",
    "inspect",
    "verify",
    "replay",
    "export",
    "doctor",
    "completions",
    "man",
];

#[test]
fn every_command_is_in_the_help_the_manual_and_the_completions() {
    let help = run(&[&"--help"]).ok().out;
    let manual = run(&[&"man"]).ok().out;
    let bash = run(&[&"completions", &"bash"]).ok().out;
    assert!(help.contains("Examples:"), "{help}");
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{command} is not in --help");
        assert!(manual.contains(command), "{command} is not in the manual");
        assert!(bash.contains(command), "{command} is not in the completions");
        let page = run(&[&"man", &"--command", &command]).ok().out;
        assert!(page.contains(&format!("foundry\\-user\\-{command}")), "{page}");
        assert!(!run(&[&command, &"--help"]).ok().out.is_empty());
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(run(&[&"completions", &shell]).ok().out.contains("foundry-user"), "{shell}");
    }
    assert!(run(&[&"man", &"--command", &"nothing"]).coded(2).err.contains("no command"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let scratch = Scratch::new();
    let brick = scratch.file("self.brick");
    fold(&program::path(), &brick, "reference");
    let mut child = Command::new(program::path())
        .arg("inspect")
        .arg(&brick)
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The document is larger than a pipe holds, so the writer is still at it.
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn doctor_says_what_would_run_and_why() {
    let said = run(&[&"doctor", &"--json"]);
    assert!(matches!(said.code, Some(0 | 3)), "{said:?}");
    let found = said.json();
    assert_eq!(found["auto"].is_string(), said.code == Some(0), "{found}");
    let backends = found["backends"].as_array().unwrap();
    let names: Vec<&str> = backends.iter().map(|b| b["backend"].as_str().unwrap()).collect();
    assert_eq!(names, ["fentry", "tracepoint", "fanotify"]);
    for backend in backends {
        let usable = backend["usable"].as_bool().unwrap();
        assert_eq!(usable, backend["reason"].is_null(), "{backend}");
    }
    let first = backends.iter().find(|b| b["usable"] == true).map(|b| &b["backend"]);
    assert_eq!(found["auto"].as_str(), first.and_then(|b| b.as_str()));
    let shown = run(&[&"doctor"]);
    assert_eq!(shown.code, said.code);
    for line in shown.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
