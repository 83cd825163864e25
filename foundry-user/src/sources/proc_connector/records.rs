//! Messages of the process connector, field by field.
//!
//! Knows: the layouts of netlink(7) messages, `struct cn_msg` and `struct proc_event`.
//! Must never know: artifacts, what a process is looked up for.
//! Keeps: any bytes give messages or an error; nothing is read out of bounds, nothing is allocated.

use crate::sources::queue;

/// `struct nlmsghdr` and `struct cn_msg`.
const NETLINK_BYTES: usize = 16;
const CONNECTOR_BYTES: usize = 20;
/// `what`, `cpu` and `timestamp_ns` at the start of `struct proc_event`.
const EVENT_BYTES: usize = 16;

/// The connector's number for processes: index and value.
const PROCESSES: u32 = 1;

const EXEC: u32 = 0x0000_0002;
const EXIT: u32 = 0x8000_0000;

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It replaced its program.
    Exec { tgid: u32 },
    /// One of its threads ended.
    Exit { pid: u32, tgid: u32 },
    /// The answer to a subscription (anybody's): an errno, 0 for granted. `ack` is one more than
    /// the subscriber sent.
    Answer { ack: u32, error: u32 },
    /// Anything else: it counts in the sequence, and is not looked at.
    Other,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Which processor counted it; `None` where none did.
    pub(super) cpu: Option<u32>,
    /// Number of the message among that processor's.
    pub(super) seq: u32,
    /// CLOCK_MONOTONIC.
    pub(super) at_ns: u64,
    pub(super) what: What,
}

/// The bytes end inside a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is longer than what was received")]
pub(super) struct Malformed;

/// The messages in one datagram; those of no concern are passed over. Ends after the first error.
pub(super) fn of(bytes: &[u8]) -> impl Iterator<Item = Result<Message, Malformed>> {
    queue::records(bytes, |bytes| netlink(bytes).ok_or(Malformed)).filter_map(Result::transpose)
}

/// Native-endian `u32` at `at`.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = *bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(four))
}

/// The netlink message at the start of `bytes` (`None` inside where it is of no concern), and what
/// follows it, which begins at a multiple of four.
fn netlink(bytes: &[u8]) -> Option<(Option<Message>, &[u8])> {
    let length = usize::try_from(word(bytes, 0)?).ok()?;
    let body = bytes.get(..length)?.get(NETLINK_BYTES..)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    if (word(body, 0), word(body, 4)) != (Some(PROCESSES), Some(PROCESSES)) {
        return Some((None, rest));
    }
    let (seq, ack) = (word(body, 8)?, word(body, 12)?);
    let payload = body.get(CONNECTOR_BYTES..)?;
    Some((Some(event(payload, seq, ack)?), rest))
}

/// `struct proc_event`.
fn event(payload: &[u8], seq: u32, ack: u32) -> Option<Message> {
    let fixed: [u8; EVENT_BYTES] = *payload.first_chunk()?;
    let [_, _, _, _, _, _, _, _, at @ ..] = fixed;
    let cpu = word(payload, 4)?;
    let data = payload.get(EVENT_BYTES..)?;
    let what = match word(payload, 0)? {
        EXEC => What::Exec { tgid: word(data, 4)? },
        EXIT => What::Exit { pid: word(data, 0)?, tgid: word(data, 4)? },
        0 => What::Answer { ack, error: word(data, 0)? },
        _ => What::Other,
    };
    // Older kernels give answers no number of a processor's: -1. Newer ones number them as well.
    let cpu = (cpu != u32::MAX).then_some(cpu);
    Some(Message { cpu, seq, at_ns: u64::from_ne_bytes(at), what })
}

#[cfg(test)]
mod tests;
