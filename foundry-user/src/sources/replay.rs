//! A recorded run as a source of inputs.
//!
//! Knows: logs in files. Must never know: what the inputs cause.
//! Keeps: the inputs come in the order in which they were recorded.

use crate::log::{Header, LogError, LogReader};
use crate::pipeline::input::Input;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// A log on its way back.
#[derive(Debug)]
pub struct Replay(LogReader<BufReader<File>>);

impl Replay {
    /// Opens a log.
    ///
    /// # Errors
    /// Where it cannot be read or is no log of this version.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        Ok(Self(LogReader::new(BufReader::with_capacity(1 << 20, File::open(path)?))?))
    }

    /// What the log says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        self.0.header()
    }

    /// Whether the recorder was stopped the hard way. Known at the end.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.0.truncated()
    }
}

impl Iterator for Replay {
    type Item = Result<Input, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_input().transpose()
    }
}
