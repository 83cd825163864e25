//! A few files that change, the real pipeline, and the real store over a medium in memory.
//!
//! What is in the bricks is known for each commit, and so is what a flush promised.

use super::Rng;
use super::memory::Memory;
use crate::artifact::{ArtifactId, FileIdentity, FileKind, OsBytes, Stat};
use crate::directory::{Entry, WORLD};
use crate::event::{Event, Extents, MonotonicNs, UnixNs};
use crate::pipeline::effect::{Effect, ReadRequest, StoreJob, StoreOp};
use crate::pipeline::input::{
    Bytes, Input, Listing, ReadAnswer, ReadFailure, ReadPart, StoreFailure,
};
use crate::pipeline::{Pipeline, Settings};
use crate::store::{Edits, Store, StoreError};
use foundry_brick::parts::Part;
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Kind, Payload};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

const TILE: usize = 1 << 16;
const ROOT: &[u8] = b"/w";

/// Hash of a content.
pub(super) type Hash = [u8; 32];

/// What a brick shows: the content of a file, or what a directory says of its entries.
pub(super) fn shown(brick: &Brick<MemStorage>) -> Option<Hash> {
    if brick.meta().kind != Kind::Directory {
        return brick.blake3();
    }
    Some(hash_of_parts(brick.parts().unwrap()?.iter().map(|(_, part)| part.clone())))
}

fn hash_of_parts(parts: impl Iterator<Item = Part>) -> Hash {
    let said: BTreeSet<String> = parts
        .map(|part| format!("{:?} {:?} {:?} {:?}", part.name, part.kind, part.numbers, part.top))
        .collect();
    *blake3::hash(format!("{said:?}").as_bytes()).as_bytes()
}

/// For each inode (0 for the world), what its brick showed after each commit.
pub(super) type Truth = BTreeMap<u64, Vec<Hash>>;

/// For each inode, the commit (an index into its truth) that is promised to survive.
pub(super) type Promise = BTreeMap<u64, usize>;

#[derive(Clone)]
struct File {
    ino: u64,
    data: Vec<u8>,
    at: i64,
}

/// What there is on the disk that is watched: it survives whatever becomes of the daemon.
#[derive(Clone)]
pub(super) struct Tree {
    /// By directory and name; `true` is the directory below the root.
    files: BTreeMap<(bool, OsBytes), File>,
    /// Name of the directory below the root.
    below: OsBytes,
    clock: i64,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) tree: Tree,
    medium: Memory,
    store: Arc<Store>,
    edits: Edits,
    pipeline: Pipeline,
    ids: BTreeMap<ArtifactId, u64>,
    inputs: VecDeque<Input>,
    /// Flushes that were carried out, and not answered yet.
    flushed: Vec<(Input, Promise)>,
    read: BTreeMap<ArtifactId, Hash>,
    pub(super) truth: Truth,
    committed: Promise,
    /// What was promised, and how long the medium's log was then.
    pub(super) promises: Vec<(usize, Promise)>,
    /// One commit in so many is reported as failed, so that its brick is begun anew.
    spoil: usize,
    pub(super) synced: bool,
    /// The last sync that was asked for.
    asked: u64,
    /// The store has stopped.
    pub(super) failed: bool,
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut files = BTreeMap::new();
        let sizes =
            [(false, "a", 900), (false, "b", TILE + 70), (true, "c", 40), (true, "d", 3000)];
        for (ino, (below, name, size)) in (10..).zip(sizes) {
            let data = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            files.insert((below, name.as_bytes().to_vec()), File { ino, data, at: 1_000 });
        }
        Self { files, below: b"x".to_vec(), clock: 1_800_000_000_000_000_000 }
    }

    fn dir(&self, below: bool) -> OsBytes {
        if below { [ROOT, b"/", &self.below].concat() } else { ROOT.to_vec() }
    }

    fn path(&self, at: &(bool, OsBytes)) -> OsBytes {
        [&self.dir(at.0)[..], b"/", &at.1].concat()
    }

    fn dir_stat(below: bool) -> Stat {
        Stat { kind: FileKind::Directory, ..stat(if below { 2 } else { 1 }, 0, 1_000) }
    }

    /// By path: the inode and the hash of the content.
    pub(super) fn hashes(&self) -> BTreeMap<OsBytes, (u64, Hash)> {
        let hash = |f: &File| (f.ino, *blake3::hash(&f.data).as_bytes());
        self.files.iter().map(|(at, f)| (self.path(at), hash(f))).collect()
    }
}

/// Opens the store in `dir` over `medium`. The lock is a real one: a program that another test starts
/// holds the lock of the one before until it runs.
pub(super) fn open(medium: &Memory, dir: &Path) -> Result<Store, StoreError> {
    loop {
        let over = medium.clone();
        match Store::open_on(dir, Payload::Reference, |_| Ok(Box::new(over))) {
            Err(StoreError::Busy { .. }) => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn stat(ino: u64, size: usize, at: i64) -> Stat {
    Stat {
        identity: FileIdentity { dev: 1, ino, btime_ns: 1_000 },
        kind: FileKind::File,
        size: size as u64,
        blocks: 1000,
        mode: 0o644,
        uid: 0,
        gid: 0,
        nlink: 1,
        mtime_ns: at,
        ctime_ns: at,
    }
}

impl World {
    /// Starts a daemon over `tree` with a store in `dir` on `medium`. `None` where the medium fails.
    pub(super) fn start(seed: u64, tree: Tree, medium: &Memory, dir: &Path) -> Option<Self> {
        let store = open(medium, dir).ok()?;
        let store = Arc::new(store);
        let mut world = Self {
            rng: Rng(seed | 1),
            tree,
            medium: medium.clone(),
            edits: Edits::new(Arc::clone(&store)),
            store,
            pipeline: Pipeline::new(Settings::default()),
            ids: BTreeMap::new(),
            inputs: VecDeque::new(),
            flushed: vec![],
            read: BTreeMap::new(),
            truth: Truth::new(),
            committed: Promise::new(),
            promises: vec![],
            spoil: 0,
            synced: false,
            asked: 0,
            failed: false,
        };
        world.tick();
        world.step(Input::Watch { root: ROOT.to_vec(), stat: Tree::dir_stat(false) });
        Some(world)
    }

    pub(super) fn spoil(mut self, one_in: usize) -> Self {
        self.spoil = one_in;
        self
    }

    fn tick(&mut self) {
        self.tree.clock += 25_000_000;
        let now = MonotonicNs(u64::try_from(self.tree.clock).unwrap());
        self.step(Input::Tick { now, wall: UnixNs(self.tree.clock) });
    }

    fn step(&mut self, input: Input) {
        let mut out = vec![];
        self.pipeline.step(input, &mut out);
        for effect in out {
            self.carry_out(effect);
        }
    }

    /// Something happens; `write` to a file mostly.
    pub(super) fn mutate(&mut self) {
        let at = MonotonicNs(0);
        let id = |ino| self.ids.iter().find(|(_, i)| **i == ino).map(|(id, _)| *id);
        if self.rng.clone().one_in(12) {
            self.rng.next();
            let name = vec![b'x' + u8::try_from(self.rng.below(3)).unwrap()];
            let old = std::mem::replace(&mut self.tree.below, name);
            let new = self.tree.below.clone();
            if let Some(dir) = id(1).filter(|_| old != new) {
                for name in [old, new] {
                    self.step(Input::Event(Event::Entry { dir, name, actor: None, at }));
                }
            }
            return;
        }
        let (which, offset) = (self.rng.below(self.tree.files.len()), self.rng.next());
        let clock = self.tree.clock;
        let file = self.tree.files.values_mut().nth(which).unwrap();
        let offset = usize::try_from(offset >> 16).unwrap() % file.data.len();
        file.data[offset] = file.data[offset].wrapping_add(1);
        file.at = clock;
        let extents = Extents::Ranges(vec![(offset as u64, offset as u64 + 1)]);
        let ino = file.ino;
        let ids: Vec<ArtifactId> =
            self.ids.iter().filter(|(_, i)| **i == ino).map(|(id, _)| *id).collect();
        for artifact in ids {
            let extents = extents.clone();
            self.step(Input::Event(Event::Dirty { artifact, extents, actor: None, at }));
        }
    }

    /// One thing goes on.
    pub(super) fn turn(&mut self) {
        if !self.flushed.is_empty() && self.rng.one_in(6) {
            let (input, promise) = self.flushed.remove(0);
            self.promises.push((self.medium.log_len(), promise));
            self.step(input);
        } else if let Some(input) = self.inputs.pop_front() {
            self.step(input);
        } else {
            self.tick();
        }
    }

    pub(super) fn ask_for_sync(&mut self) {
        self.synced = false;
        let ticket = self.rng.next();
        self.asked = ticket;
        self.step(Input::Sync { ticket });
    }

    /// Goes on until everything is in the bricks, or the store has stopped.
    pub(super) fn sync(&mut self) {
        self.ask_for_sync();
        for _ in 0..20_000 {
            if self.synced || self.failed {
                return;
            }
            self.turn();
        }
        panic!("sync never ended");
    }

    /// Every brick is what a fresh fold would make.
    pub(super) fn assert_right(&self) {
        let image = self.medium.image();
        for (path, (ino, hash)) in self.tree.hashes() {
            let place = super::super::brick_path(self.store.dir(), &path);
            let file = image.names.get(&place).unwrap_or_else(|| panic!("no brick of inode {ino}"));
            let brick = Brick::open(image.files[file].clone()).unwrap();
            assert_eq!(brick.blake3(), Some(hash), "{}", path.escape_ascii());
            assert_eq!((brick.verify(), brick.meta().identity.ino), (vec![], ino));
        }
        let mut names = [BTreeSet::from([self.tree.below.clone()]), BTreeSet::new()];
        for (below, name) in self.tree.files.keys() {
            names[usize::from(*below)].insert(name.clone());
        }
        let [root, below] = names;
        let world = (WORLD.to_vec(), BTreeSet::from([ROOT.to_vec()]));
        for (path, names) in [(self.tree.dir(false), root), (self.tree.dir(true), below), world] {
            let place = super::super::brick_path(self.store.dir(), &path);
            let brick = Brick::open(image.files[&image.names[&place]].clone()).unwrap();
            let parts = brick.parts().unwrap().unwrap();
            let found = parts.iter().map(|(_, part)| part.name.to_vec()).collect::<BTreeSet<_>>();
            assert_eq!((brick.verify(), found), (vec![], names), "{}", path.escape_ascii());
        }
        assert_eq!(image.names.len(), self.tree.files.len() + 3, "{:?}", image.names);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Recall { root } => {
                let heads = self.store.inventory(&root).map(|i| i.heads).unwrap_or_else(|e| {
                    self.store.fail(&e);
                    vec![]
                });
                self.inputs.push_back(Input::Recalled { root, heads });
            }
            Effect::List { dir, path, expect } => self.list(dir, &path, &expect),
            Effect::Look { dir, path, expect, name } => {
                self.ids.insert(dir, expect.ino);
                let below = expect.ino == 2;
                let outcome = if path != self.tree.dir(below) {
                    Err(ReadFailure::Gone)
                } else if !below && name == self.tree.below {
                    Ok(Some(Tree::dir_stat(true)))
                } else {
                    let file = self.tree.files.get(&(below, name.clone()));
                    Ok(file.map(|f| stat(f.ino, f.data.len(), f.at)))
                };
                self.inputs.push_back(Input::Looked { dir, name, outcome });
            }
            Effect::Read(request) => self.read(&request),
            Effect::Store(job) => self.store(job),
            Effect::Flush { ticket } => {
                let ok = self.store.flush();
                self.failed |= !ok;
                self.flushed.push((Input::Flushed { ticket, ok }, self.committed.clone()));
            }
            Effect::ScanMappings => {
                self.inputs.push_back(Input::Mappings { shared_writable: vec![] });
            }
            Effect::SyncDone { ticket } => self.synced |= ticket == self.asked,
            Effect::Untrack { artifact } => drop(self.ids.remove(&artifact)),
            // Whoever watches or waits is not part of this world.
            _ => {}
        }
    }

    fn list(&mut self, dir: ArtifactId, path: &[u8], expect: &FileIdentity) {
        self.ids.insert(dir, expect.ino);
        let below = expect.ino == 2;
        let files = self.tree.files.iter().filter(|(at, _)| at.0 == below);
        let mut entries: Vec<(OsBytes, Stat)> =
            files.map(|(at, f)| (at.1.clone(), stat(f.ino, f.data.len(), f.at))).collect();
        if !below {
            entries.push((self.tree.below.clone(), Tree::dir_stat(true)));
        }
        let outcome = if path == self.tree.dir(below) {
            Ok(Listing { entries, tracked: true })
        } else {
            Err(ReadFailure::Gone)
        };
        self.inputs.push_back(Input::Listed { dir, outcome });
    }

    /// Reads at once what is asked for; the answers are heard later.
    fn read(&mut self, request: &ReadRequest) {
        let (artifact, ticket) = (request.artifact, request.ticket);
        self.ids.insert(artifact, request.expect.ino);
        let at = self.tree.files.keys().find(|at| self.tree.path(at) == request.path);
        let Some(file) = at.map(|at| self.tree.files[at].clone()) else {
            let part = ReadPart::Failed(ReadFailure::Gone);
            self.inputs.push_back(Input::Read(ReadAnswer { artifact, ticket, part }));
            return;
        };
        self.read.insert(artifact, *blake3::hash(&file.data).as_bytes());
        let stat = stat(file.ino, file.data.len(), file.at);
        let mut parts = vec![ReadPart::Start { stat, tracked: true, sees_mapped_stores: true }];
        let grown = request.known_size != file.data.len() as u64;
        for (tile, bytes) in file.data.chunks(TILE).enumerate() {
            let offset = (tile * TILE) as u64;
            if grown || request.ranges.iter().any(|r| r.0 <= offset && offset < r.1) {
                parts.push(ReadPart::Bytes { offset, bytes: Bytes(bytes.into()) });
            }
        }
        parts.push(ReadPart::End { after: stat });
        for part in parts {
            self.inputs.push_back(Input::Read(ReadAnswer { artifact, ticket, part }));
        }
    }

    /// The artifact is taken for gone: nothing of it is promised any more.
    fn take_back(&mut self, path: &[u8]) {
        let image = self.medium.image();
        let place = super::super::brick_path(self.store.dir(), path);
        let Some(file) = image.names.get(&place) else { return };
        let ino = Brick::open(image.files[file].clone()).unwrap().meta().identity.ino;
        let mut left = self.promises.last().map_or_else(Promise::new, |p| p.1.clone());
        left.remove(&ino);
        self.promises.push((self.medium.log_len(), left));
        self.committed.remove(&ino);
        for (_, promise) in &mut self.flushed {
            promise.remove(&ino);
        }
    }

    fn store(&mut self, job: StoreJob) {
        let mut ino = self.ids.get(&job.artifact).copied();
        let commits = matches!(job.op, StoreOp::Commit { .. } | StoreOp::Directory { .. });
        if let StoreOp::Directory { stat, entries, .. } = &job.op {
            let of = stat.map_or(0, |stat| stat.identity.ino);
            let hash = hash_of_parts(entries.iter().map(Entry::part));
            self.truth.entry(of).or_default().push(hash);
            ino = Some(of);
        } else if commits && let (Some(ino), Some(hash)) = (ino, self.read.get(&job.artifact)) {
            self.truth.entry(ino).or_default().push(*hash);
        }
        if matches!(job.op, StoreOp::Remove) {
            self.take_back(&job.path);
        }
        let Some(mut answer) = self.edits.carry_out(job) else { return };
        if let (Ok(_), Some(ino)) = (&answer.outcome, ino) {
            self.committed.insert(ino, self.truth[&ino].len() - 1);
        }
        self.failed |= matches!(answer.outcome, Err(StoreFailure::Io(_)));
        if commits && 0 < self.spoil && self.rng.one_in(self.spoil) && answer.outcome.is_ok() {
            answer.outcome = Err(StoreFailure::Corrupt);
        }
        self.inputs.push_back(Input::Stored(answer));
    }
}
