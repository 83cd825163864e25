//! Where the files of a store lie: what the store asks of a file system, and the real one.
//!
//! Knows: files, names, syncing. Must never know: what is in a file.
//! Keeps: everything that changes a store goes through here, so that a test can refuse any of it, or
//! forget what was not synced.

use super::{FileStorage, place};
use foundry_brick::storage::Storage;
use std::fmt::Debug;
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// One open file of a store.
pub trait BrickFile: Storage + Debug + Send {}

impl<T: Storage + Debug + Send> BrickFile for T {}

/// A file of a store, wherever it lies.
pub type Opened = Box<dyn BrickFile>;

/// The file system below a store.
pub trait Medium: Debug + Send + Sync {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// As the medium fails.
    fn open(&self, path: &Path) -> Result<Opened>;

    /// Makes a file that was not there, and the directory it lies in.
    ///
    /// # Errors
    /// As the medium fails.
    fn create(&self, path: &Path) -> Result<Opened>;

    /// Gives a file another name, whatever had it; makes the directory of that name.
    ///
    /// # Errors
    /// As the medium fails.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file. One that is not there is removed already.
    ///
    /// # Errors
    /// As the medium fails.
    fn remove(&self, path: &Path) -> Result<()>;

    /// The files of the store's bricks whose names end so, in one order.
    ///
    /// # Errors
    /// As the medium fails.
    fn files(&self, extension: &str) -> Result<Vec<PathBuf>>;

    /// Makes everything done so far durable.
    ///
    /// # Errors
    /// As the medium fails.
    fn sync(&self) -> Result<()>;
}

/// A directory of a real file system.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    handle: File,
}

impl Disk {
    /// The store at `dir`.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn new(dir: &Path) -> Result<Self> {
        Ok(Self { dir: dir.to_owned(), handle: File::open(dir)? })
    }
}

impl Medium for Disk {
    fn open(&self, path: &Path) -> Result<Opened> {
        Ok(Box::new(FileStorage::open(path)?))
    }

    fn create(&self, path: &Path) -> Result<Opened> {
        Ok(Box::new(with_parent(path, || FileStorage::create(path))?))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        with_parent(to, || std::fs::rename(from, to))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>> {
        place::files(&self.dir, extension)
    }

    fn sync(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(&self.handle)?)
    }
}

/// Tries again with the directory made, where there was none.
fn with_parent<T>(path: &Path, step: impl Fn() -> Result<T>) -> Result<T> {
    match step() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            step()
        }
        other => other,
    }
}
