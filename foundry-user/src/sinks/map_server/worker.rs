//! Keeps the world true to what the daemon says: a thread of its own, so that the daemon never waits.
//!
//! Knows: updates, bricks, the watched trees' names. Must never know: HTTP, who reads tiles.
//! Keeps: an update it missed makes it look at everything again.

mod walk;

use super::bricks::ReadFile;
use super::layout::{NodeId, NodeKind, ROOT};
use super::live::{Entry, EntryKind, Severity};
use super::memory;
use super::metrics::Metrics;
use super::summary::{Summary, TILE_BYTES, seconds};
use super::world::{Change, Far, State};
use super::{MapConfig, Shared};
use crate::directory::Total;
use crate::event::Actor;
use crate::pipeline::effect::Update;
use foundry_brick::Brick;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

/// Updates that are taken together.
const BATCH: usize = 4096;
/// How long a changed layout may stay unsaved.
const SAVE: Duration = Duration::from_secs(5);
/// Bricks read between two looks at what the daemon says.
const SCAN_STEP: usize = 32;

/// What the worker listens to.
pub(super) type Updates = broadcast::Receiver<Arc<Update>>;

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) config: MapConfig,
    pub(super) updates: Updates,
    pub(super) runtime: tokio::runtime::Handle,
}

/// Whether to go on.
enum Heard {
    Nothing,
    Something,
    Missed,
    Over,
}

impl Worker {
    pub(super) fn run(mut self) {
        self.walk();
        let mut over = self.scan();
        while !over {
            let first = self
                .runtime
                .block_on(async { tokio::time::timeout(SAVE, self.updates.recv()).await });
            over = match first {
                Ok(Ok(update)) => matches!(self.listen(Some(update)), Heard::Over),
                Ok(Err(RecvError::Lagged(n))) => self.look_again(n),
                Ok(Err(RecvError::Closed)) => true,
                Err(_) => false,
            };
            self.save();
        }
        self.save();
    }

    fn world(&self) -> RwLockWriteGuard<'_, super::world::World> {
        self.shared.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places what is on the disk, so that it has a place before it is folded.
    fn walk(&self) {
        for root in &self.config.roots {
            let (parent, tree) = walk::tree(root, &self.config.store);
            let Some(tree) = tree else { continue };
            let mut world = self.world();
            world.layout.place_tree(&parent, tree);
            world.seq += 1;
            world.unsaved = true;
        }
        // Everything may have been placed: whoever is here already begins anew.
        self.shared.hub.reset(None);
    }

    /// Reads the bricks that are there. True where the daemon has gone meanwhile.
    fn scan(&mut self) -> bool {
        self.world().scanning = true;
        let leaves: Vec<(NodeId, Vec<u8>)> = {
            let world = self.world();
            let all = (0_u32..).map_while(|id| Some((id, world.layout.node(id)?)));
            all.filter(|(_, node)| !node.gone && node.run().is_some())
                .map(|(id, _)| (id, world.layout.path(id)))
                .collect()
        };
        // Directories first: there are few of them, and they show the whole from afar.
        for (id, path) in self.directories() {
            let change = self.read_anew(id, &path);
            self.shared.hub.publish(&change, None);
        }
        for some in leaves.chunks(SCAN_STEP) {
            let mut change = Change::default();
            for (id, path) in some {
                add(&mut change, self.read_anew(*id, path));
            }
            self.shared.hub.publish(&change, None);
            match self.listen(None) {
                Heard::Over => return true,
                Heard::Missed | Heard::Something | Heard::Nothing => {}
            }
        }
        self.world().scanning = false;
        let change = Change { seq: self.shared.world().seq, ranges: vec![], nodes: vec![ROOT] };
        self.shared.hub.publish(&change, None);
        false
    }

    fn directories(&self) -> Vec<(NodeId, Vec<u8>)> {
        let world = self.world();
        let all = (0_u32..).map_while(|id| Some((id, world.layout.node(id)?)));
        all.filter(|(_, node)| !node.gone && node.kind == NodeKind::Directory)
            .map(|(id, _)| (id, world.layout.path(id)))
            .collect()
    }

    /// Reads a brick where its generation is not the one that is known.
    fn read_anew(&self, id: NodeId, path: &[u8]) -> Change {
        let Ok(brick) = self.shared.bricks.open(path, None) else { return Change::default() };
        if brick.meta().kind == foundry_brick::Kind::Directory {
            return self.directory(path, &brick);
        }
        let known = self.shared.world().summary(id).map(|summary| summary.generation);
        if known == Some(brick.generation()) {
            return Change::default();
        }
        let mut table = self.shared.world().writers.clone();
        let Ok(mut summary) = Summary::read(&brick, &mut table) else { return Change::default() };
        // Nobody looked when it ended; if it is still watched, the next capture says so.
        if memory::is_over(brick.meta()) {
            summary.label = memory::label_of_the_dead(&brick);
        }
        let mut world = self.world();
        world.writers = table;
        world.fold(path, summary, None).1
    }

    /// The daemon was faster than this thread: nothing is known for certain, so everything is looked at.
    fn look_again(&mut self, missed: u64) -> bool {
        Metrics::add(&self.shared.metrics.lagged, missed);
        self.shared
            .hub
            .notice(Severity::Warning, "the map fell behind and looks at everything again");
        self.walk();
        self.scan()
    }

    /// Takes what the daemon has said so far.
    fn listen(&mut self, first: Option<Arc<Update>>) -> Heard {
        let mut batch: Vec<Arc<Update>> = first.into_iter().collect();
        let mut heard = Heard::Something;
        while batch.len() < BATCH {
            match self.updates.try_recv() {
                Ok(update) => batch.push(update),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(n)) => {
                    Metrics::add(&self.shared.metrics.lagged, n);
                    heard = Heard::Missed;
                }
                Err(TryRecvError::Closed) => {
                    heard = Heard::Over;
                    break;
                }
            }
        }
        if batch.is_empty() && matches!(heard, Heard::Something) {
            return Heard::Nothing;
        }
        Metrics::add(&self.shared.metrics.updates, batch.len() as u64);
        for update in coalesce(batch) {
            self.apply(&update);
        }
        heard
    }

    fn apply(&self, update: &Update) {
        match update {
            Update::Committed { path, changed_tiles, actor, found, .. } => {
                let tiles = changed_tiles.as_deref();
                let kind = (!found).then_some(EntryKind::Changed);
                self.committed(path, tiles, actor.as_ref(), kind);
            }
            Update::Removed { path, .. } => {
                let removed = self.world().remove(path);
                self.tell(EntryKind::Removed, removed, path, None);
            }
            Update::Renamed { from, to, .. } => {
                let renamed = self.world().rename(from, to);
                self.tell(EntryKind::Renamed, renamed, to, None);
                let id = self.shared.world().layout.find(to);
                if let Some(id) = id {
                    let change = self.read_anew(id, to);
                    self.shared.hub.publish(&change, None);
                }
            }
            Update::Unreadable { path, failure, .. } => {
                let changed = {
                    let mut world = self.world();
                    if world.layout.find(path).is_none() {
                        world.expect(path, NodeKind::File, 0);
                    }
                    world.unreadable(path, *failure)
                };
                self.tell(EntryKind::Unreadable, changed, path, None);
            }
            Update::Directory { path } => {
                let id = self.shared.world().layout.find(path);
                if let Some(id) = id {
                    let change = self.read_anew(id, path);
                    self.shared.hub.publish(&change, None);
                }
            }
            Update::Captured { pid } => {
                // Once a second from each process: nothing that somebody did.
                self.committed(format!("pid:{pid}").as_bytes(), None, None, None);
            }
            Update::Exec { actor } => self.seen(EntryKind::Exec, actor.exe.as_deref(), actor),
            Update::Mapped { path, actor, .. } => {
                self.seen(EntryKind::Mapped, Some(path), actor);
            }
        }
    }

    /// A directory is where its files lie; its brick says what they look like from afar.
    fn directory(&self, path: &[u8], brick: &Brick<ReadFile>) -> Change {
        // Where it cannot be read, its files are gone through.
        let Ok(Some(parts)) = brick.parts() else { return Change::default() };
        let mut total = Total::default();
        parts.iter().for_each(|(_, part)| total.add(part.length, part.top));
        let size = parts.iter().map(|(_, part)| part.length).fold(0, u64::saturating_add);
        let far = Far { generation: brick.generation(), size, top: total.top() };
        self.world().fold_directory(path, far)
    }

    fn committed(
        &self,
        path: &[u8],
        tiles: Option<&[u64]>,
        actor: Option<&Actor>,
        kind: Option<EntryKind>,
    ) {
        let Ok(brick) = self.shared.bricks.open(path, None) else { return };
        let known = {
            let world = self.shared.world();
            let id = world.layout.find(path);
            let folded = id.filter(|id| world.state(*id) == State::Folded);
            folded.and_then(|id| world.summary(id).map(|summary| (**summary).clone()))
        };
        let mut table = self.shared.world().writers.clone();
        let refreshed = known.zip(tiles).and_then(|(mut summary, tiles)| {
            if !summary.refresh(&brick, tiles).ok()? {
                return None;
            }
            let name = actor.map_or(&[][..], |actor| actor.exe.as_deref().unwrap_or(&actor.comm));
            let writer = table.by_name(name);
            let at = seconds(crate::clock::wall().0);
            for tile in tiles {
                summary.wrote(tile * TILE_BYTES, (tile + 1) * TILE_BYTES, writer, at);
            }
            Some(summary)
        });
        let parts: Option<Vec<(u64, u64)>> = refreshed.as_ref().and(tiles).map(|tiles| {
            tiles.iter().map(|tile| (tile * TILE_BYTES, (tile + 1) * TILE_BYTES)).collect()
        });
        let summary = match refreshed {
            Some(summary) => summary,
            None => match Summary::read(&brick, &mut table) {
                Ok(summary) => summary,
                Err(error) => {
                    let text = format!("{}: {error}", String::from_utf8_lossy(path));
                    self.shared.hub.notice(Severity::Error, &text);
                    return;
                }
            },
        };
        let folded = {
            let mut world = self.world();
            world.writers = table;
            world.fold(path, summary, parts.as_deref())
        };
        match kind {
            Some(kind) => self.tell(kind, Some(folded), path, actor),
            None => self.shared.hub.publish(&folded.1, None),
        }
    }

    /// Tells clients of a change, and who it was.
    fn tell(
        &self,
        kind: EntryKind,
        changed: Option<(NodeId, Change)>,
        path: &[u8],
        actor: Option<&Actor>,
    ) {
        let Some((node, change)) = changed else { return };
        // Bricks that were there before the daemon had news are no news.
        let quiet = change.is_empty() || self.shared.hub.clients() == 0;
        let mut entry = entry(kind, Some(node), path, actor);
        if let Some((start, end)) = change.ranges.first() {
            (entry.index, entry.length) = (*start, end - start);
        }
        self.shared.hub.publish(&change, (!quiet).then_some(&entry));
    }

    /// Something happened to a file that did not change it.
    fn seen(&self, kind: EntryKind, path: Option<&[u8]>, actor: &Actor) {
        let path = path.unwrap_or_default();
        let (node, run) = {
            let world = self.shared.world();
            let node = world.layout.find(path).filter(|id| *id != ROOT);
            (node, node.and_then(|id| world.layout.node(id)?.run()))
        };
        // Programs run all the time; the map tells of those that are on it.
        let Some(run) = run else { return };
        let mut entry = entry(kind, node, path, Some(actor));
        (entry.index, entry.length) = (run.start, run.len());
        self.shared.hub.publish(&Change::default(), Some(&entry));
    }

    /// Writes the layout next to the bricks, where it is not what was written last.
    fn save(&self) {
        let saved = {
            let mut world = self.world();
            if !std::mem::take(&mut world.unsaved) {
                return;
            }
            world.layout.save()
        };
        let written = saved.map_err(|error| error.to_string()).and_then(|bytes| {
            let fresh = self.config.saved.with_extension("new");
            std::fs::write(&fresh, bytes)
                .and_then(|()| std::fs::rename(&fresh, &self.config.saved))
                .map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            let text = format!(
                "{}: {error}; places will not outlive the daemon",
                self.config.saved.display()
            );
            self.shared.hub.notice(Severity::Warning, &text);
        }
    }
}

fn add(all: &mut Change, one: Change) {
    all.seq = all.seq.max(one.seq);
    all.ranges.extend(one.ranges);
    all.nodes.extend(one.nodes);
}

fn entry(kind: EntryKind, node: Option<NodeId>, path: &[u8], actor: Option<&Actor>) -> Entry {
    let nobody = Actor::default();
    let actor = actor.unwrap_or(&nobody);
    Entry {
        kind,
        node,
        index: 0,
        length: 0,
        pid: actor.pid,
        uid: actor.uid,
        at_ms: u64::try_from(crate::clock::wall().0 / 1_000_000).unwrap_or(0),
        comm: actor.comm.clone(),
        exe: actor.exe.clone().unwrap_or_default(),
        path: path.to_vec(),
    }
}

/// Commits of one path that follow one another are one: the brick is read once, for its last.
fn coalesce(batch: Vec<Arc<Update>>) -> Vec<Update> {
    let mut out: Vec<Update> = Vec::with_capacity(batch.len());
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for update in batch {
        let update = Arc::unwrap_or_clone(update);
        match &update {
            Update::Committed { path, .. } => {
                let before = last.get(path).copied();
                match before.and_then(|at| out.get_mut(at)) {
                    Some(earlier) => merge(earlier, update),
                    None => {
                        last.insert(path.clone(), out.len());
                        out.push(update);
                    }
                }
            }
            // A name may be another artifact's from here on.
            Update::Removed { .. } | Update::Renamed { .. } => {
                last.clear();
                out.push(update);
            }
            _ => out.push(update),
        }
    }
    out
}

fn merge(earlier: &mut Update, later: Update) {
    if let (Update::Committed { changed_tiles: old, actor: by, found: was, .. }, mut later) =
        (&mut *earlier, later)
    {
        if let Update::Committed { changed_tiles, actor, found, .. } = &mut later {
            // An opinion that came after it does not say who wrote.
            if changed_tiles.as_ref().is_some_and(Vec::is_empty) {
                (*actor, *found) = (by.take(), *was);
            }
            *changed_tiles = match (old.take(), changed_tiles.take()) {
                (Some(mut a), Some(b)) => {
                    a.extend(b);
                    a.sort_unstable();
                    a.dedup();
                    Some(a)
                }
                _ => None,
            };
        }
        *earlier = later;
    }
}
