//! Everything here that reads bytes from outside, each by one call: what the fuzz targets and the
//! mutation tests share. No program contains it.
//!
//! Knows: the parsers. Must never know: what the program does with what they give.
//! Keeps: any bytes are taken, and what must hold of the result is asserted (invariant 8).

use crate::control;
use crate::log::{self, LogReader};
use crate::pipeline::Pipeline;
use crate::sources::{fanotify, inotify, proc_connector};
use foundry_common::record::{self, Record};

/// Records of the probes' ring, of fanotify, of inotify and of the process connector; the first byte
/// says which. Returns how many there were.
///
/// # Panics
/// Where a parser gives more than the bytes hold.
pub fn kernel_records(bytes: &[u8]) -> usize {
    let Some((which, bytes)) = bytes.split_first() else { return 0 };
    match which % 4 {
        0 => match record::parse(bytes) {
            Ok(Record::Name(_, name) | Record::Exec(_, name)) => {
                assert!(name.len() <= bytes.len());
                1
            }
            Ok(_) => 1,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                0
            }
        },
        1 => fanotify::count_records(bytes),
        2 => inotify::count_records(bytes),
        _ => proc_connector::count_messages(bytes),
    }
}

/// A replay log and everything that its inputs make the pipeline do. Returns how many inputs there were.
pub fn replay_log(bytes: &[u8]) -> usize {
    let Ok(mut log) = LogReader::new(bytes) else { return 0 };
    let mut pipeline = Pipeline::new(log.header().settings);
    let mut effects = vec![];
    let mut inputs = 0;
    while let Ok(Some(input)) = log.next_input() {
        pipeline.step(input, &mut effects);
        effects.clear();
        inputs += 1;
    }
    inputs
}

/// Makes the checksum of every frame of a log right, as far as the lengths lead, so that damage
/// reaches what lies behind the checksums.
pub fn mend_log(bytes: &mut [u8]) {
    let mut rest = bytes.get_mut(12..).unwrap_or_default();
    while let Some((head, after)) = rest.split_first_chunk_mut::<12>() {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let Some((payload, after)) = after.split_at_mut_checked(len as usize) else { return };
        head[4..].copy_from_slice(&log::checksum(payload));
        rest = after;
    }
}

/// Both sides of the control socket: a client's request, and a daemon's answer.
///
/// # Panics
/// Where one text would do for both.
pub fn control_socket(bytes: &[u8]) {
    let is_request = control::is_request(bytes);
    let is_answer = control::client::read_report(bytes).is_ok();
    assert!(!(is_request && is_answer), "one text asks and answers");
}

#[cfg(test)]
mod tests;
