//! One live connection.
//!
//! Knows: WebSockets, the hub. Must never know: what a tile is.
//! Keeps: at most 30 flushes a second, of which a few may follow one another at once; a client that does not
//! read holds up itself alone.

use super::Shared;
use super::live::{self, ClientId, Said};
use super::metrics::Metrics;
use super::world::Change;
use axum::extract::State;
use axum::extract::ws::{
    Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// Between two flushes to one client, in the long run.
const PAUSE: Duration = Duration::from_millis(33);
/// So many may come early: a write changes a file, then the directories above it, and the next write must not
/// wait for these.
const EARLY: u32 = 6;
/// How long a client may take to read one message.
const PATIENCE: Duration = Duration::from_secs(60);
/// Silence after which the connection is tried.
const QUIET: Duration = Duration::from_secs(20);
/// Longest message of a client: a subscription of a few hundred entries.
const MOST_BYTES: usize = 1 << 17;

pub(super) async fn live(
    State(shared): State<Arc<Shared>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(MOST_BYTES)
            .on_upgrade(move |socket| async move { serve(&shared, socket).await }),
        Err(_) => super::reply::problem(StatusCode::BAD_REQUEST, "this path is for WebSockets"),
    }
}

async fn serve(shared: &Shared, mut socket: WebSocket) {
    let seq = shared.world().seq;
    let (id, wake) = shared.hub.join(seq);
    let hello = live::hello(shared.epoch, seq);
    if send(&mut socket, hello).await {
        converse(shared, &mut socket, id, &wake).await;
    }
    shared.hub.leave(id);
}

async fn send(socket: &mut WebSocket, message: Vec<u8>) -> bool {
    let sent = timeout(PATIENCE, socket.send(Message::Binary(message.into()))).await;
    matches!(sent, Ok(Ok(())))
}

async fn converse(
    shared: &Shared,
    socket: &mut WebSocket,
    id: ClientId,
    wake: &tokio::sync::Notify,
) {
    let mut stopping = shared.stopping.subscribe();
    let now = || Instant::now();
    let mut pace = Pace { spent: now() };
    let mut waiting = false;
    loop {
        let due = if waiting { pace.due() } else { now() + QUIET };
        tokio::select! {
            said = socket.recv() => match said {
                Some(Ok(Message::Binary(bytes))) => {
                    if !hear(shared, id, &bytes) {
                        return;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // A ping has been answered already; text is not of this protocol, and harmless.
                Some(Ok(_)) => {}
            },
            () = wake.notified(), if !waiting => waiting = true,
            () = sleep_until(due) => {
                if !waiting {
                    if !matches!(
                        timeout(PATIENCE, socket.send(Message::Ping(vec![].into()))).await,
                        Ok(Ok(()))
                    ) {
                        return;
                    }
                    continue;
                }
                waiting = false;
                pace.flushed(now());
                for message in shared.hub.take(id, shared.epoch, 0) {
                    Metrics::add(&shared.metrics.messages, 1);
                    if !send(socket, message).await {
                        return;
                    }
                }
            }
            _ = stopping.changed() => return,
        }
    }
}

/// When the next flush may be.
struct Pace {
    /// What was flushed so far would have taken until then, had each waited for the one before.
    spent: Instant,
}

impl Pace {
    fn due(&self) -> Instant {
        self.spent.checked_sub(PAUSE * EARLY).unwrap_or(self.spent)
    }

    fn flushed(&mut self, now: Instant) {
        self.spent = self.spent.max(now) + PAUSE;
    }
}

/// Acts on what a client said; false where it must go.
fn hear(shared: &Shared, id: ClientId, bytes: &[u8]) -> bool {
    match live::parse(bytes) {
        Some(Said::Subscribe(wanted)) => shared.hub.subscribe(id, wanted),
        Some(Said::Resume { epoch, seq }) => {
            if epoch == shared.epoch {
                let missed: Change = shared.world().since(seq);
                shared.hub.catch_up(id, &missed);
            } else {
                shared.hub.reset(Some(id));
            }
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_flushes_come_early_and_a_second_has_no_more_than_thirty() {
        let begun = Instant::now();
        let mut pace = Pace { spent: begun };
        let mut now = begun;
        let mut at = Vec::new();
        while now < begun + Duration::from_secs(2) {
            // Whoever always has something to say says it as soon as may be.
            now = now.max(pace.due());
            pace.flushed(now);
            at.push(now.duration_since(begun));
        }
        let early = at.iter().filter(|at| at.is_zero()).count();
        assert_eq!(early, EARLY as usize + 1);
        let second = |from: u64| {
            let from = Duration::from_secs(from);
            at.iter().filter(|at| (from..from + Duration::from_secs(1)).contains(at)).count()
        };
        assert!(second(0) <= 31 + EARLY as usize && second(1) <= 31, "{at:?}");
        // After a rest as much is saved as at first, and not more.
        let later = now + Duration::from_secs(100);
        let early = (0..100).take_while(|_| {
            let free = pace.due() <= later;
            pace.flushed(later);
            free
        });
        assert_eq!(early.count(), EARLY as usize + 1);
    }
}
