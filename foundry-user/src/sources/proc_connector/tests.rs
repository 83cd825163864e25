//! Gaps in the numbering are said exactly once, and real processes are seen.

use super::records::{Message, What};
use super::*;

fn message(cpu: u32, seq: u32) -> Message {
    Message { cpu: Some(cpu), seq, at_ns: 0, what: What::Other }
}

fn lost(out: &[Event]) -> u64 {
    out.iter().map(|event| if let Event::Lost { n, .. } = event { *n } else { 0 }).sum()
}

#[test]
fn each_processor_counts_for_itself() {
    let (mut state, mut out) = (State::default(), Vec::new());
    for (cpu, seq) in [(0, 5), (1, 900), (0, 6), (1, 901), (0, 7)] {
        state.take(message(cpu, seq), &mut out);
    }
    assert_eq!(lost(&out), 0);
    state.take(message(1, 905), &mut out);
    assert_eq!(out, [Event::Lost { kind: LossKind::Process, n: 3 }]);
    state.take(message(0, 8), &mut out);
    assert_eq!(lost(&out), 3);
}

#[test]
fn the_numbering_wraps_and_restarts() {
    let (mut state, mut out) = (State::default(), Vec::new());
    for seq in [u32::MAX - 1, u32::MAX, 0, 1] {
        state.take(message(0, seq), &mut out);
    }
    assert_eq!(lost(&out), 0);
    state.take(message(0, 0), &mut out);
    assert_eq!(lost(&out), 1);
}

#[test]
fn an_overflow_is_said_at_once_and_not_twice() {
    let (mut state, mut out) = (State::default(), Vec::new());
    state.take(message(0, 1), &mut out);
    state.overflowed(&mut out);
    assert_eq!(lost(&out), 1);
    state.take(message(0, 7), &mut out);
    assert_eq!(lost(&out), 5);
    state.take(message(0, 8), &mut out);
    assert_eq!(lost(&out), 5);
    assert_eq!(state.counters.lost[&LossKind::Process], 5);
}

fn wait(source: &ProcConnector) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(source.wait_fd(), PollFlags::IN)];
    let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "nothing happened for a minute");
}

/// The connector exists in the first namespaces only; a container without it says so.
#[test]
fn a_program_is_seen_to_start_and_end() {
    let mut source = match ProcConnector::open() {
        Ok(source) => source,
        Err(SourceError::Unavailable { reason, .. }) => {
            assert!(std::env::var_os("CI").is_none(), "no process connector: {reason}");
            eprintln!("SKIPPED: no process connector: {reason}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    // The program waits for its input to end, so that it can be looked at.
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut out = Vec::new();
    // The start is told shortly after `spawn` returns.
    let started = loop {
        wait(&source);
        source.drain(&mut out).unwrap();
        let started = out.iter().find_map(|event| match event {
            Event::Exec { actor, .. } if actor.pid == pid => Some(actor.clone()),
            _ => None,
        });
        if let Some(started) = started {
            break started;
        }
    };
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    source.drain(&mut out).unwrap();
    assert_eq!(started.comm, b"cat");
    assert_eq!(
        started.exe.as_deref().and_then(|exe| exe.rsplit(|b| *b == b'/').next()),
        Some(&b"cat"[..])
    );
    let ended =
        out.iter().any(|event| matches!(event, Event::Exit { actor, .. } if *actor == started));
    assert!(ended, "{out:?}");
    assert_eq!(source.counters().lost.get(&LossKind::Process), None);
}
