//! The bridge to Geometry OS: artifacts as tiles of its infinite map, kept true.
//!
//! In its `systems/builder` directory a tile is `queue/NAME.rts.png` (PixelRTS version 2) for the map
//! in the browser and `queue/NAME.brick` (V2BR version 1) for its other readers; `map/manifest.json`
//! says which tile lies where and how new it is. The map polls that file, and listens on a WebSocket
//! for `tile_update`.
//!
//! Knows: those names, where a brick lies (it is told), the export formats.
//! Must never know: the store, the pipeline's rules.
//! Keeps: a file there is replaced whole; a tile keeps its place; no metadata that a reader executes
//! is ever written (the exports have none).

#[cfg(test)]
mod tests;
mod tiles;

use crate::pipeline::effect::Update;
use crate::wire_map::to_json;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tiles::Tiles;
use tokio::sync::broadcast::{self, error::RecvError};

/// Where the brick of a path lies.
pub type BrickPath = Arc<dyn Fn(&[u8]) -> PathBuf + Send + Sync>;

/// Changes are gathered for this long before tiles are written: a picture is written whole.
const GATHER: Duration = Duration::from_millis(500);
/// Silence after which clients are told that the bridge is there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Messages a client may be behind before the oldest are lost to it; it polls the manifest as well.
const BEHIND: usize = 256;

/// What the bridge needs to know.
#[derive(Clone)]
pub struct BridgeConfig {
    /// The `systems/builder` directory.
    pub dir: PathBuf,
    /// Watched trees: what was folded before has its tile, too.
    pub roots: Vec<Vec<u8>>,
    /// Where the map is told of new tiles.
    pub listen: SocketAddr,
    /// Where the brick of a path lies.
    pub brick_path: BrickPath,
}

/// Why there is no bridge.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The directory cannot be written.
    #[error("{}: {source}; --geometry-os names the systems/builder directory", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}: {source}; choose another with --geometry-os-listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// A bridge that runs.
#[derive(Debug)]
pub struct Bridge {
    dir: PathBuf,
    address: SocketAddr,
    worker: std::thread::JoinHandle<()>,
}

impl Bridge {
    /// Where the tiles go.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until what was said last is written; the sender of updates must be gone.
    pub fn stop(self) {
        // A panic there has been printed.
        drop(self.worker.join());
    }
}

/// A message of Geometry OS's protocol.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    TileUpdate { x: i64, y: i64, brick: String, timestamp: f64 },
    Heartbeat { timestamp: f64 },
}

/// Seconds since 1970, as the manifest has them.
fn now() -> f64 {
    let millis = u32::try_from(crate::clock::wall().0 / 1_000_000 % 1_000).unwrap_or(0);
    let seconds = u32::try_from(crate::clock::wall().0 / 1_000_000_000).unwrap_or(0);
    f64::from(seconds) + f64::from(millis) / 1000.0
}

/// Starts the bridge on a thread of its own.
///
/// # Errors
/// Where its directory cannot be written, or it cannot listen.
pub fn start(
    config: BridgeConfig,
    updates: broadcast::Receiver<Arc<Update>>,
) -> Result<Bridge, BridgeError> {
    let directory = |source| BridgeError::Directory { path: config.dir.clone(), source };
    let tiles = Tiles::open(&config.dir, Arc::clone(&config.brick_path)).map_err(directory)?;
    let listen = |source| BridgeError::Listen { address: config.listen, source };
    let listener = std::net::TcpListener::bind(config.listen).map_err(listen)?;
    listener.set_nonblocking(true).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(listen)?;
    let dir = config.dir.clone();
    let worker = std::thread::Builder::new()
        .name("geometry-os".to_owned())
        .spawn(move || runtime.block_on(run(tiles, config.roots, listener, updates)))
        .map_err(listen)?;
    Ok(Bridge { dir, address, worker })
}

async fn run(
    mut tiles: Tiles,
    roots: Vec<Vec<u8>>,
    listener: std::net::TcpListener,
    mut updates: broadcast::Receiver<Arc<Update>>,
) {
    let said = broadcast::Sender::new(BEHIND);
    let serving = tokio::net::TcpListener::from_std(listener).map(|listener| {
        let router = Router::new().fallback(get(meet)).with_state(said.clone());
        tokio::spawn(async move { drop(axum::serve(listener, router).await) })
    });
    let mut dirty = BTreeSet::new();
    let mut told = Told::default();
    // At the start as after a flood of news: everything is looked at, once a pause.
    let mut missed = true;
    let mut pause = tokio::time::interval(GATHER);
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            update = updates.recv() => match update {
                Ok(update) => note(&update, &mut dirty),
                Err(RecvError::Lagged(_)) => missed = true,
                Err(RecvError::Closed) => break,
            },
            _ = pause.tick(), if missed || !dirty.is_empty() => {
                if std::mem::take(&mut missed) {
                    dirty.extend(tiles.stale(&roots));
                }
                publish(&mut tiles, &mut dirty, &said, &mut told);
            }
        }
    }
    if missed {
        dirty.extend(tiles.stale(&roots));
    }
    publish(&mut tiles, &mut dirty, &said, &mut told);
    if let Ok(serving) = serving {
        serving.abort();
    }
}

fn note(update: &Update, dirty: &mut BTreeSet<Vec<u8>>) {
    match update {
        Update::Committed { path, .. } | Update::Removed { path, .. } => {
            dirty.insert(path.clone());
        }
        Update::Renamed { from, to, .. } => dirty.extend([from.clone(), to.clone()]),
        Update::Captured { pid } => {
            dirty.insert(format!("pid:{pid}").into_bytes());
        }
        Update::Directory { .. }
        | Update::Unreadable { .. }
        | Update::Exec { .. }
        | Update::Mapped { .. } => {}
    }
}

/// What was said of trouble: once, until it is another.
#[derive(Debug, Default)]
struct Told {
    failure: Option<String>,
    is_full: bool,
}

/// Writes what changed, then says so: whoever hears of a tile finds it.
fn publish(
    tiles: &mut Tiles,
    dirty: &mut BTreeSet<Vec<u8>>,
    said: &broadcast::Sender<Arc<str>>,
    told: &mut Told,
) {
    let timestamp = now();
    let written = tiles.write(std::mem::take(dirty), timestamp);
    for (x, y, brick) in written.tiles {
        tell(said, &Said::TileUpdate { x, y, brick, timestamp });
    }
    if written.failure != told.failure {
        if let Some(error) = &written.failure {
            tracing::warn!(error, "a tile for Geometry OS could not be written");
        }
        told.failure = written.failure;
    }
    if tiles.left_out() > 0 && !std::mem::replace(&mut told.is_full, true) {
        let n = tiles.left_out();
        tracing::warn!(n, "the map of Geometry OS is full; artifacts have no tile there");
    }
}

fn tell(said: &broadcast::Sender<Arc<str>>, message: &Said) {
    let text = String::from_utf8(to_json(message)).unwrap_or_default();
    // Nobody may be listening.
    drop(said.send(text.into()));
}

/// Whether a page's origin is this machine: a server on it, or a file.
fn is_local(origin: &str) -> bool {
    let Some(host) = origin.strip_prefix("http://") else {
        return matches!(origin, "null" | "file://");
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

async fn meet(
    State(said): State<broadcast::Sender<Arc<str>>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // The map is served from the same machine; a page from elsewhere learns nothing of it.
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin.is_some_and(|origin| !is_local(origin)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    match upgrade {
        Ok(upgrade) => {
            let heard = said.subscribe();
            upgrade.max_message_size(1 << 16).on_upgrade(|socket| converse(socket, heard))
        }
        Err(_) => (StatusCode::BAD_REQUEST, "this port is for WebSockets").into_response(),
    }
}

async fn converse(mut socket: WebSocket, mut heard: broadcast::Receiver<Arc<str>>) {
    loop {
        let text = tokio::select! {
            message = heard.recv() => match message {
                Ok(text) => text.to_string(),
                // What was missed stands in the manifest.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            () = tokio::time::sleep(HEARTBEAT) => {
                String::from_utf8(to_json(&Said::Heartbeat { timestamp: now() })).unwrap_or_default()
            }
            said = socket.recv() => match said {
                // Cameras and heartbeats of the map are its own business.
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        if socket.send(Message::Text(text.into())).await.is_err() {
            return;
        }
    }
}
