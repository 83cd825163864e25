//! What the server keeps of each brick in memory, so that a tile of the whole world opens none.
//!
//! Knows: cells, classes, writers of one artifact. Must never know: where it lies on the map.
//! Keeps: at most a cell for 256 bytes of a small file and for a megabyte of a huge one.

use super::bricks::ReadFile;
use super::{classes, memory};
use foundry_brick::cells::{Cell, parents};
use foundry_brick::{Brick, Identity, Kind, Payload, Writer};
use std::collections::HashMap;

/// Most changes of the last writer that are kept of one artifact.
const MOST_WRITERS: usize = 4096;
/// Bytes in a tile of level 0.
pub(super) const TILE_BYTES: u64 = 1 << 16;

/// One folded artifact, in short.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) generation: u64,
    pub(super) size: u64,
    pub(super) kind: Kind,
    pub(super) payload: Payload,
    pub(super) identity: Identity,
    pub(super) mtime_ns: i64,
    pub(super) blake3: Option<[u8; 32]>,
    /// Level of `cells`.
    pub(super) level: u32,
    pub(super) cells: Vec<Cell>,
    /// End and class of each stretch.
    pub(super) classes: Vec<(u64, u8)>,
    /// End, writer and time (seconds since 1970) of each stretch.
    pub(super) writers: Vec<(u64, u8, u32)>,
    /// End and state of each stretch of pages; none but of a process.
    pub(super) pages: Vec<(u64, u8)>,
    /// What it is called, where that is not its path.
    pub(super) label: Option<String>,
}

/// The level that is kept of an artifact of `size` bytes.
const fn kept_level(size: u64) -> u32 {
    if size <= 1 << 16 {
        4
    } else if size <= 1 << 24 {
        6
    } else if size <= 1 << 30 {
        8
    } else {
        10
    }
}

/// Seconds since 1970, where they are known and fit.
pub(super) fn seconds(ns: i64) -> u32 {
    u32::try_from(ns / 1_000_000_000).unwrap_or(0)
}

impl Summary {
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub(super) fn read(
        brick: &Brick<ReadFile>,
        table: &mut Writers,
    ) -> Result<Self, foundry_brick::Error> {
        let meta = brick.meta();
        let level = kept_level(meta.size);
        let mut cells = vec![];
        if meta.size > 0 {
            brick.cells(level.min(top(brick)), 0..u64::MAX >> 1, &mut cells)?;
        }
        let level = level.min(top(brick));
        let (facts, parts) = (brick.facts()?, brick.parts()?);
        let process = parts.filter(|_| meta.kind == Kind::Process);
        let (classes, pages) = match &process {
            Some(parts) => memory::stretches(parts),
            None => (classes::classify(meta.size, &brick.regions()?, &facts), vec![]),
        };
        let mut summary = Self {
            generation: brick.generation(),
            size: meta.size,
            kind: meta.kind,
            payload: meta.payload,
            identity: meta.identity,
            mtime_ns: meta.mtime_ns,
            blake3: brick.blake3(),
            level,
            cells,
            classes,
            writers: vec![(meta.size, 0, seconds(meta.mtime_ns))],
            pages,
            label: process.and_then(|_| memory::label(&facts, meta.pid)),
        };
        for (range, writer) in brick.writers()?.into_iter().take(MOST_WRITERS) {
            let number = table.number(&writer);
            let at = seconds(writer.at_ns);
            summary.wrote(range.start, range.end, number, at);
        }
        Ok(summary)
    }

    /// Takes over what changed in `tiles`; false where the whole brick must be read instead.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub(super) fn refresh(
        &mut self,
        brick: &Brick<ReadFile>,
        tiles: &[u64],
    ) -> Result<bool, foundry_brick::Error> {
        let meta = brick.meta();
        if meta.size != self.size || self.level > 8 || tiles.len() > 1024 {
            return Ok(false);
        }
        let per_tile = TILE_BYTES >> (2 * self.level);
        for tile in tiles {
            let first = tile * per_tile;
            let mut fresh = vec![];
            brick.cells(self.level, first..first + per_tile, &mut fresh)?;
            let at = usize::try_from(first).unwrap_or(usize::MAX);
            match self.cells.get_mut(at..at.saturating_add(fresh.len())) {
                Some(place) => place.copy_from_slice(&fresh),
                None => return Ok(false),
            }
        }
        self.generation = brick.generation();
        self.identity = meta.identity;
        self.mtime_ns = meta.mtime_ns;
        self.blake3 = brick.blake3();
        Ok(true)
    }

    /// Notes who changed `[start, end)`, over what was known.
    pub(super) fn wrote(&mut self, start: u64, end: u64, writer: u8, at: u32) {
        let end = end.min(self.size);
        if start >= end {
            return;
        }
        let mut out: Vec<(u64, u8, u32)> = Vec::with_capacity(self.writers.len() + 2);
        let mut push = |end: u64, writer: u8, at: u32| match out.last_mut() {
            Some(last) if (last.1, last.2) == (writer, at) => last.0 = end,
            _ => out.push((end, writer, at)),
        };
        let mut from = 0;
        for (until, old, old_at) in &self.writers {
            if from < start {
                push((*until).min(start), *old, *old_at);
            }
            if from < end && *until >= end {
                push(end, writer, at);
            }
            if *until > end {
                push(*until, *old, *old_at);
            }
            from = *until;
        }
        if out.len() <= MOST_WRITERS {
            self.writers = out;
        }
    }

    /// When any byte changed last, in seconds since 1970.
    pub(super) fn changed_at(&self) -> u32 {
        self.writers.iter().map(|(_, _, at)| *at).max().unwrap_or(0)
    }

    /// The cells `first..` of `level`, at least the kept one, as many as `count`.
    pub(super) fn cells_at(&self, level: u32, first: u64, count: u64) -> Vec<Cell> {
        let shift = 2 * level.saturating_sub(self.level);
        let clip = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.cells.len());
        let from = clip(first.checked_shl(shift).unwrap_or(u64::MAX));
        let until = clip((first + count).checked_shl(shift).unwrap_or(u64::MAX));
        let mut cells = self.cells[from..until.max(from)].to_vec();
        for _ in self.level..level {
            let mut up = Vec::with_capacity(cells.len().div_ceil(4));
            parents(&cells, &mut up);
            cells = up;
        }
        cells
    }
}

/// The level at which a brick has one cell.
fn top(brick: &Brick<ReadFile>) -> u32 {
    foundry_brick::geometry::top_level(brick.meta().size)
}

/// Who writes, numbered as tiles name them.
#[derive(Clone, Debug)]
pub(super) struct Writers {
    names: Vec<String>,
    numbers: HashMap<Vec<u8>, u8>,
}

impl Writers {
    pub(super) fn new() -> Self {
        Self { names: vec![String::new()], numbers: HashMap::new() }
    }

    /// By number; 0 is nobody known.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn number(&mut self, writer: &Writer) -> u8 {
        let name = if writer.exe.is_empty() { &writer.comm } else { &writer.exe };
        self.by_name(name)
    }

    /// The number of a program; 255 where there are too many.
    pub(super) fn by_name(&mut self, name: &[u8]) -> u8 {
        if name.is_empty() {
            return 0;
        }
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u8::try_from(self.names.len()).unwrap_or(u8::MAX);
        if number < u8::MAX {
            self.names.push(String::from_utf8_lossy(name).into_owned());
            self.numbers.insert(name.to_vec(), number);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(size: u64) -> Summary {
        Summary {
            generation: 1,
            size,
            kind: Kind::File,
            payload: Payload::Reference,
            identity: Identity::default(),
            mtime_ns: 0,
            blake3: None,
            level: 4,
            cells: (0..size.div_ceil(256)).map(|i| [u8::try_from(i % 256).unwrap(); 4]).collect(),
            classes: vec![(size, 2)],
            writers: vec![(size, 0, 1)],
            pages: vec![],
            label: None,
        }
    }

    #[test]
    fn later_writers_lie_over_earlier_ones() {
        let mut s = summary(1000);
        s.wrote(100, 200, 1, 5);
        s.wrote(150, 400, 2, 6);
        s.wrote(900, 5000, 1, 7);
        assert_eq!(s.writers, [(100, 0, 1), (150, 1, 5), (400, 2, 6), (900, 0, 1), (1000, 1, 7)]);
        assert_eq!(s.changed_at(), 7);
    }

    #[test]
    fn every_byte_keeps_the_writer_that_came_last() {
        let mut s = summary(64);
        let mut plain = [0_u8; 64];
        let mut seed = 12345_u32;
        let mut next = |n: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % n
        };
        for round in 1..200_u32 {
            let (a, b) = (next(64), next(70));
            let who = u8::try_from(round % 200).unwrap();
            s.wrote(u64::from(a), u64::from(b), who, 9);
            for byte in a..b.min(64) {
                plain[byte as usize] = who;
            }
            let mut at = 0;
            for (end, who, _) in &s.writers {
                assert!(*end > at);
                for byte in at..*end {
                    assert_eq!(plain[usize::try_from(byte).unwrap()], *who, "round {round}");
                }
                at = *end;
            }
            assert_eq!(at, 64);
        }
    }

    #[test]
    fn higher_cells_are_means() {
        let s = summary(65_536);
        assert_eq!(s.cells_at(4, 2, 2), [[2; 4], [3; 4]]);
        assert_eq!(s.cells_at(5, 0, 2), [[2; 4], [6; 4]]);
        assert_eq!(s.cells_at(20, 0, 9).len(), 1);
        assert_eq!(s.cells_at(4, 1000, 5).len(), 0);
    }
}
