//! The parts of a composite artifact: a process's mappings, a directory's entries, the world's roots.
//!
//! A part lies in a plot of the whole's curve at an offset; several parts may share a plot where they
//! belong together (the segments of one mapped library, the pieces of a mapping that was split), so
//! that splitting and joining moves nothing.
//!
//! The curve of a composite is the *plane*: one cell of its level 0 is one byte of a part. What the
//! brick stores as its leaves are cells of the plane's level [`Parts::leaf_order`]; a leaf is given by
//! whoever knows the part ([`crate::Editor::put_cells`]), and levels above follow as for any file.
//!
//! Knows: places, names, attributes. Must never know: how a part is found out, or read.
//! Keeps: parts never overlap and lie inside their plots; every plot has a part; one set of parts has
//! one encoding.

mod attributes;
mod codec;
#[cfg(test)]
mod tests;

pub use attributes::{Attribute, PageRun, PartKind, page};
pub use codec::PartsError;

use crate::cells::Cell;
use crate::geometry::{LEAF_BYTES, LEAF_LEVEL};
use crate::plots::{Moved, Plot, PlotId, Plots, PlotsError, Resized};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A name, a path: any bytes. Parts share them, for a library's path is that of many mappings.
pub type Text = Arc<[u8]>;

/// Bytes of a page, the finest cell of a process.
pub const PAGE_BYTES: u64 = 1 << PAGE_SHIFT;
/// Binary logarithm of [`PAGE_BYTES`].
pub const PAGE_SHIFT: u32 = 12;
/// The plane's level whose cells are pages.
pub const PAGE_ORDER: u8 = 6;

/// Where a part lies: its plot, and how far from the plot's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Whose run of the curve.
    pub plot: PlotId,
    /// Bytes of the plane from the start of the plot.
    pub offset: u64,
}

/// Another artifact that a part shows, and where in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Path of the artifact; its brick is found by it.
    pub path: Text,
    /// The part's first byte in the artifact.
    pub offset: u64,
}

/// One part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Bytes of the plane it takes.
    pub length: u64,
    /// Name as the kernel gives it: any bytes.
    pub name: Text,
    /// What it is.
    pub kind: PartKind,
    /// Address of its first byte in the process.
    pub address: Option<u64>,
    /// The same bytes elsewhere.
    pub link: Option<Link>,
    /// Numbers by attribute, in the order of their codes.
    pub numbers: BTreeMap<Attribute, u64>,
    /// Texts by attribute, in the order of their codes.
    pub texts: BTreeMap<Attribute, Text>,
    /// The cell of the whole part: what it looks like from afar.
    pub top: Cell,
    /// States of its pages, in runs; empty for a part that has no pages.
    pub pages: Vec<PageRun>,
}

impl Part {
    /// Whether its runs of pages are none, or cover its length.
    #[must_use]
    pub fn pages_add_up(&self) -> bool {
        let sum = self.pages.iter().fold(0, |sum: u64, run| sum.saturating_add(run.count));
        self.pages.is_empty() || sum == self.length.div_ceil(PAGE_BYTES)
    }
}

/// All parts of one composite and their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    leaf_order: u8,
    plots: Plots,
    parts: BTreeMap<Place, Part>,
}

impl Parts {
    /// No parts yet. The smallest plot and the leaves are 4^`leaf_order` bytes of the plane.
    #[must_use]
    pub fn new(leaf_order: u8) -> Self {
        Self::with_plots(leaf_order, Plots::new(leaf_order))
    }

    /// As [`Parts::new`], with a smallest plot that differs from a leaf.
    #[must_use]
    pub fn with_plots(leaf_order: u8, plots: Plots) -> Self {
        Self { leaf_order: leaf_order.max(LEAF_ORDER_MIN), plots, parts: BTreeMap::new() }
    }

    /// The plane's level that the container's lowest level shows.
    #[must_use]
    pub fn leaf_order(&self) -> u8 {
        self.leaf_order
    }

    /// Says that the brick's leaves are of another level now: it is folded anew.
    pub fn set_leaf_order(&mut self, leaf_order: u8) {
        self.leaf_order = leaf_order.max(LEAF_ORDER_MIN);
    }

    /// The layout.
    #[must_use]
    pub fn plots(&self) -> &Plots {
        &self.plots
    }

    /// Number of parts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Every part with its place, by plot and offset.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &Part)> + '_ {
        self.parts.iter().map(|(place, part)| (*place, part))
    }

    /// The part at a place.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&Part> {
        self.parts.get(&place)
    }

    /// The run of the plane that a part takes.
    #[must_use]
    pub fn run(&self, place: Place) -> Option<Range<u64>> {
        let (plot, part) = (self.plots.get(place.plot)?, self.parts.get(&place)?);
        let start = plot.start + place.offset;
        Some(start..start + part.length)
    }

    /// Bytes of the container's content that stand for the plane up to the last plot: 64 for a leaf.
    #[must_use]
    pub fn content_size(&self) -> u64 {
        self.content_range(0..self.plots.end()).end
    }

    /// The container's content bytes that hold the leaves that a run of the plane touches.
    #[must_use]
    pub fn content_range(&self, plane: Range<u64>) -> Range<u64> {
        let leaf = 2 * u32::from(self.leaf_order);
        let (first, end) = (plane.start >> leaf, plane.end.div_ceil(1 << leaf));
        first << (2 * LEAF_ORDER_MIN)..end << (2 * LEAF_ORDER_MIN)
    }

    /// Adds a part on a plot of its own.
    ///
    /// # Errors
    /// Where no plane is large enough for it.
    pub fn add(&mut self, mut part: Part) -> Result<Place, PlotsError> {
        if !part.pages_add_up() {
            part.pages.clear();
        }
        let place = Place { plot: self.plots.add(part.length)?, offset: 0 };
        self.parts.insert(place, part);
        Ok(place)
    }

    /// Gives a plot of `length` bytes on which parts are then put with [`Parts::put`].
    ///
    /// # Errors
    /// Where no plane is large enough for it.
    pub fn open(&mut self, length: u64) -> Result<PlotId, PlotsError> {
        self.plots.add(length)
    }

    /// Puts a part at a place of a plot that is there, in the stead of any that begins at that place.
    ///
    /// # Errors
    /// Where the plot is unknown or too small, or the part would lie on another; nothing changes then.
    pub fn put(&mut self, place: Place, part: Part) -> Result<(), PartsError> {
        let plot = self.plots.get(place.plot).ok_or(PlotsError::Unknown(place.plot))?;
        let end = place.offset.checked_add(part.length).filter(|end| *end <= plot.capacity());
        let end = end.ok_or(PartsError::Outside)?;
        let first = Place { plot: place.plot, offset: 0 };
        let before = self.parts.range(first..place).next_back();
        let after = self.parts.range(place..).find(|(other, _)| **other != place);
        let clear = before.is_none_or(|(other, part)| other.offset + part.length <= place.offset)
            && after.is_none_or(|(other, _)| other.plot != place.plot || end <= other.offset);
        if !clear {
            return Err(PartsError::Overlap);
        }
        if !part.pages_add_up() {
            return Err(PartsError::Invalid(codec::PAGES_DO_NOT_ADD_UP));
        }
        self.parts.insert(place, part);
        self.settle(place.plot);
        Ok(())
    }

    /// Puts these parts in the stead of all there are. Plots that have none of them become tombstones.
    ///
    /// # Errors
    /// As [`Parts::put`]; what is left then is not to be used.
    pub fn replace(&mut self, parts: Vec<(Place, Part)>) -> Result<(), PartsError> {
        self.parts.clear();
        let mut used: BTreeMap<PlotId, u64> = BTreeMap::new();
        for (place, part) in parts {
            let plot = self.plots.get(place.plot).ok_or(PlotsError::Unknown(place.plot))?;
            let end = place.offset.checked_add(part.length).filter(|end| *end <= plot.capacity());
            let end = end.ok_or(PartsError::Outside)?;
            let used = used.entry(place.plot).or_default();
            *used = end.max(*used);
            if self.parts.insert(place, part).is_some() {
                return Err(PartsError::Overlap);
            }
        }
        let ends = self.parts.iter().map(|(place, part)| (place.plot, place.offset, part.length));
        let ends: Vec<(PlotId, u64, u64)> = ends.collect();
        if ends.windows(2).any(|w| w[0].0 == w[1].0 && w[1].1 - w[0].1 < w[0].2) {
            return Err(PartsError::Overlap);
        }
        let plots: Vec<PlotId> = self.plots.iter().map(|(id, _)| id).collect();
        for id in plots {
            if let Some(used) = used.get(&id) {
                self.plots.resize(id, *used)?;
            } else {
                self.plots.remove(id)?;
            }
        }
        Ok(())
    }

    /// Makes room for `length` bytes on a plot. Where it moves, all its parts move with it.
    ///
    /// # Errors
    /// Where there is no such plot, or no plane is large enough.
    pub fn grow(&mut self, plot: PlotId, length: u64) -> Result<Resized, PartsError> {
        Ok(self.plots.resize(plot, length)?)
    }

    /// Gives a part another length; the states of its pages are to be told anew. Where it does not fit its plot it moves, alone: then the new place
    /// comes back. Parts that share their plot cannot move.
    ///
    /// # Errors
    /// Where there is no such part, no room beside its neighbours, or no plane is large enough.
    pub fn resize(&mut self, place: Place, length: u64) -> Result<Resized, PartsError> {
        let part = self.parts.get(&place).ok_or(PlotsError::Unknown(place.plot))?;
        if self.alone(place) {
            let resized = self.plots.resize(place.plot, length)?;
            if let Some(part) = self.parts.get_mut(&place) {
                part.length = length;
                part.pages.clear();
            }
            return Ok(resized);
        }
        let part = Part { length, pages: Vec::new(), ..part.clone() };
        self.put(place, part)?;
        Ok(Resized::InPlace)
    }

    /// Changes what is said of a part; its length stays. States of pages that do not add up to it are
    /// dropped.
    pub fn update(&mut self, place: Place, change: impl FnOnce(&mut Part)) -> bool {
        let Some(part) = self.parts.get_mut(&place) else { return false };
        let length = part.length;
        change(part);
        part.length = length;
        if !part.pages_add_up() {
            part.pages.clear();
        }
        true
    }

    /// Takes a part away. With the last of its parts a plot becomes a tombstone.
    pub fn remove(&mut self, place: Place) -> Option<Part> {
        let part = self.parts.remove(&place)?;
        self.settle(place.plot);
        Some(part)
    }

    /// The part that takes byte `at` of the plane.
    #[must_use]
    pub fn at(&self, at: u64) -> Option<(Place, &Part)> {
        let (id, plot) = self.plots.iter().find(|(_, plot)| plot.run().contains(&at))?;
        let place = Place { plot: id, offset: at - plot.start };
        let first = Place { plot: id, offset: 0 };
        let (found, part) = self.parts.range(first..=place).next_back()?;
        (at - plot.start < found.offset + part.length).then_some((*found, part))
    }

    /// Begins an epoch of the layout: see [`Plots::next_epoch`].
    pub fn next_epoch(&mut self) -> Vec<Moved> {
        self.plots.next_epoch()
    }

    fn alone(&self, place: Place) -> bool {
        let first = Place { plot: place.plot, offset: 0 };
        place.offset == 0
            && self.parts.range(first..).take_while(|(p, _)| p.plot == place.plot).count() == 1
    }

    /// Tells the layout how much of a plot is in use, or that it is not.
    fn settle(&mut self, id: PlotId) {
        let first = Place { plot: id, offset: 0 };
        let ends = self.parts.range(first..).take_while(|(place, _)| place.plot == id);
        let used = ends.map(|(place, part)| place.offset + part.length).max();
        // Both only fail for a plot that is not there, and then there is nothing to settle.
        let known = match used {
            Some(used) => self.plots.resize(id, used).is_ok(),
            None => self.plots.remove(id).is_ok(),
        };
        debug_assert!(known, "plot {id:?} has parts and no place");
    }

    /// A plot by its number.
    #[must_use]
    pub fn plot(&self, id: PlotId) -> Option<Plot> {
        self.plots.get(id)
    }
}

/// A leaf of the container is 4^3 bytes of its content: the finest that leaves can be.
const LEAF_ORDER_MIN: u8 = 3;
const _: () = assert!(LEAF_ORDER_MIN as u32 == LEAF_LEVEL);

/// The content of a composite: 64 bytes for each leaf, of which the first four are its cell (the
/// share of zeros as 255 less the share) and the rest is zero. So a leaf that shows nothing is 64 zero
/// bytes, and a stretch of the plane without parts is a hole.
#[must_use]
pub fn records(cells: &[Cell]) -> Vec<u8> {
    let mut out = vec![0; cells.len() * LEAF_BYTES];
    for (record, [entropy, zero, printable, high]) in out.chunks_exact_mut(LEAF_BYTES).zip(cells) {
        record[..4].copy_from_slice(&[*entropy, 255 - zero, *printable, *high]);
    }
    out
}
