//! What a fuzzer does with a guide, blindly and on any toolchain: mutations of good bytes.
//! The records of fanotify, inotify and the process connector have theirs beside their parsers.

use super::*;
use crate::sources::mutations::each;
use crate::stats::Report;
use std::cell::Cell;

/// The first frames of a recorded log: names come and go, and files change.
fn recorded() -> Vec<u8> {
    let mut bytes = include_bytes!("../../../tests/data/replay/trees.log").to_vec();
    bytes.truncate(2_000);
    bytes
}

#[test]
fn a_damaged_log_is_refused_or_replayed() {
    let (all, none) = (replay_log(&recorded()), Cell::new(0));
    assert!(5 < all, "{all} inputs");
    each(&recorded(), |bytes| {
        let mut bytes = bytes.to_vec();
        mend_log(&mut bytes);
        if replay_log(&bytes) == 0 {
            none.set(none.get() + 1);
        }
    });
    // Most damage leaves a log that can be read: what follows is inputs that no run would give.
    assert!(none.get() < 15_000, "{} of 20 000 were no logs", none.get());
}

#[test]
fn mending_leaves_a_good_log_alone() {
    let mut bytes = recorded();
    mend_log(&mut bytes);
    assert_eq!(bytes, recorded());
}

#[test]
fn damaged_answers_of_a_daemon_are_refused_or_read() {
    let report = postcard::to_stdvec(&Report::default()).unwrap();
    let mut answer = format!("ok {}\n", report.len()).into_bytes();
    answer.extend_from_slice(&report);
    assert!(control::client::read_report(&answer).is_ok());
    each(&answer, control_socket);
    each(b"sync 12345", control_socket);
}
