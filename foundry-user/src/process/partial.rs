//! The next generation of a process's brick where only its layout is another: what stayed is not looked into.
//!
//! A page that keeps its address and its pixel keeps what was seen of it last. Pages that came are looked
//! into, if they are few; the pixels of those that went show nothing. So the cost follows what changed, not
//! what is there, and is bounded: many pages, and what takes long to ask, are left to a [`super::Look`].
//!
//! Knows: parts before and after, the editor of a brick. Must never know: where the brick is stored.
//! Keeps: a tile that holds no page that came or went is not written; the parts are those of a whole survey.

use super::capture::{CaptureError, Known, Survey, cut, set_states};
use super::layout::lay_out;
use super::maps::Mapping;
use super::pages::Pages;
use super::regions::Functions;
use super::sample::{Leaves, Memory, Sampled, Sampler, Seen, TILE_LEAVES};
use super::{PERMISSIONS, Target, about};
use foundry_brick::cells::{Cell, ZERO_CELL};
use foundry_brick::parts::{PAGE_BYTES, PageRun, Part, Parts, Place, page};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Committed, Editor, FactValue};
use std::collections::BTreeSet;
use std::ops::Range;

const TILE: u64 = foundry_common::units::TILE_BYTES;

/// Pages that are looked into at once: four megabytes take about a millisecond.
const MOST_FRESH: u64 = 1024;

/// A layout that differs from the one before.
#[derive(Debug)]
pub struct Relaid {
    before: Parts,
    parts: Parts,
    moved: Vec<foundry_brick::plots::PlotId>,
    mappings: Vec<Mapping>,
}

/// A stretch of a part.
pub(super) enum Piece<'a> {
    /// As it was, in this part from this page on.
    Kept(&'a Part, u64),
    Fresh,
}

impl Relaid {
    /// Lays the mappings out beside what was there `before`; `None` where that begins an epoch, so that
    /// everything has to be told anew.
    ///
    /// # Errors
    /// Where the mappings are larger than any plane.
    pub fn new(before: Parts, mappings: Vec<Mapping>) -> Result<Option<Self>, CaptureError> {
        let mut parts = before.clone();
        let moved = lay_out(&mut parts, &mappings)?;
        let whole = parts.plots().is_wasteful();
        Ok((!whole).then_some(Self { before, parts, moved, mappings }))
    }

    /// Commits it as the generation after that of `brick`, which is open in `editor`, too.
    ///
    /// # Errors
    /// Where the process is gone or the brick cannot be written.
    pub fn refold<S: Storage, R: Storage>(
        mut self,
        target: &Target,
        (editor, brick): (&mut Editor<S>, &Brick<R>),
        memory: &mut dyn Memory,
        functions: &Functions,
        at_ns: i64,
    ) -> Result<(Parts, Committed, Sampled), CaptureError> {
        let (pages, sampler) = (target.pages(true)?, Sampler::new(memory, None));
        let (touched, left) = (Touched::new(&self.before), MOST_FRESH);
        let mut looking =
            Looking { target, mappings: &self.mappings, brick, pages, sampler, touched, left };
        let old = by_start(&self.before);
        let places: Vec<Place> = self.parts.iter().map(|(place, _)| place).collect();
        for place in places {
            let (Some(part), Some(run)) = (self.parts.get(place), self.parts.run(place)) else {
                continue;
            };
            let (states, top) = looking.part(part, &run, pieces(&old, part, &run))?;
            set_states(&mut self.parts, place, states);
            self.parts.update(place, |part| part.top = top);
        }
        let Looking { pages, sampler, touched, .. } = looking;
        let facts = brick.facts()?;
        let flag = |name: &str| matches!(facts.get(name), Some(FactValue::Flag(true)));
        let (leaves, mut done) = (sampler.leaves, sampler.done);
        done.denied |= flag("contents_denied");
        let known = Known {
            dirty: flag("dirty_known") || pages.knows_dirty(),
            scanned: pages.scans(),
            about: about::kept(facts),
        };
        let mut survey =
            Survey::of(target, (self.parts, self.moved), &self.mappings, known, functions);
        let size = survey.parts.content_size();
        put(editor, brick, size, &touched.pages(), &leaves)?;
        survey.meta.mtime_ns = editor.meta().mtime_ns;
        editor.set_meta(survey.meta.clone());
        let committed = survey.commit(editor, &done, at_ns)?;
        Ok((survey.parts, committed, done))
    }
}

/// What it takes to look at what came.
struct Looking<'a, 'm, R> {
    target: &'a Target,
    mappings: &'a [Mapping],
    brick: &'a Brick<R>,
    pages: Pages,
    sampler: Sampler<'m, 'm>,
    touched: Touched,
    /// So many more pages may be looked into.
    left: u64,
}

impl<R: Storage> Looking<'_, '_, R> {
    /// States and top cell of a part that consists of these pieces.
    fn part(
        &mut self,
        part: &Part,
        run: &Range<u64>,
        pieces: Vec<(Range<u64>, Piece<'_>)>,
    ) -> Result<(Vec<PageRun>, Cell), CaptureError> {
        if let [(_, Piece::Kept(was, 0))] = &pieces[..]
            && was.length == part.length
        {
            self.touched.kept.push(run.clone());
            return Ok((was.pages.clone(), was.top));
        }
        let mut seen = Seen { states: Vec::new(), sums: [0; 4], pages: 0 };
        for (range, piece) in pieces {
            let count = (range.end - range.start) / PAGE_BYTES;
            let more = match piece {
                Piece::Kept(was, first) => {
                    let states = cut(&was.pages, first, count);
                    let kept = known(self.brick, &range, states)?;
                    self.touched.kept.push(range);
                    kept
                }
                Piece::Fresh => {
                    let start = part.address.unwrap_or(0) + (range.start - run.start);
                    let states = self.states(start, count)?;
                    self.touched.came.push(range.clone());
                    self.fresh(part, range.start, start, states)?
                }
            };
            seen.add(&more);
        }
        let top = seen.mean(part.length / PAGE_BYTES);
        Ok((seen.states, top))
    }

    /// Pages that came: looked into, unless they are many.
    fn fresh(
        &mut self,
        part: &Part,
        plane: u64,
        address: u64,
        states: Vec<PageRun>,
    ) -> Result<Seen, CaptureError> {
        let resident = states.iter().filter(|run| run.state & page::RESIDENT != 0);
        let resident: u64 = resident.map(|run| run.count).sum();
        if !is_readable(part) {
            return Ok(Seen { states, sums: [0; 4], pages: 0 });
        }
        if self.left < resident {
            self.sampler.done.put_off += resident;
            return Ok(Seen { states, sums: [0; 4], pages: 0 });
        }
        self.left -= resident;
        Ok(self.sampler.part(plane, address, &states)?)
    }

    /// States of the `count` pages from `start` on, which lie in one mapping.
    fn states(&mut self, start: u64, count: u64) -> Result<Vec<PageRun>, CaptureError> {
        let at = self.mappings.partition_point(|mapping| mapping.end <= start);
        let Some(mapping) = self.mappings.get(at) else { return Ok(Vec::new()) };
        let cut = Mapping { start, end: start + count * PAGE_BYTES, ..mapping.clone() };
        Ok(self.pages.states(&cut).map_err(|e| self.target.explain("pagemap", e))?)
    }
}

/// Pages that were seen before. One that was not has the cell of zeros, which is what it counts as.
pub(super) fn known<R: Storage>(
    brick: &Brick<R>,
    range: &Range<u64>,
    states: Vec<PageRun>,
) -> Result<Seen, CaptureError> {
    let (mut cells, mut sums) = (Vec::new(), [0; 4]);
    brick.cells(3, range.start / PAGE_BYTES..range.end / PAGE_BYTES, &mut cells)?;
    for cell in &cells {
        sums.iter_mut().zip(cell).for_each(|(sum, channel)| *sum += u64::from(*channel));
    }
    Ok(Seen { states, sums, pages: cells.len() as u64 })
}

fn is_readable(part: &Part) -> bool {
    part.numbers.get(&PERMISSIONS).is_none_or(|p| p & page::READ != 0)
}

pub(super) fn by_start(parts: &Parts) -> Vec<(Range<u64>, &Part)> {
    let mut found: Vec<_> =
        parts.iter().filter_map(|(place, part)| Some((parts.run(place)?, part))).collect();
    found.sort_by_key(|(run, _)| run.start);
    found
}

/// Cuts the run of a part into what was there before, of the same object at the same address, and what
/// was not.
pub(super) fn pieces<'a>(
    old: &[(Range<u64>, &'a Part)],
    part: &Part,
    run: &Range<u64>,
) -> Vec<(Range<u64>, Piece<'a>)> {
    let mut found = Vec::new();
    let mut at = run.start;
    let first = old.partition_point(|(was, _)| was.end <= run.start);
    for (was_run, was) in old[first..].iter().take_while(|(was, _)| was.start < run.end) {
        let (from, to) = (was_run.start.max(run.start), was_run.end.min(run.end));
        let address = |part: &Part, run: &Range<u64>| part.address.map(|a| a + (from - run.start));
        let offset = |part: &Part, run: &Range<u64>| {
            part.link.as_ref().map(|link| link.offset + (from - run.start))
        };
        let same = address(was, was_run) == address(part, run)
            && (was.kind, &was.name) == (part.kind, &part.name)
            && offset(was, was_run) == offset(part, run)
            && is_readable(was) == is_readable(part);
        if !same {
            continue;
        }
        if at < from {
            found.push((at..from, Piece::Fresh));
        }
        found.push((from..to, Piece::Kept(was, (from - was_run.start) / PAGE_BYTES)));
        at = to;
    }
    if at < run.end {
        found.push((at..run.end, Piece::Fresh));
    }
    found
}

/// Runs of the plane by what became of them.
struct Touched {
    before: Vec<Range<u64>>,
    kept: Vec<Range<u64>>,
    came: Vec<Range<u64>>,
}

impl Touched {
    fn new(before: &Parts) -> Self {
        let before = by_start(before).into_iter().map(|(run, _)| run).collect();
        Self { before, kept: Vec::new(), came: Vec::new() }
    }

    /// Everything that is not kept, in pages.
    fn pages(&self) -> Vec<Range<u64>> {
        let mut kept = self.kept.clone();
        kept.sort_by_key(|run| run.start);
        let mut found: Vec<Range<u64>> = self.came.clone();
        for run in &self.before {
            let mut at = run.start;
            let first = kept.partition_point(|kept| kept.end <= run.start);
            for kept in kept[first..].iter().take_while(|kept| kept.start < run.end) {
                if at < kept.start {
                    found.push(at..kept.start);
                }
                at = at.max(kept.end);
            }
            if at < run.end {
                found.push(at..run.end);
            }
        }
        found.iter().map(|run| run.start / PAGE_BYTES..run.end.div_ceil(PAGE_BYTES)).collect()
    }
}

/// Writes the tiles that hold one of these `pages`, which came or went.
pub(super) fn put<S: Storage, R: Storage>(
    editor: &mut Editor<S>,
    brick: &Brick<R>,
    size: u64,
    pages: &[Range<u64>],
    leaves: &Leaves,
) -> Result<(), CaptureError> {
    let before = editor.meta().size;
    editor.resize(size)?;
    let mut tiles: BTreeSet<u64> = BTreeSet::new();
    for run in pages {
        tiles.extend(run.start / TILE_LEAVES..run.end.div_ceil(TILE_LEAVES));
    }
    if before != size {
        // Tiles past the old end, and the one that held it, have another length now.
        let from = before.min(size) / TILE * TILE;
        editor.put_hole(from, size - from)?;
        tiles.insert(from / TILE);
    }
    for tile in tiles.into_iter().filter(|tile| tile * TILE < size) {
        let first = tile * TILE_LEAVES;
        let leaf = TILE / TILE_LEAVES;
        let count = (size / leaf - first).min(TILE_LEAVES);
        let mut cells: Vec<Cell> = Vec::new();
        let known = (before / leaf).min(first + count);
        if first < known {
            brick.cells(3, first..known, &mut cells)?;
        }
        cells.resize(usize::try_from(count).unwrap_or(0), ZERO_CELL);
        for run in pages.iter().filter(|run| run.start < first + count && first < run.end) {
            let inside = run.start.max(first) - first..run.end.min(first + count) - first;
            let (from, to) = (usize::try_from(inside.start), usize::try_from(inside.end));
            if let (Ok(from), Ok(to)) = (from, to) {
                cells[from..to].fill(ZERO_CELL);
            }
        }
        for (cell, fresh) in cells.iter_mut().zip(leaves.get(&tile).into_iter().flatten()) {
            if *fresh != ZERO_CELL {
                *cell = *fresh;
            }
        }
        if cells.iter().all(|cell| *cell == ZERO_CELL) {
            editor.put_hole(tile * TILE, (size - tile * TILE).min(TILE))?;
        } else {
            editor.put_cells(first, &cells)?;
        }
    }
    Ok(())
}
