//! Tiles of the world, put together from bricks.
//!
//! Knows: runs, cells, how API.md encodes a tile. Must never know: HTTP, clients.
//! Keeps: a plan is taken under the world's lock and carried out without it; what cannot be read is
//! shown as its summary, and says so.

mod cells;
mod spans;
#[cfg(test)]
pub(super) mod tests;

use super::bricks::Bricks;
use super::layout::{NodeId, Run};
use super::summary::Summary;
use super::world::{State, Whole, World};
use std::sync::Arc;

/// Cells of a tile, and the binary logarithm of four of that.
pub(super) const TILE_CELLS: usize = 1 << 16;
const TILE_SHIFT: u32 = 16;
/// The highest level that exists: one cell is the whole world.
pub(super) const MOST_LEVEL: u32 = 17;
/// Every run begins and ends at a multiple of 4^6, so up to here a cell has one owner.
const OWNED_LEVEL: u32 = 6;
/// Below this a tile is made of bytes.
const LEAF_LEVEL: u32 = 3;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) level: u32,
    pub(super) index: u64,
}

impl Place {
    /// A tile of the world, or `None` where there is no such tile.
    pub(super) fn new(level: u32, index: u64) -> Option<Self> {
        let shift = TILE_SHIFT + 2 * level;
        let exists = level <= MOST_LEVEL && index < super::layout::WORLD_END >> shift;
        exists.then_some(Self { level, index })
    }

    pub(super) fn start(self) -> u64 {
        self.index << (TILE_SHIFT + 2 * self.level)
    }

    pub(super) fn end(self) -> u64 {
        (self.index + 1) << (TILE_SHIFT + 2 * self.level)
    }

    const fn cell_shift(self) -> u32 {
        2 * self.level
    }
}

/// One leaf that a tile shows.
#[derive(Debug)]
struct Part {
    run: Run,
    summary: Option<Arc<Summary>>,
    /// Needed where the brick must be opened.
    path: Vec<u8>,
    state: State,
    gone: bool,
    generation: Option<u64>,
}

/// What a tile shows, taken at one moment.
#[derive(Debug)]
pub(super) struct Plan {
    place: Place,
    pub(super) seq: u64,
    /// Seq of the last change to anything in it.
    pub(super) touched: u64,
    parts: Vec<Part>,
    /// What is a directory's, along the curve.
    ground: Vec<Run>,
}

impl Plan {
    pub(super) fn new(world: &World, place: Place, at: Option<(NodeId, u64)>) -> Self {
        let mut touched = 0;
        let mut parts = vec![];
        let mut from = place.start();
        while let Some((id, node)) = world.layout.leaves(from, place.end()).next() {
            let Some(run) = node.run() else { break };
            // From far away a directory is one cell, and its own brick knows its colour: what is in it
            // need not be gone through.
            let far = at.is_none() && place.level > OWNED_LEVEL;
            if let Some(whole) = far.then(|| world.seen_afar(id, place.level)).flatten() {
                touched = touched.max(whole.touched);
                from = whole.run.end.max(run.end);
                parts.push(Part::directory(whole));
                continue;
            }
            from = run.end;
            touched = touched.max(world.touched(id));
            let summary = world.summary(id).filter(|_| !node.gone).cloned();
            let generation = at.filter(|(wanted, _)| *wanted == id).map(|(_, number)| number);
            let opens = summary.as_ref().is_some_and(|s| place.level < s.level);
            let path = if opens || generation.is_some() { world.layout.path(id) } else { vec![] };
            let state = world.state(id);
            parts.push(Part { run, summary, path, state, gone: node.gone, generation });
        }
        let ground = world.layout.ground();
        Self { place, seq: world.seq, touched, parts, ground }
    }

    /// The body of the answer.
    pub(super) fn compose(mut self, bricks: &Bricks) -> Vec<u8> {
        for part in &mut self.parts {
            part.go_back(bricks);
        }
        let mut spans = spans::Spans::new();
        for part in &self.parts {
            spans.part(self.place, part);
        }
        let painted = cells::paint(self.place, &self.parts, bricks, &mut spans);
        encode(&self, &painted, &spans.finish(self.place, &self.ground))
    }
}

impl Part {
    fn directory(whole: Whole) -> Self {
        let Whole { run, summary, .. } = whole;
        let (path, state) = (vec![], State::Folded);
        Self { run, summary: Some(Arc::new(summary)), path, state, gone: false, generation: None }
    }

    /// Takes the content from an earlier generation, where one was asked for.
    fn go_back(&mut self, bricks: &Bricks) {
        let Some(number) = self.generation else { return };
        let brick = bricks.open(&self.path, Some(number)).ok();
        // The table of writers is the world's; an earlier generation shows nobody.
        let mut nobody = super::summary::Writers::new();
        self.summary =
            brick.and_then(|brick| Summary::read(&brick, &mut nobody).ok()).map(|mut summary| {
                summary.writers =
                    vec![(summary.size, 0, super::summary::seconds(summary.mtime_ns))];
                Arc::new(summary)
            });
    }
}

/// A hash of everything before it ends the body: whatever keeps tiles on their way may mix them up.
const HASHED: u8 = 1 << 3;

/// A tag of what a tile shows. The seq it was composed at is left out: a tile that nothing changed in
/// is the same, whatever happened elsewhere and however often the daemon was started again.
pub(super) fn etag(body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    let content = body.len().saturating_sub(blake3::OUT_LEN);
    hasher.update(body.get(..16).unwrap_or_default());
    hasher.update(body.get(24..content).unwrap_or_default());
    format!("W/\"{}\"", &hasher.finalize().to_hex()[..32])
}

/// Cells as they are sent.
#[derive(Debug, Default)]
struct Painted {
    channels: u8,
    cells: Vec<u8>,
    summary: bool,
    differs: bool,
}

fn encode(plan: &Plan, painted: &Painted, spans: &[spans::Span]) -> Vec<u8> {
    let empty = painted.cells.is_empty();
    let mut out = Vec::with_capacity(64 + painted.cells.len() + 12 * spans.len());
    out.extend_from_slice(b"FTIL");
    let flags = u8::from(empty)
        | (u8::from(painted.summary) << 1)
        | (u8::from(painted.differs) << 2)
        | HASHED;
    let level = u8::try_from(plan.place.level).unwrap_or(u8::MAX);
    out.extend_from_slice(&[1, level, painted.channels.max(1), flags]);
    out.extend_from_slice(&plan.place.index.to_le_bytes());
    out.extend_from_slice(&plan.seq.to_le_bytes());
    out.extend_from_slice(&u32::try_from(spans.len()).unwrap_or(0).to_le_bytes());
    let cells = if empty { 0 } else { u32::try_from(TILE_CELLS).unwrap_or(0) };
    out.extend_from_slice(&cells.to_le_bytes());
    out.extend_from_slice(&painted.cells);
    for span in spans {
        out.extend_from_slice(&span.end.to_le_bytes());
        out.extend_from_slice(&[span.class, span.writer, span.flags, span.pages]);
        out.extend_from_slice(&span.at.to_le_bytes());
    }
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out
}
