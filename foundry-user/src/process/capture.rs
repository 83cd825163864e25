//! From a live process to a generation of its brick.
//!
//! Knows: all of this room, the editor of a brick. Must never know: where the brick is stored.
//! Keeps: what the brick says of the layout is one state of it; without `embedded` the brick is made of
//! cells alone, so no byte of the process's memory can reach it.

use super::layout::lay_out;
use super::maps::Mapping;
use super::regions::Functions;
use super::sample::{Leaves, Memory, Sampled, TILE_LEAVES, sample};
use super::{ProcessError, Target, regions};
use foundry_brick::parts::{PAGE_BYTES, PAGE_ORDER, PageRun, Parts, Place, page};
use foundry_brick::plots::PlotId;
use foundry_brick::storage::Storage;
use foundry_brick::{Committed, Editor, FactValue, Facts, Identity, Kind, Meta, Payload, Region};

/// Bytes of level 0 in a tile.
const TILE: u64 = foundry_common::units::TILE_BYTES;

/// The layout of a process at one time, every page's state, and what has a name.
#[derive(Debug)]
pub struct Survey {
    /// Mappings on their plots.
    pub parts: Parts,
    /// Plots that had to move since the survey before.
    pub moved: Vec<PlotId>,
    /// `None` where those of the brick are left as they are.
    pub(super) regions: Option<Vec<Region>>,
    pub(super) facts: Facts,
    pub(super) meta: Meta,
}

/// How the states of pages became known, and what is known beside them.
pub(super) struct Known {
    pub(super) dirty: bool,
    pub(super) scanned: bool,
    pub(super) about: Facts,
}

/// Why a process could not become a brick.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The layout.
    #[error("layout of process memory: {0}")]
    Parts(#[from] foundry_brick::parts::PartsError),
    /// The brick.
    #[error(transparent)]
    Brick(#[from] foundry_brick::Error),
}

impl Survey {
    /// Looks at the layout; `before` holds the places of an earlier survey of the same process.
    ///
    /// # Errors
    /// Where the process is gone or may not be looked at.
    pub fn take(target: &Target, before: Option<Parts>) -> Result<Self, CaptureError> {
        Self::take_with(target, before, &mut Functions::default())
    }

    /// The same; functions of mapped files that are in `functions` are not looked for again.
    ///
    /// # Errors
    /// As [`Survey::take`].
    pub fn take_with(
        target: &Target,
        before: Option<Parts>,
        functions: &mut Functions,
    ) -> Result<Self, CaptureError> {
        let mut parts = before.unwrap_or_else(|| Parts::new(PAGE_ORDER));
        let mut mappings = target.mappings()?;
        let moved = lay_out(&mut parts, &mappings)?;
        if parts.plots().is_wasteful() {
            parts.next_epoch();
        }
        Self::look(target, (parts, moved), &mut mappings, functions)
    }

    /// Asks for the states of the pages of `parts`, which show `mappings`, and for everything that is known
    /// of the process.
    ///
    /// # Errors
    /// As [`Survey::take`].
    pub(super) fn look(
        target: &Target,
        (mut parts, moved): (Parts, Vec<PlotId>),
        mappings: &mut [Mapping],
        functions: &mut Functions,
    ) -> Result<Self, CaptureError> {
        let mut pages = target.pages(true)?;
        let mut shape = Shape::default();
        for index in 0..mappings.len() {
            let mapping = &mappings[index];
            let mut states = pages.states(mapping).map_err(|e| target.explain("pagemap", e))?;
            if index == 0 && !pages.scans() {
                // Only now is it known that `smaps` is needed, to leave out what is not populated.
                add_details(target, mappings);
                let again = pages.states(&mappings[0]);
                states = again.map_err(|e| target.explain("pagemap", e))?;
            }
            shape.push(&mappings[index], states);
        }
        shape.spread(&mut parts);
        functions.learn(target, &parts, mappings);
        let known = Known {
            dirty: pages.knows_dirty(),
            scanned: pages.scans(),
            about: super::about::facts(target),
        };
        Ok(Self::of(target, (parts, moved), mappings, known, functions))
    }

    /// What is said of parts whose pages' states are known.
    pub(super) fn of(
        target: &Target,
        (mut parts, moved): (Parts, Vec<PlotId>),
        mappings: &[Mapping],
        known: Known,
        functions: &Functions,
    ) -> Self {
        regions::mark_stacks(&mut parts, &target.stack_pointers());
        let (regions, omitted) = regions::regions(&parts, functions);
        let mut facts = facts(target, (known.dirty, known.scanned));
        let mapped = mappings.iter().map(|mapping| mapping.end - mapping.start).sum();
        facts.insert("mapped_bytes".to_owned(), FactValue::Number(mapped));
        facts.extend(known.about);
        facts.extend(super::about::of_mappings(target, mappings));
        facts.insert("mappings".to_owned(), FactValue::Number(mappings.len() as u64));
        if omitted > 0 {
            facts.insert("regions_omitted".to_owned(), FactValue::Number(omitted));
        }
        Self { parts, moved, regions: Some(regions), facts, meta: meta(target) }
    }

    /// Commits the survey with the contents of its pages as the first generation of a new brick.
    ///
    /// # Errors
    /// Where the brick cannot be written.
    pub fn fold<S: Storage>(
        mut self,
        storage: S,
        memory: &mut dyn Memory,
        payload: Payload,
        at_ns: i64,
    ) -> Result<(Editor<S>, Committed, Sampled), CaptureError> {
        if payload == Payload::Embedded {
            // The leaves are bytes then: the brick holds them, and a cell follows from 64 of them.
            self.parts.set_leaf_order(3);
        }
        self.meta.size = self.parts.content_size();
        self.meta.payload = payload;
        self.meta.mtime_ns = at_ns;
        let mut editor = Editor::create(storage, self.meta.clone())?;
        editor.put_hole(0, self.meta.size)?;
        let sampled = if payload == Payload::Embedded {
            let mut raw = RawTiles { editor: &mut editor, size: self.meta.size, tile: None };
            let (_, sampled) = sample(&mut self.parts, memory, Some(&mut |at, b| raw.page(at, b)))?;
            raw.flush()?;
            sampled
        } else {
            let (leaves, sampled) = sample(&mut self.parts, memory, None)?;
            put_leaves(&mut editor, &leaves, self.meta.size)?;
            sampled
        };
        let committed = self.commit(&mut editor, &sampled, at_ns)?;
        Ok((editor, committed, sampled))
    }

    /// Commits the survey as the next generation of the brick that the one before was committed to.
    ///
    /// # Errors
    /// Where the brick cannot be written.
    pub fn refold<S: Storage>(
        mut self,
        editor: &mut Editor<S>,
        memory: &mut dyn Memory,
        at_ns: i64,
    ) -> Result<(Parts, Committed, Sampled), CaptureError> {
        let (leaves, sampled) = sample(&mut self.parts, memory, None)?;
        let size = self.parts.content_size();
        editor.resize(size)?;
        // Between the tiles that hold something there is nothing.
        let mut at = 0;
        for tile in leaves.keys().filter(|tile| **tile * TILE < size) {
            editor.put_hole(at, tile * TILE - at)?;
            at = ((tile + 1) * TILE).min(size);
        }
        // The last tile may be a part of one, and hold something.
        if at < size {
            editor.put_hole(at, size - at)?;
        }
        put_leaves(editor, &leaves, size)?;
        self.meta.mtime_ns = editor.meta().mtime_ns;
        editor.set_meta(self.meta.clone());
        let committed = self.commit(editor, &sampled, at_ns)?;
        Ok((self.parts, committed, sampled))
    }

    pub(super) fn commit<S: Storage>(
        &mut self,
        editor: &mut Editor<S>,
        sampled: &Sampled,
        at_ns: i64,
    ) -> Result<Committed, CaptureError> {
        let mut fact = |name: &str, value| self.facts.insert(name.to_owned(), value);
        let sum = |attribute| {
            let numbers = self.parts.iter().filter_map(|(_, part)| part.numbers.get(&attribute));
            FactValue::Number(numbers.sum())
        };
        fact("resident_bytes", sum(super::RESIDENT));
        fact("swapped_bytes", sum(super::SWAPPED));
        let (seen, unreadable) = looked_into(&self.parts);
        fact("sampled_pages", FactValue::Number(seen));
        fact("unreadable_pages", FactValue::Number(unreadable));
        fact("ended", FactValue::Flag(sampled.ended));
        fact("contents_denied", FactValue::Flag(sampled.denied));
        let raw = self.parts.leaf_order() == 3;
        fact("holds_raw_memory", FactValue::Flag(raw));
        editor.set_parts(&self.parts);
        if let Some(regions) = &self.regions {
            editor.set_regions(regions);
        }
        editor.set_facts(&self.facts);
        Ok(editor.commit(at_ns)?)
    }
}

fn put_leaves<S: Storage>(
    editor: &mut Editor<S>,
    leaves: &Leaves,
    size: u64,
) -> Result<(), foundry_brick::Error> {
    for (tile, cells) in leaves {
        let first = tile * TILE_LEAVES;
        let count = (size / (TILE / TILE_LEAVES)).saturating_sub(first).min(TILE_LEAVES);
        let count = usize::try_from(count).unwrap_or(0).min(cells.len());
        if count > 0 {
            editor.put_cells(first, &cells[..count])?;
        }
    }
    Ok(())
}

/// Pages gathered into tiles of bytes, for a brick that holds them.
struct RawTiles<'a, S> {
    editor: &'a mut Editor<S>,
    size: u64,
    tile: Option<(u64, Vec<u8>)>,
}

impl<S: Storage> RawTiles<'_, S> {
    fn page(&mut self, at: u64, bytes: &[u8]) -> Result<(), foundry_brick::Error> {
        let tile = at / TILE;
        if self.tile.as_ref().is_some_and(|(open, _)| *open != tile) {
            self.flush()?;
        }
        let len = usize::try_from((self.size - tile * TILE).min(TILE)).unwrap_or(0);
        let (_, buffer) = self.tile.get_or_insert_with(|| (tile, vec![0; len]));
        let from = usize::try_from(at % TILE).unwrap_or(0);
        if let Some(place) = buffer.get_mut(from..from + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), foundry_brick::Error> {
        let Some((tile, bytes)) = self.tile.take() else { return Ok(()) };
        self.editor.put(tile * TILE, &bytes)
    }
}

/// How many pages were looked into, and how many were there and were not, although they may be read.
fn looked_into(parts: &Parts) -> (u64, u64) {
    let (mut seen, mut unreadable) = (0, 0);
    for (_, part) in parts.iter() {
        let readable = part.numbers.get(&super::PERMISSIONS).is_none_or(|p| p & page::READ != 0);
        for run in &part.pages {
            if run.state & page::SAMPLED != 0 {
                seen += run.count;
            } else if readable && run.state & page::RESIDENT != 0 {
                unreadable += run.count;
            }
        }
    }
    (seen, unreadable)
}

/// Gives a part the states of its pages.
pub(super) fn set_states(parts: &mut Parts, place: Place, states: Vec<PageRun>) {
    let bytes = |bit| {
        let pages = states.iter().filter(|run| run.state & bit != 0);
        pages.map(|run| run.count).sum::<u64>() * PAGE_BYTES
    };
    let (resident, swapped) = (bytes(page::RESIDENT), bytes(page::SWAPPED));
    parts.update(place, |part| {
        part.pages = states;
        part.numbers.insert(super::RESIDENT, resident);
        part.numbers.insert(super::SWAPPED, swapped);
    });
}

/// States of all pages by address.
#[derive(Default)]
struct Shape(Vec<(u64, u64, Vec<PageRun>)>);

impl Shape {
    fn push(&mut self, mapping: &Mapping, states: Vec<PageRun>) {
        self.0.push((mapping.start, mapping.end, states));
    }

    /// Gives each part the states of its pages.
    fn spread(&self, parts: &mut Parts) {
        let places: Vec<_> = parts.iter().map(|(place, _)| place).collect();
        for place in places {
            let Some(part) = parts.get(place) else { continue };
            let Some(start) = part.address else { continue };
            let end = start + part.length;
            let at = self.0.partition_point(|(_, end, _)| *end <= start);
            let Some((from, _, runs)) = self.0.get(at) else { continue };
            let cut =
                cut(runs, start.saturating_sub(*from) / PAGE_BYTES, (end - start) / PAGE_BYTES);
            set_states(parts, place, cut);
        }
    }
}

/// The runs of `count` pages from page `first`.
pub(super) fn cut(runs: &[PageRun], first: u64, count: u64) -> Vec<PageRun> {
    let (mut out, mut at) = (Vec::new(), 0);
    for run in runs {
        let (from, to) = (at.max(first), (at + run.count).min(first + count));
        if from < to {
            out.push(PageRun { count: to - from, state: run.state });
        }
        at += run.count;
    }
    out
}

/// Adds what `smaps` says of the mappings that are still there.
fn add_details(target: &Target, mappings: &mut [Mapping]) {
    let Ok(details) = target.mappings_with_details() else { return };
    let populated: std::collections::BTreeMap<(u64, u64), Option<bool>> =
        details.iter().map(|m| ((m.start, m.end), m.populated)).collect();
    for mapping in mappings {
        mapping.populated = populated.get(&(mapping.start, mapping.end)).copied().flatten();
    }
}

fn facts(target: &Target, (dirty, scanned): (bool, bool)) -> Facts {
    let mut facts = Facts::new();
    let mut fact = |name: &str, value| drop(facts.insert(name.to_owned(), value));
    fact("comm", FactValue::Text(target.comm().to_owned()));
    if let Some(exe) = target.exe() {
        fact("exe", FactValue::Text(String::from_utf8_lossy(&exe).into_owned()));
    }
    if let Some(short) = target.is_32_bit() {
        fact("bits", FactValue::Number(if short { 32 } else { 64 }));
    }
    fact("started_ticks", FactValue::Number(target.started()));
    fact("dirty_known", FactValue::Flag(dirty));
    fact("pagemap_scan", FactValue::Flag(scanned));
    facts
}

fn meta(target: &Target) -> Meta {
    Meta {
        kind: Kind::Process,
        pid: Some(target.pid()),
        identity: Identity { ino: target.started(), ..Identity::default() },
        uid: target.uid(),
        mode: 0o600,
        ..Meta::default()
    }
}
