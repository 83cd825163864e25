//! The bytes behind a brick: in it, or still in the artifact.
//!
//! Knows: bricks, live files. Must never know: what the bytes are for.
//! Keeps: every byte that is handed out was checked against the brick's hashes.

use super::brick_file::BrickFile;
use super::compare;
use super::live::LiveFile;
use super::text;
use crate::error::CommandError;
use foundry_brick::Payload;
use foundry_brick::geometry::{TILE_BYTES, tile_len, tiles};

/// What takes a tile: its index and its bytes.
type Sink<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), CommandError>;

/// Hands out every tile that is not known to be zeros, in order.
pub(super) fn each_tile(
    file: &BrickFile,
    mut sink: impl FnMut(u64, &[u8]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    match file.brick.meta().payload {
        Payload::Embedded => embedded(file, &mut sink),
        Payload::Reference => reference(file, &mut sink),
    }
}

/// All bytes at once, for what cannot be made piece by piece.
pub(super) fn whole(file: &BrickFile, limit: usize) -> Result<Vec<u8>, CommandError> {
    let size = usize::try_from(file.brick.meta().size).unwrap_or(usize::MAX);
    if limit < size {
        let what = format!(
            "is too large for this format: {}, and the most is {}",
            text::bytes(file.brick.meta().size),
            text::bytes(limit as u64)
        );
        return Err(CommandError::Invalid { path: file.artifact(), what });
    }
    let mut out = vec![0; size];
    each_tile(file, |tile, bytes| {
        let start = usize::try_from(tile * TILE_BYTES).unwrap_or(size);
        if let Some(place) = out.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    })?;
    Ok(out)
}

/// From the brick, which checks what it reads.
fn embedded(file: &BrickFile, sink: Sink<'_>) -> Result<(), CommandError> {
    let corrupt = |e| CommandError::brick(&file.path, e);
    let size = file.brick.meta().size;
    let zeros = file.brick.zeros().map_err(corrupt)?;
    let mut buf = vec![0; usize::try_from(TILE_BYTES).unwrap_or(0)];
    for tile in compare::without(0..tiles(size), &zeros) {
        let len = usize::try_from(tile_len(size, tile)).unwrap_or(buf.len());
        let n = file.brick.read_payload(tile * TILE_BYTES, &mut buf[..len]).map_err(corrupt)?;
        sink(tile, &buf[..n])?;
    }
    Ok(())
}

/// From the artifact itself, where it still is what the brick says.
fn reference(file: &BrickFile, sink: Sink<'_>) -> Result<(), CommandError> {
    let size = file.brick.meta().size;
    let artifact = file.artifact();
    let live = LiveFile::open(&artifact)?;
    if live.size() != size {
        let now = text::plural(live.size(), "byte", "bytes");
        let what = format!("has {now} now, and had {size} when it was folded; sync, and try again");
        return Err(CommandError::Differs { path: artifact, what });
    }
    let different = compare::tiles(&file.brick, &live, sink).map_err(|e| e.at(&file.path))?;
    if let Some(first) = different.first() {
        let what = format!(
            "changed since it was folded (in bytes {}..{}); sync, and try again",
            first.start, first.end
        );
        return Err(CommandError::Differs { path: artifact, what });
    }
    Ok(())
}
