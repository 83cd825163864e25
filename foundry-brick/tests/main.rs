//! Tests of the container as a whole, in one binary.
//!
//! Knows: the public interface of `foundry-brick`. Must never know: its insides.

// `cfg(test)` is always true here; it is what tells the linter that helpers are tests, too.
#[cfg(test)]
mod crash;
#[cfg(test)]
mod exercise;
#[cfg(test)]
mod format;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod incremental;
#[cfg(test)]
mod support;
