//! Who wrote which tile, while the index is edited.
//!
//! Knows: entries of tiles and of holes. Must never know: what a writer is, why it is one's.
//! Keeps: an entry that speaks for many tiles is given a writer only where all of them are meant.

use super::Index;
use crate::editor::log::Log;
use crate::error::Error;
use crate::ranges::RangeSet;
use crate::storage::Storage;
use std::ops::Range;

impl Index {
    /// Notes `writer` for the entries of `range` (tiles).
    pub(in crate::editor) fn set_writer<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        range: &Range<u64>,
        writer: u64,
    ) -> Result<(), Error> {
        self.visit(storage, log, (self.height, 0), range, &mut |this, key, _, inside| {
            let touched = this.touched_below(key);
            let entry = this.entry(storage, log, key.0, key.1)?;
            if !inside || (0 < key.0 && (!entry.is_zero() || touched)) {
                return Ok(true);
            }
            entry.writer = writer;
            this.forget_below(key);
            this.touch_above(key);
            Ok(false)
        })
    }

    /// Adds to `found` those tiles of `range` that the content's last generation changed, and of which no
    /// writer is known.
    pub(in crate::editor) fn unclaimed<S: Storage>(
        &mut self,
        storage: &S,
        log: &Log,
        range: &Range<u64>,
        found: &mut RangeSet,
    ) -> Result<(), Error> {
        let last = self.last;
        self.visit(storage, log, (self.height, 0), range, &mut |this, key, tiles, inside| {
            let touched = this.touched_below(key);
            let entry = *this.entry(storage, log, key.0, key.1)?;
            if 0 < key.0 && touched {
                return Ok(true);
            }
            if entry.generation != last {
                return Ok(false);
            }
            if !inside || (0 < key.0 && !entry.is_zero()) {
                return Ok(true);
            }
            if entry.writer == 0 {
                found.insert(tiles);
            }
            Ok(false)
        })
    }
}
