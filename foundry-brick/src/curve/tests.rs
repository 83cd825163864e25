//! The curve against its oracle, and every path against the point queries.

use super::*;
use crate::simd::Path;

#[test]
fn small_orders_agree_with_the_oracle_everywhere() {
    for order in 1..=9_u32 {
        for d in 0..1_u64 << (2 * order) {
            let (x, y) = d2xy(order, d);
            assert_eq!(xy2d(order, x, y), d, "order {order}");
            // The oracle's orientation is that of even orders; odd ones are its transpose.
            let (a, b) = fast_hilbert::h2xy::<u32>(d, 16);
            let want = if order.is_multiple_of(2) { (a, b) } else { (b, a) };
            assert_eq!((x, y), want, "order {order} index {d}");
        }
    }
}

#[test]
fn the_ends_are_where_the_format_says() {
    for order in 1..=MAX_ORDER {
        let n = u32::try_from((1_u64 << order) - 1).unwrap();
        let last = if order == 32 { u64::MAX } else { (1 << (2 * order)) - 1 };
        assert_eq!((d2xy(order, 0), d2xy(order, last)), ((0, 0), (n, 0)), "order {order}");
        assert_eq!(xy2d(order, n, 0), last);
    }
}

#[test]
fn a_place_does_not_change_when_the_plane_grows() {
    for d in (0..1 << 20).step_by(97).chain([u64::from(u32::MAX), 1 << 39]) {
        let place = d2xy(20, d);
        for order in (20..=32).step_by(2) {
            assert_eq!(d2xy(order, d), place, "index {d} order {order}");
        }
    }
}

#[test]
fn known_first_steps() {
    // Geometry OS's own vectors.
    let first = |order| (0..8).map(|d| d2xy(order, d)).collect::<Vec<_>>();
    assert_eq!(first(2), [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 3), (1, 3), (1, 2)]);
    assert_eq!(first(3), [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (3, 0), (3, 1), (2, 1)]);
}

#[test]
fn every_path_unfolds_as_the_point_queries_say() {
    for (order, width, n) in [
        (0_u32, 1_usize, 1_usize),
        (2, 1, 13),
        (3, 1, 64),
        (5, 1, 1000),
        (6, 1, 4096),
        (7, 1, 4096 + 64 * 3 + 5),
        (8, 1, 65_536),
        (10, 1, 700_001),
        (12, 1, (1 << 24) - 77),
        (6, 4, 4096),
        (8, 4, 50_000),
        (5, 3, 900),
    ] {
        let side = 1_usize << order;
        let cells: Vec<u8> =
            (0..n * width).map(|i| (i * 31 + i / 251 + i / 65_537).to_le_bytes()[0]).collect();
        let mut want = vec![0xaa; side * side * width];
        for (d, cell) in (0..).zip(cells.chunks_exact(width)) {
            let (x, y) = d2xy(order, d);
            let at = (y as usize * side + x as usize) * width;
            want[at..at + width].copy_from_slice(cell);
        }
        for path in Path::all() {
            let mut raster = Raster::new(side * side * width).unwrap();
            raster.fill(0xaa);
            unfold_by(path, order, width, &cells, &mut raster);
            assert!(*raster == *want, "{path:?} order {order} width {width}");
            let mut crooked = vec![0xaa; side * side * width + 1];
            unfold_by(path, order, width, &cells, &mut crooked[1..]);
            assert!(crooked[1..] == want, "{path:?} order {order} width {width}, not aligned");
        }
    }
}
