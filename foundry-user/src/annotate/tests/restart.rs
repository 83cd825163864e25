//! Killed in the middle of a lease.

use super::mock::{Fault, Mock};
use super::stage::{Stage, drain};
use crate::annotate::queue::Queue;
use crate::annotate::status::Request;

#[tokio::test]
async fn exactly_what_was_leased_runs_again() {
    let stage = Stage::new(5);
    // The third question is never answered, the first time.
    let stall = |n: usize, _: &str| if n == 2 { Fault::Stall } else { Fault::None };
    let mock = Mock::start(([127, 0, 0, 1], 9).into(), Box::new(stall)).await;
    let mut engine = stage.engine(&mock.url);
    engine.take(&Request::All).unwrap();
    let asked = || mock.seen.lock().unwrap().played.values().sum::<usize>();
    // The work ends where it stands as soon as the third question is out: nothing is cleaned up.
    let working = async {
        loop {
            engine.turn().await.unwrap();
        }
    };
    let watching = async {
        while asked() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { () = working => {}, () = watching => {} }
    drop(engine);
    let queue = Queue::open(stage.store()).unwrap();
    let leased = queue.leased();
    let before = queue.counts().unwrap();
    assert_eq!((leased.len(), before.answers, before.waiting), (1, 2, 2));
    drop(queue);
    let mut engine = stage.engine(&mock.url);
    let counts = drain(&mut engine).await;
    assert_eq!((counts.answers, counts.delivered), (5, 5));
    // Five were answered once each; the one that was leased was asked once more.
    let seen = mock.seen.lock().unwrap();
    assert_eq!(seen.played.values().sum::<usize>(), 6, "{:?}", seen.played);
    assert!(seen.answered.len() == 5 && seen.answered.values().all(|n| *n == 1));
}
