//! Cells against their definition, and every path against the portable one.

use super::*;
use proptest::prelude::*;

/// Shannon entropy of the bytes as the channel scales it, in floating point.
fn entropy(bytes: &[u8]) -> f64 {
    let n = f64::from(u32::try_from(bytes.len()).unwrap());
    let bits: f64 = (0..=255)
        .map(|value| bytes.iter().filter(|byte| **byte == value).count())
        .filter(|count| *count != 0)
        .map(|count| f64::from(u32::try_from(count).unwrap()) / n)
        .map(|share| -share * share.log2())
        .sum();
    bits * 255.0 / 6.0
}

#[test]
fn the_table_is_the_logarithm() {
    for (c, log) in (1..).zip(&ENTROPY_LOG[1..]) {
        let exact = f64::from(c).log2() * 2720.0;
        assert!((f64::from(*log) - exact).abs() <= 0.5, "{c}");
    }
    assert_eq!((ENTROPY_LOG[1], ENTROPY_LOG[64]), (0, 64 * 255));
}

#[test]
fn known_cells() {
    let cell = |bytes: &[u8]| {
        let mut out = Vec::new();
        leaves(bytes, &mut out);
        out[0]
    };
    assert_eq!(cell(&[0; 64]), ZERO_CELL);
    assert_eq!(cell(&[0; 3]), ZERO_CELL);
    assert_eq!(cell(&[0xff; 64]), [0, 0, 0, 255]);
    assert_eq!(
        cell(&std::array::from_fn::<u8, 64, _>(|i| u8::try_from(i).unwrap() + 0x20)),
        [255, 0, 255, 0]
    );
    assert_eq!(cell(b"ab"), [43, 0, 255, 0]);
}

#[test]
fn means_round_half_to_even() {
    for (children, want) in [
        (vec![0, 0, 0, 1], 0),
        (vec![0, 0, 1, 1], 0),
        (vec![1, 1, 2, 2], 2),
        (vec![0, 1, 1, 1], 1),
        (vec![3, 4], 4),
        (vec![2, 3], 2),
        (vec![1, 1, 3], 2),
        (vec![255, 255, 255, 255], 255),
    ] {
        let cells: Vec<Cell> = children.iter().map(|&n| [n; 4]).collect();
        let mut out = Vec::new();
        parents(&cells, &mut out);
        assert_eq!(out, vec![[want; 4]], "{children:?}");
    }
}

/// Bytes with anything from one value to all of them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (1..=8_u32, 0..700_usize).prop_flat_map(|(bits, len)| {
        let mask = u8::try_from((1_u32 << bits) - 1).unwrap();
        prop::collection::vec(any::<u8>().prop_map(move |byte| byte.rotate_left(bits) & mask), len)
    })
}

proptest! {
    #[test]
    fn every_path_gives_the_cells_of_counting(bytes in bytes()) {
        let mut want = Vec::new();
        want.extend(bytes.chunks(LEAF_BYTES).map(|leaf| {
            let (sum, shares) = sums(leaf);
            finish(leaf.len(), sum, shares)
        }));
        prop_assert_eq!(want.len(), bytes.len().div_ceil(LEAF_BYTES));
        for path in Path::all() {
            let mut cells = Vec::new();
            leaves_by(path, &bytes, &mut cells);
            prop_assert_eq!(&cells, &want, "{:?}", path);
        }
    }

    #[test]
    fn entropy_is_shannon_s_to_one_step(bytes in prop::collection::vec(0..20_u8, 1..65)) {
        let mut cells = Vec::new();
        leaves(&bytes, &mut cells);
        let exact = entropy(&bytes);
        prop_assert!((f64::from(cells[0][0]) - exact).abs() <= 0.6, "{} {exact}", cells[0][0]);
    }

    #[test]
    fn both_means_of_four_agree(children in any::<[Cell; 4]>()) {
        prop_assert_eq!(mean_of_four(&children), mean(&children));
    }
}
