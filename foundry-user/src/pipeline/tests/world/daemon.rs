//! The daemon's side of the simulated world: delivery of events, the reader, the store, the check.

use super::*;
use crate::binary::{Description, Fact};

impl Sim {
    pub(in super::super) fn step(&mut self, input: Input) {
        if !matches!(input, Input::Read(_) | Input::Tick { .. }) {
            self.log.push(format!("    <- {input:?}"));
        }
        let mut out = vec![];
        self.pipeline.step(input, &mut out);
        for effect in out {
            if !matches!(effect, Effect::Publish(_) | Effect::Store(_)) {
                self.log.push(format!("    -> {effect:?}"));
            }
            self.carry_out(effect);
        }
    }

    pub(super) fn tick(&mut self) {
        let now = MonotonicNs(u64::try_from(self.clock).unwrap());
        self.step(Input::Tick { now, wall: UnixNs(self.clock) });
    }

    /// One thing happens: an event is delivered, a task goes on, or time passes.
    pub(in super::super) fn turn(&mut self) {
        match self.rng.below(8) {
            0 => {
                self.clock += 5_000_000;
                self.tick();
            }
            1 if self.root_unseen && !self.away => self.watch(),
            1..=3 if !self.events.is_empty() => self.deliver(),
            _ if !self.tasks.is_empty() => {
                let i = self.rng.below(self.tasks.len());
                let task = self.tasks.swap_remove(i);
                self.advance(task);
            }
            _ => {}
        }
    }

    fn deliver(&mut self) {
        let i = self.rng.below(self.style.window.min(self.events.len()));
        let event = self.events.remove(i).unwrap();
        self.tick();
        if self.rng.one_in(self.style.lose) {
            self.lose(&event);
            return;
        }
        if self.rng.one_in(self.style.duplicate) {
            self.events.push_back(event.clone());
        }
        self.step(Input::Event(event));
    }

    /// The event is dropped, and the source says so.
    fn lose(&mut self, event: &Event) {
        let at = MonotonicNs(0);
        let (kind, repair) = match event {
            Event::Dirty { artifact, .. } => {
                let whole = Extents::Whole;
                let e = Event::Dirty { artifact: *artifact, extents: whole, actor: None, at };
                (LossKind::Range, e)
            }
            Event::Entry { dir, .. } => {
                (LossKind::Name, Event::Relist { dir: *dir, deep: self.rng.one_in(2), at })
            }
            _ => (LossKind::Process, event.clone()),
        };
        let silent =
            matches!(event, Event::Dirty { .. } | Event::Entry { .. } | Event::Meta { .. });
        self.step(Input::Event(Event::Lost { kind, n: 1 }));
        if silent && self.rng.one_in(3) {
            self.step(Input::Event(Event::Sweep { at }));
        } else {
            self.step(Input::Event(repair));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Recall { root } => {
                let heads = self
                    .store
                    .iter()
                    .map(|(path, s)| BrickHead {
                        path: path.clone(),
                        state: s.state,
                        face: Some(Self::face(&s.data)),
                        directory: false,
                    })
                    .chain(self.heads_of_directories())
                    .collect();
                self.tasks.push(Task::Answer(Input::Recalled { root, heads }));
            }
            Effect::List { dir, path, expect } => self.tasks.push(Task::List { dir, path, expect }),
            Effect::Look { dir, path, expect, name } => {
                self.tasks.push(Task::Look { dir, path, expect, name });
            }
            Effect::Read(request) => self.tasks.push(Task::Open(request)),
            Effect::Cancel { ticket } => {
                self.cancelled.insert(ticket);
            }
            Effect::Untrack { artifact } => {
                // Another artifact that the same inode may be is told of what was missed once more.
                let its = self.missed.values_mut().filter(|told| **told == Some(artifact));
                its.for_each(|told| *told = None);
                self.tracked.retain(|_, a| *a != artifact);
            }
            Effect::Store(job) => {
                let outcome = self.store_job(&job.path, job.op);
                if let Some(outcome) = outcome {
                    let (artifact, path, ticket) = (job.artifact, job.path, job.ticket);
                    let answer = StoreAnswer { artifact, path, ticket, outcome };
                    self.tasks.push(Task::Answer(Input::Stored(answer)));
                }
            }
            Effect::Flush { ticket } => {
                self.tasks.push(Task::Answer(Input::Flushed { ticket, ok: true }));
            }
            Effect::ScanMappings => self.tasks.push(Task::Scan),
            Effect::SyncDone { .. } => self.synced = true,
            Effect::AnnotationDone { ticket, outcome } => self.annotation_done(ticket, outcome),
            Effect::AuditDone { files, differing, .. } => self.audited = Some((files, differing)),
            Effect::Publish(Update::Directory { path }) => {
                self.untold.remove(&path);
            }
            Effect::Publish(_) | Effect::Stopped => {}
        }
    }

    fn store_job(&mut self, path: &[u8], op: StoreOp) -> Option<Result<Committed, StoreFailure>> {
        match op {
            StoreOp::Begin { stat, whole, fresh } => {
                let old = self.store.get(path).map(|s| s.data.clone()).filter(|_| !fresh);
                let edit = (whole || old.is_some()).then(|| {
                    let mut data = old.unwrap_or_default();
                    data.resize(usize::try_from(stat.size).unwrap(), 0);
                    let said = self.store.get(path).map(|s| s.said).filter(|_| !fresh);
                    (data, stat, said.unwrap_or_default())
                });
                let before = self.edits.insert(path.to_vec(), edit);
                assert!(before.is_none(), "two edits at once");
            }
            StoreOp::Bytes { offset, bytes } => {
                let offset = usize::try_from(offset).unwrap();
                let Some((data, ..)) = self.edits.get_mut(path).unwrap() else { return None };
                let end = offset + bytes.0.len();
                assert!(offset % TILE == 0 && (end % TILE == 0 || end == data.len()));
                data[offset..end].copy_from_slice(&bytes.0);
            }
            StoreOp::Hole { .. } => {}
            StoreOp::Describe(description) => {
                let Some((.., said)) = self.edits.get_mut(path).unwrap() else { return None };
                let Fact::Number(n) = description.facts["said"] else { panic!("another fact") };
                *said = n;
            }
            StoreOp::Commit { at, .. } => return Some(self.commit(path, at)),
            StoreOp::Directory { entries, fresh, .. } => {
                return Some(self.store_directory(path, entries, fresh));
            }
            StoreOp::Annotate { content, note, .. } => {
                return Some(self.annotate(path, &content, &note));
            }
            StoreOp::Abandon => {
                self.edits.remove(path).unwrap();
            }
            StoreOp::Rename { to, .. } => {
                assert!(!self.edits.contains_key(path) && !self.edits.contains_key(&to));
                if let Some(stored) = self.store.remove(path) {
                    self.dirs.remove(&to);
                    self.store.insert(to, stored);
                } else if let Some(dir) = self.dirs.remove(path) {
                    self.store.remove(&to);
                    if self.untold.remove(path) {
                        self.untold.insert(to.clone());
                    }
                    self.dirs.insert(to, dir);
                }
            }
            StoreOp::Remove => {
                assert!(!self.edits.contains_key(path), "an edit of a brick that is removed");
                self.removed.insert(path.to_vec());
                self.store.remove(path);
                self.dirs.remove(path);
            }
        }
        None
    }

    fn commit(&mut self, path: &[u8], at: UnixNs) -> Result<Committed, StoreFailure> {
        let Some((data, stat, said)) = self.edits.remove(path).unwrap() else {
            return Err(StoreFailure::Corrupt);
        };
        // The last good generation stays.
        if self.rng.one_in(60) {
            return Err(StoreFailure::Corrupt);
        }
        self.dirs.remove(path);
        let face = Some(Self::face(&data));
        let generation = self.store.get(path).map_or(0, |s| s.generation) + 1;
        let size = stat.size;
        // What differs, if anything, is what is said of it.
        let is_same = self.store.get(path).is_some_and(|s| s.data == data);
        let changed_tiles = is_same.then(Vec::new);
        let state = super::super::super::bricks::folded(&stat, at);
        self.store.insert(path.to_vec(), Stored { data, state, generation, said });
        Ok(Committed { generation, new: true, size, changed_tiles, face })
    }

    fn advance(&mut self, task: Task) {
        match task {
            Task::Answer(input) => self.step(input),
            Task::List { dir, path, expect } => {
                let obj = match self.reach(&path, &expect) {
                    Ok(obj) => obj,
                    Err(failure) => {
                        return self.step(Input::Listed { dir, outcome: Err(failure) });
                    }
                };
                let tracked = !self.rng.one_in(12);
                if tracked {
                    self.tracked.insert(obj, dir);
                }
                let names = self.inodes[&obj].entries.keys().cloned().collect();
                self.tasks.push(Task::Names { dir, obj, names, tracked });
            }
            Task::Names { dir, obj, .. } if self.is_closed(obj) => {
                self.step(Input::Listed { dir, outcome: Err(ReadFailure::Io(5)) });
            }
            Task::Names { dir, obj, names, tracked } => {
                let mut entries: Vec<(OsBytes, Stat)> = names
                    .into_iter()
                    .filter_map(|name| {
                        let child = *self.inodes.get(&obj)?.entries.get(&name)?;
                        Some((name, self.stat(child)))
                    })
                    .collect();
                if self.inodes.contains_key(&obj) {
                    entries.insert(0, (b".".to_vec(), self.stat(obj)));
                }
                self.step(Input::Listed { dir, outcome: Ok(Listing { entries, tracked }) });
            }
            Task::Look { dir, path, expect, name } => {
                let names = self.reach(&path, &expect).map(|o| &self.inodes[&o].entries);
                let outcome = names.map(|names| names.get(&name).map(|c| self.stat(*c)));
                self.step(Input::Looked { dir, name, outcome });
            }
            Task::Open(request) => self.open(request),
            Task::Chunk { request, obj, stat, at } => self.chunk(request, obj, stat, at),
            Task::Scan => {
                let mapped = self.inodes.iter().filter(|(_, i)| i.mapped);
                let shared_writable = mapped.map(|(o, _)| self.stat(*o).identity).collect();
                self.step(Input::Tables { changed: vec![] });
                self.step(Input::Mappings { shared_writable });
            }
        }
    }

    fn answer(&mut self, request: &ReadRequest, part: ReadPart) {
        let (artifact, ticket) = (request.artifact, request.ticket);
        self.step(Input::Read(ReadAnswer { artifact, ticket, part }));
    }

    fn open(&mut self, request: ReadRequest) {
        let obj = match self.reach(&request.path, &request.expect) {
            Ok(obj) => obj,
            Err(failure) => return self.answer(&request, ReadPart::Failed(failure)),
        };
        let tracked = !self.rng.one_in(12);
        if tracked {
            let before = self.tracked.insert(obj, request.artifact);
            // A source says of an inode it has just taken that it is mapped already.
            if before.is_none() && self.inodes[&obj].mapped {
                self.say_mapped(request.artifact);
            }
        }
        self.inodes.get_mut(&obj).unwrap().opens += 1;
        let stat = self.stat(obj);
        self.answer(&request, ReadPart::Start { stat, tracked, sees_mapped_stores: false });
        if self.missed.get(&obj) == Some(&None) {
            self.missed.insert(obj, Some(request.artifact));
            self.answer(&request, ReadPart::Missed(Extents::Ranges(vec![(0, 1)])));
        }
        self.tasks.push(Task::Chunk { request, obj, stat, at: 0 });
    }

    /// Reads the next tile that is asked for, of what is there now.
    fn chunk(&mut self, request: ReadRequest, obj: Obj, stat: Stat, at: usize) {
        let size = usize::try_from(stat.size).unwrap();
        let known = usize::try_from(request.known_size).unwrap();
        let (low, high) = (size.min(known) / TILE * TILE, size.max(known));
        let wanted = |o: usize| {
            let r = |&(s, e): &(u64, u64)| s <= o as u64 && (o as u64) < e;
            request.ranges.iter().any(r) || (low != high && low <= o && o < high && size != known)
        };
        let mut at = at;
        while at < size && !wanted(at) {
            at += TILE;
        }
        if self.cancelled.contains(&request.ticket) {
            self.close(obj);
            return self.answer(&request, ReadPart::Failed(ReadFailure::Gone));
        }
        if self.is_closed(obj) {
            self.close(obj);
            return self.answer(&request, ReadPart::Failed(ReadFailure::Io(5)));
        }
        if size <= at {
            let after = self.stat(obj);
            if request.describe || size != known {
                let (said, on) = said_of(&self.inodes[&obj].data);
                let facts = [("said".to_owned(), Fact::Number(said))].into();
                let description = Description { facts, ..Description::default() };
                self.answer(&request, ReadPart::Described(Box::new(description)));
                self.answer(&request, ReadPart::Stands { on, cost: 1 });
            }
            self.close(obj);
            return self.answer(&request, ReadPart::End { after });
        }
        let end = (at + TILE).min(size);
        let mut bytes: Vec<u8> =
            self.inodes[&obj].data.iter().skip(at).take(end - at).copied().collect();
        // Cut short meanwhile: what is missing reads as zeros, and an event says so.
        bytes.resize(end - at, 0);
        let part = ReadPart::Bytes { offset: at as u64, bytes: Bytes(bytes.into()) };
        self.answer(&request, part);
        self.tasks.push(Task::Chunk { request, obj, stat, at: end.next_multiple_of(TILE) });
    }

    fn close(&mut self, obj: Obj) {
        self.inodes.get_mut(&obj).unwrap().opens -= 1;
        self.collect(obj);
    }

    /// Everything is handed over, then a sync: nothing may be wrong, missing or left over.
    pub(in super::super) fn sync_and_check(&mut self) {
        while !self.events.is_empty() {
            self.deliver();
        }
        if self.root_unseen {
            self.watch();
        }
        self.synced = false;
        self.step(Input::Sync { ticket: 1 });
        for _ in 0..200_000 {
            if self.synced {
                break;
            }
            self.turn();
        }
        assert!(self.synced, "sync never ended");
        let closed = self.any_closed();
        // What cannot be read by now is told of once it can.
        self.missed.retain(|_, told| closed && told.is_none());
        let mut want: BTreeMap<OsBytes, Obj> = self.tree();
        want.retain(|_, o| self.inodes[o].kind == FileKind::File);
        let differing =
            want.iter().filter_map(|(path, obj)| Some((path, self.differs(path, *obj)?)));
        let left = self.store.keys().filter(|path| !want.contains_key(*path));
        let untrue: Vec<(&OsBytes, &str)> =
            differing.chain(left.map(|path| (path, "left over"))).collect();
        if !closed {
            assert!(untrue.is_empty(), "{untrue:?}");
            assert_eq!(self.pipeline.unread(), []);
            self.check_directories();
        }
        self.check_unread(&untrue.into_iter().map(|u| u.0.clone()).collect::<Vec<_>>());
    }

    /// What is wrong with the brick at `path`, which should be that of `obj`.
    fn differs(&self, path: &[u8], obj: Obj) -> Option<&'static str> {
        let Some(brick) = self.store.get(path) else { return Some("no brick") };
        let data = &self.inodes[&obj].data;
        let wrong = [
            (brick.data.len() != data.len(), "size"),
            (brick.data != *data, "bytes"),
            (brick.said != said_of(data).0, "what is said of it"),
            (brick.state.identity != self.stat(obj).identity, "identity"),
        ];
        wrong.into_iter().find(|w| w.0).map(|w| w.1)
    }

    /// A sync while nothing is watched.
    pub(in super::super) fn sync_to_nothing(&mut self) {
        self.synced = false;
        self.step(Input::Sync { ticket: 1 });
        for _ in 0..100_000 {
            if self.synced && self.tasks.is_empty() {
                break;
            }
            self.turn();
        }
        let stats = self.pipeline.stats();
        assert!(self.synced, "sync never ended");
        assert_eq!((stats.artifacts, stats.pending), (0, 0));
        assert!(self.dirs[crate::directory::WORLD].entries.is_empty());
        assert!(self.tracked.is_empty(), "the source still has {:?}", self.tracked);
        self.finished = true;
    }

    /// Until the comparison is done.
    pub(in super::super) fn run_until_audited(&mut self) {
        for _ in 0..200_000 {
            if self.audited.is_some() {
                return;
            }
            self.turn();
        }
        panic!("the comparison never ended");
    }

    /// When the world rests, everything comes to an end.
    pub(in super::super) fn assert_nothing_owed(&mut self) {
        for i in self.inodes.values_mut() {
            i.mapped = false;
        }
        for _ in 0..100_000 {
            if !self.pipeline.wants_ticks() && self.tasks.is_empty() && self.events.is_empty() {
                break;
            }
            self.turn();
        }
        assert!(!self.pipeline.wants_ticks(), "owed for ever");
        let files = self
            .tree()
            .values()
            .filter(|o| self.inodes[o].kind == FileKind::File)
            .copied()
            .collect::<BTreeSet<_>>();
        assert_eq!(self.pipeline.stats().artifacts, files.len() as u64);
        assert!(self.edits.is_empty(), "an edit was left open");
        self.finished = true;
    }
}

/// A description that stands on two tiles: the first, and one that the first leads to, as the tables
/// of a program do.
fn said_of(data: &[u8]) -> (u64, Vec<(u64, u64)>) {
    let tile = |i: usize| &data[(i * TILE).min(data.len())..((i + 1) * TILE).min(data.len())];
    let first = tile(0);
    let sum = |bytes: &[u8]| {
        bytes.iter().fold(14_695_981_039_346_656_037_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211)
        })
    };
    let tiles = data.len().div_ceil(TILE).max(1) as u64;
    let next = usize::try_from(sum(first) % tiles).unwrap();
    let at = |i: usize| ((i * TILE) as u64, ((i + 1) * TILE) as u64);
    (sum(first) ^ sum(tile(next)).rotate_left(1), vec![at(0), at(next)])
}

impl Drop for Sim {
    /// With a given seed: what happened before it went wrong.
    fn drop(&mut self) {
        if !self.finished && option_env!("FOUNDRY_SEED").is_some() {
            println!("{}", self.log.join("\n"));
        }
    }
}
