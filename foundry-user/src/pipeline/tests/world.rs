//! A small file system, a source that watches it, a reader and a store, all in memory, with every
//! step of each taken at random.

use super::super::effect::{Effect, ReadRequest, StoreOp, Update};
use super::super::input::{
    BrickHead, Bytes, Committed, FoldedState, Input, Listing, ReadAnswer, ReadFailure, ReadPart,
    StoreAnswer, StoreFailure,
};
use super::super::{Pipeline, Settings};
use crate::artifact::{ArtifactId, FileIdentity, FileKind, OsBytes, Stat};
use crate::directory::Entry;
use crate::event::{Event, Extents, LossKind, MonotonicNs, UnixNs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const TILE: usize = 1 << 16;
const ROOT: &[u8] = b"/w";
/// Levels of directories with bricks: fewer than the world may have.
const DEPTH: usize = 3;

fn settings() -> Settings {
    Settings { depth: u32::try_from(DEPTH).unwrap(), ..Settings::default() }
}

/// xorshift64*.
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let x = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(x).unwrap() % n.max(1)
    }

    pub(super) fn one_in(&mut self, n: u32) -> bool {
        n != 0 && self.below(n as usize) == 0
    }
}

/// How events reach the pipeline. `one in 0` is never.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub(super) window: usize,
    pub(super) duplicate: u32,
    pub(super) lose: u32,
    /// How often something can be read no more, or again.
    pub(super) close: u32,
}

/// Number of an inode object: never reused, unlike its inode number.
type Obj = usize;

#[derive(Clone)]
struct Inode {
    ino: u64,
    btime: i64,
    mtime: i64,
    ctime: i64,
    kind: FileKind,
    data: Vec<u8>,
    entries: BTreeMap<OsBytes, Obj>,
    nlink: u32,
    opens: u32,
    mode: u32,
    /// Nobody can read it, or what is in it.
    closed: bool,
    mapped: bool,
    /// The kernel has noted some store through a mapping; nobody looks at its times before a restart.
    stored_through: bool,
}

enum Task {
    Answer(Input),
    List { dir: ArtifactId, path: OsBytes, expect: FileIdentity },
    Names { dir: ArtifactId, obj: Obj, names: Vec<OsBytes>, tracked: bool },
    Look { dir: ArtifactId, path: OsBytes, expect: FileIdentity, name: OsBytes },
    Open(ReadRequest),
    Chunk { request: ReadRequest, obj: Obj, stat: Stat, at: usize },
    Scan,
}

struct Stored {
    data: Vec<u8>,
    state: FoldedState,
    generation: u64,
    /// What its description says.
    said: u64,
}

/// The world and the daemon in it.
pub(super) struct Sim {
    pub(super) rng: Rng,
    style: Style,
    inodes: BTreeMap<Obj, Inode>,
    free_inos: BTreeSet<u64>,
    next_obj: Obj,
    root: Obj,
    /// The root is another one than the daemon was told of.
    root_unseen: bool,
    /// Nobody watches.
    away: bool,
    clock: i64,
    tracked: BTreeMap<Obj, ArtifactId>,
    events: VecDeque<Event>,
    tasks: Vec<Task>,
    cancelled: BTreeSet<u64>,
    store: BTreeMap<OsBytes, Stored>,
    /// Where a brick was removed.
    removed: BTreeSet<OsBytes>,
    /// Bricks of directories, and of the world.
    dirs: BTreeMap<OsBytes, shown::Shown>,
    /// Directories whose bricks are not what they were when somebody was told of them last.
    untold: BTreeSet<OsBytes>,
    /// `None` where the edit cannot be committed.
    edits: BTreeMap<OsBytes, Option<(Vec<u8>, Stat, u64)>>,
    pipeline: Pipeline,
    pub(super) annotator: annotate::Annotator,
    synced: bool,
    /// Files that changed without a trace, and which artifact of this run was told so by what the last one
    /// left.
    missed: BTreeMap<Obj, Option<ArtifactId>>,
    /// Files of the last comparison, and how many differed.
    pub(super) audited: Option<(u64, u64)>,
    finished: bool,
    log: Vec<String>,
}

impl Sim {
    pub(super) fn new(seed: u64, style: Style) -> Self {
        let mut sim = Self {
            rng: Rng(seed | 1),
            style,
            inodes: BTreeMap::new(),
            free_inos: (2..40).collect(),
            next_obj: 0,
            root: 0,
            root_unseen: false,
            away: false,
            clock: 1_800_000_000_000_000_000,
            tracked: BTreeMap::new(),
            events: VecDeque::new(),
            tasks: vec![],
            cancelled: BTreeSet::new(),
            store: BTreeMap::new(),
            removed: BTreeSet::new(),
            dirs: BTreeMap::new(),
            untold: BTreeSet::new(),
            edits: BTreeMap::new(),
            pipeline: Pipeline::new(settings()),
            annotator: annotate::Annotator::default(),
            synced: false,
            missed: BTreeMap::new(),
            audited: None,
            finished: false,
            log: vec![],
        };
        sim.inode(FileKind::Directory);
        sim.inodes.get_mut(&0).unwrap().nlink = 1;
        for _ in 0..10 {
            sim.mutate();
        }
        sim.watch();
        sim
    }

    fn watch(&mut self) {
        self.tick();
        (self.root_unseen, self.away) = (false, false);
        let stat = self.stat(self.root);
        self.step(Input::Watch { root: ROOT.to_vec(), stat });
    }

    /// The tree is watched no more.
    pub(super) fn leave(&mut self) {
        self.log.push("UNWATCH".to_owned());
        self.away = true;
        self.missed.values_mut().for_each(|told| *told = None);
        self.step(Input::Unwatch { root: ROOT.to_vec() });
    }

    /// The tree is watched no more, while anything is under way: from then on its bricks rest.
    pub(super) fn leave_and_return(&mut self) {
        self.leave();
        let shown = |sim: &Self| -> Vec<(OsBytes, Vec<u8>)> {
            sim.store.iter().map(|(path, s)| (path.clone(), s.data.clone())).collect()
        };
        let (files, dirs) = (shown(self), self.dirs.keys().cloned().collect::<Vec<_>>());
        for _ in 0..self.rng.below(12) {
            self.mutate();
            for _ in 0..self.rng.below(40) {
                self.turn();
            }
        }
        assert!(self.edits.is_empty(), "an edit was left open");
        assert!(shown(self) == files, "a brick of what is not watched changed");
        let kept = dirs.iter().filter(|path| **path != crate::directory::WORLD);
        assert!(kept.into_iter().all(|path| self.dirs.contains_key(path)), "a brick is gone");
        self.watch();
    }

    /// Kill -9: what the store committed stays, everything else is gone.
    pub(super) fn restart(&mut self) {
        self.log.push("RESTART".to_owned());
        let t = self.time();
        self.tracked.clear();
        self.events.clear();
        self.tasks.clear();
        self.cancelled.clear();
        self.edits.clear();
        // Who listened goes with the daemon, and its successor reads them all.
        self.untold.clear();
        self.missed.values_mut().for_each(|told| *told = None);
        self.forget_annotations();
        for inode in self.inodes.values_mut() {
            inode.opens = 0;
            if std::mem::take(&mut inode.stored_through) {
                (inode.mtime, inode.ctime) = (t, t);
            }
        }
        let gone: Vec<Obj> = self.inodes.keys().copied().collect();
        gone.into_iter().for_each(|o| self.collect(o));
        self.pipeline = Pipeline::new(settings());
        self.watch();
    }

    /// Every file is to be compared.
    pub(super) fn audit(&mut self) {
        self.log.push("AUDIT".to_owned());
        self.step(Input::Audit { path: ROOT.to_vec(), ticket: 1 });
    }

    /// A byte of a file changes, and nothing says so. False where there is no file for it.
    pub(super) fn change_unseen(&mut self) -> bool {
        let fit = |o: &&Obj| {
            let i = &self.inodes[o];
            i.kind == FileKind::File && i.nlink == 1 && !i.mapped && !i.data.is_empty()
        };
        let Some(obj) = self.tree().values().find(fit).copied() else { return false };
        self.inodes.get_mut(&obj).unwrap().data[0] ^= 0x55;
        true
    }

    /// A byte changes while nobody runs, with all times set back; the probes that went on know of it.
    pub(super) fn change_while_down(&mut self) {
        let before: BTreeMap<Obj, u8> = self
            .tree()
            .values()
            .filter_map(|o| Some((*o, *self.inodes[o].data.first()?)))
            .collect();
        if self.change_unseen() {
            let changed = before.iter().find(|(o, byte)| self.inodes[o].data[0] != **byte);
            self.missed.insert(*changed.unwrap().0, None);
        }
        self.restart();
    }

    fn time(&self) -> i64 {
        self.clock / 4_000_000 * 4_000_000
    }

    fn inode(&mut self, kind: FileKind) -> Obj {
        let ino = self.free_inos.pop_first().unwrap();
        let (obj, t) = (self.next_obj, self.time());
        self.next_obj += 1;
        let inode = Inode {
            ino,
            btime: t,
            mtime: t,
            ctime: t,
            kind,
            data: vec![],
            entries: BTreeMap::new(),
            nlink: 0,
            opens: 0,
            mode: 0o644,
            closed: false,
            mapped: false,
            stored_through: false,
        };
        self.inodes.insert(obj, inode);
        obj
    }

    /// The kernel frees an inode nobody can reach.
    fn collect(&mut self, obj: Obj) {
        let Some(i) = self.inodes.get(&obj) else { return };
        if i.nlink == 0 && i.opens == 0 {
            self.free_inos.insert(i.ino);
            self.inodes.remove(&obj);
            self.tracked.remove(&obj);
        }
    }

    fn stat(&self, obj: Obj) -> Stat {
        let i = &self.inodes[&obj];
        Stat {
            identity: FileIdentity { dev: 1, ino: i.ino, btime_ns: i.btime },
            kind: i.kind,
            size: i.data.len() as u64,
            blocks: (i.data.len() as u64).div_ceil(512),
            mode: i.mode,
            uid: 0,
            gid: 0,
            nlink: i.nlink,
            mtime_ns: i.mtime,
            ctime_ns: i.ctime,
        }
    }

    fn resolve(&self, path: &[u8]) -> Option<Obj> {
        let mut at = self.root;
        for name in path.strip_prefix(ROOT)?.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            at = *self.inodes.get(&at)?.entries.get(name)?;
        }
        Some(at)
    }

    fn tree(&self) -> BTreeMap<OsBytes, Obj> {
        let mut all = BTreeMap::new();
        let mut todo = vec![(ROOT.to_vec(), self.root)];
        while let Some((path, obj)) = todo.pop() {
            for (name, child) in &self.inodes[&obj].entries {
                let mut p = path.clone();
                p.push(b'/');
                p.extend(name);
                todo.push((p, *child));
            }
            all.insert(path, obj);
        }
        all
    }

    fn pick(&mut self, kind: FileKind) -> Option<(OsBytes, Obj)> {
        let all: Vec<_> =
            self.tree().into_iter().filter(|(_, o)| self.inodes[o].kind == kind).collect();
        (!all.is_empty()).then(|| all[self.rng.below(all.len())].clone())
    }

    fn entry(&mut self, dir: Obj, name: &[u8]) {
        let t = self.time();
        let d = self.inodes.get_mut(&dir).unwrap();
        (d.mtime, d.ctime) = (t, t);
        if let Some(&dir) = self.tracked.get(&dir) {
            let at = MonotonicNs(0);
            self.events.push_back(Event::Entry { dir, name: name.to_vec(), actor: None, at });
        }
    }

    fn dirty(&mut self, obj: Obj, extents: Extents) {
        let t = self.time();
        let i = self.inodes.get_mut(&obj).unwrap();
        (i.mtime, i.ctime) = (t, t);
        if let Some(&artifact) = self.tracked.get(&obj) {
            let at = MonotonicNs(0);
            self.events.push_back(Event::Dirty { artifact, extents, actor: None, at });
        }
    }

    fn link(&mut self, dir: Obj, name: &[u8], obj: Obj) {
        if let Some(old) = self.inodes.get_mut(&dir).unwrap().entries.insert(name.to_vec(), obj) {
            self.inodes.get_mut(&old).unwrap().nlink -= 1;
            self.touch(old);
            self.collect(old);
        }
        self.inodes.get_mut(&obj).unwrap().nlink += 1;
        self.touch(obj);
        self.entry(dir, name);
    }

    fn unlink(&mut self, dir: Obj, name: &[u8]) {
        let obj = self.inodes.get_mut(&dir).unwrap().entries.remove(name).unwrap();
        self.inodes.get_mut(&obj).unwrap().nlink -= 1;
        self.touch(obj);
        self.collect(obj);
        self.entry(dir, name);
    }

    fn touch(&mut self, obj: Obj) {
        let t = self.time();
        self.inodes.get_mut(&obj).unwrap().ctime = t;
    }

    fn split(path: &[u8]) -> (&[u8], &[u8]) {
        let cut = path.iter().rposition(|b| *b == b'/').unwrap();
        (&path[..cut], &path[cut + 1..])
    }

    /// Somebody changes something.
    pub(super) fn mutate(&mut self) {
        self.clock += 700_000;
        let name = vec![b'a' + u8::try_from(self.rng.below(5)).unwrap()];
        let (dir_path, dir) = self.pick(FileKind::Directory).unwrap();
        let what = self.rng.below(15);
        self.log.push(format!("{what} {} {}", dir_path.escape_ascii(), name.escape_ascii()));
        match what {
            0 | 1 => self.create(dir, &name),
            2 if !self.inodes[&dir].entries.contains_key(&name) && 3 < self.free_inos.len() => {
                let obj = self.inode(FileKind::Directory);
                self.link(dir, &name, obj);
            }
            3 | 4 => self.rename(dir, &dir_path, &name),
            5 => self.hard_link(dir, &name),
            6 => self.remove(),
            7 => self.truncate(),
            8 => self.map_or_store(),
            14 if self.rng.one_in(4) => self.remove_tree(dir, &dir_path),
            14 if self.rng.one_in(4) => self.replace_root(),
            9 => {
                let kind = if self.rng.one_in(3) { FileKind::Directory } else { FileKind::File };
                if let Some((_, obj)) = self.pick(kind) {
                    self.inodes.get_mut(&obj).unwrap().mode ^= 0o111;
                    self.touch(obj);
                    if let Some(&artifact) = self.tracked.get(&obj) {
                        self.events.push_back(Event::Meta { artifact, at: MonotonicNs(0) });
                    }
                }
            }
            _ => self.write(),
        }
    }

    fn create(&mut self, dir: Obj, name: &[u8]) {
        if self.inodes[&dir].entries.contains_key(name) || self.free_inos.len() < 4 {
            return;
        }
        let obj = self.inode(FileKind::File);
        self.link(dir, name, obj);
        if self.rng.one_in(2) {
            self.write_to(obj);
        }
    }

    fn rename(&mut self, dir: Obj, dir_path: &[u8], name: &[u8]) {
        let kind = if self.rng.one_in(3) { FileKind::Directory } else { FileKind::File };
        let Some((from, obj)) = self.pick(kind) else { return };
        let target = self.inodes[&dir].entries.get(name).copied();
        let over =
            target.is_none_or(|t| self.inodes[&t].kind == FileKind::File && kind == FileKind::File);
        let inside = dir_path.starts_with(&from[..]);
        if obj == self.root
            || (kind == FileKind::Directory && inside)
            || !over
            || target == Some(obj)
        {
            return;
        }
        let (parent, old) = Self::split(&from);
        let parent = self.resolve(parent).unwrap();
        self.inodes.get_mut(&parent).unwrap().entries.remove(old);
        self.inodes.get_mut(&obj).unwrap().nlink -= 1;
        self.link(dir, name, obj);
        self.entry(parent, old);
    }

    fn hard_link(&mut self, dir: Obj, name: &[u8]) {
        if self.inodes[&dir].entries.contains_key(name) {
            return;
        }
        if let Some((_, obj)) = self.pick(FileKind::File) {
            self.link(dir, name, obj);
        }
    }

    fn remove(&mut self) {
        let kind = if self.rng.one_in(3) { FileKind::Directory } else { FileKind::File };
        let Some((path, obj)) = self.pick(kind) else { return };
        if obj == self.root || !self.inodes[&obj].entries.is_empty() {
            return;
        }
        let (parent, name) = Self::split(&path);
        let parent = self.resolve(parent).unwrap();
        self.unlink(parent, name);
    }

    /// A whole tree goes: file by file, or away to where nobody watches.
    fn remove_tree(&mut self, dir: Obj, path: &[u8]) {
        if dir != self.root && self.rng.one_in(2) {
            let (parent, name) = Self::split(path);
            let parent = self.resolve(parent).unwrap();
            self.inodes.get_mut(&parent).unwrap().entries.remove(name).unwrap();
            self.touch(dir);
            self.entry(parent, name);
            return;
        }
        for (name, child) in self.inodes[&dir].entries.clone() {
            let mut below = path.to_vec();
            below.push(b'/');
            below.extend(&name);
            if self.inodes[&child].kind == FileKind::Directory {
                self.remove_tree(child, &below);
            }
            if self.inodes[&dir].entries.contains_key(&name) {
                self.unlink(dir, &name);
            }
        }
    }

    /// The root is moved away, another one is made in its place, and some of what was in it put there.
    fn replace_root(&mut self) {
        if self.free_inos.len() < 4 {
            return;
        }
        let (old, new) = (self.root, self.inode(FileKind::Directory));
        self.inodes.get_mut(&new).unwrap().nlink = 1;
        self.root = new;
        self.root_unseen = true;
        for (name, child) in self.inodes[&old].entries.clone() {
            if self.rng.one_in(2) {
                self.inodes.get_mut(&old).unwrap().entries.remove(&name);
                self.entry(old, &name);
                self.inodes.get_mut(&new).unwrap().entries.insert(name, child);
                self.touch(child);
            }
        }
    }

    fn truncate(&mut self) {
        let Some((_, obj)) = self.pick(FileKind::File) else { return };
        let to = self.rng.below(3 * TILE);
        let to = if self.rng.one_in(4) { to / TILE * TILE } else { to };
        let data = &mut self.inodes.get_mut(&obj).unwrap().data;
        let from = data.len().min(to) as u64;
        data.resize(to, 0);
        self.dirty(obj, Extents::From(from));
    }

    fn write(&mut self) {
        if let Some((_, obj)) = self.pick(FileKind::File) {
            self.write_to(obj);
        }
    }

    fn write_to(&mut self, obj: Obj) {
        let start = self.rng.below(3 * TILE);
        let end = start + 1 + self.rng.below(TILE / 2);
        let byte = u8::try_from(self.rng.below(256)).unwrap();
        let data = &mut self.inodes.get_mut(&obj).unwrap().data;
        if data.len() < end {
            data.resize(end, 0);
        }
        data[start..end].fill(byte);
        self.dirty(obj, Extents::Ranges(vec![(start as u64, end as u64)]));
    }

    fn say_mapped(&mut self, artifact: ArtifactId) {
        let (at, actor) = (MonotonicNs(0), crate::event::Actor::default());
        let (shared_writable, executable) = (true, false);
        let e = Event::Mmap { artifact, actor, shared_writable, executable, at };
        self.events.push_back(e);
    }

    /// A mapping is made, stored through (which nobody sees), or ends.
    fn map_or_store(&mut self) {
        let Some((_, obj)) = self.pick(FileKind::File) else { return };
        let (stop, at) = (self.rng.one_in(3), self.rng.below(2 * TILE));
        let i = self.inodes.get_mut(&obj).unwrap();
        if !i.mapped {
            i.mapped = true;
            if let Some(&artifact) = self.tracked.get(&obj) {
                self.say_mapped(artifact);
            }
        } else if stop {
            i.mapped = false;
        }
        let (t, seen) = (self.time(), self.tracked.contains_key(&obj));
        let i = self.inodes.get_mut(&obj).unwrap();
        if i.mapped && at < i.data.len() {
            i.data[at] ^= 0x55;
            i.stored_through = true;
            if !seen {
                // Nobody knows of the mapping; the fault on a clean page shows in the times.
                (i.mtime, i.ctime) = (t, t);
            }
        }
    }
}

mod annotate;
mod closed;
mod daemon;
mod shown;
