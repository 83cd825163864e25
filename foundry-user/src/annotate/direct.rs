//! The annotator without a daemon: what a command does in a store that nobody else works on.
//!
//! Knows: the engine, the queue. Must never know: the daemon, the command line.
//! Keeps: saying how things stand needs no lock and changes nothing.

use super::client::Client;
use super::endpoint;
use super::engine::{self, Engine, EngineError, now_ms};
use super::gather::gather;
use super::queue::{Priority, Queue, Want};
use super::service::wants;
use super::settings::Settings;
use super::status::{Request, Status};
use std::path::Path;
use std::time::Duration;

/// How things stand in a store, and whether a server is there.
///
/// # Errors
/// Where the queue cannot be read.
pub async fn status(store: &Path, settings: &Settings) -> Result<Status, EngineError> {
    let client = Client::new(&settings.endpoint, settings.patience, endpoint::system())?;
    let server = settings.endpoint.base().to_owned();
    let mut status = if store.is_dir() {
        engine::status(&Queue::open(store)?, settings)?
    } else {
        Status { enabled: settings.enabled, server, ..Status::default() }
    };
    if settings.enabled {
        status.reachable = Some(engine::is_there(&client).await);
    }
    Ok(status)
}

/// Waits for a moment, in milliseconds since 1970.
pub async fn sleep_until(until_ms: i64) {
    let wait = u64::try_from(until_ms.saturating_sub(now_ms())).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(wait.max(1))).await;
}

impl Engine {
    /// Does what is asked of the queue. Says what that was.
    ///
    /// # Errors
    /// Where the queue fails, or the store cannot be listed.
    pub fn take(&mut self, request: &Request) -> Result<String, EngineError> {
        let (store, settings) = (self.store().to_owned(), self.settings().clone());
        match request {
            Request::Path(path) => {
                let n = match gather(&store, path, &settings) {
                    Some(g) => {
                        self.queue().want(&Want { priority: Priority::Asked, ..g.want })?;
                        1
                    }
                    None => {
                        let all = crate::store::bricks(&store)?;
                        wants(self.queue(), &all, &settings, Some(path), Priority::Asked)?.len()
                    }
                };
                Ok(format!("{n} asked about first"))
            }
            Request::All => {
                let all = crate::store::bricks(&store)?;
                let n = wants(self.queue(), &all, &settings, None, Priority::Found)?.len();
                Ok(format!("{n} bricks are questions"))
            }
            Request::Retry => {
                let n = self.queue().revive()?;
                self.try_again();
                Ok(format!("{n} tried again"))
            }
            Request::Status | Request::Drain => Ok(String::new()),
        }
    }
}
