//! The two inner loops with the processor's wide registers: the only file of this crate with
//! unsafe code.
//!
//! Which path runs is decided at run time; every path gives the same bytes as the portable one,
//! which is the definition (`cells`, `curve::unfold`), and tests compare them all.
//!
//! Knows: 64 bytes at a time. Must never know: tiles, cells' meaning beyond their four channels.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "loads, stores and calls of functions that need processor features"
    )
)]

use crate::cells::{GROWTH, is_printable, sums};

/// What this processor offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Nothing beyond the language.
    Portable,
    /// Byte shuffles of 16 bytes.
    Ssse3,
    /// Byte shuffles and population counts of 64 bytes.
    Avx512,
}

impl Path {
    /// The best path that this processor can run.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512vbmi")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vpopcntdq")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("ssse3") {
                return Self::Ssse3;
            }
        }
        Self::Portable
    }

    /// Every path that this processor can run.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let paths = [Self::Portable, Self::Ssse3, Self::Avx512];
        paths.into_iter().filter(|path| *path <= Self::best()).collect()
    }
}

/// Sum of c ENTROPY_LOG[c] over the byte values of a leaf, and its zero, printable and high bytes.
pub(crate) type LeafSums = (u32, [u32; 3]);

/// Appends what `f` makes of the sums of each whole leaf.
pub(crate) fn leaf_sums<T>(
    path: Path,
    leaves: &[[u8; 64]],
    out: &mut Vec<T>,
    f: impl Fn(LeafSums) -> T,
) {
    #[cfg(target_arch = "x86_64")]
    if path.min(Path::best()) == Path::Avx512 {
        // SAFETY: `best` has just said that the processor has these features.
        return unsafe { x86::leaf_sums(leaves, out, f) };
    }
    let _ = path;
    let (eights, rest) = leaves.as_chunks::<8>();
    let mut counts = Box::new([[0; 256]; 8]);
    for eight in eights {
        out.extend(eight_sums(eight, &mut counts).map(&f));
    }
    out.extend(rest.iter().map(|leaf| f(sums(leaf))));
}

/// The sums of eight leaves, by counting in `counts`, which are zero before and after. Side by side,
/// because a run of equal bytes makes each count wait for the one before.
fn eight_sums(leaves: &[[u8; 64]; 8], counts: &mut [[u8; 256]; 8]) -> [LeafSums; 8] {
    let mut sums = [0; 8];
    for i in 0..64 {
        for ((sum, counts), leaf) in sums.iter_mut().zip(counts.iter_mut()).zip(leaves) {
            let count = &mut counts[usize::from(leaf[i])];
            *sum += GROWTH[usize::from(*count)];
            *count += 1;
        }
    }
    *counts = [[0; 256]; 8];
    std::array::from_fn(|k| (sums[k], shares(&leaves[k])))
}

fn shares(leaf: &[u8; 64]) -> [u32; 3] {
    let count = |is: fn(u8) -> bool| {
        let n: u8 = leaf.iter().map(|byte| u8::from(is(*byte))).sum();
        u32::from(n)
    };
    [count(|byte| byte == 0), count(is_printable), count(|byte| 0x7f < byte)]
}

/// A permutation of 64 bytes: byte i of the result is byte `table[i]`. Each 16 bytes of the result
/// come from at most two of the 16-byte quarters.
pub(crate) struct Permutation {
    table: [u8; 64],
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "only shuffles of 16 bytes are told by it")
    )]
    /// For each quarter of the output: the two quarters it takes bytes from, and the shuffle of each.
    quarters: [[(usize, [u8; 16]); 2]; 4],
}

impl Permutation {
    /// # Panics
    /// At compile time, where a quarter needs more than two others.
    pub(crate) const fn new(table: [u8; 64]) -> Self {
        const NOTHING: u8 = 0x80;
        let mut quarters = [[(0, [NOTHING; 16]); 2]; 4];
        let mut q = 0;
        while q < 4 {
            let first = table[16 * q] as usize / 16;
            let mut second = first;
            let mut i = 0;
            while i < 16 {
                let from = table[16 * q + i];
                let side = if from as usize / 16 == first {
                    0
                } else {
                    assert!(second == first || second == from as usize / 16);
                    second = from as usize / 16;
                    1
                };
                quarters[q][side].1[i] = from % 16;
                i += 1;
            }
            quarters[q][0].0 = first;
            quarters[q][1].0 = second;
            q += 1;
        }
        Self { table, quarters }
    }
}

/// How a page (64 x 64 bytes along the curve) is laid out row by row: for each block of 8 x 8 in the
/// order of the curve, where its first row begins and which permutation makes it rows.
pub(crate) type PagePlan = [(usize, usize); 64];

/// Lays `page` out in rows.
pub(crate) fn unfold_page(
    path: Path,
    page: &[u8; PAGE],
    plan: &PagePlan,
    turns: &[Permutation; 4],
    rows: &mut Lines,
) {
    #[cfg(target_arch = "x86_64")]
    match path.min(Path::best()) {
        Path::Portable => {}
        Path::Ssse3 => {
            // SAFETY: `best` has just said that the processor has the feature.
            return unsafe { x86::unfold_page_ssse3(page, plan, turns, rows) };
        }
        // SAFETY: as above.
        Path::Avx512 => return unsafe { x86::unfold_page_avx512(page, plan, turns, rows) },
    }
    let _ = path;
    for (block, (at, turn)) in page.as_chunks::<64>().0.iter().zip(plan) {
        let table = &turns[turn & 3].table;
        for (y, eight) in table.as_chunks::<8>().0.iter().enumerate() {
            let row: [u8; 8] = std::array::from_fn(|x| block[usize::from(eight[x] & 63)]);
            rows.put(at + 64 * y, row);
        }
    }
}

/// Copies rows of 64 bytes to every `stride`th byte of `raster`, past the caches where `stream` and the
/// processor can, and the rows' places are whole cache lines.
pub(crate) fn copy_lines(
    path: Path,
    lines: &Lines,
    raster: &mut [u8],
    stride: usize,
    stream: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if stream && path.min(Path::best()) == Path::Avx512 {
        let aligned = raster.as_ptr().addr().is_multiple_of(64) && stride.is_multiple_of(64);
        if aligned && 63 * stride + 64 <= raster.len() {
            // SAFETY: `best` has just said that the processor has the feature; the rows fit.
            return unsafe { x86::stream_lines(lines, raster, stride) };
        }
    }
    let _ = (path, stream);
    for (line, row) in lines.0.as_chunks::<64>().0.iter().zip(raster.chunks_mut(stride)) {
        row[..64].copy_from_slice(line);
    }
}

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// A page in rows, at a cache line.
#[repr(align(64))]
pub(crate) struct Lines([u8; PAGE]);

impl Lines {
    pub(crate) const fn new() -> Self {
        Self([0; PAGE])
    }

    #[inline]
    fn put(&mut self, at: usize, eight: [u8; 8]) {
        if let Some(place) = self.0.get_mut(at..at + 8) {
            place.copy_from_slice(&eight);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LeafSums, Lines, PAGE, PagePlan, Permutation};
    use crate::cells::ENTROPY_LOG;
    use core::arch::x86_64::*;

    fn load(bytes: &[u8; 64]) -> __m512i {
        // SAFETY: the reference is good for 64 bytes, and any 64 bytes are a valid vector.
        unsafe { core::mem::transmute_copy(bytes) }
    }

    /// Low or high bytes of the logarithms, the one for 64 at index 0.
    const fn log_bytes(shift: u32) -> [u8; 64] {
        let mut out = [0; 64];
        let mut c = 1;
        while c <= 64 {
            out[c % 64] = (ENTROPY_LOG[c] >> shift & 0xff) as u8;
            c += 1;
        }
        out
    }
    const LOG_LOW: [u8; 64] = log_bytes(0);
    const LOG_HIGH: [u8; 64] = log_bytes(8);

    /// For each byte of a leaf, how many bytes are equal to it: from the eight bit planes, build for
    /// each value of a nibble the set of places that have it (a 64-bit mask), then look up two
    /// masks for each byte, intersect and count. No table in memory, no dependence on the data.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq,popcnt")]
    pub(super) fn leaf_sums<T>(leaves: &[[u8; 64]], out: &mut Vec<T>, f: impl Fn(LeafSums) -> T) {
        out.reserve(leaves.len());
        let (low, high) = (load(&LOG_LOW), load(&LOG_HIGH));
        for leaf in leaves {
            let bytes = load(leaf);
            let counts = equal_counts(leaf, bytes);
            let zero = _mm512_setzero_si512();
            let low = _mm512_sad_epu8(_mm512_permutexvar_epi8(counts, low), zero);
            let high = _mm512_sad_epu8(_mm512_permutexvar_epi8(counts, high), zero);
            let sum = _mm512_reduce_add_epi64(_mm512_add_epi64(low, _mm512_slli_epi64(high, 8)));
            let sum = u32::try_from(sum).unwrap_or(0);
            out.push(f((sum, shares(bytes))));
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq,popcnt")]
    fn shares(bytes: __m512i) -> [u32; 3] {
        let set = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
        let zero = _mm512_testn_epi8_mask(bytes, bytes);
        let visible = _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, set(0x20)), set(0x5e));
        let space = _mm512_cmpeq_epi8_mask(bytes, set(b'\t'))
            | _mm512_cmpeq_epi8_mask(bytes, set(b'\n'))
            | _mm512_cmpeq_epi8_mask(bytes, set(b'\r'));
        let high = _mm512_movepi8_mask(bytes);
        [zero.count_ones(), (visible | space).count_ones(), high.count_ones()]
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq,popcnt")]
    fn equal_counts(leaf: &[u8; 64], bytes: __m512i) -> __m512i {
        let plane = |bit: u8| {
            let set = _mm512_test_epi8_mask(bytes, _mm512_set1_epi8((1_u8 << bit).cast_signed()));
            _mm512_set1_epi64(set.cast_signed())
        };
        let low = nibble_sets([plane(0), plane(1), plane(2), plane(3)]);
        let high = nibble_sets([plane(4), plane(5), plane(6), plane(7)]);
        let mut counts = _mm512_setzero_si512();
        for (i, eight) in leaf.as_chunks::<8>().0.iter().enumerate() {
            let eight = _mm_cvtsi64_si128(i64::from_le_bytes(*eight));
            let value = _mm512_cvtepu8_epi64(eight);
            let same_low = _mm512_permutex2var_epi64(low.0, value, low.1);
            let same_high = _mm512_permutex2var_epi64(high.0, _mm512_srli_epi64(value, 4), high.1);
            let count = _mm512_popcnt_epi64(_mm512_and_si512(same_low, same_high));
            let shift = _mm_cvtsi64_si128(8 * i64::try_from(i).unwrap_or(0));
            counts = _mm512_or_si512(counts, _mm512_sll_epi64(count, shift));
        }
        counts
    }

    /// From four bit planes (each in all lanes), the places whose nibble is 0..8 and 8..16.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vpopcntdq,popcnt")]
    fn nibble_sets(planes: [__m512i; 4]) -> (__m512i, __m512i) {
        // Lane n wants the bit set or clear as n has it: inverted where n has a zero.
        let invert = [
            _mm512_set_epi64(0, -1, 0, -1, 0, -1, 0, -1),
            _mm512_set_epi64(0, 0, -1, -1, 0, 0, -1, -1),
            _mm512_set_epi64(0, 0, 0, 0, -1, -1, -1, -1),
        ];
        let a = _mm512_xor_si512(planes[0], invert[0]);
        let b = _mm512_xor_si512(planes[1], invert[1]);
        let c = _mm512_xor_si512(planes[2], invert[2]);
        let abc = _mm512_and_si512(_mm512_and_si512(a, b), c);
        (_mm512_andnot_si512(planes[3], abc), _mm512_and_si512(planes[3], abc))
    }

    #[target_feature(enable = "avx512f,avx512vbmi")]
    pub(super) fn unfold_page_avx512(
        page: &[u8; PAGE],
        plan: &PagePlan,
        turns: &[Permutation; 4],
        rows: &mut Lines,
    ) {
        let turns = [
            load(&turns[0].table),
            load(&turns[1].table),
            load(&turns[2].table),
            load(&turns[3].table),
        ];
        for (block, (at, turn)) in page.as_chunks::<64>().0.iter().zip(plan) {
            let permuted = _mm512_permutexvar_epi8(turns[turn & 3], load(block));
            // SAFETY: both sides have 64 bytes, and any 64 bytes are valid for both.
            let permuted: [[u8; 8]; 8] = unsafe { core::mem::transmute(permuted) };
            for (y, row) in permuted.iter().enumerate() {
                rows.put(at + 64 * y, *row);
            }
        }
    }

    #[target_feature(enable = "ssse3")]
    pub(super) fn unfold_page_ssse3(
        page: &[u8; PAGE],
        plan: &PagePlan,
        turns: &[Permutation; 4],
        rows: &mut Lines,
    ) {
        let load = |bytes: &[u8; 16]| -> __m128i {
            // SAFETY: the reference is good for 16 bytes, and any 16 bytes are a valid vector.
            unsafe { core::mem::transmute_copy(bytes) }
        };
        for (block, (at, turn)) in page.as_chunks::<64>().0.iter().zip(plan) {
            let quarters = block.as_chunks::<16>().0;
            for (q, [a, b]) in turns[turn & 3].quarters.iter().enumerate() {
                let a = _mm_shuffle_epi8(load(&quarters[a.0 & 3]), load(&a.1));
                let b = _mm_shuffle_epi8(load(&quarters[b.0 & 3]), load(&b.1));
                let two = _mm_or_si128(a, b);
                // SAFETY: both sides have 16 bytes, and any 16 bytes are valid for both.
                let two: [[u8; 8]; 2] = unsafe { core::mem::transmute(two) };
                rows.put(at + 128 * q, two[0]);
                rows.put(at + 128 * q + 64, two[1]);
            }
        }
    }

    /// # Panics
    /// Where the rows do not fit `raster`.
    #[target_feature(enable = "avx512f")]
    pub(super) fn stream_lines(lines: &Lines, raster: &mut [u8], stride: usize) {
        assert!(63 * stride + 64 <= raster.len() && raster.as_ptr().addr().is_multiple_of(64));
        assert!(stride.is_multiple_of(64));
        for (y, line) in lines.0.as_chunks::<64>().0.iter().enumerate() {
            let line = load(line);
            let row = &mut raster[y * stride..y * stride + 64];
            // SAFETY: `row` has 64 bytes, and begins at a multiple of 64, as asserted above.
            unsafe { _mm512_stream_si512(row.as_mut_ptr().cast(), line) };
        }
        // Whoever reads the raster next, on whatever core, must see it.
        _mm_sfence();
    }
}
