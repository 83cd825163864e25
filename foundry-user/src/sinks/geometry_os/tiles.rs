//! The tiles on the disk: their names, their places, and the manifest.
//!
//! Knows: one directory, the export formats. Must never know: who is told.
//! Keeps: a tile's place outlives the bridge (it stands in the manifest); names are plain letters,
//! whatever the artifact is called.

use super::BrickPath;
use crate::wire_map::{from_json, to_json};
use foundry_brick::curve::d2xy;
use foundry_brick::export::{Blueprint, rts_png, v2br_v1};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Kind, Region};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Larger artifacts have no tile: a picture of one holds four bytes a pixel, a brick one.
const MOST_BYTES: u64 = 4 << 20;
/// Tiles of one map; a square of the curve.
const MOST_TILES: u64 = 1 << (2 * ORDER);
const ORDER: u32 = 6;
/// Longest part of a name that is the artifact's own.
const MOST_NAME: usize = 80;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    brick: String,
    timestamp: f64,
}

/// What a tile is made of.
struct Content {
    payload: Vec<u8>,
    executable: bool,
    regions: Vec<Region>,
}

/// Everything in one `systems/builder` directory that is ours.
pub(super) struct Tiles {
    queue: PathBuf,
    manifest: PathBuf,
    brick_path: BrickPath,
    entries: BTreeMap<String, Entry>,
    /// Place on the map by tile name.
    places: BTreeMap<String, (i64, i64)>,
    paths: BTreeSet<Vec<u8>>,
    next: u64,
    most: u64,
    /// Artifacts without a place when it was looked for last.
    left_out: BTreeSet<Vec<u8>>,
}

/// What one round of writing did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// New tiles, and where they lie.
    pub(super) tiles: Vec<(i64, i64, String)>,
    /// The first thing that could not be written.
    pub(super) failure: Option<String>,
}

impl Tiles {
    pub(super) fn open(dir: &Path, brick_path: BrickPath) -> io::Result<Self> {
        let (queue, map) = (dir.join("queue"), dir.join("map"));
        std::fs::create_dir_all(&queue)?;
        std::fs::create_dir_all(&map)?;
        let manifest = map.join("manifest.json");
        let entries = read(&manifest)?;
        let places = entries
            .iter()
            .filter_map(|(key, entry)| {
                let (x, y) = key.split_once(',')?;
                Some((entry.brick.clone(), (x.parse().ok()?, y.parse().ok()?)))
            })
            .collect();
        let (paths, left_out) = Default::default();
        let (next, most) = (0, MOST_TILES);
        Ok(Self { queue, manifest, brick_path, entries, places, paths, next, most, left_out })
    }

    /// How many artifacts the map has no place for.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.len()
    }

    /// Artifacts whose tile is older than their brick, of everything under `roots` and every tile.
    pub(super) fn stale(&self, roots: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
        let mut found = self.paths.clone();
        let mut dirs: Vec<PathBuf> =
            roots.iter().map(|root| PathBuf::from(std::ffi::OsStr::from_bytes(root))).collect();
        while let Some(dir) = dirs.pop() {
            // What cannot be listed has no bricks either.
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            for entry in entries.flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                    Ok(kind) if kind.is_file() => {
                        let path = entry.path().as_os_str().as_bytes().to_vec();
                        if self.is_stale(&path) {
                            found.insert(path);
                        }
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            if found.len() as u64 > self.most {
                break;
            }
        }
        found
    }

    fn is_stale(&self, path: &[u8]) -> bool {
        let brick = std::fs::metadata((self.brick_path)(path)).and_then(|meta| meta.modified());
        let Some(folded) = brick.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()) else {
            return false;
        };
        let place = self.places.get(&format!("{}.rts.png", tile_name(path)));
        let tile = place.and_then(|(x, y)| self.entries.get(&format!("{x},{y}")));
        tile.is_none_or(|tile| tile.timestamp <= folded.as_secs_f64())
    }

    /// Writes the tiles of artifacts that changed, and the manifest.
    pub(super) fn write(&mut self, changed: BTreeSet<Vec<u8>>, timestamp: f64) -> Written {
        let mut written = Written::default();
        let mut other = false;
        // Others may have put tiles of their own there meanwhile; what is half-written is left alone.
        if let Ok(entries) = read(&self.manifest) {
            self.entries = entries;
        }
        for path in changed {
            let name = tile_name(&path);
            let brick = format!("{name}.rts.png");
            // A picture costs more than all else here: none is made for which there is no place.
            if !self.has_place(&brick) {
                self.left_out.insert(path);
                continue;
            }
            self.left_out.remove(&path);
            let Some(content) = self.content(&path) else {
                other |= self.forget(&path, &name);
                continue;
            };
            match self.put(&name, &path, &content) {
                Ok(()) => {
                    let Some((x, y)) = self.place(&brick) else { continue };
                    let entry = Entry { brick: brick.clone(), timestamp };
                    self.entries.insert(format!("{x},{y}"), entry);
                    self.paths.insert(path);
                    written.tiles.push((x, y, brick));
                }
                Err(error) => written.failure = written.failure.or(Some(error)),
            }
        }
        if !written.tiles.is_empty() || other {
            // Where it cannot be written now, the next change tries again.
            if let Err(error) = replace(&self.manifest, &to_json(&self.entries)) {
                let why = format!("{}: {error}", self.manifest.display());
                written.failure = written.failure.or(Some(why));
            }
        }
        written
    }

    /// The artifact's bytes, where they are still those of its brick, and what the brick says of them.
    fn content(&self, path: &[u8]) -> Option<Content> {
        let brick = std::fs::read((self.brick_path)(path)).ok()?;
        let brick = Brick::open(MemStorage::from(brick)).ok()?;
        let meta = brick.meta();
        if meta.kind != Kind::File || meta.size > MOST_BYTES {
            return None;
        }
        let executable = meta.mode & 0o111 != 0;
        let regions = brick.regions().ok()?;
        let mut payload = vec![0; usize::try_from(meta.size).ok()?];
        if brick.read_payload(0, &mut payload).is_ok() {
            return Some(Content { payload, executable, regions });
        }
        let file = Path::new(std::ffi::OsStr::from_bytes(&meta.path));
        let stat = std::fs::symlink_metadata(file).ok()?;
        let same = (stat.dev(), stat.ino()) == (meta.identity.dev, meta.identity.ino);
        let payload = std::fs::read(file).ok().filter(|_| stat.is_file() && same)?;
        // A change that came meanwhile brings another update.
        let agrees = brick.blake3().is_none_or(|hash| *blake3::hash(&payload).as_bytes() == hash);
        agrees.then_some(Content { payload, executable, regions })
    }

    fn put(&self, name: &str, path: &[u8], content: &Content) -> Result<(), String> {
        let Content { payload, executable, regions } = content;
        let said = String::from_utf8_lossy(path);
        let blueprint = Blueprint { name: &said, executable: *executable, regions };
        let failed = |error: &dyn std::fmt::Display| format!("the tile of {said}: {error}");
        let brick = v2br_v1(payload, *executable).map_err(|error| failed(&error))?;
        let picture = rts_png(payload, Some(&blueprint)).map_err(|error| failed(&error))?;
        for (extension, bytes) in [("brick", brick), ("rts.png", picture)] {
            let file = self.queue.join(format!("{name}.{extension}"));
            replace(&file, &bytes).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn is_empty(&self, (x, y): (i64, i64)) -> bool {
        !self.entries.contains_key(&format!("{x},{y}"))
    }

    fn has_place(&self, brick: &str) -> bool {
        let is_free = || self.places.values().any(|place| self.is_empty(*place));
        self.next < self.most || self.places.contains_key(brick) || is_free()
    }

    /// Where a tile lies; a new one takes the next free place along the curve, and when there is none
    /// any more, that of one which is gone.
    fn place(&mut self, brick: &str) -> Option<(i64, i64)> {
        if let Some(place) = self.places.get(brick) {
            return Some(*place);
        }
        while self.next < self.most {
            let (x, y) = d2xy(ORDER, self.next);
            self.next += 1;
            let place = (i64::from(x), i64::from(y));
            let promised = self.places.values().any(|taken| *taken == place);
            if !promised && self.is_empty(place) {
                self.places.insert(brick.to_owned(), place);
                return Some(place);
            }
        }
        let (gone, place) = self.places.iter().find(|(_, place)| self.is_empty(**place))?;
        let (gone, place) = (gone.clone(), *place);
        self.places.remove(&gone);
        self.places.insert(brick.to_owned(), place);
        Some(place)
    }

    /// Takes a tile away. Its place stays empty, for the day its name comes back.
    fn forget(&mut self, path: &[u8], name: &str) -> bool {
        self.paths.remove(path);
        let Some((x, y)) = self.places.get(&format!("{name}.rts.png")) else { return false };
        for extension in ["brick", "rts.png"] {
            // It may never have been there.
            drop(std::fs::remove_file(self.queue.join(format!("{name}.{extension}"))));
        }
        self.entries.remove(&format!("{x},{y}")).is_some()
    }
}

/// A name that is safe in a path, an address and a manifest, and no other artifact's.
fn tile_name(path: &[u8]) -> String {
    let plain = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(*byte),
        _ => '_',
    };
    let all: String = path.iter().skip_while(|byte| **byte == b'/').map(plain).collect();
    let tail = &all[all.len().saturating_sub(MOST_NAME)..];
    format!("{tail}-{}", &blake3::hash(path).to_hex()[..8])
}

/// The manifest; empty where there is none.
fn read(manifest: &Path) -> io::Result<BTreeMap<String, Entry>> {
    let bytes = match std::fs::read(manifest) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let other = || io::Error::new(io::ErrorKind::InvalidData, "map/manifest.json is no manifest");
    from_json(&bytes).ok_or_else(other)
}

/// Puts a file in the place of another, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes)?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
pub(super) mod tests;
