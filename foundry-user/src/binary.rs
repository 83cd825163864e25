//! What a file says of itself: regions and first facts.
//!
//! Knows: file formats. Must never know: where the bytes came from, the store.
//! Keeps: any bytes give a description or an error; never a panic, never an allocation beyond the input.

use serde::{Deserialize, Serialize};

/// A named byte range of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Name as the file gives it, lossily UTF-8.
    pub name: String,
    /// `segment`, `section`, `function`, `object`, ...
    pub kind: String,
    /// First byte in the file.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Address in memory, where it has one.
    pub address: Option<u64>,
}

/// Regions and facts of one artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `elf`, `pe`, `macho`, or what the first bytes suggest.
    pub format: String,
    /// By start, then longest first.
    pub regions: Vec<Region>,
    /// Facts by name; keys are sorted so that a description has one encoding.
    pub facts: std::collections::BTreeMap<String, Fact>,
}

/// A fact's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// Text.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
}
