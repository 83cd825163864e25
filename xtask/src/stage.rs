//! One step of a test run: a command with a time limit, its output passed on and its results counted.
//!
//! Knows: processes, the closing lines of test runners. Must never know: which stages there are.
//! Keeps: a stage ends at its limit, with everything it started; a stage that says nothing of its
//! own counts as one test.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a stage's descendants may hold its output open after it ended.
const GRACE: Duration = Duration::from_secs(5);

/// What has been counted so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Names of failed stages, and what could not be run and why.
    pub(crate) failures: Vec<String>,
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// Notes that something could not be run here. In CI that is a failure.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        println!("\n!! SKIPPED {what}: {why}");
        self.skipped.push(format!("{what}: {why}"));
        if crate::place::is_ci() {
            self.failed += 1;
            self.failures.push(format!("{what} (skipped, which CI does not accept: {why})"));
        }
    }

    /// Notes that something failed before it could be run.
    pub(crate) fn fail(&mut self, what: &str, why: &str) {
        println!("\n== {what}: {why}");
        self.failed += 1;
        self.failures.push(format!("{what}: {why}"));
    }

    /// Runs one stage and adds what it counted; says whether all of it passed.
    pub(crate) fn stage(&mut self, name: &str, minutes: u64, command: &mut Command) -> bool {
        println!("\n== {name}");
        let begun = now();
        let (mut counted, end) = watch(command, Duration::from_secs(minutes * 60));
        match end {
            End::Exited(status) if status.success() => {
                if !counted.by_itself {
                    counted.passed = 1;
                }
            }
            End::Exited(status) => {
                counted.failed = counted.failed.max(1);
                println!("== {name}: {status}");
            }
            End::TooLong => {
                counted.failed += 1;
                println!("== {name}: ended after its limit of {minutes} minutes");
            }
            End::NotStarted(error) => {
                counted.failed += 1;
                println!("== {name}: cannot start: {error}");
            }
        }
        if counted.failed > 0 {
            self.failures.push(name.to_owned());
        }
        self.passed += counted.passed;
        self.failed += counted.failed;
        println!(
            "== {name}: {} passed and {} failed in {} s",
            counted.passed,
            counted.failed,
            begun.elapsed().as_secs()
        );
        counted.failed == 0
    }

    /// Prints the summary; the closing line comes last.
    ///
    /// # Errors
    /// An empty one where anything failed: everything has been said by then.
    pub(crate) fn close(&self) -> crate::Outcome {
        println!();
        for what in &self.skipped {
            println!("skipped {what}");
        }
        for what in &self.failures {
            println!("failed  {what}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { Ok(()) } else { Err("".into()) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Whether the stage counted by itself.
    by_itself: bool,
    passed: u64,
    failed: u64,
}

enum End {
    Exited(ExitStatus),
    TooLong,
    NotStarted(std::io::Error),
}

enum Message {
    Line(String),
    Closed,
    Exited(std::io::Result<ExitStatus>),
}

#[expect(clippy::disallowed_methods, reason = "a time limit is measured by the clock")]
fn now() -> Instant {
    Instant::now()
}

fn watch(command: &mut Command, limit: Duration) -> (Counted, End) {
    // A group of its own, so that everything it started can be ended with it.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return (Counted::default(), End::NotStarted(error)),
    };
    let group = child.id();
    let (tx, rx) = sync_channel(256);
    let mut open = 0;
    if let Some(out) = child.stdout.take() {
        open += 1;
        pass_on(out, tx.clone());
    }
    if let Some(err) = child.stderr.take() {
        open += 1;
        pass_on(err, tx.clone());
    }
    wait_for(child, tx);
    collect(&rx, open, limit, group)
}

fn collect(rx: &Receiver<Message>, mut open: u32, limit: Duration, group: u32) -> (Counted, End) {
    let mut counted = Counted::default();
    let mut deadline = now() + limit;
    let mut status = None;
    loop {
        match rx.recv_timeout(deadline.saturating_duration_since(now())) {
            Ok(Message::Line(line)) => {
                println!("{line}");
                let more = count(&line);
                counted.by_itself |= more.by_itself;
                counted.passed += more.passed;
                counted.failed += more.failed;
            }
            Ok(Message::Closed) => open -= 1,
            Ok(Message::Exited(Ok(ended))) => {
                status = Some(ended);
                deadline = now() + GRACE;
            }
            Ok(Message::Exited(Err(error))) => return (counted, End::NotStarted(error)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                end_group(group);
                return (counted, status.map_or(End::TooLong, End::Exited));
            }
        }
        if let (Some(status), 0) = (status, open) {
            return (counted, End::Exited(status));
        }
    }
}

fn pass_on(from: impl Read + Send + 'static, tx: SyncSender<Message>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
            if tx.send(Message::Line(line)).is_err() {
                return;
            }
            bytes.clear();
        }
        // Nobody listens any more once the stage was given up.
        drop(tx.send(Message::Closed));
    });
}

fn wait_for(mut child: Child, tx: SyncSender<Message>) {
    thread::spawn(move || {
        let status = child.wait();
        drop(tx.send(Message::Exited(status)));
    });
}

/// Ends what a stage left behind. Failing to is not worth more than the stage's own failure.
fn end_group(group: u32) {
    // What was started through sudo ends only for root.
    let kill = crate::tools::as_root("kill").unwrap_or_else(|| Command::new("kill"));
    drop({ kill }.args(["-KILL", "--", &format!("-{group}")]).status());
}

/// The results in one line of output: `test result: ok. 3 passed; 0 failed; ...`
/// of the standard test runner, or `3 passed, 0 failed` alone on the line.
fn count(line: &str) -> Counted {
    let line = line.trim();
    let found = match line.strip_prefix("test result: ") {
        Some(rest) => rest.split_once(". ").and_then(|(_, counts)| pair(counts, "; ")),
        None => pair(line, ", "),
    };
    found.unwrap_or_default()
}

fn pair(text: &str, separator: &str) -> Option<Counted> {
    let (passed, rest) = text.split_once(" passed")?;
    let rest = rest.strip_prefix(separator)?;
    let (failed, _) = rest.split_once(" failed")?;
    Some(Counted { by_itself: true, passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted() {
        for (line, passed, failed) in [
            ("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured", 12, 0),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored", 3, 2),
            ("7 passed, 1 failed", 7, 1),
            ("7 passed, 1 failed, 2 skipped", 7, 1),
            ("== unit: 7 passed and 1 failed in 3 s", 0, 0),
            ("it said 7 passed, 1 failed", 0, 0),
            ("test result: ok.", 0, 0),
        ] {
            let counted = count(line);
            assert_eq!((counted.passed, counted.failed), (passed, failed), "{line}");
        }
    }

    #[test]
    fn a_stage_ends_at_its_limit_with_its_children() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo '2 passed, 0 failed'; sleep 600 & wait"]);
        let (counted, end) = watch(&mut shell, Duration::from_millis(300));
        assert!(matches!(end, End::TooLong));
        assert_eq!(counted.passed, 2);
    }

    #[test]
    fn a_failing_command_is_a_failure() {
        let mut tally = Tally::default();
        tally.stage("false", 1, &mut Command::new("false"));
        tally.stage("true", 1, &mut Command::new("true"));
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert!(tally.close().is_err());
    }
}
