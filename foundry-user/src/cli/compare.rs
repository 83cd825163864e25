//! A live file against the hashes in its brick.
//!
//! Knows: tiles and their hashes. Must never know: what a difference means.
//! Keeps: a hole of any size costs no reading; ranges are whole tiles, in order, merged.

use super::live::{CHUNK, LiveFile};
use crate::error::CommandError;
use foundry_brick::geometry::{TILE_BYTES, tile_len, tiles as tile_count};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, hash};
use std::ops::Range;
use std::path::Path;

/// Bytes of holes that are hashed as if they were read, to compare one hash instead of many.
const HASHED_HOLES: u64 = 1 << 30;

/// Why a comparison stopped.
pub(super) enum Stopped {
    /// The brick is corrupt or cannot be read.
    Brick(foundry_brick::Error),
    /// The live file cannot be read.
    Live(CommandError),
}

impl Stopped {
    /// As an error of the brick at `path`.
    pub(super) fn at(self, path: &Path) -> CommandError {
        match self {
            Self::Brick(error) => CommandError::brick(path, error),
            Self::Live(error) => error,
        }
    }
}

impl From<foundry_brick::Error> for Stopped {
    fn from(error: foundry_brick::Error) -> Self {
        Self::Brick(error)
    }
}

impl From<CommandError> for Stopped {
    fn from(error: CommandError) -> Self {
        Self::Live(error)
    }
}

/// The byte ranges in which the file differs from a brick of the same size.
pub(super) fn content<S: Storage>(
    brick: &Brick<S>,
    live: &LiveFile,
) -> Result<Vec<Range<u64>>, Stopped> {
    // One hash of everything is cheap to compare; which tile differs matters where it differs.
    if let Some(expected) = brick.blake3()
        && let Some(found) = whole_hash(live)?
        && expected == found
    {
        return Ok(Vec::new());
    }
    tiles(brick, live, |_, _| Ok(()))
}

/// The file's hash; `None` where holes are too large to be hashed.
fn whole_hash(live: &LiveFile) -> Result<Option<hash::Hash>, CommandError> {
    let extents = live.extents();
    let holes: u64 = extents.iter().filter(|e| e.is_hole).map(|e| e.end - e.start).sum();
    if holes > HASHED_HOLES {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; usize::try_from(CHUNK.min(live.size())).unwrap_or(0)];
    for extent in extents {
        let mut at = extent.start;
        while at < extent.end {
            let len = usize::try_from((extent.end - at).min(CHUNK)).unwrap_or(buf.len());
            if extent.is_hole {
                buf[..len].fill(0);
            } else {
                // A file that became shorter has another hash, and is looked at tile by tile.
                let n = live.read(at, &mut buf[..len])?;
                buf[n..len].fill(0);
            }
            hasher.update(&buf[..len]);
            at += len as u64;
        }
    }
    Ok(Some(*hasher.finalize().as_bytes()))
}

/// As [`content`], tile by tile; `good` gets every tile of data that is as the brick says.
pub(super) fn tiles<S: Storage>(
    brick: &Brick<S>,
    live: &LiveFile,
    mut good: impl FnMut(u64, &[u8]) -> Result<(), CommandError>,
) -> Result<Vec<Range<u64>>, Stopped> {
    let size = brick.meta().size;
    let zeros = brick.zeros()?;
    let mut found = Ranges { size, ranges: Vec::new() };
    let mut buf = vec![0; usize::try_from(TILE_BYTES).unwrap_or(0)];
    for extent in live.extents() {
        let range =
            extent.start / TILE_BYTES..extent.end.div_ceil(TILE_BYTES).min(tile_count(size));
        if extent.is_hole {
            for tile in without(range, &zeros) {
                if brick.tile_hash(tile)? != hash::zeros(size, tile, 1) {
                    found.add(tile);
                }
            }
            continue;
        }
        for tile in range {
            let len = usize::try_from(tile_len(size, tile)).unwrap_or(buf.len());
            let n = live.read(tile * TILE_BYTES, &mut buf[..len])?;
            let is_as_expected = match brick.tile_hash(tile)? {
                Some(expected) => n == len && expected == hash::tile(tile, &buf[..n]).0,
                // Pending hashes are those of zeros.
                None => n == len && buf[..n].iter().all(|&b| b == 0),
            };
            if is_as_expected {
                good(tile, &buf[..n])?;
            } else {
                found.add(tile);
            }
        }
    }
    Ok(found.ranges)
}

/// The members of `range` that lie in none of the ordered `excluded` ranges.
pub(super) fn without(range: Range<u64>, excluded: &[Range<u64>]) -> impl Iterator<Item = u64> {
    let mut gaps = Vec::new();
    let mut at = range.start;
    let first = excluded.partition_point(|e| e.end <= range.start);
    for e in excluded[first..].iter().take_while(|e| e.start < range.end) {
        gaps.push(at..e.start.max(at));
        at = at.max(e.end);
    }
    gaps.push(at..range.end.max(at));
    gaps.into_iter().flatten()
}

struct Ranges {
    size: u64,
    ranges: Vec<Range<u64>>,
}

impl Ranges {
    fn add(&mut self, tile: u64) {
        let start = tile * TILE_BYTES;
        let end = start + tile_len(self.size, tile);
        match self.ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => self.ranges.push(start..end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_leaves_the_gaps() {
        let excluded = [2..4, 6..7, 20..30];
        let left = |range| without(range, &excluded).collect::<Vec<u64>>();
        assert_eq!(left(0..8), [0, 1, 4, 5, 7]);
        assert_eq!(left(2..4), [0_u64; 0]);
        assert_eq!(left(3..5), [4]);
        assert_eq!(left(25..32), [30, 31]);
        assert_eq!(left(8..10), [8, 9]);
    }
}
