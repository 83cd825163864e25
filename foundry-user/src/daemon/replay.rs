//! Replaying a recorded run: the same inputs, the same bricks, without the tree and without
//! privileges.
//!
//! Knows: logs, the pipeline, the store. Must never know: sources, readers, clocks.
//! Keeps: the store's answers are those of the recording, or the replay says where they differ.

use crate::log::LogError;
use crate::pipeline::Pipeline;
use crate::pipeline::effect::Effect;
use crate::pipeline::input::{BrickHead, Committed, Input, StoreFailure};
use crate::sources::replay::Replay;
use crate::stats::PipelineStats;
use crate::store::{Edits, Store, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a replay did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs of the log.
    pub inputs: u64,
    /// The log ended inside a frame: everything before was replayed.
    pub truncated: bool,
    /// The pipeline's counters at the end.
    pub stats: PipelineStats,
}

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be read.
    #[error("{}: {source}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// Why not.
        source: LogError,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds bricks already, which the recorded run did not have.
    #[error("the store {} is not empty: replay into a new one", .0.display())]
    NotEmpty(PathBuf),
    /// Writing failed.
    #[error("the store stopped after an I/O error: {0}")]
    Medium(std::io::Error),
    /// The store did something else than in the recording.
    #[error("the replay departs from the recording at input {input}: {}", path.escape_ascii())]
    Diverged {
        /// Number of the input.
        input: u64,
        /// Whose brick.
        path: Vec<u8>,
    },
}

type Outcome = Result<Committed, StoreFailure>;

/// Replays `log` into the store at `dir`, which must be empty.
///
/// # Errors
/// Where the log is damaged, the store is in use or not empty, or writing fails.
pub fn run(log: &Path, dir: &Path) -> Result<Replayed, ReplayError> {
    let log_error = |source| ReplayError::Log { path: log.to_owned(), source };
    let mut replay = Replay::open(log).map_err(log_error)?;
    let header = replay.header().clone();
    let payload = if header.embedded {
        foundry_brick::Payload::Embedded
    } else {
        foundry_brick::Payload::Reference
    };
    let store = Arc::new(Store::open(dir, payload)?);
    if !crate::store::bricks(dir).map_err(ReplayError::Medium)?.is_empty() {
        return Err(ReplayError::NotEmpty(dir.to_owned()));
    }
    let mut edits = Edits::new(Arc::clone(&store));
    let mut pipeline = Pipeline::new(header.settings);
    let mut done: BTreeMap<u64, Outcome> = BTreeMap::new();
    let mut effects = vec![];
    let mut inputs = 0;
    for input in &mut replay {
        let mut input = input.map_err(log_error)?;
        inputs += 1;
        if let Input::Stored(recorded) = &mut input
            && let Some(ours) = done.remove(&recorded.ticket)
        {
            if without_face(&ours) != recorded.outcome {
                return Err(ReplayError::Diverged { input: inputs, path: recorded.path.clone() });
            }
            recorded.outcome = ours;
        }
        if let Input::Recalled { root, heads } = &mut input {
            fill_in(&store, root, heads).map_err(ReplayError::Medium)?;
        }
        pipeline.step(input, &mut effects);
        for effect in effects.drain(..) {
            let Effect::Store(job) = effect else { continue };
            if let Some(answer) = edits.carry_out(job) {
                if let Err(StoreFailure::Io(errno)) = answer.outcome {
                    return Err(ReplayError::Medium(std::io::Error::from_raw_os_error(errno)));
                }
                done.insert(answer.ticket, answer.outcome);
            }
        }
    }
    if !store.flush() {
        let errno = store.failure().unwrap_or(libc::EIO);
        return Err(ReplayError::Medium(std::io::Error::from_raw_os_error(errno)));
    }
    Ok(Replayed { inputs, truncated: replay.truncated(), stats: pipeline.stats() })
}

/// Says of the recorded heads what a log does not keep: a root that comes back finds bricks of this run.
fn fill_in(store: &Store, root: &[u8], heads: &mut [BrickHead]) -> std::io::Result<()> {
    let ours = store.inventory(root)?.heads;
    for head in heads {
        if let Ok(i) = ours.binary_search_by(|other| other.path.cmp(&head.path)) {
            (head.directory, head.face) = (ours[i].directory, ours[i].face.clone());
        }
    }
    Ok(())
}

/// What a log keeps of an outcome.
fn without_face(outcome: &Outcome) -> Outcome {
    outcome.clone().map(|committed| Committed { face: None, ..committed })
}
