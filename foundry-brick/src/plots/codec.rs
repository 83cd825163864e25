//! A layout as bytes and back.
//!
//! ```text
//! u8   version = 1
//! u8   least order
//! u8   order of the plane
//! u8   zero
//! v    epoch, next number, count of plots, count of tombstones
//! plots by number:      v number - previous number - 1, u8 order, v start / 4^order, v used
//! tombstones by start:  u8 order, v start / 4^order
//! ```
//! `v` is an unsigned LEB128 number in its shortest form.
//!
//! Knows: the encoding. Must never know: how plots are chosen.
//! Keeps: one layout has one encoding; any bytes give a layout that could have come about, or an error.

use super::{MAX_ORDER, Plot, PlotId, Plots, cells};
use crate::varint::{self, VarintError};
use std::collections::BTreeSet;

const VERSION: u8 = 1;

/// What can be wrong with a layout, or with what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlotsError {
    /// No plane is large enough.
    #[error("no plot of {wanted} cells: the plane may have at most 4^30")]
    Full {
        /// Cells that were asked for.
        wanted: u64,
    },
    /// There is no such part.
    #[error("plot {} is not in this layout", .0.0)]
    Unknown(PlotId),
    /// The bytes end too early, or a number in them is not in its shortest form.
    #[error("layout of plots: {0}")]
    Number(#[from] VarintError),
    /// Made by a later program.
    #[error("layout of plots: version {0} is not known; read it with a newer program")]
    Version(u8),
    /// The bytes name something that cannot be.
    #[error("layout of plots: {0}")]
    Invalid(&'static str),
}

impl Plots {
    /// The layout as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.least_order, self.order, 0];
        for number in [self.epoch, self.next, self.live.len() as u64, self.tombstones.len() as u64]
        {
            varint::write(&mut out, number);
        }
        let mut after = 0;
        for (id, plot) in &self.live {
            varint::write(&mut out, id.0 - after);
            out.push(plot.order);
            varint::write(&mut out, plot.start / plot.capacity());
            varint::write(&mut out, plot.used);
            after = id.0 + 1;
        }
        for (start, order) in &self.tombstones {
            out.push(*order);
            varint::write(&mut out, start / cells(*order));
        }
        out
    }

    /// The layout that `bytes` hold.
    ///
    /// # Errors
    /// Where the bytes are not what [`Plots::encode`] gives for some layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, PlotsError> {
        let mut rest = bytes;
        let version = varint::byte(&mut rest)?;
        if version != VERSION {
            return Err(PlotsError::Version(version));
        }
        let least_order = varint::byte(&mut rest)?;
        let order = varint::byte(&mut rest)?;
        let zero = varint::byte(&mut rest)?;
        if zero != 0 || order % 2 != 0 || order > MAX_ORDER || least_order > order {
            return Err(PlotsError::Invalid("its orders are not those of a plane"));
        }
        let mut plots = Self::new(least_order);
        plots.order = order;
        plots.epoch = varint::read(&mut rest)?;
        plots.next = varint::read(&mut rest)?;
        let live = varint::read(&mut rest)?;
        let tombstones = varint::read(&mut rest)?;
        plots.read_live(&mut rest, live)?;
        plots.read_tombstones(&mut rest, tombstones)?;
        if !rest.is_empty() {
            return Err(PlotsError::Invalid("bytes follow the last tombstone"));
        }
        plots.derive_free()?;
        Ok(plots)
    }

    fn read_live(&mut self, rest: &mut &[u8], count: u64) -> Result<(), PlotsError> {
        let mut after: u64 = 0;
        for _ in 0..count {
            let id = after.checked_add(varint::read(rest)?).filter(|id| *id < self.next);
            let id = id.ok_or(PlotsError::Invalid("a plot's number was never given out"))?;
            let (start, order) = self.read_run(rest)?;
            let used = varint::read(rest)?;
            if used > cells(order) {
                return Err(PlotsError::Invalid("a part is larger than its plot"));
            }
            self.live.insert(PlotId(id), Plot { start, order, used });
            after = id + 1;
        }
        Ok(())
    }

    fn read_tombstones(&mut self, rest: &mut &[u8], count: u64) -> Result<(), PlotsError> {
        for _ in 0..count {
            let (start, order) = self.read_run(rest)?;
            if self.tombstones.last_key_value().is_some_and(|(last, _)| *last >= start) {
                return Err(PlotsError::Invalid("tombstones are not in order"));
            }
            self.tombstones.insert(start, order);
        }
        Ok(())
    }

    fn read_run(&self, rest: &mut &[u8]) -> Result<(u64, u8), PlotsError> {
        let order = varint::byte(rest)?;
        if order < self.least_order || order > self.order {
            return Err(PlotsError::Invalid("a plot's order is not one of this plane"));
        }
        let index = varint::read(rest)?;
        if index >= cells(self.order) / cells(order) {
            return Err(PlotsError::Invalid("a plot lies outside the plane"));
        }
        Ok((index * cells(order), order))
    }

    /// What no plot and no tombstone covers is free.
    fn derive_free(&mut self) -> Result<(), PlotsError> {
        let mut runs: Vec<(u64, u64)> =
            self.live.values().map(|plot| (plot.run().start, plot.run().end)).collect();
        runs.extend(self.tombstones().map(|run| (run.start, run.end)));
        runs.sort_unstable();
        self.free.iter_mut().for_each(BTreeSet::clear);
        let mut at = 0;
        for (start, end) in runs {
            if start < at {
                return Err(PlotsError::Invalid("two plots overlap"));
            }
            self.free_between(at, start)?;
            at = end;
        }
        self.free_between(at, cells(self.order))
    }

    /// Cuts `[at, end)` into the largest aligned runs.
    fn free_between(&mut self, mut at: u64, end: u64) -> Result<(), PlotsError> {
        while at < end {
            let order = (self.least_order..=self.order)
                .rev()
                .find(|order| at.is_multiple_of(cells(*order)) && cells(*order) <= end - at)
                .ok_or(PlotsError::Invalid("a plot is smaller than the smallest"))?;
            self.free[usize::from(order)].insert(at);
            at += cells(order);
        }
        Ok(())
    }
}
