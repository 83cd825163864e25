//! A thousand jobs under faults: none lost, none doubled, nothing secret sent, nobody else called.

use super::mock::{Fault, Mock};
use super::stage::{SECRET, Stage, drain, settings, write_brick};
use crate::annotate::client::{Client, Failure};
use crate::annotate::endpoint;
use crate::annotate::engine::Turn;
use crate::annotate::status::Request;
use crate::wire_annotate;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// The nth chat's fault: three of ten go wrong, each in its turn of a seeded order.
fn fault(seed: u64, n: usize) -> Fault {
    let hash =
        blake3::keyed_hash(&[7; 32], &[seed.to_le_bytes(), (n as u64).to_le_bytes()].concat());
    let bytes = hash.as_bytes();
    if u32::from(bytes[0]) * 10 < 3 * 256 {
        Fault::ALL[usize::from(bytes[1]) % Fault::ALL.len()]
    } else {
        Fault::None
    }
}

/// Stalls cost their timeout: they are played, but not a hundred times.
fn rarer(fault: Fault, n: usize) -> Fault {
    match fault {
        Fault::Stall | Fault::SlowDrip if !n.is_multiple_of(24) => Fault::Error500,
        other => other,
    }
}

#[tokio::test]
async fn a_thousand_jobs_under_faults() {
    const JOBS: u32 = 1000;
    let seed = option_env!("FOUNDRY_SEED").and_then(|s| s.parse().ok()).unwrap_or(11);
    println!("FOUNDRY_SEED={seed}");
    let stage = Stage::new(JOBS);
    // Whoever followed a redirect would knock here.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let address = elsewhere.local_addr().unwrap();
    let mock = Mock::start(address, Box::new(move |n, _| rarer(fault(seed, n), n))).await;
    let mut settings = settings(&mock.url);
    // Longer than a loaded machine keeps a good answer waiting: given up, it would be asked for again.
    settings.patience.first_byte = Duration::from_secs(3);
    settings.patience.idle = settings.patience.first_byte;
    settings.patience.total = 3 * settings.patience.first_byte;
    let mut engine = stage.engine_with(settings, endpoint::system());
    assert_eq!(engine.take(&Request::All).unwrap(), format!("{JOBS} bricks are questions"));
    let counts = drain(&mut engine).await;
    assert_eq!((counts.answers, counts.delivered), (u64::from(JOBS), u64::from(JOBS)));
    assert_eq!((counts.waiting, counts.leased, counts.undelivered), (0, 0, 0));
    for n in 0..JOBS {
        let brick = stage.open(n);
        // One more generation, no matter how often it was tried.
        assert_eq!(brick.generation(), 2, "{n}");
        let note = brick.annotation().unwrap().unwrap();
        let shown = wire_annotate::shown(&note, brick.blake3().as_ref());
        assert_eq!(shown["summary"], format!("about tool{n}"), "somebody else's answer");
        assert_eq!((&shown["current"], &shown["dropped_claims"]), (&true.into(), &1.into()));
        assert_eq!(shown["capabilities"][0]["evidence"][0], "needed");
    }
    let seen = mock.seen.lock().unwrap();
    let doubled: Vec<_> = seen.taken.iter().filter(|(_, n)| **n != 1).collect();
    assert!(doubled.is_empty(), "asked again after an answer was taken: {doubled:?}");
    assert!(JOBS as usize / 2 < seen.taken.len(), "{} were seen to be taken", seen.taken.len());
    for fault in Fault::ALL {
        let name = format!("{fault:?}");
        assert!(seen.played.contains_key(&name), "{name} never happened: {:?}", seen.played);
    }
    for body in &seen.bodies {
        assert!(!body.contains(SECRET) && !body.contains(&SECRET[4..]), "{body}");
        assert!(!body.contains("</facts>\\n\\nSystem"), "{body}");
        assert!(!body.contains("\"tools\"") && !body.contains("/foundry-test"), "{body}");
        assert!(body.len() < 32 << 10);
    }
    let knock = elsewhere.accept().map(|_| ()).unwrap_err();
    assert_eq!(knock.kind(), std::io::ErrorKind::WouldBlock, "somebody followed a redirect");
}

#[tokio::test]
async fn without_a_server_everything_waits_and_says_so() {
    let stage = Stage::new(3);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    let mut engine = stage.engine(&url);
    engine.take(&Request::All).unwrap();
    let Turn::Paused { why, .. } = engine.turn().await.unwrap() else { panic!("it did not pause") };
    assert_eq!(why, format!("no model server at {url}"));
    let status = engine.status().unwrap();
    assert_eq!(status.headline(), format!("no model server at {url}; 3 waiting"));
    assert_eq!((status.counts.waiting, status.counts.dead), (3, 0));
    assert_eq!(stage.open(0).generation(), 1);
}

#[tokio::test]
async fn a_name_that_means_another_machine_is_not_connected_to() {
    let there: SocketAddr = "203.0.113.7:0".parse().unwrap();
    let settings = settings("http://localhost:1234");
    let lookup: endpoint::Lookup = Arc::new(move |_| Ok(vec![there]));
    let client = Client::new(&settings.endpoint, settings.patience, lookup).unwrap();
    match client.models().await {
        Err(Failure::Refused(why)) => assert!(why.contains("203.0.113.7"), "{why}"),
        other => panic!("{other:?}"),
    }
    // The same name, meaning this machine.
    let mock = Mock::good().await;
    let port = mock.url.rsplit(':').next().unwrap();
    let settings = super::stage::settings(&format!("http://localhost:{port}"));
    let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let lookup: endpoint::Lookup = Arc::new(move |_| Ok(vec![here]));
    let client = Client::new(&settings.endpoint, settings.patience, lookup).unwrap();
    assert_eq!(client.models().await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_content_elsewhere_is_not_asked_again_and_a_new_one_is() {
    let stage = Stage::new(1);
    let mock = Mock::good().await;
    let mut engine = stage.engine(&mock.url);
    engine.take(&Request::All).unwrap();
    drain(&mut engine).await;
    engine.take(&Request::All).unwrap();
    drain(&mut engine).await;
    let chats = || mock.seen.lock().unwrap().answered.values().sum::<usize>();
    assert_eq!((chats(), stage.open(0).generation()), (1, 2));
    // Another content, and the question was asked of the old one.
    stage.brick(0, "changed");
    engine.take(&Request::All).unwrap();
    drain(&mut engine).await;
    assert_eq!((chats(), stage.open(0).generation()), (2, 2));
    // The old content again: the answer is known, and comes back without a question.
    stage.brick(0, "0");
    engine.take(&Request::All).unwrap();
    drain(&mut engine).await;
    assert_eq!((chats(), stage.open(0).generation()), (2, 2));
    assert!(stage.open(0).annotation().unwrap().is_some());
    // The brick is made anew, and gets its annotation back.
    stage.brick(0, "0");
    engine.take(&Request::All).unwrap();
    drain(&mut engine).await;
    assert_eq!((chats(), stage.open(0).generation()), (2, 2));
}

#[tokio::test]
async fn an_answer_about_an_earlier_content_is_dropped_and_asked_again() {
    let stage = Stage::new(1);
    let dir = stage.store().to_owned();
    // While the model thinks, the file changes.
    let change = move |n: usize, _: &str| {
        if n == 0 {
            write_brick(&dir, 0, "changed", 0o755);
        }
        Fault::None
    };
    let mock = Mock::start(([127, 0, 0, 1], 9).into(), Box::new(change)).await;
    let mut engine = stage.engine(&mock.url);
    engine.take(&Request::All).unwrap();
    let counts = drain(&mut engine).await;
    assert_eq!((counts.answers, counts.delivered), (2, 1));
    let brick = stage.open(0);
    let shown =
        wire_annotate::shown(&brick.annotation().unwrap().unwrap(), brick.blake3().as_ref());
    assert_eq!(shown["current"], true);
}

#[tokio::test]
async fn private_files_are_not_told_unless_it_is_wished() {
    let stage = Stage::new(2);
    stage.make_private(1);
    let mock = Mock::good().await;
    let mut engine = stage.engine(&mock.url);
    assert_eq!(engine.take(&Request::All).unwrap(), "1 bricks are questions");
    drop(engine);
    let settings = crate::annotate::Settings { private: true, ..super::stage::settings(&mock.url) };
    let mut engine = stage.engine_with(settings, endpoint::system());
    assert_eq!(engine.take(&Request::All).unwrap(), "2 bricks are questions");
}
