//! What a store already has: the heads of its bricks, at start.
//!
//! Knows: headers of bricks. Must never know: whether they are still true.
//! Keeps: what it tells of is durable; a brick that was on its way to another path when the writer was
//! interrupted arrives there; what is no brick of the artifact it is filed under is removed, and folded
//! again.

use super::place::BRICK;
use super::{Store, brick_path};
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
    /// Bricks that say another path than where they lie, with what they say.
    misfiled: Vec<(PathBuf, Said)>,
}

/// What a brick says of itself.
#[derive(Debug)]
struct Said {
    meta: Meta,
    at_ns: i64,
    face: Option<Face>,
}

impl Store {
    /// Reads the heads of all bricks of files and directories beneath `root` (or of the root itself).
    ///
    /// # Errors
    /// Where the store cannot be listed or synced, or a broken brick cannot be removed.
    pub fn inventory(&self, root: &[u8]) -> io::Result<Inventory> {
        let all = self.medium.files(BRICK)?;
        if !all.is_empty() {
            // A writer that was killed has left bytes that no promise covers; from now on one does.
            self.medium.sync()?;
        }
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
            inventory.misfiled.extend(part.misfiled);
        }
        self.file_again(&mut inventory, root)?;
        inventory.heads.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(inventory)
    }

    fn heads(&self, files: &[PathBuf], root: &[u8]) -> io::Result<Inventory> {
        let mut inventory = Inventory::default();
        for file in files {
            let said = match self.head(file) {
                // Where several roots are watched, the others' bricks come and go by now.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                said => said?,
            };
            match said {
                Some(said) if said.meta.kind == Kind::Process => {}
                Some(said) if brick_path(&self.dir, &said.meta.path) != *file => {
                    inventory.misfiled.push((file.clone(), said));
                }
                Some(said) => {
                    if beneath(&said.meta.path, root) {
                        inventory.heads.push(said.head());
                    }
                }
                None => {
                    self.medium.remove(file)?;
                    inventory.removed += 1;
                }
            }
        }
        Ok(inventory)
    }

    /// Ends renames that were interrupted: the brick goes where it says, unless one is there.
    fn file_again(&self, inventory: &mut Inventory, root: &[u8]) -> io::Result<()> {
        for (file, said) in std::mem::take(&mut inventory.misfiled) {
            let place = brick_path(&self.dir, &said.meta.path);
            match self.medium.open(&place) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.medium.rename(&file, &place)?;
                    if beneath(&said.meta.path, root) {
                        inventory.heads.push(said.head());
                    }
                }
                Err(e) => return Err(e),
                Ok(_) => {
                    self.medium.remove(&file)?;
                    inventory.removed += 1;
                }
            }
        }
        Ok(())
    }

    /// What a brick says of itself; `None` where it is none.
    fn head(&self, file: &Path) -> io::Result<Option<Said>> {
        let brick = match Brick::open(self.medium.open(file)?) {
            Ok(brick) => brick,
            Err(foundry_brick::Error::Io(e)) if e.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(e);
            }
            // A later version's brick is somebody's work: leave it alone.
            Err(foundry_brick::Error::Version(_) | foundry_brick::Error::Features(_)) => {
                let meta = Meta { kind: Kind::Process, ..Meta::default() };
                return Ok(Some(Said { meta, at_ns: 0, face: None }));
            }
            Err(_) => return Ok(None),
        };
        let (meta, at_ns) = (brick.meta().clone(), brick.at_ns());
        let is_file = meta.kind == Kind::File;
        let face = match is_file.then(|| Face::of_brick(&brick)).transpose() {
            Err(foundry_brick::Error::Io(e)) if e.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(e);
            }
            // One whose cells are broken is none.
            face => face.unwrap_or(None),
        };
        let whole = !is_file || face.is_some();
        Ok(whole.then_some(Said { meta, at_ns, face }))
    }
}

fn join(part: std::thread::ScopedJoinHandle<'_, io::Result<Inventory>>) -> io::Result<Inventory> {
    part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn beneath(path: &[u8], root: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(root) else { return false };
    root.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/")
}

impl Said {
    fn head(self) -> BrickHead {
        let Self { meta, at_ns, face } = self;
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
}
