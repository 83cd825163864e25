//! The witness's own side: waits for questions until nobody can ask any more.
//!
//! Knows: where questions come from. Must never know: who asks.
//! Keeps: it has given up everything but looking before it hears the first question; a signal does
//! not end it while the daemon lives.

use super::{Question, receive, send};
use crate::reader::mappings;
use crate::sources::{look_up, program_of};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

/// The word on the command line that makes a process the witness of another.
pub const WORD: &str = "witness";

/// Answers until both sockets, standard input and output, are closed.
///
/// # Errors
/// Where they are no sockets, or privileges cannot be given up.
pub fn serve() -> io::Result<()> {
    crate::sandbox::enter_as_witness()?;
    let socket = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(UnixStream::from);
    let (scans, actors) = (socket(io::stdin().as_fd())?, socket(io::stdout().as_fd())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    // Heard and not answered: a service manager tells every process of a service to end, but this
    // one is needed until the daemon has ended.
    let _deaf = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let other = std::thread::Builder::new().spawn(move || answer(actors))?;
    let done = answer(scans);
    drop(other.join());
    done
}

fn answer(mut socket: UnixStream) -> io::Result<()> {
    loop {
        match receive(&mut socket) {
            Ok(Question::Mappings) => send(&mut socket, &mappings::shared_writable_files())?,
            Ok(Question::Actor(pid)) => send(&mut socket, &look_up(pid))?,
            Ok(Question::Program(pid)) => send(&mut socket, &program_of(pid))?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
