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
    /// What every processor of the architecture has.
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
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "only shuffles of 64 bytes are told by it")
    )]
    table: [u8; 64],
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "only shuffles of 16 bytes are told by it")
    )]
    /// For each quarter of the output: the two quarters it takes bytes from, and the shuffle of each.
    quarters: [[(usize, [u8; 16]); 2]; 4],
    /// The same, for a processor that has no shuffles.
    portable: fn(&[u8; 64]) -> [[u8; 8]; 8],
}

impl Permutation {
    /// # Panics
    /// At compile time, where a quarter needs more than two others.
    pub(crate) const fn new(table: [u8; 64], portable: fn(&[u8; 64]) -> [[u8; 8]; 8]) -> Self {
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
        Self { table, quarters, portable }
    }
}

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// How a page (64 x 64 bytes along the curve) becomes rows.
pub(crate) struct PagePlan {
    /// How each block of 8 x 8 is turned, in the order of the curve.
    pub(crate) turns: [usize; 64],
    /// Which blocks make each band of 8 rows, from the top and from the left.
    pub(crate) bands: [[usize; 8]; 8],
}

/// The blocks of a page, each in rows of its own, at cache lines. They are turned in the order of the
/// curve, so that a page is read as memory is read best, and taken from here in the order of rows.
#[repr(align(64))]
pub(crate) struct Blocks([[[u8; 8]; 8]; 64]);

impl Blocks {
    pub(crate) const fn new() -> Self {
        Self([[[0; 8]; 8]; 64])
    }
}

/// Where a page goes: its rows at every `stride`th byte of `raster`; past the caches where `stream`
/// says so, the processor can, and rows begin at cache lines.
pub(crate) struct Place<'a> {
    pub(crate) raster: &'a mut [u8],
    pub(crate) stride: usize,
    pub(crate) stream: bool,
}

/// Lays `page` out in 64 rows of 64 bytes, by way of `blocks`. Who reads what was streamed calls
/// [`finish_stream`] first.
///
/// # Panics
/// Where the rows do not fit the raster.
pub(crate) fn unfold_page(
    path: Path,
    page: &[u8; PAGE],
    plan: &PagePlan,
    turns: &[Permutation; 4],
    blocks: &mut Blocks,
    place: Place<'_>,
) {
    let Place { raster, stride, stream } = place;
    assert!(64 <= stride && 63 * stride + 64 <= raster.len(), "a page does not fit the raster");
    let aligned = raster.as_ptr().addr().is_multiple_of(64) && stride.is_multiple_of(64);
    let place = Place { raster, stride, stream: stream && aligned };
    turn(path, page, plan, turns, blocks);
    lay(path, blocks, plan, place);
}

/// Turns the blocks of a page, each into rows of its own.
fn turn(
    path: Path,
    page: &[u8; PAGE],
    plan: &PagePlan,
    turns: &[Permutation; 4],
    blocks: &mut Blocks,
) {
    #[cfg(target_arch = "x86_64")]
    match path.min(Path::best()) {
        Path::Portable => {}
        // SAFETY: `best` has just said that the processor has the feature.
        Path::Ssse3 => return unsafe { x86::turn_ssse3(page, plan, turns, blocks) },
        // SAFETY: as above.
        Path::Avx512 => return unsafe { x86::turn_avx512(page, plan, turns, blocks) },
    }
    let _ = path;
    let turned = page.as_chunks::<64>().0.iter().zip(plan.turns).zip(&mut blocks.0);
    turned.for_each(|((block, turn), to)| *to = (turns[turn & 3].portable)(block));
}

/// Puts turned blocks side by side.
fn lay(path: Path, blocks: &Blocks, plan: &PagePlan, place: Place<'_>) {
    #[cfg(target_arch = "x86_64")]
    match path.min(Path::best()) {
        // Where every line misses the caches, what counts is to write past them: SSE2 can, and every
        // processor of this architecture has it.
        Path::Portable if !place.stream => {}
        // SAFETY: as just said.
        Path::Portable | Path::Ssse3 => return unsafe { x86::lay_sse2(blocks, plan, place) },
        // SAFETY: `best` has just said that the processor has the feature.
        Path::Avx512 => return unsafe { x86::lay_avx512(blocks, plan, place) },
    }
    let _ = path;
    let Place { raster, stride, .. } = place;
    for (band, rows) in plan.bands.iter().zip(raster.chunks_mut(8 * stride)) {
        for (y, row) in rows.chunks_mut(stride).enumerate() {
            for (eight, block) in row.as_chunks_mut::<8>().0.iter_mut().zip(band) {
                *eight = blocks.0[block & 63][y & 7];
            }
        }
    }
}

/// Makes what was written past the caches seen by whoever reads it next, on whatever core.
pub(crate) fn finish_stream() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this architecture has SSE.
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Blocks, LeafSums, PAGE, PagePlan, Permutation, Place};
    use crate::cells::ENTROPY_LOG;
    use core::arch::x86_64::*;

    fn load(bytes: &[u8; 64]) -> __m512i {
        // SAFETY: the reference is good for 64 bytes, and any 64 bytes are a valid vector.
        unsafe { core::mem::transmute_copy(bytes) }
    }

    fn load_rows(rows: &[[u8; 8]; 8]) -> __m512i {
        // SAFETY: the reference is good for 64 bytes, and any 64 bytes are a valid vector.
        unsafe { core::mem::transmute_copy(rows) }
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
    pub(super) fn turn_avx512(
        page: &[u8; PAGE],
        plan: &PagePlan,
        turns: &[Permutation; 4],
        blocks: &mut Blocks,
    ) {
        let turns = turns.each_ref().map(|turn| load(&turn.table));
        let page = page.as_chunks::<64>().0.iter();
        for ((block, turn), to) in page.zip(plan.turns).zip(&mut blocks.0) {
            let turned = _mm512_permutexvar_epi8(turns[turn & 3], load(block));
            // SAFETY: both sides have 64 bytes, and any 64 bytes are valid for both.
            *to = unsafe { core::mem::transmute::<__m512i, [[u8; 8]; 8]>(turned) };
        }
    }

    /// # Panics
    /// Where the rows are to stream and do not begin at cache lines.
    #[target_feature(enable = "avx512f")]
    pub(super) fn lay_avx512(blocks: &Blocks, plan: &PagePlan, place: Place<'_>) {
        let Place { raster, stride, stream } = place;
        assert!(!stream || raster.as_ptr().addr().is_multiple_of(64) && stride.is_multiple_of(64));
        for (band, rows) in plan.bands.iter().zip(raster.chunks_mut(8 * stride)) {
            let lines = transposed(band.map(|block| load_rows(&blocks.0[block & 63])));
            for (line, row) in lines.into_iter().zip(rows.chunks_mut(stride)) {
                let out = row[..64].as_mut_ptr();
                if stream {
                    // SAFETY: 64 bytes are there, and begin at a multiple of 64, as asserted above.
                    unsafe { _mm512_stream_si512(out.cast(), line) };
                } else {
                    // SAFETY: 64 bytes are there; this store asks for no alignment.
                    unsafe { _mm512_storeu_si512(out.cast(), line) };
                }
            }
        }
    }

    /// Rows of eight from eight blocks: word x of row y is word y of block x.
    #[target_feature(enable = "avx512f")]
    fn transposed(b: [__m512i; 8]) -> [__m512i; 8] {
        let [a0, a1, a2, a3] = quarters([
            _mm512_unpacklo_epi64(b[0], b[1]),
            _mm512_unpacklo_epi64(b[2], b[3]),
            _mm512_unpacklo_epi64(b[4], b[5]),
            _mm512_unpacklo_epi64(b[6], b[7]),
        ]);
        let [b0, b1, b2, b3] = quarters([
            _mm512_unpackhi_epi64(b[0], b[1]),
            _mm512_unpackhi_epi64(b[2], b[3]),
            _mm512_unpackhi_epi64(b[4], b[5]),
            _mm512_unpackhi_epi64(b[6], b[7]),
        ]);
        [a0, b0, a1, b1, a2, b2, a3, b3]
    }

    /// Transposes four rows of four quarters.
    #[target_feature(enable = "avx512f")]
    fn quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
        let (left, right) =
            (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0x44>(c, d));
        let (more, most) = (_mm512_shuffle_i64x2::<0xee>(a, b), _mm512_shuffle_i64x2::<0xee>(c, d));
        [
            _mm512_shuffle_i64x2::<0x88>(left, right),
            _mm512_shuffle_i64x2::<0xdd>(left, right),
            _mm512_shuffle_i64x2::<0x88>(more, most),
            _mm512_shuffle_i64x2::<0xdd>(more, most),
        ]
    }

    #[target_feature(enable = "ssse3")]
    pub(super) fn turn_ssse3(
        page: &[u8; PAGE],
        plan: &PagePlan,
        turns: &[Permutation; 4],
        blocks: &mut Blocks,
    ) {
        let load = |bytes: &[u8; 16]| -> __m128i {
            // SAFETY: the reference is good for 16 bytes, and any 16 bytes are a valid vector.
            unsafe { core::mem::transmute_copy(bytes) }
        };
        let page = page.as_chunks::<64>().0.iter();
        for ((block, turn), to) in page.zip(plan.turns).zip(&mut blocks.0) {
            let quarters = block.as_chunks::<16>().0;
            let to = to.as_chunks_mut::<2>().0;
            for ([a, b], rows) in turns[turn & 3].quarters.iter().zip(to) {
                let a = _mm_shuffle_epi8(load(&quarters[a.0 & 3]), load(&a.1));
                let b = _mm_shuffle_epi8(load(&quarters[b.0 & 3]), load(&b.1));
                let two = _mm_or_si128(a, b);
                // SAFETY: both sides have 16 bytes, and any 16 bytes are valid for both.
                *rows = unsafe { core::mem::transmute::<__m128i, [[u8; 8]; 2]>(two) };
            }
        }
    }

    /// # Panics
    /// As [`lay_avx512`].
    #[target_feature(enable = "sse2")]
    pub(super) fn lay_sse2(blocks: &Blocks, plan: &PagePlan, place: Place<'_>) {
        let Place { raster, stride, stream } = place;
        assert!(!stream || raster.as_ptr().addr().is_multiple_of(16) && stride.is_multiple_of(16));
        for (band, rows) in plan.bands.iter().zip(raster.chunks_mut(8 * stride)) {
            for (y, row) in rows.chunks_mut(stride).enumerate() {
                for (pair, out) in band.as_chunks::<2>().0.iter().zip(row.as_chunks_mut::<16>().0) {
                    let half = |block: usize| {
                        let word = u64::from_le_bytes(blocks.0[block & 63][y & 7]);
                        _mm_cvtsi64_si128(word.cast_signed())
                    };
                    let both = _mm_unpacklo_epi64(half(pair[0]), half(pair[1]));
                    let out = out.as_mut_ptr();
                    if stream {
                        // SAFETY: 16 bytes are there, and begin at a multiple of 16, as asserted.
                        unsafe { _mm_stream_si128(out.cast(), both) };
                    } else {
                        // SAFETY: 16 bytes are there; this store asks for no alignment.
                        unsafe { _mm_storeu_si128(out.cast(), both) };
                    }
                }
            }
        }
    }
}
