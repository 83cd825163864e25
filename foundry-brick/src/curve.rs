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
pub const fn d2xy(order: u32, d: u64) -> (u32, u32) {
    let (mut x, mut y, mut rest) = (0_u32, 0_u32, d);
    let mut level = 0;
    while level < order && level < MAX_ORDER {
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
        level += 1;
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

mod raster;

pub use raster::{Raster, unfold, unfold_by};

#[cfg(test)]
mod tests;
