//! One artifact in full: what its brick says, its bytes, its generations.
//!
//! Knows: bricks, the fields of API.md. Must never know: HTTP, the layout.
//! Keeps: answers are bounded; bytes come with where they are from and whether they still agree.

use super::bricks::{BrickError, Bricks, Content, ReadFile};
use super::memory;
use super::views::text;
use crate::facts::record;
use foundry_brick::{Brick, FactValue, Kind, Payload};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most bytes of content in one answer.
pub(super) const MOST_BYTES: u64 = 1 << 16;
/// Most generations that are listed.
const MOST_GENERATIONS: usize = 500;

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Fact {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
}

#[derive(Debug, Serialize)]
struct Generation {
    number: u64,
    at_ns: i64,
    size: u64,
    changed_tiles: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct About {
    path: String,
    size: u64,
    blake3: Option<String>,
    generation: u64,
    epoch: String,
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime_ns: String,
    payload: &'static str,
    facts: BTreeMap<String, Fact>,
    annotation: Option<String>,
    generations: Vec<Generation>,
    /// Only where something could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fact(value: FactValue) -> Fact {
    match value {
        FactValue::Text(value) => Fact::Text(value),
        FactValue::Number(value) => Fact::Number(value),
        FactValue::Flag(value) => Fact::Flag(value),
        FactValue::List(value) => Fact::List(value),
    }
}

pub(super) fn about(bricks: &Bricks, path: &[u8]) -> Result<About, BrickError> {
    let brick = bricks.open(path, None)?;
    let meta = brick.meta();
    let (facts, problem) = match record::of(&brick) {
        Ok(facts) => (facts, None),
        Err(error) => (BTreeMap::new(), Some(error.to_string())),
    };
    let generations = brick.generations().into_iter().take(MOST_GENERATIONS);
    Ok(About {
        path: text(path),
        size: meta.size,
        blake3: brick.blake3().map(|hash| hex(&hash)),
        generation: brick.generation(),
        epoch: hex(&brick.epoch()),
        mode: meta.mode,
        uid: meta.uid,
        gid: meta.gid,
        nlink: meta.nlink,
        mtime_ns: meta.mtime_ns.to_string(),
        payload: match meta.payload {
            Payload::Reference => "reference",
            Payload::Embedded => "embedded",
        },
        facts: facts.into_iter().map(|(name, value)| (name, fact(value))).collect(),
        annotation: brick.annotation().ok().flatten().map(|note| text(&note)),
        generations: generations
            .map(|g| Generation {
                number: g.number,
                at_ns: g.at_ns,
                size: g.size,
                changed_tiles: g.changed_tiles.first().copied().unwrap_or(0),
            })
            .collect(),
        problem,
    })
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RegionView {
    name: String,
    kind: String,
    start: u64,
    end: u64,
    address: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Regions {
    regions: Vec<RegionView>,
    total: usize,
}

/// Regions where the map has them: those of a process at its scale.
fn on_the_map(brick: &Brick<ReadFile>, regions: &mut [foundry_brick::Region]) {
    if brick.meta().kind == Kind::Process {
        for region in regions {
            (region.start, region.end) = memory::cells(&(region.start..region.end));
        }
    }
}

fn region_view(region: foundry_brick::Region) -> RegionView {
    let foundry_brick::Region { name, kind, start, end, address } = region;
    RegionView { name, kind, start, end, address }
}

/// Regions that meet `[from, to)`, the longest first where there are more than `limit`.
pub(super) fn regions(
    bricks: &Bricks,
    path: &[u8],
    (from, to): (u64, u64),
    limit: usize,
) -> Result<Regions, BrickError> {
    let brick = bricks.open(path, None)?;
    let source = |source| BrickError::Brick { path: bricks.file(path), source };
    let mut found = brick.regions().map_err(source)?;
    on_the_map(&brick, &mut found);
    found.retain(|region| region.start < to && region.end > from);
    let total = found.len();
    if total > limit {
        found.sort_by_key(|region| std::cmp::Reverse(region.end - region.start));
        found.truncate(limit);
        found.sort_by_key(|region| (region.start, std::cmp::Reverse(region.end)));
    }
    Ok(Regions { regions: found.into_iter().map(region_view).collect(), total })
}

/// The innermost region at a byte.
pub(super) fn region_at(bricks: &Bricks, path: &[u8], offset: u64) -> Option<RegionView> {
    let brick = bricks.open(path, None).ok()?;
    let mut regions = brick.regions().ok()?;
    on_the_map(&brick, &mut regions);
    regions
        .into_iter()
        .filter(|region| region.start <= offset && offset < region.end)
        .min_by_key(|region| region.end - region.start)
        .map(region_view)
}

#[derive(Debug, Serialize)]
struct WriterView {
    start: u64,
    end: u64,
    exe: String,
    comm: String,
    pid: u32,
    uid: u32,
    at_ns: String,
}

#[derive(Debug, Serialize)]
pub(super) struct WriterList {
    writers: Vec<WriterView>,
}

pub(super) fn writers(bricks: &Bricks, path: &[u8]) -> Result<WriterList, BrickError> {
    let brick = bricks.open(path, None)?;
    let source = |source| BrickError::Brick { path: bricks.file(path), source };
    let view = |(range, writer): (std::ops::Range<u64>, foundry_brick::Writer)| WriterView {
        start: range.start,
        end: range.end,
        exe: text(&writer.exe),
        comm: text(&writer.comm),
        pid: writer.pid,
        uid: writer.uid,
        at_ns: writer.at_ns.to_string(),
    };
    let found = brick.writers().map_err(source)?;
    Ok(WriterList { writers: found.into_iter().take(10_000).map(view).collect() })
}

#[derive(Debug, Serialize)]
pub(super) struct Diff {
    from: u64,
    to: u64,
    ranges: Vec<(u64, u64)>,
    bytes: u64,
}

/// What differs between two generations, as ranges of whole tiles.
pub(super) fn diff(bricks: &Bricks, path: &[u8], from: u64, to: u64) -> Result<Diff, BrickError> {
    let brick = bricks.open(path, Some(to.max(from)))?;
    let source = |source| BrickError::Brick { path: bricks.file(path), source };
    let size = brick.meta().size;
    let tile = super::summary::TILE_BYTES;
    let changed = brick.changed_since(from.min(to)).map_err(source)?;
    let ranges: Vec<(u64, u64)> = changed
        .into_iter()
        .map(|tiles| (tiles.start.saturating_mul(tile), tiles.end.saturating_mul(tile).min(size)))
        .collect();
    let bytes = ranges.iter().map(|(start, end)| end - start).sum();
    Ok(Diff { from, to, ranges, bytes })
}

/// Content as it is now.
#[derive(Debug)]
pub(super) struct Bytes {
    pub(super) bytes: Vec<u8>,
    pub(super) from_artifact: bool,
    /// The artifact does not agree with its brick there.
    pub(super) differs: bool,
}

pub(super) fn bytes(bricks: &Bricks, path: &[u8], at: u64, len: u64) -> Result<Bytes, BrickError> {
    let brick = bricks.open(path, None)?;
    let mut buf = vec![0; usize::try_from(len.min(MOST_BYTES)).unwrap_or(0)];
    match Content::open(brick.meta()) {
        Ok(content) => {
            let io = |source| BrickError::Io { path: text(path).into(), source };
            let n = content.read(at, &mut buf).map_err(io)?;
            buf.truncate(n);
            let differs = disagrees(&brick, &content, at, n as u64);
            Ok(Bytes { bytes: buf, from_artifact: true, differs })
        }
        Err(gone) => {
            let n = brick.read_payload(at, &mut buf);
            // Where the brick has no bytes either, why the artifact has none is what matters.
            let n = n.map_err(|_| BrickError::Io { path: text(path).into(), source: gone })?;
            buf.truncate(n);
            Ok(Bytes { bytes: buf, from_artifact: false, differs: false })
        }
    }
}

/// Whether the tiles around `[at, at + len)` hash to something else than the brick says.
fn disagrees(brick: &Brick<ReadFile>, content: &Content, at: u64, len: u64) -> bool {
    let size = brick.meta().size;
    if len == 0 {
        return at < size;
    }
    let tile_bytes = super::summary::TILE_BYTES;
    (at / tile_bytes..=(at + len - 1) / tile_bytes).any(|tile| {
        let have = foundry_brick::geometry::tile_len(size, tile);
        let mut buf = vec![0; usize::try_from(have).unwrap_or(0)];
        match (content.read(tile * tile_bytes, &mut buf), brick.tile_hash(tile)) {
            (Ok(n), Ok(Some(hash))) if n == buf.len() => {
                let (chaining, root) = foundry_brick::hash::tile(tile, &buf);
                let single = size <= tile_bytes;
                chaining != hash && !(single && root.is_some_and(|root| root == hash))
            }
            (Ok(n), Ok(None)) => n < buf.len(),
            _ => true,
        }
    })
}
