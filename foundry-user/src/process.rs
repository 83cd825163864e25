//! Memory of live processes: who is looked at, what is mapped, which pages are there, where each lies.
//!
//! Knows: `/proc`, the kernel's calls about other processes' memory. Must never know: the pipeline, the
//! store.
//! Keeps: a process is never stopped; of its memory only statistics leave this room, unless its bytes
//! were asked for.

mod about;
pub mod capture;
pub mod layout;
mod look;
pub mod maps;
pub mod pages;
mod partial;
pub mod regions;
pub mod sample;
mod sys;
mod target;

pub use capture::{CaptureError, Survey};
pub use look::Look;
pub use partial::Relaid;
pub use regions::Functions;
pub use target::{Abilities, ProcessError, Target, find};

use foundry_brick::parts::Attribute;

const PERMISSIONS: Attribute = Attribute::PERMISSIONS;
const RESIDENT: Attribute = Attribute::RESIDENT;
const SWAPPED: Attribute = Attribute::SWAPPED;

#[cfg(test)]
pub(crate) mod tests;
