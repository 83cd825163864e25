//! A running daemon, from its start to whatever end a test gives it.
//!
//! Knows: the daemon's flags and socket. Must never know: what the daemon does inside.
//! Keeps: the daemon ends when its test does; what it said is in the failure's text.

use super::program::{self, Said};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Exit code of a command that the environment does not allow.
const NOT_ALLOWED: i32 = 3;

/// A sync takes no longer, on a machine that is not emulated.
const SYNC_LIMIT: Duration = Duration::from_secs(60);

/// A `foundry-user --watch` of a test's own.
pub(crate) struct Daemon {
    child: Child,
    store: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    closed: Receiver<()>,
}

/// Why a daemon did not start.
pub(crate) enum Refusal {
    /// The kernel or the privileges do not allow it.
    NotAllowed(String),
}

impl Daemon {
    /// Starts a daemon and waits until it answers.
    ///
    /// # Errors
    /// Where this environment does not allow the backend. Anything else panics.
    pub(crate) fn start(
        tree: &Path,
        store: &Path,
        backend: &str,
        more: &[&str],
    ) -> Result<Self, Refusal> {
        Self::start_in(tree, store, backend, more, &[])
    }

    /// The same, with variables in its environment.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub(crate) fn start_in(
        tree: &Path,
        store: &Path,
        backend: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self, Refusal> {
        let mut command = Command::new(program::path());
        command.envs(variables.iter().copied()).args(["--backend", backend]).args(more);
        Self::launch(command, tree, store)
    }

    /// Starts a daemon as another user, from a copy of the program that this user may run.
    pub(crate) fn start_as(
        user: u32,
        program: &Path,
        tree: &Path,
        store: &Path,
        more: &[&str],
    ) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.uid(user).gid(user).arg("--no-listen").args(more);
        match Self::launch(command, tree, store) {
            Ok(daemon) => daemon,
            Err(Refusal::NotAllowed(why)) => panic!("every user may do this: {why}"),
        }
    }

    fn launch(mut command: Command, tree: &Path, store: &Path) -> Result<Self, Refusal> {
        command
            .arg("--watch")
            .arg(tree)
            .arg("--store")
            .arg(store)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        dies_with_this_thread(&mut command);
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (line_tx, lines) = sync_channel(64);
        let (closed_tx, closed) = sync_channel(1);
        let stderr = child.stderr.take().unwrap();
        let keep = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                keep.lock().unwrap().push(line);
                // The test stops listening once the daemon answers; the log goes on.
                line_tx.try_send(()).ok();
            }
            closed_tx.send(()).ok();
        });
        let mut daemon = Self { child, store: store.to_path_buf(), log, closed };
        daemon.wait_until_it_answers(&lines)?;
        Ok(daemon)
    }

    fn wait_until_it_answers(&mut self, lines: &Receiver<()>) -> Result<(), Refusal> {
        // Each line it says, or each moment of silence, is a reason to ask again.
        for _ in 0..1200 {
            match lines.recv_timeout(Duration::from_millis(50)) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().unwrap();
                    let log = self.log();
                    if status.code() == Some(NOT_ALLOWED) {
                        return Err(Refusal::NotAllowed(log));
                    }
                    panic!("the daemon ended at its start with {status}:\n{log}");
                }
            }
            if self.store.join("control.sock").exists() && self.ask(&["status"]).code == Some(0) {
                return Ok(());
            }
        }
        panic!("the daemon does not answer:\n{}", self.log());
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks again and again until the answer is as `wanted`; false where it never is.
    pub(crate) fn wait_for(&self, args: &[&str], wanted: impl Fn(Said) -> bool) -> bool {
        // Each question takes a process, so this is a minute or more.
        (0..3000).any(|_| wanted(self.ask(args)))
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// What it has said at its end, for which it is waited for a while.
    pub(crate) fn last_words(&self) -> String {
        self.closed.recv_timeout(Duration::from_secs(20)).ok();
        self.log()
    }

    /// Runs a command against this daemon's store.
    pub(crate) fn ask(&self, args: &[&str]) -> Said {
        let mut command = Command::new(program::path());
        command.args(args).arg("--store").arg(&self.store);
        program::finish(command)
    }

    /// Returns when everything that happened before is in the bricks.
    pub(crate) fn sync(&self) {
        let seconds = program::patience(SYNC_LIMIT).as_secs().to_string();
        let said = self.ask(&["sync", "--timeout", &seconds]);
        assert_eq!(said.code, Some(0), "sync: {said:?}\ndaemon:\n{}", self.log());
    }

    /// Every brick against its checksums and the disk.
    pub(crate) fn verify_all(&self) {
        let said = self.ask(&["verify", "--all"]);
        assert_eq!(said.code, Some(0), "verify --all: {said:?}\ndaemon:\n{}", self.log());
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.closed.recv_timeout(Duration::from_secs(10)).ok();
    }

    /// Returns when it has ended by itself, and says how.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        if self.closed.recv_timeout(Duration::from_secs(60)).is_err() {
            panic!("the daemon does not end:\n{}", self.log());
        }
        let status = self.child.wait().unwrap();
        (status, self.log())
    }

    /// Ends it as its user would, and says how it ended.
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.end_with(rustix::process::Signal::TERM)
    }

    /// Ends it with a signal, and says how it ended.
    pub(crate) fn end_with(mut self, ending: rustix::process::Signal) -> (ExitStatus, String) {
        signal(self.child.id(), ending);
        // Its standard error closes when it is gone.
        if self.closed.recv_timeout(Duration::from_secs(60)).is_err() {
            panic!("the daemon does not stop:\n{}", self.log());
        }
        let status = self.child.wait().unwrap();
        (status, self.log())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whatever becomes of the test, and of the whole run: its daemon does not outlive the thread that
/// starts it.
pub(crate) fn dies_with_this_thread(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let die = || {
        let kill = Some(rustix::process::Signal::KILL);
        Ok(rustix::process::set_parent_process_death_signal(kill)?)
    };
    // SAFETY: one system call, which takes no lock and no memory.
    unsafe { command.pre_exec(die) };
}

/// Sends a signal to a process that a test started.
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    // Gone already is what a signal is for.
    rustix::process::kill_process(pid, signal).ok();
}
