//! The daemon's side of the control socket.
//!
//! Knows: connections. Must never know: how requests are fulfilled.
//! Keeps: at most `MAX_CLIENTS` at once; others wait in the kernel's queue.

use super::{MAX_REQUEST, PATIENCE, Request, parse, socket_path};
use crate::annotate::status as annotate;
use crate::artifact::OsBytes;
use crate::pipeline::effect::AnnotationOutcome;
use crate::stats::{LeftOut, Report};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Clients that are served at once.
const MAX_CLIENTS: usize = 16;

/// For what a promise was not kept, because it cannot be read; or why for nothing, and what to do.
pub type Synced = oneshot::Sender<Result<LeftOut, String>>;

/// A request on its way to whoever can fulfil it. Dropping the sender refuses it.
#[derive(Debug)]
pub enum Call {
    /// Answer when everything that happened before is in the bricks.
    Sync(Synced),
    /// Answer with the counters.
    Status(oneshot::Sender<Report>),
    /// Let the annotator do something, and answer how things stand then.
    Annotate(annotate::Request, oneshot::Sender<Result<annotate::Status, String>>),
    /// Put an annotation into its brick, and answer what became of it.
    Annotated {
        /// Which brick.
        path: OsBytes,
        /// BLAKE3 of the content it was written of.
        content: [u8; 32],
        /// What goes into the brick.
        note: Vec<u8>,
        /// Told what became of it.
        done: oneshot::Sender<AnnotationOutcome>,
    },
    /// Look at the tasks, and answer when nothing is left to do.
    Tasks(oneshot::Sender<()>),
}

/// The socket; removed when dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens in a store whose lock this process holds; so an older socket there is nobody's.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub fn bind(store: &Path) -> io::Result<Self> {
        let path = socket_path(store);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // The store itself is closed to others already: there is no moment at which they could connect.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves clients for as long as somebody takes their calls.
    pub async fn serve(self, calls: mpsc::Sender<Call>) {
        let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = calls.closed() => return,
            };
            // A connection that failed before it was taken concerns nobody else.
            let Ok((stream, _)) = accepted else { continue };
            let calls = calls.clone();
            tokio::spawn(async move {
                drop(client(stream, &calls).await);
                drop(slot);
            });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The next daemon removes it too.
        drop(std::fs::remove_file(&self.path));
    }
}

async fn client(mut stream: UnixStream, calls: &mpsc::Sender<Call>) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let answer = match timeout(PATIENCE, request(&mut stream)).await {
        Err(_) => return Ok(()),
        Ok(request) => match request? {
            None => Err("no such request".to_owned()),
            Some(Request::Status) => status(calls).await,
            Some(Request::Annotate(request)) => {
                tokio::select! {
                    done = annotator(calls, request) => done,
                    _ = gone(&stream) => return Ok(()),
                }
            }
            Some(Request::Sync { timeout: wait }) => {
                tokio::select! {
                    done = timeout(wait, synced(calls)) => done.unwrap_or_else(|_| Err("timeout".to_owned())),
                    // Nobody waits any more.
                    _ = gone(&stream) => return Ok(()),
                }
            }
            Some(Request::Tasks { timeout: wait }) => {
                tokio::select! {
                    // Even who does not wait has it look.
                    biased;
                    done = until(calls, Call::Tasks) => done,
                    () = tokio::time::sleep(wait) => Err("timeout".to_owned()),
                    _ = gone(&stream) => return Ok(()),
                }
            }
        },
    };
    let mut bytes = match &answer {
        Ok(payload) => format!("ok {}\n", payload.len()).into_bytes(),
        Err(text) => format!("error {text}\n").into_bytes(),
    };
    bytes.extend(answer.unwrap_or_default());
    match timeout(PATIENCE, stream.write_all(&bytes)).await {
        Ok(written) => written,
        Err(_) => Ok(()),
    }
}

async fn request(stream: &mut UnixStream) -> io::Result<Option<Request>> {
    let mut line = [0; MAX_REQUEST];
    let mut len = 0;
    while len < line.len() {
        let n = stream.read(&mut line[len..]).await?;
        if n == 0 {
            return Ok(None);
        }
        len += n;
        if let Some(end) = line[..len].iter().position(|b| *b == b'\n') {
            return Ok(parse(&line[..end]));
        }
    }
    Ok(None)
}

async fn gone(stream: &UnixStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Ok(0) => return Ok(()),
            // More than a request was sent: it is not read, and not waited for.
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

async fn synced(calls: &mpsc::Sender<Call>) -> Result<Vec<u8>, String> {
    let (tx, rx) = oneshot::channel();
    let refused = "the daemon is stopping";
    calls.send(Call::Sync(tx)).await.map_err(|_| refused.to_owned())?;
    let left_out = rx.await.map_err(|_| refused.to_owned())??;
    postcard::to_allocvec(&left_out).map_err(|e| e.to_string())
}

async fn until(
    calls: &mpsc::Sender<Call>,
    call: impl FnOnce(oneshot::Sender<()>) -> Call,
) -> Result<Vec<u8>, String> {
    let (tx, rx) = oneshot::channel();
    let refused = "the daemon is stopping";
    calls.send(call(tx)).await.map_err(|_| refused.to_owned())?;
    rx.await.map(|()| vec![]).map_err(|_| refused.to_owned())
}

async fn status(calls: &mpsc::Sender<Call>) -> Result<Vec<u8>, String> {
    let (tx, rx) = oneshot::channel();
    let refused = "the daemon is stopping";
    calls.send(Call::Status(tx)).await.map_err(|_| refused.to_owned())?;
    let report = rx.await.map_err(|_| refused.to_owned())?;
    postcard::to_allocvec(&report).map_err(|e| e.to_string())
}

async fn annotator(
    calls: &mpsc::Sender<Call>,
    request: annotate::Request,
) -> Result<Vec<u8>, String> {
    let (tx, rx) = oneshot::channel();
    let refused = "the daemon is stopping, or has too much to annotate to listen";
    calls.send(Call::Annotate(request, tx)).await.map_err(|_| refused.to_owned())?;
    let status = rx.await.map_err(|_| refused.to_owned())??;
    postcard::to_allocvec(&status).map_err(|e| e.to_string())
}
