//! A look into all pages of a process, taken beside whoever follows its layout.
//!
//! Looking takes as long as the process is large, and following must not wait for it. So a look is taken of
//! the layout as it was known, and put into the brick as that is by then: a page that kept its address and
//! its pixel shows what was seen of it; one that came meanwhile stays as it is; one that went is forgotten.
//!
//! Knows: surveys, the editor of a brick. Must never know: where the brick is stored, whose thread it is.
//! Keeps: the layout that the brick shows is never another for a look.

use super::Target;
use super::about::OF_MAPPINGS;
use super::capture::{CaptureError, Survey, cut, set_states};
use super::maps::Mapping;
use super::partial::{Piece, by_start, known, pieces, put};
use super::regions::Functions;
use super::sample::{Leaves, Memory, Sampled, Seen, TILE_LEAVES, sample};
use foundry_brick::cells::ZERO_CELL;
use foundry_brick::parts::{PAGE_BYTES, PageRun, Part, Parts, Place};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Committed, Editor};
use std::ops::Range;

/// Facts about the layout: the brick's own count where a look is of an earlier one.
const OF_LAYOUT: [&str; 3] = ["mapped_bytes", "mappings", "regions_omitted"];

/// What was seen.
#[derive(Debug)]
pub struct Look {
    survey: Survey,
    leaves: Leaves,
    sampled: Sampled,
}

impl Look {
    /// Looks into every page of `parts`, which show `mappings`.
    ///
    /// # Errors
    /// Where the process is gone or may not be looked at.
    pub fn take(
        target: &Target,
        parts: Parts,
        mut mappings: Vec<Mapping>,
        memory: &mut dyn Memory,
        functions: &mut Functions,
    ) -> Result<Self, CaptureError> {
        let mut survey = Survey::look(target, (parts, Vec::new()), &mut mappings, functions)?;
        let (leaves, sampled) = sample(&mut survey.parts, memory, None)?;
        Ok(Self { survey, leaves, sampled })
    }

    /// How far it came.
    #[must_use]
    pub const fn sampled(&self) -> Sampled {
        self.sampled
    }

    /// Commits what was seen as the generation after that of `brick`, which is open in `editor`, too, and
    /// shows the layout `parts`.
    ///
    /// # Errors
    /// Where the brick cannot be written.
    pub fn put<S: Storage, R: Storage>(
        mut self,
        parts: Parts,
        (editor, brick): (&mut Editor<S>, &Brick<R>),
        at_ns: i64,
    ) -> Result<(Parts, Committed, Sampled), CaptureError> {
        let looked = if same_layout(&parts, &self.survey.parts) {
            by_start(&self.survey.parts).into_iter().map(|(run, _)| run).collect()
        } else {
            self.join(parts, brick)?
        };
        let pages: Vec<Range<u64>> =
            looked.iter().map(|run| run.start / PAGE_BYTES..run.end.div_ceil(PAGE_BYTES)).collect();
        put(editor, brick, self.survey.parts.content_size(), &pages, &self.leaves)?;
        self.survey.meta.mtime_ns = editor.meta().mtime_ns;
        editor.set_meta(self.survey.meta.clone());
        let committed = self.survey.commit(editor, &self.sampled, at_ns)?;
        Ok((self.survey.parts, committed, self.sampled))
    }

    /// Takes over the layout `parts`, with what was seen of the pages that are in both. Gives their runs.
    fn join<R: Storage>(
        &mut self,
        mut parts: Parts,
        brick: &Brick<R>,
    ) -> Result<Vec<Range<u64>>, CaptureError> {
        let (seen, mut looked) = (by_start(&self.survey.parts), Vec::new());
        let places: Vec<Place> = parts.iter().map(|(place, _)| place).collect();
        for place in places {
            let (Some(part), Some(run)) = (parts.get(place), parts.run(place)) else { continue };
            let mut now = Seen { states: Vec::new(), sums: [0; 4], pages: 0 };
            for (range, piece) in pieces(&seen, part, &run) {
                let count = (range.end - range.start) / PAGE_BYTES;
                match piece {
                    Piece::Kept(was, first) => {
                        now.add(&self.seen(&range, cut(&was.pages, first, count)));
                        looked.push(range);
                    }
                    Piece::Fresh => {
                        let first = (range.start - run.start) / PAGE_BYTES;
                        now.add(&known(brick, &range, cut(&part.pages, first, count))?);
                    }
                }
            }
            let top = now.mean(part.length / PAGE_BYTES);
            set_states(&mut parts, place, now.states);
            parts.update(place, |part| part.top = top);
        }
        self.survey.parts = parts;
        // Names and counts of the layout are those of its last change.
        self.survey.regions = None;
        let before = brick.facts()?;
        for name in OF_LAYOUT.into_iter().chain(OF_MAPPINGS) {
            self.survey.facts.remove(name);
            if let Some(value) = before.get(name) {
                self.survey.facts.insert(name.to_owned(), value.clone());
            }
        }
        looked.sort_by_key(|run| run.start);
        self.forget_all_but(&looked);
        Ok(looked)
    }

    /// The cells of a run of the plane, as they were seen.
    fn seen(&self, run: &Range<u64>, states: Vec<PageRun>) -> Seen {
        let mut sums = [0_u64; 4];
        let leaves = run.start / PAGE_BYTES..run.end / PAGE_BYTES;
        for leaf in leaves.clone() {
            let tile = self.leaves.get(&(leaf / TILE_LEAVES));
            let slot = usize::try_from(leaf % TILE_LEAVES).unwrap_or(0);
            let cell = tile.and_then(|tile| tile.get(slot)).unwrap_or(&ZERO_CELL);
            sums.iter_mut().zip(cell).for_each(|(sum, channel)| *sum += u64::from(*channel));
        }
        Seen { states, sums, pages: leaves.end - leaves.start }
    }

    /// Drops the cells outside of these runs, which ascend: something else lies there now.
    fn forget_all_but(&mut self, runs: &[Range<u64>]) {
        for (tile, cells) in &mut self.leaves {
            for (slot, cell) in (0..).zip(cells) {
                let at = (tile * TILE_LEAVES + slot) * PAGE_BYTES;
                let next = runs.partition_point(|run| run.end <= at);
                if runs.get(next).is_none_or(|run| at < run.start) {
                    *cell = ZERO_CELL;
                }
            }
        }
    }
}

/// Whether both show the same mappings at the same places.
fn same_layout(a: &Parts, b: &Parts) -> bool {
    let same = |a: &Part, b: &Part| {
        (a.length, a.address, a.kind, &a.name, &a.link)
            == (b.length, b.address, b.kind, &b.name, &b.link)
            && a.numbers.get(&super::PERMISSIONS) == b.numbers.get(&super::PERMISSIONS)
    };
    let mut others = b.iter();
    a.iter().all(|(place, part)| {
        others.next().is_some_and(|(there, other)| place == there && same(part, other))
    }) && others.next().is_none()
}
