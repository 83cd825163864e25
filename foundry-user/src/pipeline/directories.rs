//! Directories' own bricks: what changed below is marked up to the world, and folded in bursts.
//!
//! A directory's brick is made of what is known of its entries at one time, so it is always asked for as
//! a whole; the store compares it with the brick and folds what differs. Marking is cheap and folding
//! is not: a burst of changes waits for its end, or for whoever asked for a sync.
//!
//! Reading order: this, `order` (which is folded when).
//!
//! Knows: entries, what each looks like. Must never know: how a brick is folded, I/O.
//! Keeps: a change marks its directory and all above it, and so does a brick of a directory that looks
//! different than before; a mark is owed until a fold that began later is stored; a sync folds only when
//! nothing that it waits for can change an entry any more.

mod order;

use super::Pipeline;
use super::bricks::{Brick, Known, Orphan};
use super::debts::{Debts, Seq};
use super::effect::{Durable, StoreOp};
use super::input::{Committed, StoreAnswer, StoreFailure};
use super::registry::{Body as NodeBody, Child, DirState, push_name};
use crate::artifact::{ArtifactId, OsBytes, Stat};
use crate::directory::{Below, Body, Entry, Face, Process, Total, WORLD};
use crate::event::MonotonicNs;
use crate::pipeline::effect::Update;
use foundry_brick::parts::Text;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// From the first change to the fold that shows it.
const WAIT_NS: u64 = 250_000_000;

/// After a fold a directory rests, by its entries: at most a twentieth of the time goes into it.
const REST_NS_PER_ENTRY: u64 = 40_000;

/// And never rests longer.
const MAX_REST_NS: u64 = 10_000_000_000;

/// Folds under way at once: each holds a directory's entries in memory.
const MOST: usize = 32;

/// The part of a directory that its own brick is about.
#[derive(Debug, Default)]
pub(super) struct FoldState {
    /// What its brick does not show yet was caused by this; owed.
    dirty: Option<Seq>,
    /// It waits with those that lie so deep.
    queued: Option<u32>,
    /// It and all above it were marked for this input, while so many folds had begun.
    marked: Option<(Seq, u64)>,
    running: bool,
    not_before: MonotonicNs,
    /// A brick of this run is there.
    folded: bool,
    fresh: bool,
    /// `total` is that of the tree below as it is known.
    counted: bool,
    total: Total,
    /// What its brick looks like, by its last fold of this run.
    face: Option<Face>,
    /// What `statx` said of the directory itself.
    pub(super) stat: Option<Stat>,
}

/// All that waits to be folded.
#[derive(Debug, Default)]
pub(super) struct Directories {
    /// By how deep they lie, the deepest first.
    dirty: BTreeSet<(Reverse<u32>, ArtifactId)>,
    /// Their own times may have changed: looked at before whoever holds them is folded.
    aged: BTreeSet<ArtifactId>,
    pub(super) debts: Debts,
    running: BTreeMap<u64, Folding>,
    begun: u64,
    /// When it is looked at next who has waited too long for others.
    overlooked: MonotonicNs,
    pub(super) packages: Packages,
    world: World,
}

/// Names of packages: each is kept once, however many files came with it.
#[derive(Debug, Default)]
pub(super) struct Packages(BTreeSet<Text>);

impl Packages {
    pub(super) fn shared(&mut self, face: Face) -> Face {
        let Some(name) = face.package() else { return face };
        let known = self.0.get(name).cloned();
        let shared = known.unwrap_or_else(|| {
            self.0.insert(name.clone());
            name.clone()
        });
        face.of_package(Some(shared))
    }
}

/// A brick on its way into the store; the world's where there is no directory.
#[derive(Debug)]
struct Folding {
    dir: Option<ArtifactId>,
    /// How deep the directory lies.
    level: Option<u32>,
    seq: Seq,
    before: Known,
}

/// The brick above all roots and processes.
#[derive(Debug, Default)]
struct World {
    dirty: Option<Seq>,
    running: bool,
    not_before: MonotonicNs,
    folded: bool,
    brick: Brick,
    processes: BTreeMap<u32, Process>,
}

impl DirState {
    /// As an entry of the directory above it.
    fn below(&self) -> Below {
        let FoldState { total, face, .. } = &self.fold;
        Below { total: *total, entries: self.children.len() as u64, face: face.clone() }
    }
}

impl Directories {
    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }
}

impl Pipeline {
    /// What is in this directory, or what is said of it, is not what it was.
    pub(super) fn touched(&mut self, dir: ArtifactId, seq: Seq) {
        if self.settings.depth == 0 {
            return;
        }
        let (now, begun) = (self.now.0, self.directories.begun);
        let (mut at, mut level) = (dir, self.registry.level(dir).unwrap_or(u32::MAX));
        for _ in 0..super::registry::MAX_DEPTH {
            let place = self.registry.node(at).and_then(|n| n.places.first()).map(|p| p.dir);
            let Some(state) = self.registry.dir_mut(at) else { return };
            let is_root = state.root.is_some();
            let fold = &mut state.fold;
            if !fold.counted && fold.marked.is_some_and(|(s, b)| s <= seq && b == begun) {
                return;
            }
            fold.counted = false;
            fold.marked = Some((seq, begun));
            if fold.dirty.is_none() {
                fold.not_before.0 = fold.not_before.0.max(now.saturating_add(WAIT_NS));
            }
            owe(&mut self.directories.debts, &mut fold.dirty, seq);
            self.directories.enqueue(at, &mut fold.queued, level);
            if is_root {
                self.touched_world(seq);
                return;
            }
            let Some(above) = place else { return };
            (at, level) = (above, level.saturating_sub(1));
        }
    }

    /// What this directory looks like is not what it was.
    fn touched_above(&mut self, id: ArtifactId, seq: Seq) {
        if self.registry.dir(id).is_some_and(|dir| dir.root.is_some()) {
            self.touched_world(seq);
        } else if let Some(place) = self.registry.node(id).and_then(|n| n.places.first()) {
            self.touched(place.dir, seq);
        }
    }

    pub(super) fn touched_world(&mut self, seq: Seq) {
        let now = self.now.0;
        let Directories { world, debts, .. } = &mut self.directories;
        if world.dirty.is_none() {
            world.not_before.0 = world.not_before.0.max(now.saturating_add(WAIT_NS));
        }
        owe(debts, &mut world.dirty, seq);
    }

    /// What is said of this file, or what it looks like, is not what it was.
    pub(super) fn touched_file(&mut self, id: ArtifactId, seq: Seq) {
        let places = self.registry.node(id).map(|n| n.places.clone()).unwrap_or_default();
        for place in places {
            self.touched(place.dir, seq);
        }
    }

    /// Names came or went: the directory's own times moved.
    pub(super) fn aged(&mut self, id: ArtifactId, seq: Seq) {
        if self.settings.depth != 0 && self.registry.dir(id).is_some() {
            self.directories.aged.insert(id);
            self.touched(id, seq);
        }
    }

    /// What `statx` says of a directory now.
    pub(super) fn own_stat(&mut self, id: ArtifactId, stat: &Stat, seq: Seq) {
        let Some(dir) = self.registry.dir_mut(id) else { return };
        let old = dir.fold.stat.replace(*stat);
        let said = |s: &Stat| (s.mode, s.uid, s.gid, s.mtime_ns, s.identity);
        if old.as_ref().map(said) != Some(said(stat)) {
            self.touched(id, seq);
        }
    }

    /// A file's brick was committed: this is what it looks like from now on. Answers for its several
    /// places may come in any order; the last one asked for counts.
    pub(super) fn own_face(&mut self, id: ArtifactId, ticket: u64, face: Option<Face>, seq: Seq) {
        let face = face.map(|face| self.directories.packages.shared(face));
        let Some(file) = self.registry.file_mut(id) else { return };
        if face.is_none() || ticket < file.face_ticket {
            return;
        }
        file.face_ticket = ticket;
        if file.face.as_deref() != face.as_ref() {
            file.face = face.map(Box::new);
            self.touched_file(id, seq);
        }
    }

    /// Somebody keeps a brick of a process beside the pipeline; the world shows it.
    pub(super) fn on_process(&mut self, process: Process) {
        self.publish(Update::Captured { pid: process.pid });
        if self.settings.depth == 0 {
            return;
        }
        let seq = self.seq;
        let before = self.directories.world.processes.insert(process.pid, process.clone());
        if before != Some(process) {
            self.touched_world(seq);
        }
    }

    /// Has a directory's brick folded. False where it is to have none.
    fn fold_directory(&mut self, id: ArtifactId, level: u32) -> bool {
        let Some(dir) = self.registry.dir_mut(id) else { return false };
        self.directories.dequeue(id, &mut dir.fold.queued);
        let Some(seq) = dir.fold.dirty.take() else { return false };
        dir.fold.marked = None;
        let shown = self.registry.level(id).is_some_and(|level| level < self.settings.depth);
        let Some(path) = self.registry.dir_path(id).filter(|_| shown) else {
            self.without_brick(id, seq);
            return false;
        };
        self.count(id);
        let entries = self.entries(id, &path);
        self.evict(&path, id, seq);
        self.bricks.take_directory(&path, id);
        let ticket = self.next_ticket();
        let flushes = self.sync.flushes;
        let known = self.bricks.get_mut(&path).map(|brick| brick.change(flushes, ticket));
        let (durable, before) = known.unwrap_or_default();
        let now = self.now.0;
        let Some(dir) = self.registry.dir_mut(id) else { return false };
        let fold = &mut dir.fold;
        fold.not_before = rest(now, entries.len());
        fold.running = true;
        let fresh = std::mem::take(&mut fold.fresh) || (self.settings.fresh && !fold.folded);
        fold.folded = true;
        let stat = fold.stat;
        self.directories.begun += 1;
        let folding = Folding { dir: Some(id), level: Some(level), seq, before };
        self.directories.running.insert(ticket, folding);
        let at = self.wall;
        self.store(id, &path, ticket, StoreOp::Directory { stat, fresh, entries, at, durable });
        true
    }

    /// Too deep, or nowhere at all: a brick that it had is for the directory that has its place.
    fn without_brick(&mut self, id: ArtifactId, seq: Seq) {
        if let Some(path) = self.registry.dir_path(id) {
            self.bricks.leave(&path, id, Orphan { seq, since: self.now });
        }
        if self.registry.dir_mut(id).and_then(|dir| dir.fold.face.take()).is_some() {
            self.touched_above(id, seq);
        }
        self.directories.debts.pay(seq);
    }

    fn fold_world(&mut self) {
        let Some(seq) = self.directories.world.dirty.take() else { return };
        let mut entries = vec![];
        for id in self.roots.clone() {
            self.count(id);
            let Some(dir) = self.registry.dir(id) else { continue };
            let name = dir.root.clone().unwrap_or_default();
            entries.push(Entry { name, stat: None, body: Body::Directory(dir.below()) });
        }
        let world = &mut self.directories.world;
        for process in world.processes.values().cloned() {
            let name = format!("pid:{}", process.pid).into_bytes();
            entries.push(Entry { name, stat: None, body: Body::Process(process) });
        }
        let fresh = self.settings.fresh && !std::mem::replace(&mut world.folded, true);
        world.running = true;
        world.not_before = rest(self.now.0, entries.len());
        let ticket = self.next_ticket();
        let (flushes, world) = (self.sync.flushes, &mut self.directories.world);
        // Nobody recalls the world of an earlier run: it is synced when it is folded first.
        let first = world.brick.is_untouched();
        let (known, before) = world.brick.change(flushes, ticket);
        let durable = if first { Durable::Soon } else { known };
        self.directories.begun += 1;
        self.directories.running.insert(ticket, Folding { dir: None, level: None, seq, before });
        let op = StoreOp::Directory { stat: None, fresh, entries, at: self.wall, durable };
        self.store(ArtifactId(0), WORLD, ticket, op);
    }

    /// The answer to a fold of a directory, if it is one.
    pub(super) fn on_folded(&mut self, answer: &StoreAnswer) -> bool {
        if !self.directories.running.contains_key(&answer.ticket) {
            return false;
        }
        if let Err(StoreFailure::Io(_)) = answer.outcome {
            // The store has stopped, and the daemon will: the debt stays.
            return true;
        }
        let Some(folding) = self.directories.running.remove(&answer.ticket) else { return false };
        let Folding { dir: id, seq, before, .. } = folding;
        let corrupt = answer.outcome.is_err();
        let new = matches!(answer.outcome, Ok(Committed { new: true, .. }));
        self.stats.directory_commits += u64::from(new);
        let brick = match id {
            Some(_) => self.bricks.get_mut(&answer.path),
            None => Some(&mut self.directories.world.brick),
        };
        if let Some(brick) = brick.filter(|_| !corrupt) {
            brick.changed(answer.ticket, new, before);
        }
        if let Some(path) = id.filter(|_| new).and_then(|id| self.registry.dir_path(id)) {
            self.publish(Update::Directory { path });
        }
        let face = answer.outcome.as_ref().ok().and_then(|committed| committed.face.clone());
        match id {
            None => self.directories.world.running = false,
            Some(id) => self.folded(id, face, corrupt, seq),
        }
        if id.is_none() && corrupt {
            self.directories.world.folded = false;
            self.touched_world(seq);
        }
        self.directories.debts.pay(seq);
        true
    }

    /// A directory's brick was folded, and looks like this; or it is to be made anew.
    fn folded(&mut self, id: ArtifactId, face: Option<Face>, corrupt: bool, seq: Seq) {
        let Some(dir) = self.registry.dir_mut(id) else { return };
        dir.fold.running = false;
        dir.fold.fresh |= corrupt;
        let is_new = face.is_some() && dir.fold.face != face;
        if is_new {
            dir.fold.face = face;
        }
        if corrupt {
            self.touched(id, seq);
        } else if is_new {
            self.touched_above(id, seq);
        }
    }

    /// A directory is gone: nobody waits for its brick.
    pub(super) fn forget_fold(&mut self, id: ArtifactId, mut fold: FoldState) {
        self.directories.dequeue(id, &mut fold.queued);
        self.directories.aged.remove(&id);
        if let Some(seq) = fold.dirty {
            self.directories.debts.pay(seq);
        }
    }

    /// Brings the totals of a directory and of those below it up to date.
    fn count(&mut self, id: ArtifactId) {
        let mut todo = vec![(id, false)];
        while let Some((id, below_done)) = todo.pop() {
            let Some(dir) = self.registry.dir_mut(id) else { continue };
            if !below_done {
                // Said before it is so: a cycle ends here.
                if !std::mem::replace(&mut dir.fold.counted, true) {
                    let below = dir.children.values();
                    let below: Vec<ArtifactId> = below.filter_map(|child| child.node()).collect();
                    todo.push((id, true));
                    let dirs = below.into_iter().filter(|c| self.registry.dir(*c).is_some());
                    todo.extend(dirs.map(|c| (c, false)));
                }
                continue;
            }
            let path = self.registry.dir_path(id).unwrap_or_default();
            let mut total = Total::default();
            self.entries(id, &path).iter().for_each(|entry| entry.add_to(&mut total));
            if let Some(dir) = self.registry.dir_mut(id) {
                dir.fold.total = total;
            }
        }
    }

    /// The entries of a directory as they are known; those below it are counted.
    fn entries(&self, id: ArtifactId, path: &[u8]) -> Vec<Entry> {
        let Some(dir) = self.registry.dir(id) else { return vec![] };
        let entry = |(name, child): (&OsBytes, &Child)| {
            let (stat, body) = match child {
                Child::Other(kind, _) => (dir.others.get(name).copied(), Body::Other(*kind)),
                Child::Node(child) => match &self.registry.node(*child)?.body {
                    NodeBody::File(file) => {
                        (Some(file.stat), Body::File(self.face(*child, path, name)))
                    }
                    NodeBody::Directory(below) => {
                        let here = self.registry.is_at(*child, id, name);
                        let shown = if here { below.below() } else { Below::default() };
                        (below.fold.stat, Body::Directory(shown))
                    }
                },
            };
            Some(Entry { name: name.clone(), stat, body })
        };
        dir.children.iter().filter_map(entry).collect()
    }

    /// What a file looks like: by its last commit, or by the brick that the store had and that is true.
    fn face(&self, id: ArtifactId, dir: &[u8], name: &[u8]) -> Option<Face> {
        let file = self.registry.file(id)?;
        if self.unreadable.contains_key(&id) {
            return None;
        }
        if let Some(face) = &file.face {
            return Some(Face::clone(face));
        }
        let mut path = dir.to_vec();
        push_name(&mut path, name);
        let brick = self.bricks.get(&path).filter(|b| b.owner == Some(id));
        brick.and_then(|b| b.face.as_deref().cloned())
    }
}

fn owe(debts: &mut Debts, dirty: &mut Option<Seq>, seq: Seq) {
    *dirty = Some(match *dirty {
        None => {
            debts.owe(seq);
            seq
        }
        Some(since) if seq < since => {
            debts.owe(seq);
            debts.merge(since, seq)
        }
        Some(since) => since,
    });
}

fn rest(now: u64, entries: usize) -> MonotonicNs {
    let rest = REST_NS_PER_ENTRY.saturating_mul(entries as u64).clamp(WAIT_NS, MAX_REST_NS);
    MonotonicNs(now.saturating_add(rest))
}
