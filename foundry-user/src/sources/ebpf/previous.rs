//! What an earlier run's probes have collected since that run ended.
//!
//! Knows: the ABI of the probes. Must never know: who is asked about, what follows from the answer.
//! Keeps: nothing is cleared: whoever asks twice hears the same or more, also the next run, where this
//! one is killed before it has made use of it.

use super::pins;
use super::shared::SharedWords;
use super::slots::Key;
use super::{STATE_WORDS, bpf, extents, index};
use crate::event::Extents;
use aya::maps::{HashMap, Map, MapData, MapError, RingBuf};
use foundry_common::abi::{Geometry, mapping, state};
use foundry_common::record::{self, Record};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;

/// The word of a file's state in which user space notes that some process may map it shared and writable.
pub(super) const MAPPED_WORD: usize = 5;

/// State that is pinned.
pub(super) struct Previous {
    dir: PathBuf,
    interest: HashMap<MapData, Key, u32>,
    files: SharedWords,
    bitmaps: SharedWords,
    life: RingBuf<MapData>,
}

/// What is known of an inode.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was not tracked.
    Nothing,
    /// It was, and did not change.
    Same,
    /// This much of it may have changed.
    Changed(Extents),
}

impl Previous {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let broken = |error: MapError| io::Error::other(error.to_string());
        let map = |name: &str| Map::from_map_data(bpf::map_at(&dir.join(name))?).map_err(broken);
        let words = |name: &str, each: usize| {
            let data = bpf::map_at(&dir.join(name))?;
            let entries = data.info().map_err(broken)?.max_entries();
            SharedWords::map(data.fd().as_fd(), index(entries).saturating_mul(each))
        };
        Ok(Self {
            dir: dir.to_owned(),
            interest: map("INTEREST")?.try_into().map_err(broken)?,
            files: words("FILES", STATE_WORDS)?,
            bitmaps: words("BITMAPS", 1)?,
            life: map("LIFE")?.try_into().map_err(broken)?,
        })
    }

    /// What became of the inode with this key. `sees_stores` says that stores through mappings of it
    /// are among what is collected.
    pub(super) fn look(&mut self, key: &Key, sees_stores: bool) -> Found {
        let Ok(slot) = self.interest.get(key, 0) else { return Found::Nothing };
        self.hear();
        let word = |nth| {
            let word = self.files.word(index(slot).saturating_mul(STATE_WORDS) + nth);
            word.map_or(0, |word| word.load(SeqCst))
        };
        let (summary, flags) = (word(0), word(2));
        if flags & state::WHOLE != 0 || (word(MAPPED_WORD) != 0 && !sees_stores) {
            return Found::Changed(Extents::Whole);
        }
        if summary == 0 {
            return Found::Same;
        }
        let geometry = Geometry::unpack(word(1));
        let bits = |nth: u32| {
            let word = self.bitmaps.word(index(geometry.base) + index(nth));
            word.map_or(0, |word| word.load(SeqCst))
        };
        let found = extents::extents(geometry, summary, bits);
        Found::Changed(found.unwrap_or(Extents::Whole))
    }

    /// Takes note of mappings that were made, where it stays: what is read from the ring is gone from it.
    fn hear(&mut self) {
        while let Some(item) = self.life.next() {
            if let Ok(Record::Mmap(record)) = record::parse(&item)
                && record.flags & mapping::SHARED_WRITABLE != 0
            {
                let nth = index(record.slot).saturating_mul(STATE_WORDS) + MAPPED_WORD;
                if let Some(word) = self.files.word(nth) {
                    word.store(1, SeqCst);
                }
            }
        }
    }

    /// Ends it: its probes stop, and what it collected is gone.
    pub(super) fn end(self, said: &mut Vec<String>) {
        pins::forget(&self.dir, said);
    }
}
