//! A directory as a composite: entries on plots, leaves from the entries' own levels.
//!
//! A leaf of the plane is a cell of the entry that lies there, taken from the entry's own brick at the
//! same level; where several small entries share a leaf, their whole-entry cells are mixed by area. An
//! entry that has no cells so fine is drawn flat. So a tile is a function of the layout and of the
//! entries in it, and folding it again after a change is the same as folding it the first time.
//!
//! Knows: parts, cells, the editor. Must never know: where an entry's brick is, what a file system is.
//! Keeps: a change of one entry folds only the tiles under its plot; what is dirty folded again equals
//! everything folded, byte for byte.

#[cfg(test)]
mod tests;

use crate::cells::{Cell, ZERO_CELL};
use crate::editor::Editor;
use crate::error::Error;
use crate::geometry::{LEAF_BYTES, TILE_BYTES};
use crate::meta::Region;
use crate::parts::{Attribute, PAGE_ORDER, Part, Parts, PartsError, Place, Text};
use crate::plots::{Plots, PlotsError, Resized};
use crate::storage::Storage;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Leaves of one tile of the container.
const TILE_LEAVES: u64 = TILE_BYTES / LEAF_BYTES as u64;

/// A directory's picture has at most 4^8 leaves: finer is in the entries' own bricks.
const DEPTH: u8 = 8;

/// The smallest plot, and the finest leaf: 4 KiB.
const LEAST: u8 = PAGE_ORDER;

/// Gives cells of an entry: those of its plane's level `order` (4^order bytes a cell) in a range, as far
/// as it has them; an entry without finer cells gives fewer, and the last is drawn on.
pub type Cells<'a> = dyn FnMut(&Part, u8, Range<u64>) -> Result<Vec<Cell>, Error> + 'a;

/// The entries of one directory and what is to be folded again.
#[derive(Clone, Debug)]
pub struct Directory {
    parts: Parts,
    by_name: BTreeMap<Text, Place>,
    /// Runs of the plane whose leaves are not those of the brick any more.
    dirty: Vec<Range<u64>>,
    everything: bool,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            parts: Parts::with_plots(LEAST, Plots::new(LEAST)),
            by_name: BTreeMap::new(),
            dirty: Vec::new(),
            everything: true,
        }
    }
}

impl Directory {
    /// The directory whose brick holds `parts`; nothing is dirty.
    #[must_use]
    pub fn resume(parts: Parts) -> Self {
        let by_name = parts.iter().map(|(place, part)| (part.name.clone(), place)).collect();
        Self { parts, by_name, dirty: Vec::new(), everything: false }
    }

    /// The entries.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The entry of that name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Part> {
        self.parts.get(*self.by_name.get(name)?)
    }

    /// Whether anything waits to be folded.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.everything || !self.dirty.is_empty()
    }

    /// Bytes of the plane up to the last plot: what the directory takes in the one above.
    #[must_use]
    pub fn extent(&self) -> u64 {
        self.parts.plots().end()
    }

    /// Puts an entry, in the stead of one of the same name: that keeps its plot where the new one fits.
    ///
    /// # Errors
    /// Where it is larger than any plane.
    pub fn set(&mut self, entry: Part) -> Result<(), PartsError> {
        let name = entry.name.clone();
        if let Some(place) = self.by_name.get(&name).copied() {
            self.touch(place);
            if let Resized::Moved { from, .. } = self.parts.resize(place, entry.length)? {
                self.dirty.push(from);
            }
            self.parts.update(place, |part| *part = entry);
            self.touch(place);
            return Ok(());
        }
        let place = self.parts.add(entry).map_err(PartsError::Plots)?;
        self.by_name.insert(name, place);
        self.touch(place);
        Ok(())
    }

    /// Makes the entries exactly these. One that is as it was is not touched; one under another name with
    /// the inode number of one that is gone is that one, renamed, and stays where it is.
    ///
    /// # Errors
    /// Where one is larger than any plane.
    pub fn replace(&mut self, entries: Vec<Part>) -> Result<(), PartsError> {
        let names: BTreeSet<Text> = entries.iter().map(|entry| entry.name.clone()).collect();
        let mut gone: BTreeMap<u64, Text> = BTreeMap::new();
        let mut ended: BTreeSet<Text> = BTreeSet::new();
        for (_, part) in self.parts.iter().filter(|(_, part)| !names.contains(&part.name)) {
            ended.insert(part.name.clone());
            gone.extend(part.numbers.get(&Attribute::INODE).map(|n| (*n, part.name.clone())));
        }
        for entry in entries {
            if self.get(&entry.name) == Some(&entry) {
                continue;
            }
            let inode = entry.numbers.get(&Attribute::INODE);
            if !self.by_name.contains_key(&entry.name)
                && let Some(from) = inode.and_then(|n| gone.remove(n))
            {
                ended.remove(&from);
                self.rename(&from, entry.name.clone());
            }
            self.set(entry)?;
        }
        for name in ended {
            self.remove(&name);
        }
        Ok(())
    }

    /// Folds everything next time, whatever is known of the brick.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { everything: true, ..self }
    }

    /// Takes an entry away.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(place) = self.by_name.remove(name) else { return false };
        self.touch(place);
        self.parts.remove(place).is_some()
    }

    /// Gives an entry another name; it stays where it is. What had the new name is gone.
    pub fn rename(&mut self, from: &[u8], to: Text) -> bool {
        if from == &*to {
            return self.by_name.contains_key(from);
        }
        let Some(place) = self.by_name.remove(from) else { return false };
        self.remove(&to);
        self.parts.update(place, |part| part.name = to.clone());
        self.by_name.insert(to, place);
        self.touch(place);
        true
    }

    fn touch(&mut self, place: Place) {
        if let Some(plot) = self.parts.plot(place.plot) {
            self.dirty.push(plot.run());
        }
    }

    /// Folds what is dirty and tells the editor the parts and the regions. Commit it then.
    ///
    /// # Errors
    /// Those of the editor and of `cells`; the directory is dirty as before then.
    pub fn fold<S: Storage>(
        &mut self,
        editor: &mut Editor<S>,
        cells: &mut Cells<'_>,
    ) -> Result<(), Error> {
        if self.parts.plots().is_wasteful() {
            self.parts.next_epoch();
            self.everything = true;
        }
        let leaf_order = self.parts.plots().order().saturating_sub(DEPTH).max(LEAST);
        if leaf_order != self.parts.leaf_order() {
            self.parts.set_leaf_order(leaf_order);
            self.everything = true;
        }
        let (before, size) = (editor.meta().size, self.parts.content_size());
        editor.resize(size)?;
        let mut tiles: BTreeSet<u64> = BTreeSet::new();
        if self.everything {
            editor.put_hole(0, size)?;
            let runs = self.parts.iter().filter_map(|(place, _)| self.parts.run(place));
            runs.for_each(|run| tiles.extend(self.tiles_of(run)));
        } else {
            // Tiles past the old end, and the one that held it, have another length now.
            let from = before.min(size) / TILE_BYTES * TILE_BYTES;
            if before != size {
                editor.put_hole(from, size - from)?;
                tiles.extend(from / TILE_BYTES..size.div_ceil(TILE_BYTES));
            }
            self.dirty.iter().for_each(|run| tiles.extend(self.tiles_of(run.clone())));
        }
        let by_start = self.by_start();
        for tile in tiles.into_iter().filter(|tile| tile * TILE_BYTES < size) {
            let leaves = self.tile(tile, size, &by_start, cells)?;
            editor.put_cells(tile * TILE_LEAVES, &leaves)?;
        }
        editor.set_parts(&self.parts);
        editor.set_regions(&self.regions());
        self.dirty.clear();
        self.everything = false;
        Ok(())
    }

    /// The tiles of the container under a run of the plane.
    fn tiles_of(&self, run: Range<u64>) -> Range<u64> {
        let content = self.parts.content_range(run);
        content.start / TILE_BYTES..content.end.div_ceil(TILE_BYTES)
    }

    fn by_start(&self) -> BTreeMap<u64, Place> {
        let run = |(place, _): (Place, _)| Some((self.parts.plot(place.plot)?.start, place));
        self.parts.iter().filter_map(run).collect()
    }

    /// The leaves of one tile.
    fn tile(
        &self,
        tile: u64,
        size: u64,
        by_start: &BTreeMap<u64, Place>,
        cells: &mut Cells<'_>,
    ) -> Result<Vec<Cell>, Error> {
        let leaf = 2 * u32::from(self.parts.leaf_order());
        let first = tile * TILE_LEAVES;
        let count = (size / LEAF_BYTES as u64 - first).min(TILE_LEAVES);
        let mut mix = Mix::new(usize::try_from(count).unwrap_or(0));
        let plane = first << leaf..(first + count) << leaf;
        let before = by_start.range(..plane.start).next_back();
        let inside = by_start.range(plane.clone());
        for (start, place) in before.into_iter().chain(inside) {
            let (Some(part), Some(plot)) = (self.parts.get(*place), self.parts.plot(place.plot))
            else {
                continue;
            };
            if plot.run().end <= plane.start {
                continue;
            }
            if plot.order < self.parts.leaf_order() {
                mix.add((start >> leaf) - first, part.top, plot.capacity());
                continue;
            }
            let whole = (plot.start >> leaf)..(plot.start + part.length).div_ceil(1 << leaf);
            let seen = whole.start.max(first)..whole.end.min(first + count);
            if seen.is_empty() {
                continue;
            }
            let wanted = seen.start - whole.start..seen.end - whole.start;
            let mut found = cells(part, self.parts.leaf_order(), wanted.clone())?;
            let last = found.last().copied().unwrap_or(part.top);
            found.resize(usize::try_from(wanted.end - wanted.start).unwrap_or(0), last);
            for (at, cell) in (seen.start - first..).zip(found) {
                mix.add(at, cell, 1 << leaf);
            }
        }
        Ok(mix.finish(1 << leaf))
    }

    /// Entries by name and place.
    fn regions(&self) -> Vec<Region> {
        let region = |(place, part): (Place, &Part)| {
            let run = self.parts.run(place)?;
            Some(Region {
                name: String::from_utf8_lossy(&part.name).into_owned(),
                kind: part.kind.name().to_owned(),
                start: run.start,
                end: run.end,
                address: None,
            })
        };
        let mut regions: Vec<Region> = self.parts.iter().filter_map(region).collect();
        regions.sort_by_key(|region| region.start);
        regions
    }
}

/// Leaves under construction: sums of cells by area.
struct Mix(Vec<([u128; 4], u64)>);

impl Mix {
    fn new(leaves: usize) -> Self {
        Self(vec![([0; 4], 0); leaves])
    }

    fn add(&mut self, leaf: u64, cell: Cell, area: u64) {
        let Some((sums, covered)) =
            usize::try_from(leaf).ok().and_then(|leaf| self.0.get_mut(leaf))
        else {
            return;
        };
        for (sum, channel) in sums.iter_mut().zip(cell) {
            *sum += u128::from(channel) * u128::from(area);
        }
        *covered += area;
    }

    /// What no entry covers looks like nothing.
    fn finish(self, area: u64) -> Vec<Cell> {
        let leaf = |(sums, covered): ([u128; 4], u64)| {
            std::array::from_fn(|channel| {
                let rest = u128::from(area.saturating_sub(covered));
                let sum = sums[channel] + rest * u128::from(ZERO_CELL[channel]);
                u8::try_from((sum + u128::from(area) / 2) / u128::from(area)).unwrap_or(u8::MAX)
            })
        };
        self.0.into_iter().map(leaf).collect()
    }
}

impl From<PlotsError> for Error {
    fn from(_: PlotsError) -> Self {
        Self::Usage("a directory is larger than any plane")
    }
}
