//! Running `foundry-user` as a person would.
//!
//! Knows: arguments, exit codes, output. Must never know: what a command means.
//! Keeps: a command that does not answer fails its test in bounded time.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// No command of these tests may take longer, on a machine that is not emulated.
const LIMIT: Duration = Duration::from_secs(120);

/// `time` as long as this machine may take for what takes that on an ordinary one: each instruction
/// costs about ten where they are emulated.
pub(crate) fn patience(time: Duration) -> Duration {
    if std::env::var_os("FOUNDRY_EMULATED").is_some() { 4 * time } else { time }
}

/// The program under test: `FOUNDRY_BIN` on a machine without the build, else what cargo built.
pub(crate) fn path() -> PathBuf {
    std::env::var_os("FOUNDRY_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_foundry-user")), PathBuf::from)
}

/// What a command left.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Fails unless the command ended with 0.
    pub(crate) fn ok(self) -> Self {
        self.coded(0)
    }

    /// Fails unless the command ended with `code`.
    pub(crate) fn coded(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "out: {}\nerr: {}", self.out, self.err);
        self
    }
}

/// Runs `foundry-user` to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: &[S]) -> Said {
    let mut command = Command::new(path());
    command.args(args);
    finish(command)
}

/// Runs any command to its end.
pub(crate) fn finish(mut command: Command) -> Said {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pid = child.id();
    let (tx, rx) = sync_channel(1);
    std::thread::spawn(move || tx.send(child.wait_with_output()));
    let limit = patience(LIMIT);
    match rx.recv_timeout(limit) {
        Ok(output) => said(output.unwrap()),
        Err(_) => {
            super::daemon::signal(pid, rustix::process::Signal::KILL);
            panic!("{command:?}: no end after {} s", limit.as_secs());
        }
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
