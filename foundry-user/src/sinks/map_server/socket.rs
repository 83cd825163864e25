//! One live connection.
//!
//! Knows: WebSockets, the hub. Must never know: what a tile is.
//! Keeps: at most one flush in 33 ms; a client that does not read holds up itself alone.

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

/// Between two flushes to one client.
const PAUSE: Duration = Duration::from_millis(33);
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
    let mut flushed = now();
    let mut waiting = false;
    loop {
        let due = if waiting { flushed + PAUSE } else { now() + QUIET };
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
                flushed = now();
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
