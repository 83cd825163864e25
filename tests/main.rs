//! The integration tests, in one binary: what holds the house together, and what holds the product.

// `cfg(test)` is always true here; it is what tells the linter that helpers are tests, too.
#[cfg(test)]
mod cli;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod live;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tidy;
