//! Both sides against each other, and each against what does not keep to the rules.

use super::client::{ControlError, status, sync};
use super::server::{Call, listen, serve};
use super::*;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::sync::mpsc;

/// A daemon that answers with `answer` until the test is over.
fn with_server(answer: fn(Call), client: impl FnOnce(&Path) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let listener = listen(store.path()).unwrap();
        let (calls, mut called) = mpsc::channel(1);
        let server = tokio::spawn(serve(listener, calls));
        let path = store.path().to_owned();
        let client = tokio::task::spawn_blocking(move || client(&path));
        let answering = async {
            while let Some(call) = called.recv().await {
                answer(call);
            }
        };
        tokio::select! {
            done = client => done.unwrap(),
            () = answering => panic!("the server went away"),
        }
        drop(called);
        server.await.unwrap().unwrap();
    });
}

fn answer_well(call: Call) {
    let report = Report { backend: "test".to_owned(), ..Report::default() };
    let answer = match call.request {
        Request::Status => Answer::Status(Box::new(report)),
        Request::Sync => Answer::Synced,
    };
    call.answer.send(answer).unwrap();
}

#[test]
fn a_request_has_its_answer() {
    with_server(answer_well, |store| {
        assert_eq!(status(store).unwrap().backend, "test");
        sync(store, None).unwrap();
        sync(store, Some(Duration::from_secs(9))).unwrap();
        let mode = std::fs::metadata(socket_path(store)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

#[test]
fn refusals_and_silence_are_told_apart() {
    let refuse = |call: Call| call.answer.send(Answer::Failed("no".to_owned())).unwrap();
    with_server(refuse, |store| {
        assert!(matches!(sync(store, None), Err(ControlError::Refused(why)) if why == "no"));
    });
    with_server(drop, |store| {
        assert!(matches!(sync(store, None), Err(ControlError::Closed)));
    });
    let never = |call: Call| std::mem::forget(call);
    with_server(never, |store| {
        let outcome = sync(store, Some(Duration::from_millis(30)));
        assert!(matches!(outcome, Err(ControlError::Timeout { .. })), "{outcome:?}");
    });
    let store = tempfile::tempdir().unwrap();
    assert!(matches!(status(store.path()), Err(ControlError::NoDaemon { .. })));
    // A killed daemon leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(socket_path(store.path())).unwrap());
    assert!(matches!(status(store.path()), Err(ControlError::NoDaemon { .. })));
}

#[test]
fn nonsense_is_answered_and_hurts_nobody() {
    with_server(answer_well, |store| {
        for frame in [
            &u32::MAX.to_le_bytes()[..],
            &[1, 0, 0, 0, 99],
            &[0, 0, 0, 0],
            b"GET / HTTP/1.0\r\n\r\n",
        ] {
            let mut stream = UnixStream::connect(socket_path(store)).unwrap();
            stream.write_all(frame).unwrap();
            let mut answer = Vec::new();
            // The daemon closes with bytes of ours unread, which some answer with a reset.
            drop(stream.read_to_end(&mut answer));
            let answer = decode::<Answer>(answer.get(LENGTH..).unwrap_or_default());
            assert!(matches!(answer, Ok(Answer::Failed(_))), "{frame:?}: {answer:?}");
        }
        // One that says nothing is in nobody's way.
        let _silent = UnixStream::connect(socket_path(store)).unwrap();
        assert_eq!(status(store).unwrap().backend, "test");
    });
}
