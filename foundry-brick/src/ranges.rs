//! A set of half-open ranges, coalesced.
//!
//! Knows: integers. Must never know: what they number.
//! Keeps: ranges are disjoint, not adjacent, not empty.

use std::collections::BTreeMap;
use std::ops::Range;

/// The set: start to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&s, &e)) = self.0.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.0.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.0.insert(start, end);
    }

    /// Drops everything from `end` on.
    pub(crate) fn truncate(&mut self, end: u64) {
        self.0.split_off(&end);
        if let Some((_, e)) = self.0.iter_mut().next_back() {
            *e = (*e).min(end);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Members.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|(s, e)| e - s).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|(&s, &e)| s..e)
    }

    /// The parts of the set inside `range`.
    pub(crate) fn within(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let first = self.0.range(..=range.start).next_back().map_or(range.start, |(&s, _)| s);
        let parts = self.0.range(first..range.end.max(first));
        parts
            .map(|(&s, &e)| s.max(range.start)..e.min(range.end))
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// How many aligned groups of 2^`shift` members the set touches.
    pub(crate) fn groups(&self, shift: u32) -> u64 {
        let (mut n, mut next) = (0, 0);
        for (&s, &e) in &self.0 {
            let first = (s >> shift).max(next);
            let end = ((e - 1) >> shift) + 1;
            n += end.saturating_sub(first);
            next = next.max(end);
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_set_of_integers() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..200 {
            let (mut set, mut model) = (RangeSet::default(), std::collections::BTreeSet::new());
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (start, len) = (seed >> 40 & 63, seed >> 50 & 7);
                set.insert(start..start + len);
                model.extend(start..start + len);
            }
            let cut = seed >> 33 & 63;
            set.truncate(cut);
            model.retain(|&n| n < cut);
            assert_eq!(
                set.iter().flatten().collect::<Vec<_>>(),
                model.iter().copied().collect::<Vec<_>>()
            );
            assert_eq!(set.len(), model.len() as u64);
            let groups: std::collections::BTreeSet<u64> = model.iter().map(|n| n >> 2).collect();
            assert_eq!(set.groups(2), groups.len() as u64);
            let within: Vec<u64> = set.within(&(10..30)).into_iter().flatten().collect();
            let want: Vec<u64> = model.iter().copied().filter(|n| (10..30).contains(n)).collect();
            assert_eq!(within, want);
        }
    }
}
