//! How many cells, tiles, nodes and levels an artifact of a given size has.
//!
//! Knows: integers. Must never know: bytes, hashes, storage.
//! Keeps: everything here is a function of the size alone, so that a reader can check it.

/// Binary logarithm of [`TILE_BYTES`].
pub const TILE_SHIFT: u32 = foundry_common::units::TILE_SHIFT;
/// Bytes of level 0 in one tile: 256 x 256 cells of one byte.
pub const TILE_BYTES: u64 = foundry_common::units::TILE_BYTES;
/// The lowest level that is stored; its cells stand for [`LEAF_BYTES`] bytes.
pub const LEAF_LEVEL: u32 = 3;
/// Bytes of one cell of [`LEAF_LEVEL`].
pub const LEAF_BYTES: usize = 1 << (2 * LEAF_LEVEL);
/// Binary logarithm of [`FANOUT`].
pub const FANOUT_SHIFT: u32 = 6;
/// Children of an index node: an 8 x 8 square, which is three levels.
pub const FANOUT: usize = 1 << FANOUT_SHIFT;
/// Levels that one node stores.
pub const LEVELS_PER_NODE: u32 = 3;
/// Cells of a full node in its lowest, middle and highest level.
pub const NODE_CELLS: [usize; 3] = [1024, 256, 64];
/// Cells of one full child in the lowest level of its parent.
pub const CHILD_CELLS: usize = NODE_CELLS[0] / FANOUT;
/// The largest artifact: offsets must fit a signed 64-bit integer, as the kernel's do.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// A 64-bit count as an index into memory.
#[expect(clippy::cast_possible_truncation, reason = "lib.rs asserts that usize has 64 bits")]
#[must_use]
pub const fn index(n: u64) -> usize {
    n as usize
}

/// Number of level-0 tiles.
#[must_use]
pub const fn tiles(size: u64) -> u64 {
    size.div_ceil(TILE_BYTES)
}

/// Bytes of tile `tile` in an artifact of `size` bytes.
#[must_use]
pub const fn tile_len(size: u64, tile: u64) -> u64 {
    let rest = size.saturating_sub(tile << TILE_SHIFT);
    if rest < TILE_BYTES { rest } else { TILE_BYTES }
}

/// Number of cells of `level`; 0 for an empty artifact.
#[must_use]
pub const fn cells(size: u64, level: u32) -> u64 {
    if level >= 32 { if size == 0 { 0 } else { 1 } } else { size.div_ceil(1 << (2 * level)) }
}

/// The level that has one cell, at least [`LEAF_LEVEL`].
#[must_use]
pub const fn top_level(size: u64) -> u32 {
    let mut level = LEAF_LEVEL;
    while cells(size, level) > 1 {
        level += 1;
    }
    level
}

/// Height of the index: 0 where one tile holds everything, else the least `h` with 64^h >= tiles.
#[must_use]
pub const fn height(size: u64) -> u32 {
    let n = tiles(size);
    let mut h = 0;
    while span(h) < n {
        h += 1;
    }
    h
}

/// Tiles that a full node of `height` covers.
#[must_use]
pub const fn span(height: u32) -> u64 {
    1 << (FANOUT_SHIFT * height)
}

/// The lowest level that nodes of `height` store.
#[must_use]
pub const fn node_level(height: u32) -> u32 {
    LEAF_LEVEL + LEVELS_PER_NODE * height
}

/// Bytes of content below node `node` (numbered along the curve) of `height`.
#[must_use]
pub const fn node_bytes(size: u64, height: u32, node: u64) -> u64 {
    let shift = TILE_SHIFT + FANOUT_SHIFT * height;
    if shift >= 63 {
        return if node == 0 { size } else { 0 };
    }
    let rest = size.saturating_sub(node << shift);
    if rest < 1 << shift { rest } else { 1 << shift }
}

/// Number of children of node `node` of `height >= 1`.
#[must_use]
pub const fn node_children(size: u64, height: u32, node: u64) -> usize {
    let bytes = node_bytes(size, height, node);
    let shift = TILE_SHIFT + FANOUT_SHIFT * (height - 1);
    index(bytes.div_ceil(1 << shift))
}

/// Number of cells that node `node` of `height` stores in its lowest, middle and highest level.
#[must_use]
pub const fn node_cells(size: u64, height: u32, node: u64) -> [usize; 3] {
    let bytes = node_bytes(size, height, node);
    let level = node_level(height);
    [index(cells(bytes, level)), index(cells(bytes, level + 1)), index(cells(bytes, level + 2))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_and_levels_at_the_boundaries() {
        let mib4 = 64 * TILE_BYTES;
        for (size, h, top) in [
            (0, 0, 3),
            (1, 0, 3),
            (64, 0, 3),
            (65, 0, 4),
            (TILE_BYTES, 0, 8),
            (TILE_BYTES + 1, 1, 9),
            (mib4, 1, 11),
            (mib4 + 1, 2, 12),
            (10 << 30, 3, 17),
            (1 << 40, 4, 20),
            (MAX_SIZE, 8, 32),
        ] {
            assert_eq!((height(size), top_level(size)), (h, top), "size {size}");
        }
    }

    #[test]
    fn nodes_add_up_to_the_levels() {
        for size in [1, 63, 64, 65, 65_536, 65_537, 4_194_304, 4_194_305, 300_000_000] {
            for h in 0..=height(size) {
                let nodes = tiles(size).div_ceil(span(h));
                for (i, level) in (node_level(h)..).take(3).enumerate() {
                    let sum: usize = (0..nodes).map(|n| node_cells(size, h, n)[i]).sum();
                    assert_eq!(sum as u64, cells(size, level), "size {size} level {level}");
                }
            }
        }
    }

    #[test]
    fn stored_levels_cost_at_most_nine_percent() {
        let size = 10_u64 << 30;
        let stored: u64 = (LEAF_LEVEL..=top_level(size)).map(|l| 4 * cells(size, l)).sum();
        assert!(stored * 100 <= size * 9, "{stored}");
    }
}
