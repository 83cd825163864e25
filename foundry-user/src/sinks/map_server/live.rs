//! What each client has not been told yet: a set, never a queue.
//!
//! Knows: subscriptions, ranges of the curve, how API.md encodes live messages.
//! Must never know: sockets, the world.
//! Keeps: a client's state is bounded however slow it is; telling one never waits for another.

mod frames;
#[cfg(test)]
mod tests;

pub(super) use frames::{Entry, EntryKind, Severity, hello};

use super::layout::NodeId;
use super::world::Change;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most tiles of one subscription.
const MOST_TILES: u64 = 4096;
/// Most separate ranges that are remembered of one client; beyond, the gaps between them go.
const MOST_RANGES: usize = 1024;
/// Most directories; beyond, the client forgets everything.
const MOST_NODES: usize = 1024;
/// Most entries of activity.
const MOST_ENTRIES: usize = 256;

/// Disjoint ranges of the curve.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        while let Some((from, to)) = self.0.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if to < start {
                break;
            }
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
        if self.0.len() > MOST_RANGES {
            self.close_gaps();
        }
    }

    /// Halves the number of ranges: telling too much is late, telling too little is wrong.
    fn close_gaps(&mut self) {
        let all: Vec<(u64, u64)> = std::mem::take(&mut self.0).into_iter().collect();
        for pair in all.chunks(2) {
            if let (Some(first), Some(last)) = (pair.first(), pair.last()) {
                self.0.insert(first.0, last.1);
            }
        }
    }
}

/// A run of tiles of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) level: u8,
    pub(super) first: u64,
    pub(super) end: u64,
}

#[derive(Debug, Default)]
struct Client {
    wanted: Vec<Wanted>,
    dirty: Ranges,
    nodes: BTreeSet<NodeId>,
    entries: VecDeque<Entry>,
    dropped: u32,
    notice: Option<(Severity, String)>,
    reset: bool,
    seq: u64,
    wake: Arc<Notify>,
}

/// Number of a client.
pub(super) type ClientId = u64;

/// All who listen.
#[derive(Debug, Default)]
pub(super) struct Hub {
    clients: Mutex<BTreeMap<ClientId, Client>>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClientId, Client>> {
        // A panic elsewhere leaves sets that are at worst too large.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, seq: u64) -> (ClientId, Arc<Notify>) {
        let mut clients = self.lock();
        let id = clients.last_key_value().map_or(0, |(id, _)| id + 1);
        let client = Client { seq, ..Client::default() };
        let wake = Arc::clone(&client.wake);
        clients.insert(id, client);
        (id, wake)
    }

    pub(super) fn leave(&self, id: ClientId) {
        self.lock().remove(&id);
    }

    pub(super) fn clients(&self) -> usize {
        self.lock().len()
    }

    /// Replaces what a client sees. False where that is too much.
    pub(super) fn subscribe(&self, id: ClientId, wanted: Vec<Wanted>) -> bool {
        let tiles = wanted.iter().map(|w| w.end.saturating_sub(w.first));
        if tiles.fold(0, u64::saturating_add) > MOST_TILES {
            return false;
        }
        if let Some(client) = self.lock().get_mut(&id) {
            client.wanted = wanted;
        }
        true
    }

    /// Notes a change for everyone.
    pub(super) fn publish(&self, change: &Change, entry: Option<&Entry>) {
        for client in self.lock().values_mut() {
            client.note(change);
            if let Some(entry) = entry {
                client.entries.push_back(entry.clone());
                if client.entries.len() > MOST_ENTRIES {
                    client.entries.pop_front();
                    client.dropped = client.dropped.saturating_add(1);
                }
            }
            client.wake.notify_one();
        }
    }

    /// Notes for one client what it missed.
    pub(super) fn catch_up(&self, id: ClientId, change: &Change) {
        if let Some(client) = self.lock().get_mut(&id) {
            client.note(change);
            client.wake.notify_one();
        }
    }

    /// Tells everyone, or one, to forget everything.
    pub(super) fn reset(&self, only: Option<ClientId>) {
        for (id, client) in self.lock().iter_mut() {
            if only.is_none_or(|only| only == *id) {
                client.reset = true;
                client.wake.notify_one();
            }
        }
    }

    pub(super) fn notice(&self, severity: Severity, text: &str) {
        for client in self.lock().values_mut() {
            client.notice = Some((severity, text.to_owned()));
            client.wake.notify_one();
        }
    }

    /// Takes what a client has not been told, as messages.
    pub(super) fn take(&self, id: ClientId, epoch: u64, seq: u64) -> Vec<Vec<u8>> {
        let mut clients = self.lock();
        let Some(client) = clients.get_mut(&id) else { return vec![] };
        let mut out = vec![];
        let seq = seq.max(client.seq);
        if std::mem::take(&mut client.reset) {
            (client.dirty, client.nodes) = (Ranges::default(), BTreeSet::new());
            out.push(frames::reset(epoch, seq));
        }
        let tiles = client.tiles();
        client.dirty = Ranges::default();
        if !tiles.is_empty() {
            out.push(frames::tiles(client.seq, &tiles));
        }
        if !client.nodes.is_empty() {
            out.push(frames::nodes(client.seq, &std::mem::take(&mut client.nodes)));
        }
        if !client.entries.is_empty() {
            let entries = std::mem::take(&mut client.entries);
            out.push(frames::activity(std::mem::take(&mut client.dropped), &entries));
        }
        if let Some((severity, text)) = client.notice.take() {
            out.push(frames::notice(severity, &text));
        }
        out
    }
}

impl Client {
    fn note(&mut self, change: &Change) {
        self.seq = self.seq.max(change.seq);
        for (start, end) in &change.ranges {
            self.dirty.add(*start, *end);
        }
        self.nodes.extend(&change.nodes);
        if self.nodes.len() > MOST_NODES {
            self.reset = true;
        }
    }

    /// The wanted tiles that meet what is dirty.
    fn tiles(&self) -> BTreeSet<(u8, u64)> {
        let mut found = BTreeSet::new();
        for wanted in &self.wanted {
            let shift = 16 + 2 * u32::from(wanted.level);
            let edge = |tile: u64| tile.checked_shl(shift).unwrap_or(u64::MAX);
            let (from, to) = (edge(wanted.first), edge(wanted.end));
            let before = self.dirty.0.range(..from).next_back();
            for (start, end) in before.into_iter().chain(self.dirty.0.range(from..to.max(from))) {
                let first = wanted.first.max(start >> shift);
                let last = wanted.end.min(((end - 1) >> shift) + 1);
                found.extend((first..last).map(|tile| (wanted.level, tile)));
            }
        }
        found
    }
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Subscribe(Vec<Wanted>),
    Resume { epoch: u64, seq: u64 },
}

/// Parses a client's message; `None` for what API.md does not have.
pub(super) fn parse(bytes: &[u8]) -> Option<Said> {
    let (kind, rest) = bytes.split_first()?;
    let u64_at = |at: usize| Some(u64::from_le_bytes(rest.get(at..at + 8)?.try_into().ok()?));
    match kind {
        1 => {
            let count = usize::from(u16::from_le_bytes(rest.get(..2)?.try_into().ok()?));
            if rest.len() != 2 + count * 17 {
                return None;
            }
            let wanted = (0..count).map(|i| {
                let at = 2 + i * 17;
                let level = *rest.get(at)?;
                let (first, end) = (u64_at(at + 1)?, u64_at(at + 9)?);
                let fits = level <= 17 && first <= end && end <= 1 << (34 - 2 * u32::from(level));
                fits.then_some(Wanted { level, first, end })
            });
            Some(Said::Subscribe(wanted.collect::<Option<_>>()?))
        }
        2 if rest.len() == 16 => Some(Said::Resume { epoch: u64_at(0)?, seq: u64_at(8)? }),
        _ => None,
    }
}
