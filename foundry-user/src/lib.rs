//! The daemon and its command line: sources, pipeline, store, sinks.
//!
//! Reading order: `artifact`, `event`, `pipeline` (the rules), then the edges.

pub mod annotate;
pub mod args;
pub mod artifact;
pub mod binary;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod diagnostics;
pub mod directory;
pub mod error;
pub mod event;
pub mod facts;
pub mod log;
pub mod next;
#[cfg(any(test, fuzzing))]
pub mod outside;
pub mod pipeline;
pub mod process;
pub mod reader;
pub mod redact;
pub mod sandbox;
pub mod schedule;
pub mod sinks;
pub mod sources;
pub mod stats;
pub mod store;
pub mod tasks;
pub mod tracker;
pub mod walk;
pub mod wire;
pub mod wire_annotate;
pub mod wire_map;
pub mod wire_tasks;
pub mod witness;
