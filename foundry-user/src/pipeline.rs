//! The rules: inputs in, effects out.
//!
//! Knows: artifacts, what is dirty, what is in flight. Must never know: files, clocks, threads, BPF.
//! Keeps: a function of the inputs so far; re-folding what is dirty equals folding everything.
//!
//! Reading order: `input`, `effect` (the language), `debts` (what sync waits for), `ranges`,
//! `registry` (which artifacts, where), `bricks` (which brick at which path), `dirty` (what waits),
//! `names` (what is in directories), `moves` (places change), `unwatch` (roots go), `content` (reads),
//! `annotations`,
//! `directories` (their own bricks), `schedule`, `mapped`, `unreadable`, `sync`,
//! `watches` (comparisons because it is time).

mod annotations;
mod bricks;
mod content;
mod debts;
mod directories;
mod dirty;
pub mod effect;
pub mod input;
mod mapped;
mod moves;
mod names;
pub mod ranges;
mod registry;
mod schedule;
mod sync;
pub mod unreadable;
mod unwatch;
mod watches;

use crate::artifact::ArtifactId;
use crate::event::{Event, Extents, MonotonicNs, UnixNs};
use crate::stats::PipelineStats;
use bricks::{Bricks, Orphan};
use debts::{Debts, Seq};
use effect::{Effect, Update};
use input::Input;
use registry::Registry;
use schedule::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How much may be under way at once. Part of a recording: the same inputs with other settings
/// are another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Reads of files.
    pub reads: u32,
    /// Of these, at most so many for the first look and for sweeps; the rest is for live changes.
    pub backlog_reads: u32,
    /// Listings of directories.
    pub lists: u32,
    /// Looks at single names.
    pub looks: u32,
    /// Every brick is begun anew: a recording must hold all it needs.
    pub fresh: bool,
    /// Directories have bricks of their own down to so many levels from a root, which is the first; 0 for
    /// none.
    pub depth: u32,
    /// After a look at what is mapped, the next one waits for so many times what that one took.
    pub mapped_rest: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reads: 8,
            backlog_reads: 6,
            lists: 4,
            looks: 64,
            fresh: false,
            depth: 8,
            mapped_rest: 9,
        }
    }
}

/// The state of the daemon, but for everything that touches the world.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    /// Number of the input that is worked on.
    seq: Seq,
    now: MonotonicNs,
    wall: UnixNs,
    registry: Registry,
    bricks: Bricks,
    debts: Debts,
    schedule: Schedule,
    /// Last ticket given out.
    ticket: u64,
    /// Reads under way, also of artifacts that are gone by now.
    flights: BTreeMap<u64, schedule::FlightSlot>,
    /// Commits without an answer yet.
    storing: BTreeMap<u64, content::Storing>,
    /// Annotations without an answer yet.
    annotating: BTreeMap<u64, annotations::Annotating>,
    /// Artifacts that lost their last place and may turn up elsewhere.
    limbo: BTreeMap<ArtifactId, Orphan>,
    /// Listings under way, and whether their directory is gone by now.
    lists: BTreeMap<ArtifactId, bool>,
    /// Roots whose bricks are to be asked for.
    held: Vec<Vec<u8>>,
    /// Roots whose bricks are to be asked for, or were.
    recalls: BTreeMap<Vec<u8>, (Seq, ArtifactId)>,
    /// Looks to repeat at the next tick.
    retries: Vec<names::Retry>,
    directories: directories::Directories,
    roots: Vec<ArtifactId>,
    untracked: BTreeSet<ArtifactId>,
    unreadable: unreadable::Unreadable,
    mapped: mapped::Mapped,
    /// Files that moved with a directory: what they are may depend on where they lie.
    moved_along: BTreeSet<ArtifactId>,
    sync: sync::Syncs,
    /// Comparisons under way.
    audits: BTreeMap<u64, watches::Audit>,
    stats: PipelineStats,
    out: Vec<Effect>,
}

impl Pipeline {
    /// Nothing is watched yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            seq: 0,
            now: MonotonicNs(0),
            wall: UnixNs(0),
            registry: Registry::default(),
            bricks: Bricks::default(),
            debts: Debts::default(),
            schedule: Schedule::default(),
            ticket: 0,
            flights: BTreeMap::new(),
            storing: BTreeMap::new(),
            annotating: BTreeMap::new(),
            limbo: BTreeMap::new(),
            lists: BTreeMap::new(),
            held: vec![],
            recalls: BTreeMap::new(),
            retries: vec![],
            directories: directories::Directories::default(),
            roots: vec![],
            untracked: BTreeSet::new(),
            unreadable: unreadable::Unreadable::new(),
            mapped: mapped::Mapped::default(),
            moved_along: BTreeSet::new(),
            sync: sync::Syncs::default(),
            audits: BTreeMap::new(),
            stats: PipelineStats::default(),
            out: vec![],
        }
    }

    /// Takes one input and appends what is to be done. Total: an input that makes no sense
    /// (it came late, or from a damaged log) does nothing.
    pub fn step(&mut self, input: Input, effects: &mut Vec<Effect>) {
        self.seq += 1;
        match input {
            Input::Event(event) => self.on_event(event),
            Input::Watch { root, stat } => self.on_watch(root, &stat),
            Input::Recalled { root, heads } => self.on_recalled(&root, heads),
            Input::Listed { dir, outcome } => self.on_listed(dir, outcome),
            Input::Looked { dir, name, outcome } => self.on_looked(dir, &name, outcome),
            Input::Read(answer) => self.on_read(answer),
            Input::Stored(answer) => self.on_stored(answer),
            Input::Flushed { ticket, ok } => self.on_flushed(ticket, ok),
            Input::Mappings { shared_writable } => self.on_mappings(&shared_writable),
            Input::Tables { changed } => self.on_tables(&changed),
            Input::Sync { ticket } => self.on_sync(ticket),
            Input::Tick { now, wall } => self.on_tick(now, wall),
            Input::Shutdown => self.sync.stopping = true,
            Input::Annotated(annotated) => self.on_annotated(annotated),
            Input::Process(process) => self.on_process(process),
            Input::Audit { path, ticket } => self.on_audit(&path, ticket),
            Input::Unwatch { root } => self.on_unwatch(&root),
        }
        self.begin_roots();
        self.pump();
        self.end_round();
        self.advance_syncs();
        self.advance_audits();
        effects.append(&mut self.out);
    }

    /// Counters and gauges as they stand.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        PipelineStats {
            artifacts: self.registry.files,
            pending: self.debts.len() + self.directories.debts.len(),
            unreadable: u64::try_from(self.unreadable.len()).unwrap_or(u64::MAX),
            stale: u64::try_from(self.untracked.len()).unwrap_or(u64::MAX) + self.unseen_mapped(),
            ..self.stats.clone()
        }
    }

    /// Whether something waits for time to pass.
    #[must_use]
    pub fn wants_ticks(&self) -> bool {
        let owed = !self.debts.is_empty() || !self.directories.debts.is_empty();
        owed || self.bricks.has_orphans() || !self.limbo.is_empty()
    }

    fn on_event(&mut self, event: Event) {
        self.stats.events += 1;
        let seq = self.seq;
        match event {
            Event::Dirty { artifact, extents, actor, .. } => {
                self.stats.whole_files += u64::from(extents == Extents::Whole);
                let added = self.mark(artifact, seq, |d| {
                    d.live = true;
                    d.add(&extents, actor.as_ref())
                });
                if added == Some(false) {
                    self.stats.coalesced += 1;
                }
            }
            Event::Entry { dir, name, actor, .. } => {
                self.aged(dir, seq);
                self.want_look(dir, &name, seq, actor);
            }
            Event::Relist { dir, deep, .. } => {
                self.stats.resyncs += 1;
                self.stats.relists += 1;
                self.want_list(dir, seq, deep);
            }
            Event::Sweep { .. } => {
                self.stats.resyncs += 1;
                self.stats.sweeps += 1;
                for root in self.roots.clone() {
                    self.want_list(root, seq, true);
                }
            }
            Event::Meta { artifact, .. } => {
                self.aged(artifact, seq);
                self.mark(artifact, seq, |d| {
                    d.live = true;
                    d.meta = true;
                    false
                });
                if self.unreadable.contains_key(&artifact) {
                    self.try_again(artifact, seq);
                }
            }
            Event::Exec { actor, .. } => self.publish(Update::Exec { actor }),
            Event::Exit { .. } | Event::Layout { .. } => {}
            Event::Mmap { artifact, actor, shared_writable, executable, .. } => {
                self.on_mmap(artifact, actor, shared_writable, executable);
            }
            Event::Lost { kind, n } => *self.stats.lost.entry(kind).or_default() += n,
        }
    }

    fn on_tick(&mut self, now: MonotonicNs, wall: UnixNs) {
        self.now = now;
        self.wall = wall;
        self.cooled();
        self.retry_looks();
        self.reap_aged();
        self.sweep_mapped();
        self.fold_due();
    }

    fn publish(&mut self, update: Update) {
        self.out.push(Effect::Publish(update));
    }

    fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    const fn orphan(&self, seq: Seq) -> Orphan {
        Orphan { seq, since: self.now }
    }
}

#[cfg(test)]
mod tests;
