//! From what was typed as BRICK to an open brick.
//!
//! Knows: `.brick` files, artifacts' names in a store. Must never know: what is done with the brick.
//! Keeps: a name means the same in every command.

use super::Store;
use super::mapped::MappedFile;
use crate::directory::WORLD;
use crate::error::CommandError;
use foundry_brick::Brick;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A brick that is only read.
pub(super) struct BrickFile {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// It.
    pub(super) brick: Brick<MappedFile>,
}

impl BrickFile {
    /// Opens what was typed: a `.brick` file, or an artifact of the store.
    pub(super) fn open(typed: &Path, store: &Store) -> Result<Self, CommandError> {
        Self::at(find(typed, store)?)
    }

    /// Opens the brick at `path`.
    pub(super) fn at(path: PathBuf) -> Result<Self, CommandError> {
        let mapped = MappedFile::open(&path)?;
        let brick = Brick::open(mapped).map_err(|e| CommandError::brick(&path, e))?;
        Ok(Self { path, brick })
    }

    /// Opens generation `number` of what was typed.
    pub(super) fn open_generation(
        typed: &Path,
        store: &Store,
        number: u64,
    ) -> Result<Self, CommandError> {
        let path = find(typed, store)?;
        let mapped = MappedFile::open(&path)?;
        let brick = Brick::open_generation(mapped, number);
        Ok(Self { brick: brick.map_err(|e| CommandError::brick(&path, e))?, path })
    }

    /// The artifact's path, as far as it has one.
    pub(super) fn artifact(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.brick.meta().path))
    }
}

/// The `.brick` file behind what was typed.
fn find(typed: &Path, store: &Store) -> Result<PathBuf, CommandError> {
    // With a store named, an artifact's name comes first: a watched tree may hold `.brick` files.
    if store.named.is_none() && looks_like_a_brick(typed) {
        return Ok(typed.to_owned());
    }
    let directory = store.path()?;
    for name in names(typed)? {
        let place = crate::store::brick_path(&directory, &name);
        if place.exists() {
            return Ok(place);
        }
    }
    if looks_like_a_brick(typed) {
        return Ok(typed.to_owned());
    }
    let what = if typed.is_file() {
        format!(
            "is not a .brick file, and the store {} holds no brick of it; \
             watch its directory, or fold it: foundry-user fold {} -o X.brick",
            directory.display(),
            typed.display()
        )
    } else {
        format!("there is no such file, and no brick of it in the store {}", directory.display())
    };
    Err(CommandError::Invalid { path: typed.to_owned(), what })
}

/// Whether the file at `path` starts like a brick.
fn looks_like_a_brick(path: &Path) -> bool {
    let mut magic = [0; 4];
    // A FIFO would wait for its writer.
    path.is_file()
        && std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok()
        && magic == *b"V2BR"
}

/// The names under which a store may know what was typed: as it is, and with links resolved.
fn names(typed: &Path) -> Result<Vec<Vec<u8>>, CommandError> {
    let bytes = typed.as_os_str().as_bytes();
    if bytes.starts_with(b"pid:") {
        return Ok(vec![bytes.to_vec()]);
    }
    if bytes == WORLD {
        return Ok(vec![bytes.to_vec()]);
    }
    let absolute = std::path::absolute(typed).map_err(|e| CommandError::io("find", typed, e))?;
    let mut names = vec![absolute.clone()];
    // The artifact may be gone while its brick is asked for; the directory above may be a link.
    if let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name())
        && let Ok(parent) = parent.canonicalize()
    {
        names.push(parent.join(name));
    }
    names.extend(absolute.canonicalize());
    Ok(names.into_iter().map(|n| n.into_os_string().into_encoded_bytes()).collect())
}
