//! The probes, one file a family of hooks.

mod change;
mod layout;
mod mapping;
mod names;
mod process;
mod sysexit;
mod uring;
mod write;
