//! The daemon's side: every connection is a task, every request goes through one bounded queue.
//!
//! Knows: the socket, frames, who is at the other end. Must never know: what a request means.
//! Keeps: at most [`CONNECTIONS`] at a time; a peer that is not allowed gets no answer.

use super::{Answer, FrameError, LENGTH, Request, body_len, decode, encode, socket_path};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Connections at a time; the next one waits in the kernel's queue.
pub const CONNECTIONS: usize = 64;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request on its way to whoever answers it.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub request: Request,
    /// Where the answer goes; dropping it closes the connection.
    pub answer: oneshot::Sender<Answer>,
}

/// Listens in `store`. The caller holds the store's lock, so a socket that is there already is one
/// that a killed daemon left.
///
/// # Errors
/// Where the socket cannot be made.
pub fn listen(store: &Path) -> io::Result<UnixListener> {
    let path = socket_path(store);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    // Nobody can connect between bind and chmod: the store itself is closed to others.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes connections and passes requests on, until the other end of `calls` is gone.
///
/// # Errors
/// Where the socket itself fails.
pub async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let stream = tokio::select! {
            () = calls.closed() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // The peer left, or descriptors ran out: neither ends the daemon.
                Err(e) if is_passing(&e) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                Err(e) => return Err(e),
            },
        };
        let calls = calls.clone();
        tokio::spawn(async move {
            // What goes wrong with one client is that client's to notice.
            drop(talk(stream, &calls).await);
            drop(place);
        });
    }
}

fn is_passing(error: &io::Error) -> bool {
    let passing = [libc::ECONNABORTED, libc::EINTR, libc::EMFILE, libc::ENFILE, libc::ENOMEM];
    error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
}

/// Whether the peer is root, or runs as the daemon does.
fn is_allowed(stream: &UnixStream) -> io::Result<bool> {
    let peer = stream.peer_cred()?.uid();
    Ok(peer == 0 || peer == rustix::process::geteuid().as_raw())
}

async fn talk(mut stream: UnixStream, calls: &mpsc::Sender<Call>) -> io::Result<()> {
    if !is_allowed(&stream)? {
        return Ok(());
    }
    let request = tokio::time::timeout(PATIENCE, read(&mut stream)).await;
    let request = request.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let answer = match request {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            let mut rest = [0; 1];
            if calls.send(Call { request, answer }).await.is_err() {
                return Ok(());
            }
            tokio::select! {
                answer = answered => match answer {
                    Ok(answer) => answer,
                    Err(_) => return Ok(()),
                },
                // A client that gave up must not keep its place. It has nothing more to say, so
                // whatever can be read is its end.
                _ = stream.read(&mut rest) => return Ok(()),
            }
        }
        Err(e) => Answer::Failed(e.to_string()),
    };
    let frame = encode(&answer).map_err(io::Error::other)?;
    stream.write_all(&frame).await
}

/// One request; the inner error is a frame that makes no sense.
async fn read(stream: &mut UnixStream) -> io::Result<Result<Request, FrameError>> {
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length).await?;
    let len = match body_len(length) {
        Ok(len) => len,
        Err(e) => return Ok(Err(e)),
    };
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await?;
    Ok(decode(&body))
}
