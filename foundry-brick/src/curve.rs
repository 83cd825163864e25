//! The one curve: index to place and back.
//!
//! Wikipedia's `d2xy`: starts at (0, 0), ends at (n-1, 0), y grows downward. Inside Foundry orders
//! are even, so that the place of an index does not change when the plane grows; an odd order
//! gives the transpose, and is here for other formats only.
//!
//! Knows: integers. Must never know: what lies along the curve.

/// The largest order whose indices fit 64 bits.
pub const MAX_ORDER: u32 = 32;

/// The place of index `d` on the plane of 2^`order` x 2^`order` cells. Orders above
/// [`MAX_ORDER`] and indices beyond the plane wrap around.
#[must_use]
pub fn d2xy(order: u32, d: u64) -> (u32, u32) {
    let (mut x, mut y, mut rest) = (0_u32, 0_u32, d);
    for level in 0..order.min(MAX_ORDER) {
        let side = 1_u32 << level;
        let (rx, ry) = (rest & 2 != 0, (rest ^ (rest >> 1)) & 1 != 0);
        if !ry {
            if rx {
                (x, y) = (side - 1 - x, side - 1 - y);
            }
            (x, y) = (y, x);
        }
        x |= if rx { side } else { 0 };
        y |= if ry { side } else { 0 };
        rest >>= 2;
    }
    (x, y)
}

/// The index of place (`x`, `y`) on the plane of 2^`order` x 2^`order` cells.
#[must_use]
pub fn xy2d(order: u32, x: u32, y: u32) -> u64 {
    let (mut x, mut y, mut d) = (x, y, 0_u64);
    for level in (0..order.min(MAX_ORDER)).rev() {
        let side = 1_u32 << level;
        let (rx, ry) = (x & side != 0, y & side != 0);
        d = d << 2 | (u64::from(rx) << 1 | u64::from(rx ^ ry));
        (x, y) = (x & (side - 1), y & (side - 1));
        if !ry {
            if rx {
                (x, y) = (side - 1 - x, side - 1 - y);
            }
            (x, y) = (y, x);
        }
    }
    d
}

/// Lays `cells` (of `width` bytes each) from index 0 of the curve into a row-major raster of
/// 2^`order` x 2^`order` cells; places past the end of `cells` keep what `raster` holds.
///
/// # Panics
/// Where `raster` is not of that size.
pub fn unfold(order: u32, width: usize, cells: &[u8], raster: &mut [u8]) {
    let side = 1_usize << order;
    assert_eq!(raster.len(), side * side * width, "the raster is 2^order squared cells");
    for (d, cell) in cells.chunks_exact(width).take(side * side).enumerate() {
        let (x, y) = d2xy(order, d as u64);
        let at = (y as usize * side + x as usize) * width;
        raster[at..at + width].copy_from_slice(cell);
    }
}
