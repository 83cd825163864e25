//! The rules: inputs in, effects out.
//!
//! Knows: artifacts, what is dirty, what is in flight. Must never know: files, clocks, threads, BPF.
//! Keeps: a function of the inputs so far; re-folding what is dirty equals folding everything.

pub mod effect;
pub mod input;
