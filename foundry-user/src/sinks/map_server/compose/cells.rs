//! The values of a tile's cells.
//!
//! Knows: bytes, cells, where a leaf lies in a tile. Must never know: classes, writers.
//! Keeps: a cell of level 3 and up is the brick's own; where several leaves share one it is their
//! mean by bytes.

use super::super::bricks::{BrickError, Bricks, Content, ReadFile};
use super::super::summary::Summary;
use super::spans::Spans;
use super::{LEAF_LEVEL, OWNED_LEVEL, Painted, Part, Place, TILE_CELLS};
use foundry_brick::cells::{Cell, is_printable, leaves};
use foundry_brick::{Brick, Payload};

/// A leaf's share of a tile.
struct Share<'a> {
    part: &'a Part,
    summary: &'a Summary,
    /// First byte of the leaf in the tile, and the first after it.
    from: u64,
    to: u64,
    /// Where that is in the tile, in cells.
    at: usize,
}

fn shares(place: Place, parts: &[Part]) -> impl Iterator<Item = Share<'_>> {
    parts.iter().filter_map(move |part| {
        let summary = part.summary.as_deref()?;
        let start = part.run.start.max(place.start());
        let content = part.run.start + summary.size.min(part.run.end - part.run.start);
        let end = content.min(place.end());
        let at = usize::try_from((start - place.start()) >> place.cell_shift()).ok()?;
        let (from, to) = (start - part.run.start, end.saturating_sub(part.run.start));
        (from < to).then_some(Share { part, summary, from, to, at })
    })
}

pub(super) fn paint(place: Place, parts: &[Part], bricks: &Bricks, spans: &mut Spans) -> Painted {
    if shares(place, parts).next().is_none() {
        return Painted::default();
    }
    if place.level > OWNED_LEVEL {
        return mixed(place, parts, bricks);
    }
    if place.level >= LEAF_LEVEL {
        return owned(place, parts, bricks);
    }
    from_bytes(place, parts, bricks, spans)
}

/// Cells as one array of bytes.
fn flat(cells: &[Cell]) -> Vec<u8> {
    cells.iter().flatten().copied().collect()
}

/// Levels at which each cell is one leaf's.
fn owned(place: Place, parts: &[Part], bricks: &Bricks) -> Painted {
    let mut cells = vec![[0; 4]; TILE_CELLS];
    for share in shares(place, parts) {
        put(&mut cells, share.at, &share.cells(place.level, bricks));
    }
    Painted { channels: 4, cells: flat(&cells), ..Painted::default() }
}

fn put<T: Copy>(into: &mut [T], at: usize, from: &[T]) {
    let n = from.len().min(into.len().saturating_sub(at));
    into[at..at + n].copy_from_slice(&from[..n]);
}

/// Levels at which a cell may be several leaves'.
fn mixed(place: Place, parts: &[Part], bricks: &Bricks) -> Painted {
    let mut sums = vec![([0_u64; 4], 0_u64); TILE_CELLS];
    for share in shares(place, parts) {
        let level = share.within(place.level);
        let cell = 1_u64 << (2 * level);
        let first = share.from & !(cell - 1);
        for (i, value) in (0_u64..).zip(share.cells(level, bricks)) {
            let start = first + i * cell;
            let place_of_it = (share.part.run.start + start).saturating_sub(place.start());
            let at = usize::try_from(place_of_it >> place.cell_shift()).ok();
            let Some(sum) = at.and_then(|at| sums.get_mut(at)) else { break };
            // Of the leaf's cell, as much as is content, and in the tile.
            let weight = (start + cell).min(share.to).saturating_sub(start.max(share.from)).max(1);
            for (sum, value) in sum.0.iter_mut().zip(value) {
                *sum += u64::from(value) * weight;
            }
            sum.1 += weight;
        }
    }
    let mean = |sum: u64, weight: u64| u8::try_from((sum + weight / 2) / weight).unwrap_or(u8::MAX);
    let cells: Vec<Cell> = sums
        .into_iter()
        .map(|(sum, weight)| if weight == 0 { [0; 4] } else { sum.map(|sum| mean(sum, weight)) })
        .collect();
    Painted { channels: 4, cells: flat(&cells), ..Painted::default() }
}

impl Share<'_> {
    fn open(&self, bricks: &Bricks) -> Result<Brick<ReadFile>, BrickError> {
        bricks.open(&self.part.path, self.part.generation)
    }

    /// The highest level up to `level` of which each of the leaf's cells lies in one cell of the world.
    fn within(&self, level: u32) -> u32 {
        let aligned = self.part.run.start.trailing_zeros() / 2;
        // A directory that is seen as one has that one cell, wherever it begins.
        level.min(aligned).max(self.summary.level.min(level))
    }

    /// The leaf's cells of level 3 or higher; from memory where there is no brick any more.
    fn cells(&self, level: u32, bricks: &Bricks) -> Vec<Cell> {
        let shift = 2 * level;
        let first = self.from >> shift;
        let count = (self.to - (first << shift)).div_ceil(1 << shift);
        if level >= self.summary.level {
            return self.summary.cells_at(level, first, count);
        }
        let mut cells = vec![];
        let read = self.open(bricks).is_ok_and(|brick| {
            brick.generation() == self.summary.generation
                && brick.cells(level, first..first + count, &mut cells).is_ok()
        });
        if read { cells } else { self.coarse(level, first, count) }
    }

    /// Kept cells, each repeated for the finer ones it stands for.
    fn coarse(&self, level: u32, first: u64, count: u64) -> Vec<Cell> {
        let shift = 2 * (self.summary.level - level);
        (first..first + count)
            .map(|i| usize::try_from(i >> shift).ok().and_then(|i| self.summary.cells.get(i)))
            .map(|cell| cell.copied().unwrap_or_default())
            .collect()
    }

    /// The leaf's bytes in the tile, whole leaves of 64, and whether they changed since it was folded.
    fn bytes(&self, bricks: &Bricks) -> Option<(Vec<u8>, bool)> {
        let brick = self.open(bricks).ok()?;
        let mut bytes = vec![0; usize::try_from(self.to - self.from).ok()?];
        if self.summary.payload == Payload::Embedded {
            let n = brick.read_payload(self.from, &mut bytes).ok()?;
            bytes.truncate(n);
            return Some((bytes, false));
        }
        if self.part.generation.is_some_and(|_| !is_newest(bricks, &self.part.path, &brick)) {
            return None;
        }
        let content = Content::open(brick.meta()).ok()?;
        let n = content.read(self.from, &mut bytes).ok()?;
        let differs = content.differs || n < bytes.len();
        bytes.truncate(n);
        Some((bytes, differs))
    }
}

fn is_newest(bricks: &Bricks, path: &[u8], brick: &Brick<ReadFile>) -> bool {
    bricks.open(path, None).is_ok_and(|newest| newest.generation() == brick.generation())
}

/// Levels below the stored ones.
fn from_bytes(place: Place, parts: &[Part], bricks: &Bricks, spans: &mut Spans) -> Painted {
    let all: Vec<_> = shares(place, parts)
        .map(|share: Share<'_>| {
            let bytes = share.bytes(bricks);
            (share, bytes)
        })
        .collect();
    let none = all.iter().all(|(_, bytes)| bytes.is_none());
    let mut painted = Painted { channels: 4, ..Painted::default() };
    if place.level == 0 && !none {
        painted.channels = 1;
        painted.cells = vec![0; TILE_CELLS];
    }
    let mut cells = if painted.channels == 4 { vec![[0; 4]; TILE_CELLS] } else { vec![] };
    for (share, bytes) in &all {
        painted.summary |= bytes.is_none();
        match bytes {
            Some((bytes, differs)) => {
                if painted.channels == 1 {
                    put(&mut painted.cells, share.at, bytes);
                } else {
                    put(&mut cells, share.at, &fine(place.level, bytes));
                }
                if *differs {
                    painted.differs = true;
                    let n = (share.to - share.from).div_ceil(1 << place.cell_shift());
                    let at = u32::try_from(share.at).unwrap_or(0);
                    spans.differs(at, at.saturating_add(u32::try_from(n).unwrap_or(u32::MAX)));
                }
            }
            None if painted.channels == 4 => {
                let coarse = share.cells(LEAF_LEVEL, bricks);
                put(&mut cells, share.at, &spread(place.level, &coarse, share));
            }
            None => {}
        }
    }
    if painted.channels == 4 {
        painted.cells = flat(&cells);
    }
    painted
}

/// Cells of level 3 as those of a finer level.
fn spread(level: u32, coarse: &[Cell], share: &Share<'_>) -> Vec<Cell> {
    let shift = 2 * (LEAF_LEVEL - level);
    let count = (share.to - share.from).div_ceil(1 << (2 * level));
    (0..count)
        .map(|i| usize::try_from(i >> shift).ok().and_then(|i| coarse.get(i)).copied())
        .map(Option::unwrap_or_default)
        .collect()
}

/// Cells of level 1 or 2: shares of their own bytes, entropy of the leaf around them.
fn fine(level: u32, bytes: &[u8]) -> Vec<Cell> {
    let mut around = vec![];
    leaves(bytes, &mut around);
    let size = 1_usize << (2 * level);
    let per_leaf = 1_usize << (2 * (LEAF_LEVEL - level));
    let share = |chunk: &[u8], is: fn(u8) -> bool| {
        let count = chunk.iter().filter(|byte| is(**byte)).count();
        u8::try_from((count * 255 + chunk.len() / 2) / chunk.len()).unwrap_or(u8::MAX)
    };
    bytes
        .chunks(size)
        .enumerate()
        .map(|(i, chunk)| {
            let entropy = around.get(i / per_leaf).map_or(0, |cell| cell[0]);
            [
                entropy,
                share(chunk, |byte| byte == 0),
                share(chunk, is_printable),
                share(chunk, |byte| byte > 127),
            ]
        })
        .collect()
}
