//! The map as plain files: what any web server shows, without a daemon.
//!
//! Every answer of API.md that a page needs is a file at the same path; tiles are cut beforehand, so
//! a server needs no ranges. The bricks lie beside them, for readers that have ranges.
//!
//! Knows: bricks, where they lie (it is told), the page. Must never know: HTTP, the store.
//! Keeps: the directory appears whole, or stays what it was; places are those of the live map.

use super::bricks::{BrickPath, Bricks};
use super::compose::{Place, Plan};
use super::layout::{Layout, NodeId, NodeKind};
use super::summary::Summary;
use super::views::{ListView, WorldView};
use super::world::World;
use super::{artifacts, assets, guard, search};
use crate::wire_map::to_json;
use foundry_brick::Kind;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Most regions of one artifact.
const MOST_REGIONS: usize = 6000;

/// What is to be published.
#[derive(Clone)]
pub struct PublishConfig {
    /// The bricks.
    pub bricks: Vec<PathBuf>,
    /// Where the brick of a path lies.
    pub brick_path: BrickPath,
    /// The layout of the live map, where there is one.
    pub saved: PathBuf,
    /// Where the files go: a directory that is not there, is empty, or was made by this.
    pub out: PathBuf,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Artifacts on the map.
    pub artifacts: u64,
    /// Bricks that are not on it: not valid, or not of a file.
    pub left_out: u64,
    /// Tiles.
    pub tiles: u64,
    /// Bytes of everything.
    pub bytes: u64,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Something else is there.
    #[error("{}: is there already and holds something else; give a directory of its own", .0.display())]
    Occupied(PathBuf),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Writes the map; `step` hears how many of how many pieces are done.
///
/// # Errors
/// Where `out` is something else, or cannot be written.
pub fn publish(
    config: &PublishConfig,
    step: &mut dyn FnMut(u64, u64),
) -> Result<Published, PublishError> {
    let io = |source| PublishError::Io { path: config.out.clone(), source };
    if !is_ours(&config.out).map_err(io)? {
        return Err(PublishError::Occupied(config.out.clone()));
    }
    // Beside it, so that it can be put in its place in one step.
    let name = format!(".publish-{}", std::process::id());
    let work = config.out.with_file_name(name);
    std::fs::create_dir(&work).map_err(io)?;
    let written = write(config, &work, step);
    let put = written.and_then(|published| {
        exchange(&work, &config.out).map_err(io)?;
        Ok(published)
    });
    let cleared = std::fs::remove_dir_all(&work);
    let published = put?;
    cleared.map_err(|source| PublishError::Io { path: work, source })?;
    Ok(published)
}

fn write(
    config: &PublishConfig,
    work: &Path,
    step: &mut dyn FnMut(u64, u64),
) -> Result<Published, PublishError> {
    let mut site = Site::new(work.join("map"), config);
    site.page()?;
    site.artifacts(step)?;
    site.tiles(step)?;
    site.overview()?;
    Ok(site.published)
}

/// Puts the fresh map into its place, and what was there into `work`.
fn exchange(work: &Path, out: &Path) -> io::Result<()> {
    match std::fs::rename(out, work.join("old")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::rename(work.join("map"), out)
}

/// Whether a directory may be replaced: absent, empty, or an earlier map.
fn is_ours(out: &Path) -> io::Result<bool> {
    match std::fs::read_dir(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(mut entries) => Ok(entries.next().is_none() || out.join("api/v1/world").is_file()),
    }
}

#[derive(Serialize)]
struct Index {
    hits: Vec<search::Hit>,
}

/// A map that is being written.
struct Site {
    dir: PathBuf,
    world: World,
    bricks: Bricks,
    files: Vec<(NodeId, Vec<u8>)>,
    published: Published,
}

impl Site {
    fn new(dir: PathBuf, config: &PublishConfig) -> Self {
        let saved = std::fs::read(&config.saved).ok();
        let layout =
            saved.and_then(|bytes| Layout::restore(&bytes).ok()).unwrap_or_else(Layout::new);
        let epoch = u64::try_from(crate::clock::wall().0 / 1000).unwrap_or(1);
        let mut world = World::new(epoch, layout);
        world.scanning = false;
        let bricks = Bricks::new(config.brick_path.clone());
        let mut site = Self { dir, world, bricks, files: vec![], published: Published::default() };
        for file in &config.bricks {
            match site.take(file) {
                Some(leaf) => site.files.push(leaf),
                None => site.published.left_out += 1,
            }
        }
        site.published.artifacts = site.files.len() as u64;
        site
    }

    fn take(&mut self, file: &Path) -> Option<(NodeId, Vec<u8>)> {
        let brick = Bricks::open_file(file.to_owned(), None).ok()?;
        let path = brick.meta().path.clone();
        // Memory is private: what may be seen of a process is for the live map and its key.
        if brick.meta().kind != Kind::File || self.bricks.file(&path) != file {
            return None;
        }
        let summary = Summary::read(&brick, &mut self.world.writers).ok()?;
        let (id, _) = self.world.fold(&path, summary, None);
        Some((id, path))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), PublishError> {
        let path = self.dir.join(path);
        let io = |source| PublishError::Io { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        std::fs::write(&path, bytes).map_err(io)?;
        self.published.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The page itself, with the policy that the server would send.
    fn page(&mut self) -> Result<(), PublishError> {
        for (path, bytes) in assets::files() {
            if path == "index.html" {
                let html = String::from_utf8_lossy(bytes);
                let head = format!(
                    "<head>\n    <meta http-equiv=\"Content-Security-Policy\" content=\"{}\" />",
                    guard::page_policy()
                );
                self.write(path, html.replacen("<head>", &head, 1).as_bytes())?;
            } else {
                self.write(path, bytes)?;
            }
        }
        Ok(())
    }

    fn artifacts(&mut self, step: &mut dyn FnMut(u64, u64)) -> Result<(), PublishError> {
        let files = std::mem::take(&mut self.files);
        for (n, (id, path)) in (0_u64..).zip(&files) {
            step(n, files.len() as u64);
            let at = |what: &str| format!("api/v1/artifacts/{id}/{what}");
            // A brick that is gone by now leaves a place without facts, which the page says.
            if let Ok(about) = artifacts::about(&self.bricks, path) {
                self.write(&at("about"), &to_json(&about))?;
            }
            if let Ok(regions) = artifacts::regions(&self.bricks, path, (0, u64::MAX), MOST_REGIONS)
            {
                self.write(&at("regions"), &to_json(&regions))?;
            }
            if let Ok(writers) = artifacts::writers(&self.bricks, path) {
                self.write(&at("writers"), &to_json(&writers))?;
            }
            let brick = self.dir.join(at("brick"));
            if let Ok(bytes) = std::fs::copy(self.bricks.file(path), &brick) {
                self.published.bytes += bytes;
            }
        }
        self.files = files;
        Ok(())
    }

    fn tiles(&mut self, step: &mut dyn FnMut(u64, u64)) -> Result<(), PublishError> {
        let mut places = BTreeSet::new();
        for level in 0..=self.world.top_level() {
            let shift = 16 + 2 * level;
            for run in self.files.iter().filter_map(|(id, _)| self.world.layout.node(*id)?.run()) {
                places.extend((run.start >> shift..=(run.end - 1) >> shift).map(|i| (level, i)));
            }
        }
        for (n, (level, index)) in (0_u64..).zip(&places) {
            step(n, places.len() as u64);
            let Some(place) = Place::new(*level, *index) else { continue };
            let body = Plan::new(&self.world, place, None).compose(&self.bricks);
            self.write(&format!("api/v1/tiles/{level}/{index}"), &body)?;
            self.published.tiles += 1;
        }
        Ok(())
    }

    /// The world, its directories, and what a search looks through.
    fn overview(&mut self) -> Result<(), PublishError> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let roots: Vec<Vec<u8>> = vec![];
        let world = to_json(&WorldView::new(&self.world, host.trim(), &roots, false));
        self.write("api/v1/world", &world)?;
        let directories: Vec<NodeId> = (0_u32..)
            .map_while(|id| Some((id, self.world.layout.node(id)?)))
            .filter(|(_, node)| node.kind == NodeKind::Directory && !node.gone)
            .map(|(id, _)| id)
            .collect();
        for id in directories {
            if let Some(list) = ListView::new(&self.world, id, None, usize::MAX) {
                self.write(&format!("api/v1/nodes/{id}"), &to_json(&list))?;
            }
        }
        let hits = search::everything(&self.world, &self.bricks);
        self.write("api/v1/index", &to_json(&Index { hits }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::compose::tests::{brick_of, fold};
    use super::*;
    use std::sync::Arc;

    fn config(dir: &Path) -> PublishConfig {
        let root = dir.to_path_buf();
        PublishConfig {
            bricks: vec![],
            brick_path: Arc::new(move |path: &[u8]| brick_of(&root, path)),
            saved: dir.join("map.layout"),
            out: dir.join("site"),
        }
    }

    fn folded(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, content).unwrap();
        let brick = brick_of(dir, path.to_str().unwrap().as_bytes());
        fold(&path, content, &brick);
        brick
    }

    #[test]
    fn every_file_that_a_page_asks_for_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.bricks = vec![
            folded(dir.path(), "a", &[b'a'; 70_000]),
            folded(dir.path(), "<img onerror=1>", b"hostile"),
            dir.path().join("not there.brick"),
        ];
        let published = publish(&config, &mut |_, _| {}).unwrap();
        assert_eq!((published.artifacts, published.left_out), (2, 1));
        let read = |path: &str| std::fs::read(config.out.join(path)).unwrap();
        let world = String::from_utf8(read("api/v1/world")).unwrap();
        assert!(world.contains("\"live\":false") && world.contains("\"folded\":2"), "{world}");
        let html = String::from_utf8(read("index.html")).unwrap();
        assert!(html.contains("Content-Security-Policy") && html.contains("assets/"), "{html}");
        let index = String::from_utf8(read("api/v1/index")).unwrap();
        assert!(index.contains("<img onerror=1>"), "{index}");
        assert!(read("api/v1/tiles/0/0").starts_with(b"FTIL\x01\x00\x01"));
        let dirs = std::fs::read_dir(config.out.join("api/v1/artifacts")).unwrap();
        for artifact in dirs {
            let artifact = artifact.unwrap().path();
            assert!(std::fs::read(artifact.join("brick")).unwrap().starts_with(b"V2BR"));
            assert!(artifact.join("about").is_file() && artifact.join("writers").is_file());
        }
        // Once more, over the first; but never over what somebody else keeps there.
        assert_eq!(publish(&config, &mut |_, _| {}).unwrap().artifacts, 2);
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap()).collect();
        assert!(left.iter().all(|e| !e.file_name().to_string_lossy().starts_with(".publish")));
        let other = dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("precious"), "x").unwrap();
        config.out = other.clone();
        assert!(matches!(publish(&config, &mut |_, _| {}), Err(PublishError::Occupied(_))));
        assert!(other.join("precious").is_file());
    }
}
