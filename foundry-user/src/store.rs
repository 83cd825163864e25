//! The store: one directory of bricks, one process that writes it.
//!
//! Knows: files and their places. Must never know: sources, sinks, what a brick is about.
//! Keeps: what was acknowledged survives; what is shown is whole.

pub mod file;
pub mod place;

pub use file::FileStorage;
pub use place::{brick_path, bricks};
