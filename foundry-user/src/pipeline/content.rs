//! Content: what is dirty is read, what is read goes to the store.
//!
//! Knows: reads under way, edits under way. Must never know: how bytes are read or folded.
//! Keeps: track, then read; dirty while reading means read again; an edit is committed only when
//! its read ended well; one read per file at a time.

use super::Pipeline;
use super::bricks::{Known, folded, same_state};
use super::debts::Seq;
use super::dirty::{Dirty, Flight, Stands};
use super::effect::{Effect, ReadRequest, StoreOp, Update};
use super::input::{Committed, ReadAnswer, ReadFailure, ReadPart, StoreAnswer, StoreFailure};
use super::ranges::Ranges;
use super::schedule::FlightSlot;
use crate::artifact::{ArtifactId, OsBytes, Stat};
use crate::event::{Actor, Extents, MonotonicNs, UnixNs};

/// A file that is dirty all the time is folded at most half of the time: nanoseconds of rest per
/// byte that the last read took, at the rate one core folds.
const REST_NS_PER_BYTE: u64 = 2;

/// Bytes that are described cost so much more than bytes that are folded.
const DESCRIBING_COSTS: u64 = 4;

/// And never rests longer.
const MAX_REST_NS: u64 = 2_000_000_000;

/// Reads that found another inode rest so long before the next try.
const MISS_REST_NS: u64 = 10_000_000;

/// A brick that could not be committed is not tried again at once: the reason may be here to stay.
const CORRUPT_REST_NS: u64 = 100_000_000;

/// A commit whose answer has not come.
#[derive(Debug)]
pub(super) struct Storing {
    artifact: ArtifactId,
    seq: Seq,
    actor: Option<Actor>,
    first: bool,
    /// Somebody said that it changed.
    live: bool,
    before: Known,
}

impl Pipeline {
    /// Makes (part of) a file dirty. `None` where there is no such file; else what `change` said.
    pub(super) fn mark(
        &mut self,
        id: ArtifactId,
        seq: Seq,
        change: impl FnOnce(&mut Dirty) -> bool,
    ) -> Option<bool> {
        let file = self.registry.file_mut(id)?;
        if let Some(parked) = &mut file.parked {
            return Some(change(parked));
        }
        let added = match &mut file.dirty {
            Some((since, dirty)) => {
                let added = change(dirty);
                if seq < *since {
                    self.debts.owe(seq);
                    *since = self.debts.merge(*since, seq);
                }
                added
            }
            None => {
                let mut dirty = Box::<Dirty>::default();
                change(&mut dirty);
                self.debts.owe(seq);
                file.dirty = Some((seq, dirty));
                true
            }
        };
        self.enqueue(id);
        Some(added)
    }

    /// No path leads here: nobody can wait for what is dirty.
    pub(super) fn park(&mut self, id: ArtifactId) {
        self.dequeue(id);
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some((seq, dirty)) = file.dirty.take() else { return };
        file.parked = Some(dirty);
        self.debts.pay(seq);
    }

    /// A path leads here again.
    pub(super) fn unpark(&mut self, id: ArtifactId, seq: Seq) {
        let Some(parked) = self.registry.file_mut(id).and_then(|f| f.parked.take()) else { return };
        self.mark(id, seq, |d| {
            d.absorb_older(*parked);
            true
        });
    }

    /// Asks for what is dirty. The file is in no queue.
    pub(super) fn start_read(&mut self, id: ArtifactId) {
        let Some(node) = self.registry.node(id) else { return };
        let expect = node.identity;
        let places = node.places.clone();
        let paths = self.registry.paths(id);
        let by = self.registry.file(id).map_or(0, |f| usize::from(f.read_by));
        let Some(path) = paths.get(by).or(paths.first()).cloned() else {
            self.park(id);
            return;
        };
        let moved = self.registry.file(id).is_some_and(|f| f.moved);
        if moved && self.places_in_doubt(&places) {
            return;
        }
        let whole = !self.settle_bricks(id, &paths, self.seq);
        let ticket = self.next_ticket();
        let at = self.wall;
        let known_size = self.bricks.get(&path).and_then(|b| b.state).map_or(0, |s| s.size);
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some((seq, dirty)) = file.dirty.take() else { return };
        let mut work = *dirty;
        if std::mem::take(&mut file.moved) {
            // There may be names that were not tried.
            work.refused = None;
        }
        let proves = |p| self.bricks.get(p).is_some_and(|b| b.proves(&file.stat, work.audit));
        if whole || (work.check && !paths.iter().map(Vec::as_slice).all(proves)) {
            work.ranges = Ranges::all();
        }
        let request = ReadRequest {
            artifact: id,
            ticket,
            path,
            expect,
            ranges: work.ranges.as_slice().to_vec(),
            known_size,
            settle: file.mapped,
            describe: work.meta || work.renew || file.stands.is_touched_by(&work.ranges),
        };
        let backlog = !work.live;
        file.flight = Some(Box::new(Flight {
            ticket,
            seq,
            begun_at: self.seq,
            paths,
            work,
            at,
            start: None,
            begun: false,
            cancelled: false,
            bytes: 0,
            stands: None,
        }));
        self.schedule.reads += 1;
        self.schedule.backlog_reads += u32::from(backlog);
        self.flights.insert(ticket, FlightSlot { artifact: id, backlog });
        self.out.push(Effect::Read(request));
    }

    /// The answer to the flight is no longer wanted; its work is dirty again.
    pub(super) fn cancel_flight(&mut self, id: ArtifactId, seq: Seq) {
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some(flight) = &mut file.flight else { return };
        if flight.cancelled {
            return;
        }
        flight.cancelled = true;
        let work = std::mem::take(&mut flight.work);
        let (owed, ticket, begun) = (flight.seq, flight.ticket, flight.begun);
        let paths = if begun { std::mem::take(&mut flight.paths) } else { vec![] };
        for path in paths {
            self.store(id, &path, 0, StoreOp::Abandon);
        }
        self.out.push(Effect::Cancel { ticket });
        self.mark(id, owed.min(seq), |d| {
            d.absorb_older(work);
            true
        });
        self.debts.pay(owed);
    }

    /// The artifact of this flight is forgotten. Says whether a read is still under way.
    pub(super) fn end_flight_of_dropped(
        &mut self,
        id: ArtifactId,
        flight: Option<Box<Flight>>,
    ) -> bool {
        let Some(flight) = flight else { return false };
        if !flight.cancelled {
            self.debts.pay(flight.seq);
            if flight.begun {
                for path in &flight.paths {
                    self.store(id, path, 0, StoreOp::Abandon);
                }
            }
            self.out.push(Effect::Cancel { ticket: flight.ticket });
        }
        true
    }

    pub(super) fn on_read(&mut self, answer: ReadAnswer) {
        let ReadAnswer { artifact: id, ticket, part } = answer;
        if self.flights.get(&ticket).is_none_or(|f| f.artifact != id) {
            return;
        }
        let ends = matches!(part, ReadPart::End { .. } | ReadPart::Failed(_));
        if ends && let Some(slot) = self.flights.remove(&ticket) {
            self.schedule.reads = self.schedule.reads.saturating_sub(1);
            let backlog = self.schedule.backlog_reads.saturating_sub(u32::from(slot.backlog));
            self.schedule.backlog_reads = backlog;
        }
        let Some(file) = self.registry.file_mut(id) else {
            if ends {
                self.out.push(Effect::Untrack { artifact: id });
            }
            return;
        };
        if file.flight.as_ref().is_none_or(|f| f.ticket != ticket) {
            return;
        }
        match part {
            ReadPart::Start { stat, tracked, sees_mapped_stores } => {
                file.sees_mapped_stores = sees_mapped_stores;
                let begun = file.flight.as_ref().map_or(0, |f| f.begun_at);
                self.set_untracked(id, !tracked, begun);
                self.on_start(id, &stat);
            }
            ReadPart::Bytes { offset, bytes } => {
                self.count_read(id, bytes.0.len() as u64);
                self.each_brick(id, || StoreOp::Bytes { offset, bytes: bytes.clone() });
            }
            ReadPart::Hole { offset, len } => {
                self.each_brick(id, || StoreOp::Hole { offset, len });
            }
            ReadPart::Described(d) => self.each_brick(id, || StoreOp::Describe(d.clone())),
            ReadPart::Stands { on, cost } => self.on_stands(id, &on, cost),
            ReadPart::Missed(extents) => self.on_missed(id, &extents),
            ReadPart::End { after } => {
                let read = file.flight.as_ref().filter(|flight| !flight.cancelled);
                if let Some(seq) = read.map(|flight| flight.seq) {
                    self.set_readable(id, seq);
                }
                self.on_end(id, &after);
            }
            ReadPart::Failed(failure) => self.on_failed(id, failure),
        }
    }

    fn on_start(&mut self, id: ArtifactId, stat: &Stat) {
        let Some(file) = self.registry.file_mut(id) else { return };
        let news = std::mem::replace(&mut file.stat, *stat) != *stat;
        file.misses = 0;
        if news && let Some(seq) = file.flight.as_ref().map(|f| f.seq) {
            self.touched_file(id, seq);
        }
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some(flight) = &mut file.flight else { return };
        if flight.cancelled {
            return;
        }
        let whole = flight.work.ranges.is_all();
        let bricks = &self.bricks;
        let state = |path: &OsBytes| bricks.get(path).filter(|b| !b.fresh).and_then(|b| b.state);
        let states: Vec<_> = flight.paths.iter().map(state).collect();
        if !whole {
            let audit = flight.work.audit;
            let proves = |p: &OsBytes| bricks.get(p).is_some_and(|b| b.proves(stat, audit));
            if (flight.work.check && !flight.paths.iter().all(proves)) || states.contains(&None) {
                flight.work.ranges = Ranges::all();
                let seq = flight.seq;
                self.cancel_flight(id, seq);
                return;
            }
            let same = |s: &Option<_>| s.is_some_and(|s| same_state(&s, stat));
            let stale = file.stands == Stands::Stale || flight.work.renew;
            if flight.work.ranges.is_empty() && states.iter().all(same) && !stale {
                return;
            }
        }
        flight.start = Some(*stat);
        flight.begun = true;
        let paths = flight.paths.clone();
        if file.first {
            self.stats.first_fold.files_read += 1;
        }
        for path in paths {
            let Some(brick) = self.bricks.get_mut(&path) else { continue };
            let unread = brick.state.is_none() && self.settings.fresh;
            let fresh = std::mem::take(&mut brick.fresh) || unread;
            self.store(id, &path, 0, StoreOp::Begin { stat: *stat, whole, fresh });
        }
    }

    /// What changed while nobody watched is read, whatever the file's times say.
    fn on_missed(&mut self, id: ArtifactId, extents: &Extents) {
        let Some(flight) = self.registry.file(id).and_then(|f| f.flight.as_ref()) else { return };
        // Whoever reads all of it anyway began after that.
        if flight.begun && flight.work.ranges.is_all() {
            return;
        }
        let seq = flight.seq;
        self.mark(id, seq, |d| {
            d.live = true;
            d.add(extents, None)
        });
    }

    fn count_read(&mut self, id: ArtifactId, n: u64) {
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some(flight) = &mut file.flight else { return };
        flight.bytes += n;
        if file.first {
            self.stats.first_fold.bytes_read += n;
            self.stats.first_fold.bytes_done += n;
        }
        if flight.begun && !flight.cancelled {
            self.stats.bytes_folded += n;
        }
    }

    /// A description is searched and digested, not only read: it weighs more when the file rests.
    fn on_stands(&mut self, id: ArtifactId, on: &[(u64, u64)], cost: u64) {
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some(flight) = &mut file.flight else { return };
        let size = flight.start.map_or(u64::MAX, |s| s.size);
        flight.stands = Some(Stands::on(on, size));
        flight.bytes = flight.bytes.saturating_add(cost.saturating_mul(DESCRIBING_COSTS));
    }

    fn each_brick(&mut self, id: ArtifactId, op: impl Fn() -> StoreOp) {
        let Some(flight) = self.registry.file(id).and_then(|f| f.flight.as_ref()) else { return };
        if !flight.begun || flight.cancelled {
            return;
        }
        for path in flight.paths.clone() {
            self.store(id, &path, 0, op());
        }
    }

    fn on_end(&mut self, id: ArtifactId, after: &Stat) {
        let now = self.now.0;
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some(flight) = file.flight.take() else { return };
        let rest = flight.bytes.saturating_mul(REST_NS_PER_BYTE).min(MAX_REST_NS);
        file.not_before = MonotonicNs(now.saturating_add(rest));
        if flight.cancelled {
            self.enqueue(id);
            return;
        }
        file.read_since = flight.begun_at;
        let first = std::mem::take(&mut file.first);
        let Flight { seq, paths, work, at, start, stands, .. } = *flight;
        let Some(start) = start else {
            let (stat, unseen) = (file.stat, file.face.is_none());
            self.first_done(first, &stat, true);
            // Its directory may have been folded before the brick was known to be this file's.
            if unseen {
                self.touched_file(id, seq);
            }
            self.debts.pay(seq);
            self.enqueue(id);
            return;
        };
        // Only now it goes into the bricks: a read that was cancelled brought none.
        if let Some(stands) = stands {
            file.stands = stands;
        }
        let untracked = file.untracked;
        let actor = work.actors.last().map(|(_, actor)| actor.clone());
        let belated = file.unclaimed && actor.is_some();
        file.unclaimed = work.ahead;
        self.first_done(first, &start, false);
        let writers = Dirty::attributions(work.actors);
        // What is read in part may be older elsewhere, by changes that are not heard of yet. If this run
        // is killed before they are, the next one must not take the header's times for all of it.
        let date = if work.ranges.is_all() { at } else { UnixNs(at.0.min(start.ctime_ns)) };
        for path in paths {
            let ticket = self.next_ticket();
            let (mut durable, mut before, mut recalled) = Default::default();
            if let Some(brick) = self.bricks.get_mut(&path) {
                let touched = brick.state.is_none_or(|s| s.mtime_ns != start.mtime_ns);
                let part = !work.ranges.is_empty() || touched;
                brick.patched = !work.ranges.is_all() && (brick.patched || part);
                brick.state = Some(folded(&start, at));
                brick.date = Some(date);
                recalled = brick.is_recalled();
                (durable, before) = brick.change(self.sync.flushes, ticket);
            }
            self.debts.owe(seq);
            let (actor, live) = (actor.clone(), work.live);
            let storing = Storing { artifact: id, seq, actor, first, live, before };
            self.storing.insert(ticket, storing);
            let writers = writers.clone();
            let op = StoreOp::Commit { writers, belated, at: date, durable, recalled };
            self.store(id, &path, ticket, op);
        }
        self.changed_meanwhile(id, &start, after, untracked);
        self.debts.pay(seq);
        self.enqueue(id);
    }

    /// What changed during a read is later than whatever it was begun for: who waits for that does not
    /// wait for a writer who never ends.
    fn changed_meanwhile(&mut self, id: ArtifactId, start: &Stat, after: &Stat, untracked: bool) {
        let (low, high) = (start.size.min(after.size), start.size.max(after.size));
        let later = self.seq;
        if low != high {
            self.mark(id, later, |d| {
                d.ahead = true;
                d.add(&Extents::Ranges(vec![(low, high)]), None)
            });
        }
        if untracked && start != after {
            self.mark(id, later, |d| d.add(&Extents::Whole, None));
        }
    }

    fn first_done(&mut self, first: bool, stat: &Stat, agreed: bool) {
        if !first {
            return;
        }
        let first_fold = &mut self.stats.first_fold;
        first_fold.files_done += 1;
        if agreed {
            first_fold.files_agreed += 1;
            first_fold.bytes_done += stat.size.min(stat.blocks.saturating_mul(512));
        }
    }

    fn on_failed(&mut self, id: ArtifactId, failure: ReadFailure) {
        let rest = MonotonicNs(self.now.0.saturating_add(MISS_REST_NS));
        let Some(file) = self.registry.file_mut(id) else { return };
        let Some(mut flight) = file.flight.take() else { return };
        if flight.cancelled {
            self.enqueue(id);
            return;
        }
        file.read_since = flight.begun_at;
        let seq = flight.seq;
        let gone = failure == ReadFailure::Gone;
        let names = u16::try_from(flight.paths.len()).unwrap_or(u16::MAX);
        let refused = (!gone).then(|| flight.work.refuse(flight.begun_at));
        let again = refused.is_some_and(|refused| !flight.begun && refused.names < names);
        if again {
            file.read_by_next(names);
        }
        if flight.begun {
            for path in &flight.paths {
                self.store(id, path, 0, StoreOp::Abandon);
            }
        }
        if gone {
            self.look_for(id, *flight, rest);
        } else if again {
            self.mark(id, seq, |d| {
                d.absorb_older(flight.work);
                true
            });
        } else {
            self.unreadable(id, &flight, failure);
        }
        self.debts.pay(seq);
        self.enqueue(id);
    }

    /// Another inode, or nothing, is at its path: look what has become of its places, then try again.
    fn look_for(&mut self, id: ArtifactId, flight: Flight, rest: MonotonicNs) {
        let Some(file) = self.registry.file_mut(id) else { return };
        file.moved = true;
        file.misses = file.misses.saturating_add(1);
        if 1 < file.misses {
            file.not_before = rest;
        }
        let places = self.registry.node(id).map(|n| n.places.clone()).unwrap_or_default();
        for place in places {
            self.want_look(place.dir, &place.name, flight.seq, None);
        }
        self.mark(id, flight.seq, |d| {
            d.absorb_older(flight.work);
            true
        });
    }

    /// The kernel refuses, or the medium does: the last good brick stays, and sweeps try again.
    fn unreadable(&mut self, id: ArtifactId, flight: &Flight, failure: ReadFailure) {
        let Some(file) = self.registry.file_mut(id) else { return };
        let first = std::mem::take(&mut file.first);
        let stat = file.stat;
        let since = flight.work.refused.map_or(flight.begun_at, |refused| refused.since);
        self.set_unreadable(id, failure, flight.seq, since);
        self.first_done(first, &stat, false);
        // What was not read is unknown: nothing may take this brick for true.
        for path in &flight.paths {
            if let Some(state) = self.bricks.get_mut(path).and_then(|b| b.state.as_mut()) {
                state.ctime_ns = i64::MIN;
            }
            let (artifact, path) = (id, path.clone());
            self.publish(Update::Unreadable { artifact, path, failure });
        }
    }

    pub(super) fn on_stored(&mut self, answer: StoreAnswer) {
        if self.on_folded(&answer) {
            return;
        }
        let Some(answer) = self.on_annotation_stored(answer) else { return };
        let StoreAnswer { artifact, path, ticket, outcome } = answer;
        let storing = self.storing.remove(&ticket);
        let seq = storing.as_ref().map_or(self.seq, |s| s.seq);
        match outcome {
            Ok(committed) => {
                if let Some(storing) = &storing {
                    self.on_committed(storing, ticket, path, committed);
                }
            }
            Err(StoreFailure::Corrupt | StoreFailure::Stale) => {
                if let Some(brick) = self.bricks.get_mut(&path) {
                    brick.state = None;
                    brick.fresh = true;
                }
                let rest = self.now.0.saturating_add(CORRUPT_REST_NS);
                if let Some(file) = self.registry.file_mut(artifact) {
                    file.not_before = MonotonicNs(rest);
                }
                self.mark(artifact, seq, |d| d.add(&Extents::Whole, None));
                // A directory's brick that could not be moved is made anew.
                self.touched(artifact, seq);
            }
            // The store has stopped, and the daemon will: the debt stays, no sync is answered.
            Err(StoreFailure::Io(_)) => return,
        }
        if storing.is_some() {
            self.debts.pay(seq);
        }
    }

    fn on_committed(
        &mut self,
        storing: &Storing,
        ticket: u64,
        path: OsBytes,
        committed: Committed,
    ) {
        let Committed { generation, size, changed_tiles, new, face } = committed;
        self.own_face(storing.artifact, ticket, face, storing.seq);
        if let Some(brick) = self.bricks.get_mut(&path) {
            brick.changed(ticket, new, storing.before);
        }
        if !new {
            self.stats.unchanged += 1;
            self.stats.first_fold.files_unchanged += u64::from(storing.first);
            return;
        }
        self.stats.commits += 1;
        if !storing.live && changed_tiles.as_ref().is_none_or(|tiles| !tiles.is_empty()) {
            self.drifted(storing.seq);
        }
        self.publish(Update::Committed {
            artifact: storing.artifact,
            path,
            generation,
            size,
            changed_tiles,
            actor: storing.actor.clone(),
            found: storing.first && generation == 1,
        });
    }
}

#[cfg(test)]
mod tests;
