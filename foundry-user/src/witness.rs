//! The witness: a process beside the daemon that looks into other processes for it.
//!
//! Landlock, which holds the daemon to its trees and its store, also keeps it from every process
//! outside: not even `/proc/PID/exe` can be read. So this is done by a child that was started before.
//! It answers a few questions, takes nothing else in, and writes no file.
//!
//! Knows: the questions and their answers. Must never know: artifacts, what the answers are for.
//! Keeps: without a witness the same questions are answered in place; a witness that is gone is an
//! error where a wrong answer would make a brick wrong, else an answer that says less; it ends with the
//! daemon, however that ends.

mod serve;

pub use serve::{WORD, serve};

use crate::artifact::{FileIdentity, OsBytes};
use crate::event::Actor;
use crate::reader::mappings;
use crate::sources::{self, look_up, nameless};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Largest message: the identities of half a million mapped files.
const MOST_BYTES: u32 = 16 << 20;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Question {
    /// Which files some process holds in a shared writable mapping.
    Mappings,
    /// Who a process is.
    Actor(u32),
    /// Which program a process runs.
    Program(u32),
}

/// The ends of the daemon: a scan of all processes holds no other question up.
struct Witness {
    child: Mutex<Child>,
    scans: Mutex<UnixStream>,
    actors: Mutex<UnixStream>,
}

/// Like the privileges that it stands in for, it belongs to the process.
static WITNESS: OnceLock<Witness> = OnceLock::new();

/// Starts the witness. To be called before the sandbox is entered, and before there are threads.
///
/// # Errors
/// Where the program cannot be started again.
pub fn start() -> io::Result<()> {
    let (scans, scans_there) = UnixStream::pair()?;
    let (actors, actors_there) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("foundry-user")
        .arg(WORD)
        .stdin(Stdio::from(OwnedFd::from(scans_there)))
        .stdout(Stdio::from(OwnedFd::from(actors_there)))
        // A signal from the terminal is for the daemon, which may still have questions.
        .process_group(0);
    let child = Mutex::new(command.spawn()?);
    let witness = Witness { child, scans: Mutex::new(scans), actors: Mutex::new(actors) };
    // The first one stays.
    drop(WITNESS.set(witness));
    Ok(())
}

/// Ends the witness, and waits for it. Nothing is asked after this.
pub fn end() {
    let Some(witness) = WITNESS.get() else { return };
    for socket in [&witness.scans, &witness.actors] {
        // Closed already is as good.
        drop(lock(socket).shutdown(std::net::Shutdown::Both));
    }
    drop(lock(&witness.child).wait());
}

/// A panic between two messages leaves the socket as it was; one inside is noticed by the next.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which files some process holds in a shared writable mapping.
///
/// # Errors
/// Where there was a witness and it is gone.
pub fn shared_writable() -> io::Result<Vec<FileIdentity>> {
    match WITNESS.get() {
        None => Ok(mappings::shared_writable_files()),
        Some(witness) => ask(&witness.scans, Question::Mappings),
    }
}

/// Who the process `pid` is, as far as anybody can say.
#[must_use]
pub fn actor(pid: u32) -> Actor {
    match WITNESS.get() {
        None => look_up(pid),
        Some(witness) => {
            ask(&witness.actors, Question::Actor(pid)).unwrap_or_else(|_| nameless(pid))
        }
    }
}

/// The path of the program that `pid` runs, and its inode number (0 where that is hidden).
#[must_use]
pub fn program_of(pid: u32) -> Option<(OsBytes, u64)> {
    match WITNESS.get() {
        None => sources::program_of(pid),
        Some(witness) => ask(&witness.actors, Question::Program(pid)).ok()?,
    }
}

fn ask<T: DeserializeOwned>(socket: &Mutex<UnixStream>, question: Question) -> io::Result<T> {
    // After a failure in the middle of an answer the next one fails, too: nothing is mixed up.
    let mut socket = lock(socket);
    send(&mut *socket, &question)?;
    receive(&mut *socket)
}

/// Writes a message: its length, then its bytes.
fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MOST_BYTES);
    let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    to.write_all(&[&length.to_le_bytes(), bytes.as_slice()].concat())
}

/// Reads a message. No more is allocated than came.
fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    if MOST_BYTES < length {
        return Err(invalid());
    }
    let mut bytes = Vec::new();
    from.take(u64::from(length)).read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests;
