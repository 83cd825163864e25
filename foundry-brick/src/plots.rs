//! Plots: where each part of a composite artifact lies on the curve of the whole.
//!
//! A part owns an aligned run of 4^k cells, which is a square wherever the curve is drawn, so a part
//! looks the same at any zoom and a neighbour cannot push it aside. A plot that is given up becomes a
//! tombstone: nothing takes its place within the epoch, because a pixel that changes its owner is as
//! confusing as one that moves. The next epoch frees the tombstones where they are.
//!
//! Knows: runs of cells on one curve. Must never know: what a part is, what a cell holds.
//! Keeps: plots and tombstones never overlap; an operation moves no plot but the one it names; one
//! sequence of operations gives one layout; see [`Plots::is_wasteful`] for the bound on waste.

mod codec;
#[cfg(test)]
mod tests;

pub use codec::PlotsError;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The largest plane has 4^30 cells, an exbibyte at a cell a byte. Even, as every plane's order is.
pub const MAX_ORDER: u8 = 30;

/// A part asks for an eighth more than it has: most growth then stays in its plot.
const ROOM: u64 = 8;

/// Where less than one cell in this many belongs to a part, the layout is wasteful.
const WASTE: u64 = 16;

/// The number of a plot. It is never given to another part, in any epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlotId(pub u64);

/// One part's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plot {
    /// First cell; a multiple of the capacity.
    pub start: u64,
    /// The plot is 4^order cells.
    pub order: u8,
    /// Cells the part has; the rest of the plot is room to grow.
    pub used: u64,
}

impl Plot {
    /// Cells the plot can hold.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        cells(self.order)
    }

    /// All cells of the plot.
    #[must_use]
    pub fn run(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.capacity())
    }
}

/// What became of a part that asked for another size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resized {
    /// It stayed where it is.
    InPlace,
    /// It outgrew its plot: the old run is a tombstone now.
    Moved {
        /// The tombstone.
        from: Range<u64>,
        /// The new plot.
        to: Range<u64>,
    },
}

/// A plot that lies elsewhere since a new epoch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whose plot.
    pub plot: PlotId,
    /// Where it was.
    pub from: Range<u64>,
    /// Where it is.
    pub to: Range<u64>,
}

/// The layout of one curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plots {
    least_order: u8,
    /// The plane has 4^order cells. Always even, so that a larger plane turns nothing around.
    order: u8,
    epoch: u64,
    next: u64,
    live: BTreeMap<PlotId, Plot>,
    /// Start and order of runs that may not be used again in this epoch.
    tombstones: BTreeMap<u64, u8>,
    /// Free runs by order: always the largest aligned runs, so that they follow from the rest.
    free: Vec<BTreeSet<u64>>,
}

impl Plots {
    /// An empty layout whose smallest plot has 4^`least_order` cells.
    #[must_use]
    pub fn new(least_order: u8) -> Self {
        let least_order = least_order.min(MAX_ORDER);
        let order = least_order + least_order % 2;
        let mut free = vec![BTreeSet::new(); usize::from(MAX_ORDER) + 1];
        free[usize::from(order)].insert(0);
        Self {
            least_order,
            order,
            epoch: 0,
            next: 0,
            live: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            free,
        }
    }

    /// Order of the whole plane; even.
    #[must_use]
    pub fn order(&self) -> u8 {
        self.order
    }

    /// How often tombstones were freed.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A part's place.
    #[must_use]
    pub fn get(&self, id: PlotId) -> Option<Plot> {
        self.live.get(&id).copied()
    }

    /// Every plot, in the order in which they were given out.
    pub fn iter(&self) -> impl Iterator<Item = (PlotId, Plot)> + '_ {
        self.live.iter().map(|(id, plot)| (*id, *plot))
    }

    /// Runs that were given up in this epoch, along the curve.
    pub fn tombstones(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.tombstones.iter().map(|(start, order)| *start..start.saturating_add(cells(*order)))
    }

    /// First cell after the last plot or tombstone.
    #[must_use]
    pub fn end(&self) -> u64 {
        let live = self.live.values().map(|plot| plot.run().end).max().unwrap_or(0);
        live.max(self.tombstones().map(|run| run.end).max().unwrap_or(0))
    }

    /// Gives a new part of `used` cells its plot.
    ///
    /// # Errors
    /// [`PlotsError::Full`] where no plane is large enough; nothing has changed then.
    pub fn add(&mut self, used: u64) -> Result<PlotId, PlotsError> {
        let order = self.order_for(used)?;
        let start = self.take(order)?;
        let id = PlotId(self.next);
        self.next += 1;
        self.live.insert(id, Plot { start, order, used });
        Ok(id)
    }

    /// Says how many cells a part has now. It stays in its plot as long as it fits, whether it grew or
    /// shrank; where it does not fit, it alone moves.
    ///
    /// # Errors
    /// [`PlotsError::Unknown`] for a part that is not there, [`PlotsError::Full`] where no plane is
    /// large enough; nothing has changed then.
    pub fn resize(&mut self, id: PlotId, used: u64) -> Result<Resized, PlotsError> {
        let old = self.get(id).ok_or(PlotsError::Unknown(id))?;
        if used <= old.capacity() {
            self.live.insert(id, Plot { used, ..old });
            return Ok(Resized::InPlace);
        }
        let order = self.order_for(used)?;
        let start = self.take(order)?;
        let new = Plot { start, order, used };
        self.live.insert(id, new);
        self.tombstones.insert(old.start, old.order);
        Ok(Resized::Moved { from: old.run(), to: new.run() })
    }

    /// Gives a part's plot up. Its run stays empty until the next epoch.
    ///
    /// # Errors
    /// [`PlotsError::Unknown`] for a part that is not there.
    pub fn remove(&mut self, id: PlotId) -> Result<Range<u64>, PlotsError> {
        let plot = self.live.remove(&id).ok_or(PlotsError::Unknown(id))?;
        self.tombstones.insert(plot.start, plot.order);
        Ok(plot.run())
    }

    /// Whether less than a sixteenth of the curve up to [`Plots::end`] belongs to parts (a part counts
    /// at least the smallest plot). This never becomes true by adding alone: a plot is at least 2/9
    /// full when it is given out, and fewer cells lie free between plots than the largest plot has.
    /// [`Plots::next_epoch`] makes it false.
    #[must_use]
    pub fn is_wasteful(&self) -> bool {
        let least = cells(self.least_order);
        let used = self.live.values().fold(0, |sum: u64, p| sum.saturating_add(p.used.max(least)));
        used < self.end() / WASTE
    }

    /// Begins an epoch: tombstones are free again. No plot moves, unless the layout is wasteful even
    /// so: then all are placed anew, the largest first, and those that moved are named.
    pub fn next_epoch(&mut self) -> Vec<Moved> {
        self.epoch += 1;
        for (start, order) in std::mem::take(&mut self.tombstones) {
            self.release(start, order);
        }
        if self.is_wasteful() { self.place_anew() } else { Vec::new() }
    }

    fn place_anew(&mut self) -> Vec<Moved> {
        let mut fresh = Self::new(self.least_order);
        // By order, then number: no run is left free between two plots.
        let mut by_order: Vec<_> = self
            .iter()
            .map(|(id, plot)| (self.order_for(plot.used).unwrap_or(plot.order), id, plot))
            .collect();
        by_order.sort_by_key(|(order, id, _)| (std::cmp::Reverse(*order), *id));
        let mut moved = Vec::new();
        for (order, id, plot) in by_order {
            // Plots of at least 2/9 fill less than a third of a wasteful layout, so there is a place.
            let Ok(start) = fresh.take(order) else { return Vec::new() };
            let new = Plot { start, order, used: plot.used };
            fresh.live.insert(id, new);
            if new.run() != plot.run() {
                moved.push(Moved { plot: id, from: plot.run(), to: new.run() });
            }
        }
        (fresh.epoch, fresh.next) = (self.epoch, self.next);
        *self = fresh;
        moved.sort_by_key(|m| m.plot);
        moved
    }

    /// The order of the smallest plot that holds `used` cells and their room to grow.
    fn order_for(&self, used: u64) -> Result<u8, PlotsError> {
        let wanted = used.saturating_add(used / ROOM);
        (self.least_order..=MAX_ORDER)
            .find(|order| cells(*order) >= wanted)
            .ok_or(PlotsError::Full { wanted })
    }

    /// The lowest of the smallest free runs that will do; the plane grows where there is none.
    fn take(&mut self, order: u8) -> Result<u64, PlotsError> {
        loop {
            let found = (order..=self.order)
                .find_map(|o| self.free[usize::from(o)].first().map(|start| (o, *start)));
            if let Some((mut at, start)) = found {
                self.free[usize::from(at)].remove(&start);
                while at > order {
                    at -= 1;
                    for quarter in 1..4 {
                        self.free[usize::from(at)].insert(start + quarter * cells(at));
                    }
                }
                return Ok(start);
            }
            if self.order + 2 > MAX_ORDER {
                return Err(PlotsError::Full { wanted: cells(order) });
            }
            self.enlarge();
        }
    }

    /// Sixteen times the plane. What was the plane is its first sixteenth, unturned.
    fn enlarge(&mut self) {
        for order in [self.order, self.order + 1] {
            for quarter in 1..4 {
                self.release(quarter * cells(order), order);
            }
        }
        self.order += 2;
    }

    /// Makes a run free, and with it the run of four times the size whose last quarter it was.
    fn release(&mut self, mut start: u64, mut order: u8) {
        while order < MAX_ORDER {
            let parent = start & !(cells(order + 1) - 1);
            let siblings = (0..4).map(|i| parent + i * cells(order)).filter(|s| *s != start);
            let set = &self.free[usize::from(order)];
            if !siblings.clone().all(|s| set.contains(&s)) {
                break;
            }
            for sibling in siblings {
                self.free[usize::from(order)].remove(&sibling);
            }
            (start, order) = (parent, order + 1);
        }
        self.free[usize::from(order)].insert(start);
    }
}

/// 4^order.
const fn cells(order: u8) -> u64 {
    1 << (2 * order as u32)
}
