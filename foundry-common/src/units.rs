//! Units shared by the probes and the daemon: the tile and the half-open byte range.
//!
//! Knows: integers. Must never know: what a range is a range of.
//! Keeps: `start <= end` for every [`ByteRange`].

/// Binary logarithm of [`TILE_BYTES`].
pub const TILE_SHIFT: u32 = 16;

/// Bytes of level 0 that one tile (256 x 256 cells, one byte each) covers.
pub const TILE_BYTES: u64 = 1 << TILE_SHIFT;

/// A half-open range of bytes `[start, end)` in one artifact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    start: u64,
    end: u64,
}

impl ByteRange {
    /// The range `[start, end)`; empty at `start` where `end < start`.
    #[must_use]
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end: if end < start { start } else { end } }
    }

    /// The `len` bytes from `start`, cut at `u64::MAX`.
    #[must_use]
    pub const fn at(start: u64, len: u64) -> Self {
        Self::new(start, start.saturating_add(len))
    }

    /// First byte.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// First byte after the range.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether the range holds no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The smallest range of whole tiles that covers this one (empty stays empty).
    #[must_use]
    pub const fn to_tiles(self) -> Self {
        if self.is_empty() {
            return self;
        }
        let start = self.start >> TILE_SHIFT << TILE_SHIFT;
        let last = (self.end - 1) >> TILE_SHIFT;
        // The last tile of the address space has no representable end.
        let end = if last == u64::MAX >> TILE_SHIFT { u64::MAX } else { (last + 1) << TILE_SHIFT };
        Self::new(start, end)
    }

    /// The bytes in both ranges; empty where they do not meet.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        let start = if self.start < other.start { other.start } else { self.start };
        let end = if self.end < other.end { self.end } else { other.end };
        Self::new(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_and_are_tight() {
        for (start, end, want) in [
            (0, 0, (0, 0)),
            (0, 1, (0, TILE_BYTES)),
            (1, TILE_BYTES, (0, TILE_BYTES)),
            (TILE_BYTES - 1, TILE_BYTES + 1, (0, 2 * TILE_BYTES)),
            (TILE_BYTES, TILE_BYTES + 1, (TILE_BYTES, 2 * TILE_BYTES)),
        ] {
            let tiles = ByteRange::new(start, end).to_tiles();
            assert_eq!((tiles.start(), tiles.end()), want, "[{start}, {end})");
        }
    }

    #[test]
    fn intersections_never_invert() {
        let a = ByteRange::new(10, 20);
        assert_eq!(a.intersect(ByteRange::new(15, 30)), ByteRange::new(15, 20));
        assert!(a.intersect(ByteRange::new(20, 30)).is_empty());
        assert!(a.intersect(ByteRange::new(0, 5)).is_empty());
    }
}
