//! Laying a whole run of cells out as a raster, a page of 64 x 64 at a time.
//!
//! For every k an aligned run of 4^k cells is a square of 2^k, in exactly four orientations, each
//! told by the corners where the run begins and ends. So two point queries per page and small
//! tables do for the rest.

use super::d2xy;
use crate::simd::{self, Blocks, PAGE, PagePlan, Path, Permutation, Place};
use memmap2::MmapMut;
use std::io;

/// Rasters of at least this many bytes are written past the caches: they would not stay in them.
const STREAM_FROM: usize = 8 << 20;

/// Bytes of a raster in memory of its own, in huge pages where the system gives them: the rows of a page
/// of cells lie a whole row of the raster apart, so that in small pages each would need a
/// translation of its own. It begins at a cache line, which is what the fastest path wants.
#[derive(Debug)]
pub struct Raster(MmapMut);

impl Raster {
    /// `len` zero bytes.
    ///
    /// # Errors
    /// Where the system does not give that much memory, or `len` is 0.
    pub fn new(len: usize) -> io::Result<Self> {
        let map = MmapMut::map_anon(len)?;
        // Where there are no huge pages, small ones serve; they only cost time.
        #[cfg(target_os = "linux")]
        drop(map.advise(memmap2::Advice::HugePage));
        Ok(Self(map))
    }
}

impl std::ops::Deref for Raster {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::ops::DerefMut for Raster {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Where cell `d` of a square of 2^`order` lies in it, in the orientation `turn`: 0 from (0, 0) to
/// (n-1, 0), 1 from (0, 0) to (0, n-1), 2 from (n-1, n-1) to (0, n-1), 3 from (n-1, n-1) to (n-1, 0).
const fn turned(order: u32, turn: usize, d: u64) -> (u32, u32) {
    let last = (1 << order) - 1;
    let (x, y) = d2xy(order, d);
    match turn {
        0 => (x, y),
        1 => (y, x),
        2 => (last - x, last - y),
        _ => (last - y, last - x),
    }
}

/// The orientation of a run by the places of its first and last cell.
const fn orientation(first: (u32, u32), last: (u32, u32)) -> usize {
    match (first.0 == last.0, first.1 == last.1) {
        (false, true) => {
            if first.0 < last.0 {
                0
            } else {
                2
            }
        }
        (true, false) if first.1 < last.1 => 1,
        _ => 3,
    }
}

/// Which byte of a block, in each orientation, comes to which place of its rows.
const TABLES: [[u8; 64]; 4] = {
    let mut tables = [[0; 64]; 4];
    let mut turn = 0;
    while turn < 4 {
        let mut d = 0;
        while d < 64_u8 {
            let (x, y) = turned(3, turn, d as u64);
            tables[turn][(8 * y + x) as usize] = d;
            d += 1;
        }
        turn += 1;
    }
    tables
};

/// Row `y` of a block. Every index is known when this is compiled, and eight bytes go into one word:
/// that is more than twice as quick as following a table.
#[inline(always)]
fn row<const TURN: usize>(block: &[u8; 64], y: usize) -> [u8; 8] {
    let byte = |x: usize| block[TABLES[TURN][8 * y + x] as usize];
    let row = [byte(0), byte(1), byte(2), byte(3), byte(4), byte(5), byte(6), byte(7)];
    u64::from_le_bytes(row).to_le_bytes()
}

/// A block in rows.
fn rows<const TURN: usize>(block: &[u8; 64]) -> [[u8; 8]; 8] {
    let row = |y| row::<TURN>(block, y);
    [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]
}

/// How a block of 8 x 8 in each orientation becomes rows.
static TURNS: [Permutation; 4] = [
    Permutation::new(TABLES[0], rows::<0>),
    Permutation::new(TABLES[1], rows::<1>),
    Permutation::new(TABLES[2], rows::<2>),
    Permutation::new(TABLES[3], rows::<3>),
];

/// How a page in each orientation is made of blocks.
static PLANS: [PagePlan; 4] = [plan(0), plan(1), plan(2), plan(3)];

const fn plan(turn: usize) -> PagePlan {
    let mut plan = PagePlan { turns: [0; 64], bands: [[0; 8]; 8] };
    let mut block = 0;
    while block < 64 {
        let first = turned(6, turn, 64 * block as u64);
        let last = turned(6, turn, 64 * block as u64 + 63);
        plan.turns[block] = orientation(first, last);
        plan.bands[(first.1 / 8) as usize][(first.0 / 8) as usize] = block;
        block += 1;
    }
    plan
}

/// Lays `cells` (of `width` bytes each) from index 0 of the curve into a row-major raster of
/// 2^`order` x 2^`order` cells; places past the end of `cells` keep what `raster` holds.
///
/// # Panics
/// Where `raster` is not of that size.
pub fn unfold(order: u32, width: usize, cells: &[u8], raster: &mut [u8]) {
    unfold_by(Path::best(), order, width, cells, raster);
}

/// As [`unfold`], by a path of the caller's choice (the best that the processor has, where it has
/// not got that one): all give the same bytes.
///
/// # Panics
/// Where `raster` is not of 2^`order` x 2^`order` cells.
pub fn unfold_by(path: Path, order: u32, width: usize, cells: &[u8], raster: &mut [u8]) {
    let side = 1_usize << order;
    assert_eq!(raster.len(), side * side * width, "the raster is 2^order squared cells");
    let cells = &cells[..cells.len().min(raster.len())];
    let bytes = if width == 1 && 6 <= order { pages(path, order, cells, raster) } else { 0 };
    let done = bytes / width;
    let (first, mut block) = (done as u64, [(0, 0); 64]);
    // The rest block by block: one orientation, then a table.
    let blocks = if 3 <= order { (cells.len() / width - done) / 64 } else { 0 };
    for b in 0..blocks as u64 {
        let at = first + 64 * b;
        let (start, end) = (d2xy(order, at), d2xy(order, at + 63));
        let turn = orientation(start, end);
        for (d, place) in (0..).zip(&mut block) {
            *place = TURNED[turn][d];
        }
        let corner = ((start.0 & !7) as usize, (start.1 & !7) as usize);
        let from = crate::geometry::index(at) * width;
        for (cell, (x, y)) in cells[from..from + 64 * width].chunks_exact(width).zip(block) {
            let to = ((corner.1 + y) * side + corner.0 + x) * width;
            raster[to..to + width].copy_from_slice(cell);
        }
    }
    let done = done + 64 * blocks;
    for (d, cell) in (done as u64..).zip(cells[done * width..].chunks_exact(width)) {
        let (x, y) = d2xy(order, d);
        let to = (y as usize * side + x as usize) * width;
        raster[to..to + width].copy_from_slice(cell);
    }
}

/// The place of each cell in a block of each orientation.
static TURNED: [[(usize, usize); 64]; 4] = {
    let mut table = [[(0, 0); 64]; 4];
    let mut turn = 0;
    while turn < 4 {
        let mut d = 0;
        while d < 64 {
            let (x, y) = turned(3, turn, d as u64);
            table[turn][d] = (x as usize, y as usize);
            d += 1;
        }
        turn += 1;
    }
    table
};

/// Lays whole pages of bytes out; returns how many bytes that were.
fn pages(path: Path, order: u32, bytes: &[u8], raster: &mut [u8]) -> usize {
    let side = 1_usize << order;
    let stream = STREAM_FROM <= raster.len();
    let mut blocks = Blocks::new();
    let (pages, _) = bytes.as_chunks::<PAGE>();
    for (page, at) in pages.iter().zip((0_u64..).step_by(PAGE)) {
        let (first, last) = (d2xy(order, at), d2xy(order, at + PAGE as u64 - 1));
        let plan = &PLANS[orientation(first, last)];
        let corner = (first.1 & !63) as usize * side + (first.0 & !63) as usize;
        let place = Place { raster: &mut raster[corner..], stride: side, stream };
        simd::unfold_page(path, page, plan, &TURNS, &mut blocks, place);
    }
    if stream {
        simd::finish_stream();
    }
    pages.len() * PAGE
}
