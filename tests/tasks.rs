//! A running daemon with a project: task files, OpenSpec, schedules, reload, and its service manager.
//!
//! Knows: the command line, the files of a project. Must never know: the crates behind it.
//! Keeps: the daemon needs no privileges here; whatever is waited for is an answer, not a time.

mod annotate;
mod demo;
mod openspec;
mod reload;
mod service;

use crate::support::daemon::signal;
use crate::support::program::{self, Said};
use crate::support::{Scratch, act};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// No answer may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A daemon with a configuration file and a service manager of the test's own.
struct Served {
    child: Child,
    manager: UnixDatagram,
    scratch: Scratch,
}

impl Served {
    /// Starts a daemon on `config` (TOML; `TREE` is the scratch tree), and waits until it is ready.
    fn start(scratch: Scratch, config: &str, more: &[(&str, &str)]) -> Self {
        let socket = scratch.file("manager");
        drop(fs::remove_file(&socket));
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(LIMIT)).unwrap();
        write_config(&scratch, config);
        let child = Command::new(program::path())
            .arg("--config")
            .arg(scratch.file("foundry.toml"))
            .env("NOTIFY_SOCKET", &socket)
            .env_remove("WATCHDOG_USEC")
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(scratch.file("stderr")).unwrap())
            .spawn()
            .unwrap();
        let served = Self { child, manager, scratch };
        served.wait_for("READY=1");
        served
    }

    /// What it said on standard error.
    fn log(&self) -> String {
        fs::read_to_string(self.scratch.file("stderr")).unwrap_or_default()
    }

    /// The next message that has `word` in it.
    fn wait_for(&self, word: &str) -> String {
        let mut buf = [0; 4096];
        loop {
            let n = self.manager.recv(&mut buf).unwrap_or_else(|error| {
                panic!("it does not say {word} ({error}):\n{}", self.log());
            });
            let said = String::from_utf8_lossy(&buf[..n]).into_owned();
            if said.contains(word) {
                return said;
            }
        }
    }

    /// Reads the configuration again, and says what came of it.
    fn reload(&self) -> String {
        signal(self.child.id(), rustix::process::Signal::HUP);
        assert!(self.wait_for("RELOADING=1").contains("MONOTONIC_USEC="));
        self.wait_for("READY=1")
    }

    fn ask(&self, args: &[&str]) -> Said {
        let mut command = Command::new(program::path());
        command.args(args).arg("--store").arg(self.scratch.store());
        program::finish(command)
    }

    /// Kills it, and starts it again with the configuration that is there.
    fn kill_and_start(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let config = fs::read_to_string(self.scratch.file("foundry.toml")).unwrap();
        let scratch = std::mem::replace(&mut self.scratch, Scratch::new());
        Self::start(scratch, &config, &[])
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes the configuration file: `text`, and what every test needs.
fn write_config(scratch: &Scratch, text: &str) {
    let tree = scratch.tree().canonicalize().unwrap();
    let (tree, store) = (tree.display().to_string(), scratch.store().display().to_string());
    let text = text.replace("TREE", &tree);
    let rest = format!("store = \"{store}\"\nbackend = \"fanotify\"\nno-listen = true\n");
    let text = if text.contains("no-listen") { text } else { rest + &text };
    act::write(&scratch.file("foundry.toml"), text.as_bytes()).unwrap();
}

/// A project in the scratch tree: its inbox.
fn inbox(scratch: &Scratch) -> PathBuf {
    let inbox = scratch.tree().join("p/openspec/tasks/system_foundry");
    fs::create_dir_all(&inbox).unwrap();
    inbox
}
