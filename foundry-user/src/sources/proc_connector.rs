//! Programs started and processes ended, as the kernel's process connector tells them.
//!
//! Knows: netlink, and processes by number. Must never know: files, artifacts, BPF.
//! Keeps: the kernel numbers the messages of each processor; a gap is counted and said, never passed over.
//!
//! It works in the first network and process namespaces, without privileges on recent kernels.

mod records;

use self::records::{Message, What};
use crate::event::{Actor, Event, LossKind, MonotonicNs};
use crate::sources::batch::nameless;
use crate::sources::{Source, SourceCounters, SourceError};
use crate::tracker::{NoTracker, Tracker};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recvfrom, sendto, socket_with,
};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const BACKEND: &str = "process connector";

/// The multicast group of process events.
const GROUP: u32 = 1;
/// `PROC_CN_MCAST_LISTEN`.
const LISTEN: u32 = 1;
/// Larger than any datagram of the connector.
const BUFFER_BYTES: usize = 4096;
/// Asked of the kernel for messages that wait; it grants less to users without privileges.
const QUEUE_BYTES: usize = 4 << 20;
/// Processes remembered from exec to exit; beyond it, the exit of a process is told by number only.
const MOST_REMEMBERED: usize = 1 << 15;
/// Messages taken in one call, so that a storm of processes cannot keep it busy for ever.
const MOST_TAKEN: u32 = 1 << 17;

/// The source.
#[derive(Debug)]
pub struct ProcConnector {
    socket: OwnedFd,
    buffer: Vec<u8>,
    state: State,
}

/// What is known from the messages so far.
#[derive(Debug, Default)]
struct State {
    /// Number of the last message of each processor.
    last: HashMap<u32, u32>,
    running: HashMap<u32, Actor>,
    /// Losses that were said before the numbers showed them.
    said_early: u64,
    counters: SourceCounters,
}

impl ProcConnector {
    /// Subscribes to process events.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] outside the first namespaces, without the privileges that older
    /// kernels want, or where the kernel has no connector.
    pub fn open() -> Result<Self, SourceError> {
        let unavailable = |op: &'static str| {
            move |error: Errno| {
                let reason = format!("{op}: {error}");
                SourceError::Unavailable { backend: BACKEND, reason }
            }
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::CONNECTOR);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)
            .map_err(unavailable("socket"))?;
        // A wish only: overflow is noticed whatever the size.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, QUEUE_BYTES).unwrap_or_default();
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP))
            .map_err(unavailable("bind"))?;
        let ask = ask(&socket);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&socket, &subscription(ask), SendFlags::empty(), &kernel)
            .map_err(unavailable("subscribing"))?;
        let mut opened = Self { socket, buffer: vec![0; BUFFER_BYTES], state: State::default() };
        opened.await_answer(ask)?;
        Ok(opened)
    }

    /// The kernel answers inside the subscribing call, so the answer, if there is one, is among
    /// what waits now. What else came before it happened before anybody listened.
    fn await_answer(&mut self, ask: u32) -> Result<(), SourceError> {
        let refused = |reason: String| SourceError::Unavailable { backend: BACKEND, reason };
        for _ in 0..MOST_TAKEN {
            let n = match self.receive() {
                Ok(n) => n,
                Err(Errno::INTR | Errno::NOBUFS) => continue,
                Err(error) => {
                    return Err(refused(format!("no answer to the subscription: {error}")));
                }
            };
            for message in records::of(self.buffer.get(..n).unwrap_or_default()) {
                let message = message.map_err(|malformed| refused(malformed.to_string()))?;
                match message.what {
                    What::Answer { ack, error } if ack == ask.wrapping_add(1) => {
                        if error == 0 {
                            return Ok(());
                        }
                        let error = std::io::Error::from_raw_os_error(error.cast_signed());
                        return Err(refused(format!("subscribing: {error}")));
                    }
                    _ => {}
                }
            }
        }
        Err(refused("no answer to the subscription".to_owned()))
    }

    /// Receives one datagram into the buffer; what did not come from the kernel counts as empty.
    fn receive(&mut self) -> Result<usize, Errno> {
        let (n, _, from) = recvfrom(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty())?;
        let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
        Ok(if from.is_some_and(|from| from.pid() == 0) { n } else { 0 })
    }
}

/// What this subscription asks to be answered with, so that its answer is told from those to others,
/// which everybody hears. (The kernel keeps this one of the two numbers it is sent.)
fn ask(socket: &OwnedFd) -> u32 {
    std::process::id().rotate_left(10) ^ socket.as_raw_fd().cast_unsigned()
}

/// `struct nlmsghdr`, `struct cn_msg` and the operation: listen, to everything. A filter would
/// spare messages, but filtered ones are numbered, too, so gaps would mean nothing.
fn subscription(ask: u32) -> Vec<u8> {
    const LENGTH: u32 = 16 + 20 + 4;
    let (done, flags): (u16, u16) = (3, 0);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&LENGTH.to_ne_bytes());
    bytes.extend_from_slice(&done.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    for word in [0, 0, GROUP, GROUP, 0, ask] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let (length, no_flags): (u16, u16) = (4, 0);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&no_flags.to_ne_bytes());
    bytes.extend_from_slice(&LISTEN.to_ne_bytes());
    bytes
}

impl State {
    fn take(&mut self, message: Message, out: &mut Vec<Event>) {
        self.count(message, out);
        let at = MonotonicNs(message.at_ns);
        match message.what {
            What::Exec { tgid } => {
                self.counters.seen += 1;
                let actor = crate::witness::actor(tgid);
                if self.running.len() < MOST_REMEMBERED || self.running.contains_key(&tgid) {
                    self.running.insert(tgid, actor.clone());
                }
                out.push(Event::Exec { actor, at });
            }
            // The thread that gives the process its number ends last, but for programs that
            // end their first thread and go on; for those it comes early, and once.
            What::Exit { pid, tgid } if pid == tgid => {
                self.counters.seen += 1;
                let actor = self.running.remove(&tgid).unwrap_or_else(|| nameless(tgid));
                out.push(Event::Exit { actor, at });
            }
            What::Exit { .. } | What::Answer { .. } | What::Other => {}
        }
    }

    /// Compares the message's number with the one before it on the same processor.
    fn count(&mut self, message: Message, out: &mut Vec<Event>) {
        let Some(cpu) = message.cpu else { return };
        let Some(before) = self.last.insert(cpu, message.seq) else { return };
        let missing = message.seq.wrapping_sub(before).wrapping_sub(1);
        if missing != 0 {
            // A number that went back is a restart of counting: how many are missing is not known.
            let n = if missing > u32::MAX / 2 { 1 } else { u64::from(missing) };
            let known = n.min(self.said_early);
            self.said_early -= known;
            self.lost(n - known, out);
        }
    }

    /// The socket's queue was full. At least one message is missing; how many more, the numbers of
    /// later messages will say.
    fn overflowed(&mut self, out: &mut Vec<Event>) {
        *self.counters.other.entry("process_queue_overflows").or_default() += 1;
        self.said_early += 1;
        self.lost(1, out);
    }

    fn lost(&mut self, n: u64, out: &mut Vec<Event>) {
        if n == 0 {
            return;
        }
        // Exits may be among what is missing.
        self.running.retain(|pid, _| std::path::Path::new(&format!("/proc/{pid}")).exists());
        *self.counters.lost.entry(LossKind::Process).or_default() += n;
        out.push(Event::Lost { kind: LossKind::Process, n });
    }
}

impl Source for ProcConnector {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::new(NoTracker)
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        for _ in 0..MOST_TAKEN {
            let n = match self.receive() {
                Ok(n) => n,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(Errno::NOBUFS) => {
                    self.state.overflowed(out);
                    continue;
                }
                Err(error) => {
                    let op = "receiving process events";
                    return Err(SourceError::Io { op, source: error.into() });
                }
            };
            for message in records::of(self.buffer.get(..n).unwrap_or_default()) {
                let message = message.map_err(|error| SourceError::Invalid {
                    backend: BACKEND,
                    what: error.to_string(),
                })?;
                self.state.take(message, out);
            }
        }
        Ok(())
    }

    fn counters(&self) -> SourceCounters {
        self.state.counters.clone()
    }

    fn name(&self) -> &'static str {
        "proc connector"
    }
}

/// How many messages there are in any bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn count_messages(bytes: &[u8]) -> usize {
    records::of(bytes).map_while(Result::ok).count()
}

#[cfg(test)]
mod tests;
