//! The map server: the live map of the host for a browser, and for whoever else asks (API.md).
//!
//! Everything lies on one curve (`layout`); tiles of it are put together from bricks (`compose`);
//! a thread follows what the daemon says (`worker`) and notes for each client what it has not been
//! told (`live`).
//!
//! Knows: the daemon's updates, where a brick lies (it is told). Must never know: sources, the store.
//! Keeps: only this address, only with the key, only reading; a client slows nobody.

mod artifacts;
mod assets;
mod bricks;
mod classes;
mod compose;
mod container;
mod guard;
mod http;
mod layout;
mod live;
mod memory;
mod metrics;
mod publish;
mod reply;
mod search;
mod socket;
mod summary;
#[cfg(test)]
mod tests;
mod views;
mod worker;
mod world;

pub use bricks::BrickPath;
pub use publish::{PublishConfig, PublishError, Published, publish};

use crate::pipeline::effect::Update;
use layout::Layout;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{Semaphore, broadcast, watch};
use world::World;

/// Tiles that are composed at one time.
const COMPOSERS: usize = 4;

/// What the server needs to know.
#[derive(Clone)]
pub struct MapConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Watched trees, absolute.
    pub roots: Vec<Vec<u8>>,
    /// Where the bricks lie: never shown as part of a tree.
    pub store: PathBuf,
    /// Where the layout is kept between runs.
    pub saved: PathBuf,
    /// Where the brick of a path lies.
    pub brick_path: BrickPath,
}

/// Why there is no map.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The address is taken, or not ours.
    #[error(
        "cannot listen on {address}: {source}; choose another with --listen, or use --no-listen"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// No randomness for the key.
    #[error("cannot make a key: /dev/urandom: {0}")]
    Key(std::io::Error),
    /// No thread.
    #[error("cannot start the map's thread: {0}")]
    Thread(std::io::Error),
}

/// A server that runs. Dropping it stops it.
#[derive(Debug)]
pub struct MapServer {
    link: String,
    address: SocketAddr,
    stopping: watch::Sender<()>,
    worker: Option<std::thread::JoinHandle<()>>,
    /// Its own, where it does not run in another's.
    runtime: Option<tokio::runtime::Runtime>,
}

impl MapServer {
    /// The link to open: it carries the key.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops answering, and waits for the layout to be saved; the sender of updates must be gone.
    pub fn stop(mut self) {
        self.stopping.send_replace(());
        if let Some(worker) = self.worker.take() {
            // A panic there has been printed; there is nothing to save then.
            drop(worker.join());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What every request sees.
#[derive(Debug)]
struct Shared {
    world: RwLock<World>,
    epoch: u64,
    hub: live::Hub,
    bricks: bricks::Bricks,
    metrics: metrics::Metrics,
    composers: Semaphore,
    key: String,
    listen: SocketAddr,
    host: String,
    roots: Vec<Vec<u8>>,
    stopping: watch::Sender<()>,
}

impl Shared {
    fn world(&self) -> RwLockReadGuard<'_, World> {
        // A panic of the worker leaves at worst a world that no longer changes.
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compared by hash, so that how long it takes says nothing.
    fn is_key(&self, key: &str) -> bool {
        blake3::hash(key.as_bytes()) == blake3::hash(self.key.as_bytes())
    }

    fn cookie_name(&self) -> String {
        format!("foundry_{}", self.listen.port())
    }
}

/// Starts to listen, and to follow `updates`. Must be called in a runtime.
///
/// # Errors
/// Where the address cannot be had.
pub async fn start(
    mut config: MapConfig,
    updates: broadcast::Receiver<Arc<Update>>,
) -> Result<MapServer, MapError> {
    let listen = |source| MapError::Listen { address: config.listen, source };
    let listener = tokio::net::TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    config.listen = address;
    let key = keep_key(&config.saved.with_file_name("map.key")).map_err(MapError::Key)?;
    let saved = std::fs::read(&config.saved).ok();
    let layout = saved.and_then(|bytes| Layout::restore(&bytes).ok()).unwrap_or_else(Layout::new);
    let epoch = u64::try_from(crate::clock::wall().0 / 1000).unwrap_or(1);
    let (stopping, mut stopped) = watch::channel(());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let shared = Arc::new(Shared {
        world: RwLock::new(World::new(epoch, layout)),
        epoch,
        hub: live::Hub::default(),
        bricks: bricks::Bricks::new(Arc::clone(&config.brick_path)),
        metrics: metrics::Metrics::default(),
        composers: Semaphore::new(COMPOSERS),
        key: key.clone(),
        listen: address,
        host: host.trim().to_owned(),
        roots: config.roots.clone(),
        stopping: stopping.clone(),
    });
    let router = http::router(Arc::clone(&shared));
    let runtime = tokio::runtime::Handle::current();
    let worker = worker::Worker { shared, config, updates, runtime };
    let worker = std::thread::Builder::new()
        .name("map".to_owned())
        .spawn(move || worker.run())
        .map_err(MapError::Thread)?;
    tokio::spawn(async move {
        let until = async move { drop(stopped.changed().await) };
        // An error here is that of the listening socket: the daemon goes on without its map.
        drop(axum::serve(listener, router).with_graceful_shutdown(until).await);
    });
    let link = format!("http://{address}/?key={key}");
    Ok(MapServer { link, address, stopping, worker: Some(worker), runtime: None })
}

/// As [`start`], with threads of its own: what it does holds nobody else up.
///
/// # Errors
/// As [`start`].
pub fn start_apart(
    config: MapConfig,
    updates: broadcast::Receiver<Arc<Update>>,
) -> Result<MapServer, MapError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("map-http")
        .enable_all()
        .build()
        .map_err(MapError::Thread)?;
    let mut server = runtime.block_on(start(config, updates))?;
    server.runtime = Some(runtime);
    Ok(server)
}

/// The key of the run before, so that a page that is open finds the daemon again; a fresh one where
/// there is none that only we can read.
fn keep_key(path: &Path) -> std::io::Result<String> {
    let is_key = |text: &str| text.len() == 48 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let kept = std::fs::symlink_metadata(path).ok().filter(|meta| {
        let own = meta.uid() == rustix::process::geteuid().as_raw();
        meta.is_file() && own && meta.mode() & 0o077 == 0
    });
    let known = kept.and_then(|_| std::fs::read_to_string(path).ok());
    if let Some(key) = known.filter(|text| is_key(text)) {
        return Ok(key);
    }
    let key = make_key()?;
    // The map may be here before the store is.
    if let Some(store) = path.parent() {
        drop(std::fs::DirBuilder::new().recursive(true).mode(0o700).create(store));
    }
    // Where it cannot be kept, it is as good as ever until the daemon ends.
    drop(std::fs::remove_file(path));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    drop(file.and_then(|mut file| file.write_all(key.as_bytes())));
    Ok(key)
}

/// 24 random bytes as hex.
fn make_key() -> std::io::Result<String> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
