//! The map beside the daemon.
//!
//! Knows: where the map listens, where bricks lie. Must never know: what the map shows.
//! Keeps: the daemon runs without a map where nobody asked for one at a certain place.

use super::super::output::say;
use crate::config::{DEFAULT_LISTEN, Listen, WatchConfig};
use crate::error::{CommandError, Exit};
use crate::pipeline::effect::Update;
use crate::sinks::geometry_os::{self, Bridge, BridgeConfig};
use crate::sinks::map_server::{self, MapConfig, MapServer};
use crate::store::brick_path;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Starts the map, and says where it is.
///
/// # Errors
/// Where it cannot listen at the place that was asked for.
pub(super) fn start(
    config: &WatchConfig,
    updates: broadcast::Receiver<Arc<Update>>,
) -> Result<Option<MapServer>, CommandError> {
    let listen = match config.listen {
        Listen::Off => return Ok(None),
        Listen::Usual => DEFAULT_LISTEN,
        Listen::At(address) => address,
    };
    let store = config.store.clone();
    let map = MapConfig {
        listen,
        roots: roots(config),
        store: config.store.clone(),
        saved: config.store.join("map.layout"),
        brick_path: Arc::new(move |name: &[u8]| brick_path(&store, name)),
    };
    match map_server::start_apart(map, updates) {
        Ok(server) => {
            say(&format!("map: {}", server.link()));
            Ok(Some(server))
        }
        Err(error) if config.listen == Listen::Usual => {
            say(&format!("no map: {error}"));
            Ok(None)
        }
        Err(error) => Err(CommandError::Ended { exit: Exit::NotAllowed, why: error.to_string() }),
    }
}

fn roots(config: &WatchConfig) -> Vec<Vec<u8>> {
    config.roots.iter().map(|root| root.as_os_str().as_bytes().to_vec()).collect()
}

/// Starts the bridge to Geometry OS, where one was asked for.
///
/// # Errors
/// Where its directory cannot be written, or it cannot listen.
pub(super) fn bridge(
    config: &WatchConfig,
    updates: broadcast::Receiver<Arc<Update>>,
) -> Result<Option<Bridge>, CommandError> {
    let Some((dir, listen)) = config.geometry_os.clone() else { return Ok(None) };
    let store = config.store.clone();
    let settings = BridgeConfig {
        dir,
        roots: roots(config),
        listen,
        brick_path: Arc::new(move |name: &[u8]| brick_path(&store, name)),
    };
    let ended = |why: String| CommandError::Ended { exit: Exit::NotAllowed, why };
    let bridge = geometry_os::start(settings, updates).map_err(|error| ended(error.to_string()))?;
    let (dir, address) = (bridge.dir().display(), bridge.address());
    say(&format!("geometry os: tiles go to {dir}, news of them to ws://{address}"));
    Ok(Some(bridge))
}
