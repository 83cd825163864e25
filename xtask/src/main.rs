//! Every developer's chore: `cargo xtask help` lists them.
//!
//! Knows: cargo, the layout of this repository. Must never know: the crates it builds.

fn main() {}
