//! What a store already has: the heads of its bricks, at start.
//!
//! Knows: headers of bricks. Must never know: whether they are still true.
//! Keeps: what is not a brick of the artifact it is filed under is removed; it is folded again.

use super::{FileStorage, Store, brick_path, bricks};
use crate::artifact::FileIdentity;
use crate::directory::Face;
use crate::event::UnixNs;
use crate::pipeline::input::{BrickHead, FoldedState};
use foundry_brick::{Brick, Kind, Meta};
use std::io;
use std::path::{Path, PathBuf};

/// Threads that read heads. Heads are small and apart: this is about waiting for the medium.
const READERS: usize = 4;

/// What was found.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Heads of the bricks of files and directories, by path.
    pub heads: Vec<BrickHead>,
    /// Files that were no valid bricks, and were removed.
    pub removed: u64,
}

impl Store {
    /// Reads the heads of all bricks of files and directories beneath `root` (or of the root itself).
    ///
    /// # Errors
    /// Where the store cannot be listed, or a broken brick cannot be removed.
    pub fn inventory(&self, root: &[u8]) -> io::Result<Inventory> {
        let all = bricks(&self.dir)?;
        let parts: Vec<&[PathBuf]> = all.chunks(all.len().div_ceil(READERS).max(1)).collect();
        let found = std::thread::scope(|scope| {
            let run = |part| scope.spawn(move || self.heads(part, root));
            let running: Vec<_> = parts.into_iter().map(run).collect();
            running.into_iter().map(join).collect::<io::Result<Vec<Inventory>>>()
        })?;
        let mut inventory = Inventory::default();
        for part in found {
            inventory.heads.extend(part.heads);
            inventory.removed += part.removed;
        }
        inventory.heads.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(inventory)
    }

    fn heads(&self, files: &[PathBuf], root: &[u8]) -> io::Result<Inventory> {
        let mut inventory = Inventory::default();
        for file in files {
            match self.head(file)? {
                Some((meta, at, face)) => {
                    if meta.kind != Kind::Process && beneath(&meta.path, root) {
                        inventory.heads.push(head(meta, at, face));
                    }
                }
                None => {
                    std::fs::remove_file(file)?;
                    inventory.removed += 1;
                }
            }
        }
        Ok(inventory)
    }

    /// What a brick says of itself; `None` where it is none, or lies where another one belongs.
    fn head(&self, file: &Path) -> io::Result<Option<(Meta, i64, Option<Face>)>> {
        let brick = match Brick::open(FileStorage::open_to_read(file)?) {
            Ok(brick) => brick,
            Err(foundry_brick::Error::Io(e)) if e.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(e);
            }
            // A later version's brick is somebody's work: leave it alone.
            Err(foundry_brick::Error::Version(_) | foundry_brick::Error::Features(_)) => {
                return Ok(Some((Meta { kind: Kind::Process, ..Meta::default() }, 0, None)));
            }
            Err(_) => return Ok(None),
        };
        let (meta, at) = (brick.meta().clone(), brick.at_ns());
        let filed = meta.kind == Kind::Process || brick_path(&self.dir, &meta.path) == file;
        let is_file = meta.kind == Kind::File && filed;
        let face = if is_file { Face::of_brick(&brick).ok() } else { None };
        // One whose cells cannot be read is none.
        let whole = !is_file || face.is_some();
        Ok((filed && whole).then_some((meta, at, face)))
    }
}

fn join(part: std::thread::ScopedJoinHandle<'_, io::Result<Inventory>>) -> io::Result<Inventory> {
    part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn beneath(path: &[u8], root: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(root) else { return false };
    root.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/")
}

fn head(meta: Meta, at_ns: i64, face: Option<Face>) -> BrickHead {
    let identity = FileIdentity {
        dev: meta.identity.dev,
        ino: meta.identity.ino,
        btime_ns: meta.identity.btime_ns,
    };
    let state = FoldedState {
        identity,
        size: meta.size,
        mtime_ns: meta.mtime_ns,
        ctime_ns: meta.ctime_ns,
        at: UnixNs(at_ns),
    };
    BrickHead { path: meta.path, state, face, directory: meta.kind == Kind::Directory }
}
