//! A set of tile-aligned byte ranges of one artifact.
//!
//! Knows: offsets. Must never know: whose they are, why they are dirty.
//! Keeps: sorted, disjoint, not touching, whole tiles (or up to the end of the address space);
//! never more than [`MAX_RANGES`] of them, at the cost of covering more than was asked.

use foundry_common::units::ByteRange;

/// More ranges than this are merged over the smallest gaps: a set costs at most 4 KiB.
pub const MAX_RANGES: usize = 256;

/// Sorted, disjoint ranges of whole tiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Every byte there may ever be.
    #[must_use]
    pub fn all() -> Self {
        Self(vec![(0, u64::MAX)])
    }

    /// Whether no byte is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every byte is in the set.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0 == [(0, u64::MAX)]
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether the byte at `offset` is in the set.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        let after = self.0.partition_point(|r| r.0 <= offset);
        after.checked_sub(1).is_some_and(|i| offset < self.0[i].1)
    }

    /// Whether some byte is in both sets.
    #[must_use]
    pub fn touches(&self, other: &Self) -> bool {
        let meets = |&(start, end): &(u64, u64)| {
            let first = self.0.partition_point(|r| r.1 <= start);
            self.0.get(first).is_some_and(|r| r.0 < end)
        };
        other.0.iter().any(meets)
    }

    /// Adds the tiles that `[start, end)` touches. Says whether that added anything.
    pub fn add(&mut self, start: u64, end: u64) -> bool {
        let tiles = ByteRange::new(start, end).to_tiles();
        if tiles.is_empty() {
            return false;
        }
        let (mut start, mut end) = (tiles.start(), tiles.end());
        // All ranges that overlap or touch [start, end) lie in [first, last).
        let first = self.0.partition_point(|r| r.1 < start);
        let last = first + self.0[first..].partition_point(|r| r.0 <= end);
        if last == first + 1 && self.0[first].0 <= start && end <= self.0[first].1 {
            return false;
        }
        if first < last {
            start = start.min(self.0[first].0);
            end = end.max(self.0[last - 1].1);
        }
        self.0.splice(first..last, [(start, end)]);
        if MAX_RANGES < self.0.len() {
            self.merge_smallest_gap();
        }
        true
    }

    /// Adds all of `other`. Says whether that added anything.
    pub fn add_all(&mut self, other: &Self) -> bool {
        let mut added = false;
        for &(start, end) in &other.0 {
            added |= self.add(start, end);
        }
        added
    }

    fn merge_smallest_gap(&mut self) {
        let gap = |i: &usize| self.0[i + 1].0 - self.0[*i].1;
        if let Some(i) = (0..self.0.len() - 1).min_by_key(gap) {
            self.0[i].1 = self.0[i + 1].1;
            self.0.remove(i + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundry_common::units::TILE_BYTES as T;
    use proptest::prelude::*;

    #[test]
    fn touching_ranges_become_one() {
        let mut r = Ranges::default();
        assert!(r.add(0, 1));
        assert!(r.add(2 * T, 2 * T + 1));
        assert!(r.add(T, T + 5));
        assert_eq!(r.as_slice(), [(0, 3 * T)]);
        assert!(!r.add(T, 2 * T));
        assert!(r.add(0, u64::MAX));
        assert!(r.is_all());
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_touched_tiles(adds in proptest::collection::vec((0u64..40, 0u64..5), 0..60)) {
            let mut r = Ranges::default();
            let mut model = std::collections::BTreeSet::new();
            for (tile, len) in adds {
                let before = model.len();
                model.extend(tile..tile + len);
                prop_assert_eq!(r.add(tile * T, (tile + len) * T), before < model.len());
            }
            for tile in 0..50 {
                prop_assert_eq!(r.contains(tile * T + 7), model.contains(&tile));
            }
            prop_assert!(r.as_slice().windows(2).all(|w| w[0].1 < w[1].0));
        }

        #[test]
        fn sets_touch_where_they_share_a_tile(
            a in proptest::collection::btree_set(0u64..30, 0..8),
            b in proptest::collection::btree_set(0u64..30, 0..8),
        ) {
            let set = |tiles: &std::collections::BTreeSet<u64>| {
                let mut r = Ranges::default();
                for &tile in tiles {
                    r.add(tile * T, tile * T + 1);
                }
                r
            };
            prop_assert_eq!(set(&a).touches(&set(&b)), !a.is_disjoint(&b));
            prop_assert_eq!(Ranges::all().touches(&set(&b)), !b.is_empty());
        }

        #[test]
        fn it_never_grows_beyond_its_bound_and_never_forgets(tiles in proptest::collection::vec(0u64..100_000, 1..600)) {
            let mut r = Ranges::default();
            for &tile in &tiles {
                r.add(tile * T, tile * T + 1);
            }
            prop_assert!(r.as_slice().len() <= MAX_RANGES);
            prop_assert!(tiles.iter().all(|t| r.contains(t * T)));
        }
    }
}
