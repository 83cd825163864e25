//! What both sides agree on, compiled into this crate and not linked to it: a dependency outside of
//! this workspace would put the place of the checkout into the names of symbols, and so into the object.
//!
//! Must never know: anything of its own.
#![expect(dead_code, reason = "some of it is for the other side")]

#[path = "../../foundry-common/src/abi.rs"]
pub mod abi;
#[path = "../../foundry-common/src/units.rs"]
pub mod units;
