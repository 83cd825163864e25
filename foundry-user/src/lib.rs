//! The daemon and its command line: sources, pipeline, store, sinks.
//!
//! Reading order: `artifact`, `event`, `pipeline` (the rules), then the edges.

pub mod artifact;
pub mod binary;
pub mod clock;
pub mod event;
pub mod pipeline;
pub mod sources;
pub mod stats;
pub mod tracker;
