//! Where results go. Sinks never name one another, a source or the store; `daemon.rs` wires them.
//!
//! Knows: which sinks there are. Must never know: where updates come from.
//! Keeps: a sink cannot slow a source: what it does not take in time is gone, and it knows how much.

pub mod geometry_os;
pub mod map_server;
