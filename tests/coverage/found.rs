//! How each change was found: told by the recording of the daemon itself.
//!
//! Knows: recordings, what the pipeline asks for. Must never know: backends, file systems.
//! Keeps: what is told of an operation happened between the `sync` before it and its own.

use super::run::Cell;
use crate::support::ops::Change;
use foundry_common::units::TILE_BYTES;
use foundry_user::artifact::ArtifactId;
use foundry_user::event::Event;
use foundry_user::pipeline::Pipeline;
use foundry_user::pipeline::effect::Effect;
use foundry_user::pipeline::input::{Input, ReadAnswer, ReadPart};
use foundry_user::sources::replay::Replay;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How a change came into its brick, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// The file system, the kernel or the user cannot do this.
    Refused,
    /// Only the tiles that were touched were read again, or only the name that changed looked at.
    Exact,
    /// The whole file was read again, or the whole directory listed.
    Whole,
    /// No event told of it: it was found by looking again, as each `sync` does.
    Sweep,
    /// After `sync` the brick was not what the file was.
    Missed,
    /// Nobody has looked.
    Unknown,
}

const WORDS: [(Found, &str); 6] = [
    (Found::Refused, "n/a"),
    (Found::Exact, "exact"),
    (Found::Whole, "whole"),
    (Found::Sweep, "sweep"),
    (Found::Missed, "missed"),
    (Found::Unknown, "-"),
];

impl Found {
    pub(super) fn word(self) -> &'static str {
        WORDS.iter().find(|(found, _)| *found == self).map_or("-", |(_, word)| word)
    }

    pub(super) fn of(word: &str) -> Self {
        let known = WORDS.iter().find(|(_, known)| *known == word);
        known.unwrap_or_else(|| panic!("no cell is called {word:?}")).0
    }

    /// What could not be done and now can, is judged as what nobody has looked at.
    pub(super) fn is_worse_than(self, before: Self) -> bool {
        match before {
            Self::Unknown | Self::Refused => self == Self::Missed,
            _ => self > before && self != Self::Unknown,
        }
    }
}

/// An operation that was performed.
pub(super) struct Done {
    pub(super) name: &'static str,
    /// Number of the `sync` after it.
    pub(super) sync: u64,
    pub(super) tree: PathBuf,
    pub(super) changes: Vec<Change>,
    /// How the bricks differed after that `sync`, if they did.
    pub(super) differs: Option<String>,
}

/// What the daemon did between two syncs.
#[derive(Default)]
struct Window {
    /// Artifacts of which an event said that their bytes changed.
    told: BTreeSet<ArtifactId>,
    /// Directories of which events named entries, and those to list.
    named: BTreeSet<(ArtifactId, Vec<u8>)>,
    listed: BTreeSet<ArtifactId>,
    /// Tiles that were read.
    read: BTreeMap<ArtifactId, BTreeSet<u64>>,
}

/// The cells of all that was done.
pub(super) fn classify(log: &Path, done: &[Done]) -> Vec<(&'static str, Cell)> {
    let mut told = Recording::default();
    let mut replay = Replay::open(log).unwrap();
    let mut pipeline = Pipeline::new(replay.header().settings);
    let mut effects = Vec::new();
    for input in &mut replay {
        let input = input.unwrap();
        told.input(&input);
        pipeline.step(input, &mut effects);
        effects.drain(..).for_each(|effect| told.effect(&effect));
    }
    let last = done.last().map_or(0, |done| done.sync);
    assert_eq!(told.current, last, "the recording has other syncs than were asked for");
    done.iter().map(|done| (done.name, told.cell(done))).collect()
}

#[derive(Default)]
struct Recording {
    /// How often a `sync` that was asked for has ended.
    current: u64,
    /// Events that were drained at last ask for a sweep.
    swept: bool,
    /// The daemon's own sync that ends a sweep: nobody asked for it.
    own: Option<u64>,
    windows: BTreeMap<u64, Window>,
    /// Where artifacts were, at any time.
    paths: BTreeMap<PathBuf, BTreeSet<ArtifactId>>,
}

impl Recording {
    fn window(&mut self) -> &mut Window {
        self.windows.entry(self.current + 1).or_default()
    }

    fn input(&mut self, input: &Input) {
        match input {
            // Each drain begins with it.
            Input::Tick { .. } => self.swept = false,
            Input::Event(Event::Sweep { .. }) => self.swept = true,
            Input::Sync { ticket } if self.swept && self.own.is_none() => {
                self.own = Some(*ticket);
                self.swept = false;
            }
            _ => {}
        }
        let window = self.window();
        match input {
            Input::Event(Event::Dirty { artifact, .. }) => {
                window.told.insert(*artifact);
            }
            Input::Event(Event::Entry { dir, name, .. }) => {
                window.named.insert((*dir, name.clone()));
            }
            Input::Event(Event::Relist { dir, .. }) => {
                window.listed.insert(*dir);
            }
            Input::Read(ReadAnswer { artifact, part, .. }) => {
                let (start, len) = match part {
                    ReadPart::Bytes { offset, bytes } => (*offset, bytes.0.len() as u64),
                    ReadPart::Hole { offset, len } => (*offset, *len),
                    _ => return,
                };
                window.read.entry(*artifact).or_default().extend(tiles(start, start + len));
            }
            _ => {}
        }
    }

    fn effect(&mut self, effect: &Effect) {
        let (artifact, path) = match effect {
            Effect::SyncDone { ticket } if self.own == Some(*ticket) => {
                self.own = None;
                return;
            }
            Effect::SyncDone { .. } => {
                self.current += 1;
                return;
            }
            Effect::Read(request) => (request.artifact, &request.path),
            Effect::Store(job) => (job.artifact, &job.path),
            Effect::List { dir, path, .. } | Effect::Look { dir, path, .. } => (*dir, path),
            _ => return,
        };
        let path = PathBuf::from(OsStr::from_bytes(path));
        self.paths.entry(path).or_default().insert(artifact);
    }

    fn cell(&self, done: &Done) -> Cell {
        if let Some(detail) = &done.differs {
            return Cell { found: Found::Missed, detail: detail.clone() };
        }
        let found = done.changes.iter().map(|change| (self.found(done, change), change));
        let worst = found.max_by_key(|(found, _)| *found);
        let (found, change) = worst.unwrap_or_else(|| panic!("{} changed nothing", done.name));
        Cell { found, detail: format!("{change:?}") }
    }

    fn found(&self, done: &Done, change: &Change) -> Found {
        let quiet = Window::default();
        let window = self.windows.get(&done.sync).unwrap_or(&quiet);
        match change {
            Change::Bytes(path, ranges) => {
                let of = self.at(&done.tree.join(path));
                let read: BTreeSet<u64> =
                    of.iter().filter_map(|id| window.read.get(id)).flatten().copied().collect();
                let touched: BTreeSet<u64> =
                    ranges.iter().flat_map(|(start, end)| tiles(*start, *end)).collect();
                let told = of.iter().any(|id| window.told.contains(id));
                match () {
                    // Where no byte changed, nothing has to be read.
                    () if read.is_empty() && touched.is_empty() => Found::Exact,
                    () if !told => Found::Sweep,
                    () if read.is_subset(&touched) => Found::Exact,
                    () => Found::Whole,
                }
            }
            Change::Entry(path) => {
                let path = done.tree.join(path);
                let dirs = self.at(path.parent().unwrap_or(&path));
                let name = path.file_name().unwrap_or_default().as_bytes();
                // What came with a directory is found by listing that.
                let named = dirs.iter().any(|dir| window.named.contains(&(*dir, name.to_vec())));
                let mut above = path.ancestors().skip(1).flat_map(|above| self.at(above));
                let above = above.any(|dir| window.touches(dir));
                match () {
                    () if named => Found::Exact,
                    () if dirs.iter().any(|dir| window.listed.contains(dir)) => Found::Whole,
                    () if above => Found::Whole,
                    () => Found::Sweep,
                }
            }
        }
    }

    fn at(&self, path: &Path) -> BTreeSet<ArtifactId> {
        self.paths.get(path).cloned().unwrap_or_default()
    }
}

impl Window {
    /// Whether an event named anything in this directory.
    fn touches(&self, dir: ArtifactId) -> bool {
        self.listed.contains(&dir) || self.named.iter().any(|(named, _)| *named == dir)
    }
}

fn tiles(start: u64, end: u64) -> std::ops::Range<u64> {
    start / TILE_BYTES..end.div_ceil(TILE_BYTES)
}
