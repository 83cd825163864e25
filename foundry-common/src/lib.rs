//! What the kernel side and the user side of Foundry must agree on, and nothing else.
//!
//! Knows: fixed-width integers, offsets inside records, the granularity of dirty state.
//! Must never know: BPF maps, paths, artifacts, I/O.
//! Keeps: every type is plain integers without implicit padding, so that bytes from the kernel
//! are parsed field by field and never transmuted.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod abi;
pub mod record;
pub mod units;
