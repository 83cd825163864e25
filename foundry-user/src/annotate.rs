//! What a local model thinks an artifact is: asked once for each content, kept as a labelled opinion.
//!
//! Reading order: `settings`, `endpoint` (who may be talked to), `prompt` and `key` (what is asked),
//! `answer` (what counts as an answer), `gather` (from a brick to a question), `queue` (what waits),
//! `client` and `session` (the server), `backoff`, `breaker`, `budget`, `pressure` (when not to ask),
//! `deliver`, `engine` (one turn of work), `service` (the daemon's thread).
//!
//! Knows: bricks as they lie in a store, a model server's protocol through `wire_annotate`.
//! Must never know: the pipeline's rules, sources, the map.
//! Keeps: nothing depends on an annotation; losing the queue's database loses work, never truth; what
//! a file says is data in a question and never an instruction; nobody but a host that the
//! configuration allows is ever connected to.

pub mod answer;
mod backoff;
mod breaker;
mod budget;
mod client;
pub mod deliver;
pub mod direct;
pub mod endpoint;
pub mod engine;
mod gather;
pub mod key;
mod pressure;
pub(crate) mod prompt;
pub mod queue;
pub mod service;
mod session;
pub mod settings;
pub mod status;

pub use engine::{Engine, Turn};
pub use settings::Settings;
pub use status::{Request, Status};

#[cfg(test)]
pub(crate) mod tests;
