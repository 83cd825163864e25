//! What lies where in an artifact.
//!
//! Knows: regions. Must never know: formats.

use foundry_brick::Region;
use std::ops::Range;

/// Regions that are named for one range.
const NAMED_REGIONS: usize = 4;

/// Names of regions that the range touches, the most telling ones.
pub(super) fn names_in(regions: &[Region], range: &Range<u64>) -> Vec<String> {
    let mut touched: Vec<&Region> = regions
        .iter()
        .filter(|r| r.start < range.end && range.start < r.end && !r.name.is_empty())
        .collect();
    touched.sort_by_key(|r| (rank(&r.kind), r.start));
    touched.into_iter().take(NAMED_REGIONS).map(|r| r.name.clone()).collect()
}

/// Sections first: a tile touches few of them, and often hundreds of functions.
fn rank(kind: &str) -> u8 {
    match kind {
        "section" => 0,
        "function" => 1,
        "object" => 2,
        _ => 3,
    }
}
