//! What a store remembers of schedules: when each was last done.
//!
//! Knows: one small file. Must never know: what is due.
//! Keeps: the file is the old one or the new one, whole; one that makes no sense is said, and as none.

use super::Every;
use crate::event::UnixNs;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Name of the file in a store.
const FILE: &str = "schedules";

/// When each was last done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    file: PathBuf,
    last: BTreeMap<Vec<u8>, (i64, String)>,
}

impl Kept {
    /// What `store` remembers.
    #[must_use]
    pub fn open(store: &Path) -> Self {
        let file = store.join(FILE);
        let last = crate::store::remembered(&file);
        Self { file, last }
    }

    /// When `name` was last done.
    #[must_use]
    pub fn last(&self, name: &[u8]) -> Option<UnixNs> {
        self.last.get(name).map(|(at, _)| UnixNs(*at))
    }

    /// Everything that is remembered: what, when it was last done, how often it is to be done.
    #[must_use]
    pub fn all(&self) -> Vec<(Vec<u8>, UnixNs, String)> {
        let one = |(name, (at, every)): (&Vec<u8>, &(i64, String))| {
            (name.clone(), UnixNs(*at), every.clone())
        };
        self.last.iter().map(one).collect()
    }

    /// Forgets what is not among these.
    ///
    /// # Errors
    /// As [`Kept::remember`].
    pub fn retain(&mut self, wanted: &[(Vec<u8>, Every)]) -> io::Result<()> {
        let before = self.last.len();
        self.last.retain(|name, _| wanted.iter().any(|(other, _)| other == name));
        if self.last.len() == before { Ok(()) } else { self.write() }
    }

    /// Remembers that `name` was done at `at`, for good.
    ///
    /// # Errors
    /// Where it cannot be written: then it will be done once more after a restart.
    pub fn remember(&mut self, name: &[u8], at: UnixNs, every: &str) -> io::Result<()> {
        let new = (at.0, every.to_owned());
        if self.last.get(name) == Some(&new) {
            return Ok(());
        }
        self.last.insert(name.to_vec(), new);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let bytes = postcard::to_allocvec(&self.last).map_err(io::Error::other)?;
        let half = self.file.with_extension("tmp");
        let mut file = std::fs::File::create(&half)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&half, &self.file)
    }
}
