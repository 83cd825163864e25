//! Bytes to cells, cells to the cells above them.
//!
//! A cell of level 3 stands for a leaf of 64 bytes and has four channels, each 0..=255: mean local
//! entropy, share of zero bytes, share of printable text, share of bytes above 127. A cell of a
//! higher level is the mean of its (up to four) children, channel by channel, ties to even. So
//! every channel is mergeable; the entropy of a higher cell is the mean of its leaves' entropies,
//! not the entropy of their union.
//!
//! Knows: bytes and integers. Must never know: tiles, the container.
//! Keeps: integers only, so that every machine and every code path gives the same cells.

use crate::geometry::LEAF_BYTES;
use crate::simd::{self, Path};

/// Mean local entropy, zero share, printable share, high share.
pub type Cell = [u8; 4];

/// The cell of zero bytes, on every level.
pub const ZERO_CELL: Cell = [0, 255, 0, 0];

/// `ENTROPY_LOG[c]` = 2720 log2(c), rounded: 64 x 255 for c = 64.
/// The entropy channel of a leaf of n bytes in which the byte values occur c times each is
/// `(n ENTROPY_LOG[n] - sum of c ENTROPY_LOG[c] + 32 n) / (64 n)`: 0 where all are equal, 255 where
/// 64 bytes all differ.
pub const ENTROPY_LOG: [u16; LEAF_BYTES + 1] = [
    0, 0, 2720, 4311, 5440, 6316, 7031, 7636, 8160, 8622, 9036, 9410, 9751, 10065, 10356, 10627,
    10880, 11118, 11342, 11554, 11756, 11947, 12130, 12304, 12471, 12631, 12785, 12933, 13076,
    13214, 13347, 13475, 13600, 13721, 13838, 13952, 14062, 14170, 14274, 14376, 14476, 14573,
    14667, 14759, 14850, 14938, 15024, 15108, 15191, 15272, 15351, 15429, 15505, 15580, 15653,
    15725, 15796, 15865, 15934, 16001, 16067, 16132, 16195, 16258, 16320,
];

/// `GROWTH[c]` = (c+1) ENTROPY_LOG[c+1] - c ENTROPY_LOG[c]: what one more equal byte adds. It is as
/// long as a byte can index, so that nothing looks at bounds; no count gets past 63.
pub(crate) static GROWTH: [u32; 256] = {
    let mut table = [0; 256];
    let (mut c, mut n) = (0, 0);
    while c < LEAF_BYTES {
        table[c] = (n + 1) * ENTROPY_LOG[c + 1] as u32 - n * ENTROPY_LOG[c] as u32;
        c += 1;
        n += 1;
    }
    table
};

/// Whether a byte counts as printable text: space to tilde, tab, line feed, carriage return.
#[must_use]
pub const fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e | b'\t' | b'\n' | b'\r')
}

/// Appends the cells of [`LEAF_LEVEL`](crate::geometry::LEAF_LEVEL) of `bytes`, which begin at a leaf.
pub fn leaves(bytes: &[u8], out: &mut Vec<Cell>) {
    leaves_by(Path::best(), bytes, out);
}

/// As [`leaves`], by a path of the caller's choice (the portable one where the processor has not
/// got it): all give the same cells.
pub fn leaves_by(path: Path, bytes: &[u8], out: &mut Vec<Cell>) {
    let (whole, rest) = bytes.as_chunks::<LEAF_BYTES>();
    simd::leaf_sums(path, whole, out, |(sum, shares)| finish(LEAF_BYTES, sum, shares));
    if !rest.is_empty() {
        let (sum, shares) = sums(rest);
        out.push(finish(rest.len(), sum, shares));
    }
}

/// What a cell is made of, from 1 to 64 bytes: the definition, by counting.
pub(crate) fn sums(bytes: &[u8]) -> simd::LeafSums {
    let mut counts = [0_u8; 256];
    let mut sum = 0;
    let (mut zero, mut printable, mut high) = (0_u32, 0_u32, 0_u32);
    for &byte in bytes {
        let count = &mut counts[usize::from(byte)];
        sum += GROWTH[usize::from(*count)];
        *count += 1;
        zero += u32::from(byte == 0);
        printable += u32::from(is_printable(byte));
        high += u32::from(byte >> 7);
    }
    (sum, [zero, printable, high])
}

/// The cell from its sums.
#[inline]
fn finish(len: usize, sum: u32, shares: [u32; 3]) -> Cell {
    let n = u32::try_from(len).unwrap_or(64);
    let entropy = (n * u32::from(ENTROPY_LOG[len]) - sum + 32 * n) / (64 * n);
    let share = |count: u32| (count * 255 + n / 2) / n;
    [entropy, share(shares[0]), share(shares[1]), share(shares[2])].map(saturate)
}

fn saturate(n: u32) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}

/// Appends the cells above `children`, which begin at a multiple of four.
pub fn parents(children: &[Cell], out: &mut Vec<Cell>) {
    let (whole, rest) = children.as_chunks::<4>();
    out.extend(whole.iter().map(mean_of_four));
    if !rest.is_empty() {
        out.push(mean(rest));
    }
}

/// The mean of four cells, two channels at a time in the halves of 32 bits.
fn mean_of_four(children: &[Cell; 4]) -> Cell {
    const LOW: u32 = 0x00ff_00ff;
    const ONE: u32 = 0x0001_0001;
    let (mut even, mut odd) = (0, 0);
    for child in children {
        let child = u32::from_le_bytes(*child);
        even += child & LOW;
        odd += child >> 8 & LOW;
    }
    // Half a child more where the quotient is odd: ties go to the even one.
    let round = |sum: u32| (sum + ONE + (sum >> 2 & ONE)) >> 2 & LOW;
    (round(even) | round(odd) << 8).to_le_bytes()
}

/// The mean of one to four cells, channel by channel, ties to even.
fn mean(children: &[Cell]) -> Cell {
    let n = u32::try_from(children.len()).unwrap_or(4);
    std::array::from_fn(|channel| {
        let sum: u32 = children.iter().map(|cell| u32::from(cell[channel])).sum();
        let (quotient, rest) = (sum / n, sum % n);
        let up = 2 * rest > n || (2 * rest == n && quotient % 2 == 1);
        saturate(quotient + u32::from(up))
    })
}

#[cfg(test)]
mod tests;
