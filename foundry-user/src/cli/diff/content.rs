//! Which bytes of two contents differ, as closely as the two bricks can tell.
//!
//! Knows: tiles, cells, embedded bytes. Must never know: parts.
//! Keeps: every byte that differs is in a range; ranges are in order and do not touch.

use super::ByteSpan;
use crate::cli::brick_file::BrickFile;
use foundry_brick::geometry::{LEAF_BYTES, LEAF_LEVEL, TILE_BYTES, tile_len, tiles};
use foundry_brick::{Error, Payload};

/// The ranges that differ; what only one of them has at its end counts as different.
pub(super) fn ranges(a: &BrickFile, b: &BrickFile) -> Result<Vec<ByteSpan>, Error> {
    let mut spans = Spans(Vec::new());
    let sizes = (a.brick.meta().size, b.brick.meta().size);
    let same_hash = a.brick.blake3().is_some() && a.brick.blake3() == b.brick.blake3();
    if same_hash && sizes.0 == sizes.1 {
        return Ok(spans.0);
    }
    let common = sizes.0.min(sizes.1);
    for tile in 0..tiles(common) {
        let lengths = (tile_len(sizes.0, tile), tile_len(sizes.1, tile));
        let hashes = (a.brick.tile_hash(tile)?, b.brick.tile_hash(tile)?);
        if lengths.0 == lengths.1 && hashes.0.is_some() && hashes.0 == hashes.1 {
            continue;
        }
        within(a, b, tile, lengths.0.min(lengths.1), &mut spans)?;
    }
    let longer = sizes.0.max(sizes.1);
    if common < longer {
        spans.add(common, longer, true);
    }
    Ok(spans.0)
}

/// Narrows a tile down: by its bytes where both bricks hold them, else by its cells.
fn within(
    a: &BrickFile,
    b: &BrickFile,
    tile: u64,
    length: u64,
    spans: &mut Spans,
) -> Result<(), Error> {
    let start = tile * TILE_BYTES;
    let embedded = |file: &BrickFile| file.brick.meta().payload == Payload::Embedded;
    if embedded(a) && embedded(b) {
        let length = usize::try_from(length).unwrap_or(0);
        let (mut left, mut right) = (vec![0; length], vec![0; length]);
        a.brick.read_payload(start, &mut left)?;
        b.brick.read_payload(start, &mut right)?;
        for (at, _) in (start..).zip(left.iter().zip(&right)).filter(|(_, (l, r))| l != r) {
            spans.add(at, at + 1, true);
        }
        return Ok(());
    }
    let leaf = LEAF_BYTES as u64;
    let range = start / leaf..(start + length).div_ceil(leaf);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    a.brick.cells(LEAF_LEVEL, range.clone(), &mut left)?;
    b.brick.cells(LEAF_LEVEL, range.clone(), &mut right)?;
    if left == right {
        // Other bytes, the same statistics: no closer than the tile.
        spans.add(start, start + length, false);
    }
    for (i, _) in range.zip(left.iter().zip(&right)).filter(|(_, (l, r))| l != r) {
        spans.add(i * leaf, ((i + 1) * leaf).min(start + length), false);
    }
    Ok(())
}

struct Spans(Vec<ByteSpan>);

impl Spans {
    fn add(&mut self, start: u64, end: u64, exact: bool) {
        match self.0.last_mut() {
            Some(last) if last.end == start && last.exact == exact => last.end = end,
            _ => self.0.push(ByteSpan { start, end, exact }),
        }
    }
}
