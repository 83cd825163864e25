//! Client and server over a real socket.

use super::client::{ControlError, status, sync};
use super::server::{Call, Server};
use super::*;
use crate::stats::{LeftOut, Report};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use tokio::sync::mpsc;

fn left_out() -> LeftOut {
    let some = vec![("/w/closed".to_owned(), "the daemon may not read it".to_owned())];
    LeftOut { count: 1, behind: 1, broken: 0, some }
}

/// Runs `talk` against a server that answers status, and syncs unless `stuck`.
fn with_server(stuck: bool, talk: impl FnOnce(&Path) + Send + 'static) {
    let store = tempfile::tempdir().unwrap();
    let path = store.path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind(&path).unwrap();
        let mode = std::fs::metadata(socket_path(&path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (tx, mut calls) = mpsc::channel(4);
        let serving = tokio::spawn(server.serve(tx));
        let talking = tokio::task::spawn_blocking({
            let path = path.clone();
            move || talk(&path)
        });
        let mut held = vec![];
        let answering = async {
            while let Some(call) = calls.recv().await {
                match call {
                    Call::Tasks(answer) => drop(answer.send(())),
                    Call::Sync(answer) if stuck => held.push(answer),
                    Call::Sync(answer) => drop(answer.send(Ok(left_out()))),
                    Call::Status(answer) => {
                        let report = Report { backend: "test".to_owned(), ..Report::default() };
                        drop(answer.send(report));
                    }
                    other => unreachable!("{other:?}"),
                }
            }
        };
        tokio::select! { done = talking => done.unwrap(), () = answering => {} }
        serving.abort();
        drop(serving.await);
        assert!(!socket_path(&path).exists());
    });
}

#[test]
fn asked_and_answered() {
    with_server(false, |store| {
        assert_eq!(sync(store, Duration::from_secs(5)).unwrap(), left_out());
        assert_eq!(status(store).unwrap().backend, "test");
    });
}

#[test]
fn a_sync_that_takes_too_long_is_a_timeout() {
    with_server(true, |store| {
        let slow = sync(store, Duration::from_millis(1));
        assert!(matches!(slow, Err(ControlError::Timeout)), "{slow:?}");
    });
}

#[test]
fn nonsense_gets_an_error_and_harms_nobody() {
    with_server(false, |store| {
        for nonsense in [
            &b"sync x\n"[..],
            b"sync -1\n",
            b"\n",
            b"status now\n",
            b"annotate\n",
            b"annotate path 2f6\n",
            b"annotate path zz\n",
            &[b'x'; 9000][..],
            b"sync 99999999999999999999\n",
        ] {
            let mut stream = UnixStream::connect(socket_path(store)).unwrap();
            stream.write_all(nonsense).unwrap();
            let mut answer = String::new();
            // A connection that is closed with bytes unread may also be reset.
            if stream.read_to_string(&mut answer).is_ok() {
                assert_eq!(answer, "error no such request\n", "{}", nonsense.escape_ascii());
            }
        }
        // Some that never say anything, while others are served.
        let silent: Vec<_> =
            (0..8).map(|_| UnixStream::connect(socket_path(store)).unwrap()).collect();
        sync(store, Duration::from_secs(5)).unwrap();
        drop(silent);
    });
}

#[test]
fn nobody_there_is_said_so() {
    let store = tempfile::tempdir().unwrap();
    assert!(matches!(status(store.path()), Err(ControlError::NotRunning { .. })));
    drop(std::os::unix::net::UnixListener::bind(socket_path(store.path())).unwrap());
    assert!(matches!(status(store.path()), Err(ControlError::NotRunning { .. })));
}
