//! Folding: bytes along the Hilbert curve, their levels, and the `.brick` container.
//!
//! Reading order: `geometry` (how many of what), `curve`, `cells`, `hash`, then the container:
//! `storage`, `meta`, `codec`, `layout` (the bytes of FORMAT.md), `brick` (read), `editor` (write);
//! `plots` and `parts` place what a composite is made of.
//!
//! Knows: bytes, cells, levels, tiles, hashes, the container of FORMAT.md.
//! Must never know: tokio, clocks, `/proc`, where a brick is stored.
//! Keeps: re-folding what is dirty equals folding everything, byte for byte.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod brick;
pub mod cells;
pub mod codec;
pub mod curve;
pub mod directory;
pub mod editor;
mod error;
pub mod export;
pub mod geometry;
pub mod hash;
pub mod layout;
pub mod meta;
pub mod parts;
pub mod plots;
mod ranges;
pub mod simd;
pub mod storage;
pub mod varint;

pub use brick::{Brick, GenerationInfo, LevelInfo, Problem};
pub use editor::{Committed, Editor};
pub use error::Error;
pub use meta::{Annotation, FactValue, Facts, Identity, Kind, Meta, Payload, Region, Writer};

// Offsets inside a brick are 64-bit; buffers are addressed with `usize`.
const _: () = assert!(usize::BITS == 64, "foundry-brick is written for 64-bit targets");
