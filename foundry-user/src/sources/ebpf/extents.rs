//! From bits to byte ranges.
//!
//! Knows: geometries, words of bits. Must never know: where the bits come from, who set them.
//! Keeps: a set bit is in the result; neighbours are one range; the last bit reaches to the end of
//! the file, wherever that is.

use crate::event::Extents;
use foundry_common::abi::Geometry;

/// Collects runs of dirty bytes in ascending order.
#[derive(Default)]
struct Runs(Vec<(u64, u64)>);

impl Runs {
    fn bits(&mut self, word: u64, first_bit: u64, last_bit: u64, shift: u32) {
        let mut left = word;
        while left != 0 {
            let from = u64::from(left.trailing_zeros());
            let run = u64::from((left >> from).trailing_ones());
            let start = scaled(first_bit + from, shift);
            let end_bit = first_bit + from + run;
            // The last bit stands for everything after it, too.
            let end = if end_bit > last_bit { u64::MAX } else { scaled(end_bit, shift) };
            self.push(start, end);
            left = if from + run >= 64 { 0 } else { left >> (from + run) << (from + run) };
        }
    }

    fn push(&mut self, start: u64, end: u64) {
        match self.0.last_mut() {
            Some(last) if last.1 >= start => last.1 = last.1.max(end),
            _ => self.0.push((start, end)),
        }
    }

    fn extents(self) -> Option<Extents> {
        match self.0.as_slice() {
            [] => None,
            [(0, u64::MAX)] => Some(Extents::Whole),
            [(start, u64::MAX)] => Some(Extents::From(*start)),
            _ => Some(Extents::Ranges(self.0)),
        }
    }
}

/// `bit << shift`, or the end of everything.
fn scaled(bit: u64, shift: u32) -> u64 {
    if bit == 0 {
        0
    } else if bit.leading_zeros() < shift {
        u64::MAX
    } else {
        bit << shift
    }
}

/// The ranges that `summary` and the words it names stand for. `word` gives the word with a number.
pub(super) fn extents(
    geometry: Geometry,
    summary: u64,
    mut word: impl FnMut(u32) -> u64,
) -> Option<Extents> {
    let mut runs = Runs::default();
    if geometry.words == 0 {
        runs.bits(summary, 0, 63, geometry.bit_shift);
        return runs.extents();
    }
    let last_bit = u64::from(geometry.words) * 64 - 1;
    for bit in (0..64u64).filter(|bit| summary >> bit & 1 == 1) {
        let first = bit << geometry.summary_shift;
        for nth in first..first.saturating_add(1 << geometry.summary_shift) {
            if let Ok(nth) = u32::try_from(nth)
                && nth < geometry.words
            {
                runs.bits(word(nth), u64::from(nth) * 64, last_bit, geometry.bit_shift);
            }
        }
    }
    runs.extents()
}

/// One range as a probe reports it.
pub(super) fn one(start: u64, end: u64) -> Extents {
    match (start, end) {
        (0, u64::MAX) => Extents::Whole,
        (start, u64::MAX) => Extents::From(start),
        range => Extents::Ranges(vec![range]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: u64 = 1 << 16;

    fn inline(summary: u64) -> Option<Extents> {
        extents(Geometry::INLINE, summary, |_| unreachable!())
    }

    #[test]
    fn inline_bits_are_tiles_and_the_last_is_open() {
        assert_eq!(inline(0), None);
        assert_eq!(inline(0b1), Some(Extents::Ranges(vec![(0, TILE)])));
        let two = Extents::Ranges(vec![(TILE, 3 * TILE), (4 * TILE, 5 * TILE)]);
        assert_eq!(inline(0b10110), Some(two));
        assert_eq!(inline(1 << 63), Some(Extents::From(63 * TILE)));
        assert_eq!(inline(u64::MAX), Some(Extents::Whole));
        let mixed = Extents::Ranges(vec![(0, TILE), (62 * TILE, u64::MAX)]);
        assert_eq!(inline(1 | 3 << 62), Some(mixed));
    }

    #[test]
    fn words_follow_their_summary() {
        let geometry = Geometry { base: 9, words: 128, bit_shift: 16, summary_shift: 1 };
        let mut asked = Vec::new();
        let found = extents(geometry, 0b10, |nth| {
            asked.push(nth);
            if nth == 2 { 1 << 63 } else { 1 }
        });
        assert_eq!(asked, [2, 3]);
        // The last bit of one word and the first of the next are neighbours.
        assert_eq!(found, Some(Extents::Ranges(vec![(191 * TILE, 193 * TILE)])));
        let last = extents(geometry, 1 << 63, |nth| if nth == 127 { 1 << 63 } else { 0 });
        assert_eq!(last, Some(Extents::From(8191 * TILE)));
    }

    #[test]
    fn huge_files_do_not_overflow() {
        let geometry = Geometry { base: 0, words: 4096, bit_shift: 60, summary_shift: 6 };
        assert!(extents(geometry, u64::MAX, |_| u64::MAX).is_some());
    }
}
