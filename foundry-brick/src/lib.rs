//! Folding: bytes along the Hilbert curve, their levels, and the `.brick` container.
//!
//! Knows: bytes, cells, levels, tiles, hashes, the container of FORMAT.md.
//! Must never know: tokio, clocks, `/proc`, where a brick is stored.
//! Keeps: re-folding what is dirty equals folding everything, byte for byte.
#![deny(missing_docs)]

pub mod parts;
pub mod plots;
pub mod varint;
