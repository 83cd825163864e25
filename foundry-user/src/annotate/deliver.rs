//! Putting an answer into its brick.
//!
//! Knows: the daemon's calls, the store's edits. Must never know: queues, servers.
//! Keeps: while a daemon runs, its pipeline is the only way in: so a recording has the annotation, and
//! no edit of the brick is under way.

use crate::artifact::{ArtifactId, OsBytes};
use crate::control::server::Call;
use crate::event::UnixNs;
use crate::pipeline::effect::{AnnotationOutcome, Durable, StoreJob, StoreOp};
use crate::pipeline::input::StoreFailure;
use crate::store::{Edits, FileStorage, Store, brick_path};
use foundry_brick::Brick;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Where answers go.
#[derive(Debug)]
pub enum Deliver {
    /// To the running daemon.
    Daemon(mpsc::Sender<Call>),
    /// Into the store of this process.
    Store(Arc<Store>, Box<Edits>),
}

impl Deliver {
    /// Straight into a store that nobody else writes.
    #[must_use]
    pub fn into_store(store: Arc<Store>) -> Self {
        let edits = Box::new(Edits::new(Arc::clone(&store)));
        Self::Store(store, edits)
    }

    /// Says what became of it; `None` where nobody takes it any more.
    pub(super) async fn put(
        &mut self,
        path: OsBytes,
        content: [u8; 32],
        note: Vec<u8>,
    ) -> Option<AnnotationOutcome> {
        match self {
            Self::Daemon(calls) => {
                let (done, answer) = oneshot::channel();
                calls.send(Call::Annotated { path, content, note, done }).await.ok()?;
                answer.await.ok()
            }
            Self::Store(store, edits) => {
                // The generation keeps the time at which its content was read, as in the daemon.
                let file = FileStorage::open_to_read(&brick_path(store.dir(), &path)).ok();
                let brick = file.and_then(|file| Brick::open(file).ok());
                let Some(at) = brick.map(|b| UnixNs(b.at_ns())) else {
                    return Some(AnnotationOutcome::Missing);
                };
                // Nobody knows here what was flushed: the edit syncs the brick before it goes on.
                let durable = Durable::Soon;
                let op = StoreOp::Annotate { content, note, at, durable };
                let job = StoreJob { artifact: ArtifactId(0), path, ticket: 1, op };
                match edits.carry_out(job)?.outcome {
                    Ok(_) => Some(AnnotationOutcome::Stored),
                    Err(StoreFailure::Stale) => Some(AnnotationOutcome::Stale),
                    Err(StoreFailure::Corrupt) => Some(AnnotationOutcome::Missing),
                    Err(StoreFailure::Io(_)) => None,
                }
            }
        }
    }
}
