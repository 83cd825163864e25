//! From rings and dirty state to events.
//!
//! Knows: records, slots, bits. Must never know: what an event leads to.
//! Keeps: rings first, then the flag that says a doorbell was lost, so that neither hides behind
//! the other; a drain takes at most what a full ring can hold, so it ends under any load.

use super::actors::Programs;
use super::log::Messages;
use super::{Limits, Shared, State, extents, index, pins};
use crate::clock;
use crate::event::{Event, Extents, LossKind, MonotonicNs};
use crate::sources::SourceError;
use aya::maps::{MapData, RingBuf};
use foundry_common::abi::{DirtyRecord, Header, SlotRecord, global, mapping, state};
use foundry_common::record::{self, Record};
use rustix::event::{PollFd, PollFlags};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Bytes of the smallest record with its own header in the ring.
const LEAST_RECORD: usize = 72;

/// How often the processor is offered to whoever is writing a record before the slots are looked at.
const PATIENCE: u32 = 200;

/// The reading side.
pub(super) struct Drain {
    bell: RingBuf<MapData>,
    /// The same ring, to ask about while it is borrowed.
    bell_fd: OwnedFd,
    life: RingBuf<MapData>,
    messages: Messages,
    most_bells: usize,
    most_lives: usize,
    programs: Programs,
    bells: u64,
    scans: u64,
    invalid: u64,
    /// Changes of no known file that were told.
    unnamed: u64,
    /// What was said of each counter of losses already.
    told: BTreeMap<usize, u64>,
}

/// Losses that are told as events; each is repaired by what follows it.
const TOLD: [(usize, LossKind); 4] = [
    (global::LOST_BELLS, LossKind::Doorbell),
    (global::LOST_NAMES, LossKind::Name),
    (global::LOST_LIFE, LossKind::Process),
    (global::WHOLE_RANGE, LossKind::Range),
];

impl Drain {
    pub(super) fn new(
        bell: RingBuf<MapData>,
        life: RingBuf<MapData>,
        messages: Messages,
        limits: &Limits,
    ) -> std::io::Result<Self> {
        Ok(Self {
            bell_fd: bell.as_fd().try_clone_to_owned()?,
            bell,
            life,
            messages,
            most_bells: index(limits.bell_bytes) / LEAST_RECORD + 1,
            most_lives: index(limits.life_bytes) / LEAST_RECORD + 1,
            programs: Programs::default(),
            bells: 0,
            scans: 0,
            invalid: 0,
            unnamed: 0,
            told: BTreeMap::new(),
        })
    }

    /// Doorbells heard.
    pub(super) fn bells(&self) -> u64 {
        self.bells
    }

    /// Times at which every slot was looked at.
    pub(super) fn scans(&self) -> u64 {
        self.scans
    }

    /// Bytes from a ring that were no record.
    pub(super) fn invalid(&self) -> u64 {
        self.invalid
    }

    /// See [`crate::sources::Source::drain`].
    pub(super) fn run(
        &mut self,
        shared: &Arc<Shared>,
        out: &mut Vec<Event>,
    ) -> Result<(), SourceError> {
        let mut state = shared.state();
        self.woken(shared, &mut state, out)?;
        self.lives(shared, &state, out);
        let (rung, stuck) = self.rung(&state, out);
        for (slot, bells) in rung {
            self.take(shared, &state, slot, &bells, out);
        }
        self.losses(shared, out);
        let unnamed = shared.counter(global::UNNAMED);
        if std::mem::replace(&mut self.unnamed, unnamed) < unnamed {
            out.push(Event::Sweep { at: clock::monotonic() });
        }
        let flag = shared.global.word(global::SCAN);
        let raised = flag.is_some_and(|flag| flag.swap(0, SeqCst) != 0);
        if raised || stuck {
            self.scans += 1;
            self.scan(shared, &state, out);
        }
        pins::note(&shared.global);
        self.messages.flush(shared);
        Ok(())
    }

    fn woken(
        &self,
        shared: &Shared,
        state: &mut State,
        out: &mut Vec<Event>,
    ) -> Result<(), SourceError> {
        let mut count = [0; 8];
        match rustix::io::read(&shared.wake, &mut count) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(error) => {
                return Err(SourceError::Io { op: "read of an eventfd", source: error.into() });
            }
        }
        out.append(&mut state.pending);
        Ok(())
    }

    fn lives(&mut self, shared: &Shared, state: &State, out: &mut Vec<Event>) {
        for _ in 0..self.most_lives {
            let Some(item) = self.life.next() else { break };
            match record::parse(&item) {
                Ok(Record::Exec(header, filename)) => {
                    let actor = self.programs.executed(&header, filename);
                    out.push(Event::Exec { actor, at: MonotonicNs(header.at_ns) });
                }
                Ok(Record::Exit(header)) => {
                    let actor = self.programs.actor(&header);
                    out.push(Event::Exit { actor, at: MonotonicNs(header.at_ns) });
                }
                Ok(Record::Layout(header)) => out.push(Event::Layout { pid: header.pid }),
                // The word that it woke us for is looked at in any case.
                Ok(Record::Unnamed(_)) => {}
                Ok(Record::Mmap(record)) => {
                    if record.flags & mapping::SHARED_WRITABLE != 0 {
                        shared.note_mapped(record.slot);
                    }
                    mapped(&mut self.programs, state, &record, out);
                }
                _ => self.invalid += 1,
            }
        }
    }

    /// Reads the ring of doorbells; those that say a slot is dirty are returned, in order. Also says
    /// whether it had to give up behind a record that was reserved and not written yet: what lies
    /// after it may be older than this drain, and is found by looking at every slot.
    fn rung(
        &mut self,
        state: &State,
        out: &mut Vec<Event>,
    ) -> (BTreeMap<u32, Vec<DirtyRecord>>, bool) {
        let mut rung: BTreeMap<u32, Vec<DirtyRecord>> = BTreeMap::new();
        let (mut left, mut patience) = (self.most_bells, PATIENCE);
        while left > 0 {
            let Some(item) = self.bell.next() else {
                if !held_up(&self.bell_fd) {
                    return (rung, false);
                }
                if patience == 0 {
                    return (rung, true);
                }
                patience -= 1;
                rustix::thread::sched_yield();
                continue;
            };
            left -= 1;
            match record::parse(&item) {
                Ok(Record::Dirty(record)) => {
                    self.bells += 1;
                    if current(state, record.slot, record.generation) {
                        rung.entry(record.slot).or_default().push(record);
                    }
                }
                Ok(Record::Name(record, [])) => {
                    // The kernel could not read the name.
                    let at = MonotonicNs(record.header.at_ns);
                    let events = owners(state, &record);
                    out.extend(events.map(|dir| Event::Relist { dir, deep: false, at }));
                }
                Ok(Record::Name(record, name)) => {
                    let actor = self.programs.actor(&record.header);
                    for dir in owners(state, &record) {
                        out.push(Event::Entry {
                            dir,
                            name: name.to_vec(),
                            actor: Some(actor.clone()),
                            at: MonotonicNs(record.header.at_ns),
                        });
                    }
                }
                Ok(Record::Relist(record)) => {
                    let at = MonotonicNs(record.header.at_ns);
                    let events = owners(state, &record);
                    out.extend(events.map(|dir| Event::Relist { dir, deep: false, at }));
                }
                Ok(Record::Meta(record)) => {
                    let at = MonotonicNs(record.header.at_ns);
                    let events = owners(state, &record);
                    out.extend(events.map(|artifact| Event::Meta { artifact, at }));
                }
                _ => self.invalid += 1,
            }
        }
        (rung, false)
    }

    /// Takes the dirty state of a slot and gives each bit to the process that was writing then.
    fn take(
        &mut self,
        shared: &Shared,
        state: &State,
        slot: u32,
        bells: &[DirtyRecord],
        out: &mut Vec<Event>,
    ) {
        let Some(held) = state.slots.get(slot) else { return };
        let summary = shared.take_summary(slot);
        if held.directory {
            return;
        }
        let whole = shared.take_flags(slot) & state::WHOLE != 0 || state.growing.contains(&slot);
        for (nth, bell) in bells.iter().enumerate() {
            // From this doorbell to the next one, only this process wrote.
            let until = bells.get(nth + 1).map_or(u64::MAX, |next| next.before);
            let since = if nth == 0 { 0 } else { bell.before };
            let mine = summary & until & !since;
            let taken =
                extents::extents(held.geometry, mine, |word| shared.take_word(held.geometry, word));
            let own = extents::one(bell.start, bell.end);
            let last = nth + 1 == bells.len();
            let extents = match taken {
                _ if whole && last => Extents::Whole,
                Some(taken) if mine != 0 => join(taken, own),
                _ => own,
            };
            let actor = Some(self.programs.actor(&bell.header));
            let at = MonotonicNs(bell.header.at_ns);
            dirty(&held.owners, &extents, &actor, at, out);
        }
    }

    /// Looks at every slot, because a doorbell was lost.
    fn scan(&mut self, shared: &Shared, state: &State, out: &mut Vec<Event>) {
        let at = clock::monotonic();
        for slot in state.slots.live().filter(|slot| shared.is_dirty(*slot)) {
            let Some(held) = state.slots.get(slot) else { continue };
            let summary = shared.take_summary(slot);
            let whole = shared.take_flags(slot) & state::WHOLE != 0;
            if held.directory {
                out.extend(held.owners.iter().map(|dir| Event::Relist {
                    dir: *dir,
                    deep: false,
                    at,
                }));
                continue;
            }
            let taken = extents::extents(held.geometry, summary, |word| {
                shared.take_word(held.geometry, word)
            });
            let whole = whole || state.growing.contains(&slot);
            let extents = if whole { Some(Extents::Whole) } else { taken };
            if let Some(extents) = extents {
                dirty(&held.owners, &extents, &None, at, out);
            }
        }
    }

    fn losses(&mut self, shared: &Shared, out: &mut Vec<Event>) {
        for (which, kind) in TOLD {
            let word = shared.global.word(which);
            let now = word.map_or(0, |word| word.load(Relaxed));
            let told = self.told.entry(which).or_default();
            if now > *told {
                out.push(Event::Lost { kind, n: now - *told });
                *told = now;
            }
        }
    }
}

/// Whether the ring holds anything although nothing can be taken: a record that is being written.
fn held_up(ring: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(ring, PollFlags::IN)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Whether a slot is still held by whom the record was about.
fn current(state: &State, slot: u32, generation: u32) -> bool {
    state.slots.get(slot).is_some_and(|held| held.generation == generation)
}

fn owners<'a>(
    state: &'a State,
    record: &SlotRecord,
) -> impl Iterator<Item = crate::artifact::ArtifactId> + 'a {
    let held = state.slots.get(record.slot);
    let generation = record.generation;
    let held = held.filter(|held| held.generation == generation);
    held.into_iter().flat_map(|held| held.owners.iter().copied())
}

fn mapped(programs: &mut Programs, state: &State, record: &SlotRecord, out: &mut Vec<Event>) {
    let header: &Header = &record.header;
    let actor = programs.actor(header);
    out.extend(owners(state, record).map(|artifact| Event::Mmap {
        artifact,
        actor: actor.clone(),
        shared_writable: record.flags & mapping::SHARED_WRITABLE != 0,
        executable: record.flags & mapping::EXECUTABLE != 0,
        at: MonotonicNs(header.at_ns),
    }));
}

fn dirty(
    owners: &[crate::artifact::ArtifactId],
    extents: &Extents,
    actor: &Option<crate::event::Actor>,
    at: MonotonicNs,
    out: &mut Vec<Event>,
) {
    out.extend(owners.iter().map(|artifact| Event::Dirty {
        artifact: *artifact,
        extents: extents.clone(),
        actor: actor.clone(),
        at,
    }));
}

/// The union, as ranges.
fn join(a: Extents, b: Extents) -> Extents {
    if a == Extents::Whole || b == Extents::Whole {
        return Extents::Whole;
    }
    let ranges = |extents| match extents {
        Extents::Ranges(ranges) => ranges,
        Extents::From(start) => vec![(start, u64::MAX)],
        Extents::Whole => vec![(0, u64::MAX)],
    };
    let mut all = ranges(a);
    all.extend(ranges(b));
    all.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(all.len());
    for (start, end) in all {
        match joined.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    match joined.as_slice() {
        [(start, u64::MAX)] => extents::one(*start, u64::MAX),
        _ => Extents::Ranges(joined),
    }
}
