//! The whole annotator on a real store, against a model server that misbehaves by a script.

mod faults;
pub(crate) mod mock;
mod restart;
pub(crate) mod stage;
