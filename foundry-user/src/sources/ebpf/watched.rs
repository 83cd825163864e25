//! Pointing the probes at processes whose memory is watched.
//!
//! Knows: the BPF map of watched processes, their words. Must never know: mappings.
//! Keeps: when a process was added, every later change of its layout sets its word; whoever takes the
//! word first and then looks sees all that it stood for.

use super::{Shared, index, probes};
use crate::tracker::MemoryNews;
use aya::maps::{HashMap, MapData};
use foundry_common::abi::layouts;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

/// Who is watched.
pub(super) struct Watched {
    map: HashMap<MapData, u32, u32>,
    words: BTreeMap<u32, u32>,
    free: Vec<u32>,
}

impl Watched {
    /// Nobody yet; nobody ever, where the probes do not run.
    pub(super) fn new(
        map: HashMap<MapData, u32, u32>,
        most: u32,
        attached: &[&'static str],
    ) -> Self {
        let runs = probes::of_memory().all(|program| attached.contains(&program));
        let most = if runs { index(most).min(layouts::COUNT) } else { 0 };
        let free = (0..u32::try_from(most).unwrap_or(0)).rev().collect();
        Self { map, words: BTreeMap::new(), free }
    }

    fn add(&mut self, pid: u32) -> bool {
        if self.words.contains_key(&pid) {
            return true;
        }
        let Some(word) = self.free.pop() else { return false };
        if self.map.insert(pid, word, 0).is_err() {
            self.free.push(word);
            return false;
        }
        self.words.insert(pid, word);
        true
    }

    fn remove(&mut self, pid: u32) {
        if let Some(word) = self.words.remove(&pid) {
            // It is not there only if adding it failed.
            drop(self.map.remove(&pid));
            self.free.push(word);
        }
    }
}

impl Shared {
    pub(super) fn watch_memory(&self, pid: u32) -> bool {
        self.state().watched.add(pid)
    }

    pub(super) fn unwatch_memory(&self, pid: u32) {
        self.state().watched.remove(pid);
    }

    pub(super) fn take_memory(&self, pid: u32) -> Option<MemoryNews> {
        let word = *self.state().watched.words.get(&pid)?;
        let bits = self.layouts.word(index(word))?.fetch_and(layouts::HELD, SeqCst);
        let (changed, forked) = (bits & layouts::CHANGED != 0, bits & layouts::FORKED != 0);
        Some(MemoryNews { changed, forked })
    }
}
