//! A medium in memory that notes what was done to it, and refuses the n-th thing that is asked.

use super::super::medium::{Medium, Opened};
use foundry_brick::storage::{MemStorage, Storage};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What was done, in order.
#[derive(Clone, Debug)]
pub(super) enum Done {
    Create { path: PathBuf, file: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    Write { file: u64, at: u64, bytes: Vec<u8> },
    SetLen { file: u64, len: u64 },
    SyncFile { file: u64 },
    Sync,
}

/// Names, and what they lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) files: BTreeMap<u64, MemStorage>,
}

impl Image {
    pub(super) fn apply(&mut self, done: &Done) {
        match done {
            Done::Create { path, file } => {
                self.names.insert(path.clone(), *file);
            }
            Done::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Done::Remove { path } => {
                self.names.remove(path);
            }
            Done::Write { file, at, bytes } => {
                self.files.entry(*file).or_default().write_at(*at, bytes).unwrap();
            }
            Done::SetLen { file, len } => {
                self.files.entry(*file).or_default().set_len(*len).unwrap();
            }
            Done::SyncFile { .. } | Done::Sync => {}
        }
    }
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    log: Vec<Done>,
    next: u64,
    /// Things asked for so far.
    asked: u64,
    /// The one to refuse.
    refuse: Option<u64>,
    refused: Option<&'static str>,
}

/// The medium. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

impl Memory {
    /// A medium that holds what a crash left.
    pub(super) fn holding(image: Image) -> Self {
        let next = image.files.keys().chain(image.names.values()).max().map_or(0, |n| n + 1);
        Self(Arc::new(Mutex::new(State { image, next, ..State::default() })))
    }

    /// From now on, the `n`-th thing asked for is refused.
    pub(super) fn refuse(&self, n: Option<u64>) {
        let mut state = self.state();
        state.asked = 0;
        state.refuse = n;
        state.refused = None;
    }

    /// What was refused, if it came to that.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.state().refused
    }

    pub(super) fn asked(&self) -> u64 {
        self.state().asked
    }

    pub(super) fn log(&self) -> Vec<Done> {
        self.state().log.clone()
    }

    pub(super) fn log_len(&self) -> usize {
        self.state().log.len()
    }

    pub(super) fn image(&self) -> Image {
        self.state().image.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts, and fails where it is this one's turn.
    fn ask(&self, what: &'static str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.asked += 1;
        if state.refuse == Some(state.asked) {
            state.refused = Some(what);
            return Err(Error::from_raw_os_error(libc::EIO));
        }
        Ok(state)
    }

    fn file(&self, file: u64) -> Opened {
        Box::new(MemoryFile { medium: self.clone(), file })
    }
}

impl State {
    fn act(&mut self, done: Done) {
        self.image.apply(&done);
        self.log.push(done);
    }
}

impl Medium for Memory {
    fn open(&self, path: &Path) -> Result<Opened> {
        let file = self.ask("open")?.image.names.get(path).copied();
        Ok(self.file(file.ok_or(ErrorKind::NotFound)?))
    }

    fn create(&self, path: &Path) -> Result<Opened> {
        let mut state = self.ask("create")?;
        if state.image.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.next;
        state.next += 1;
        state.act(Done::Create { path: path.to_owned(), file });
        drop(state);
        Ok(self.file(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.ask("rename")?;
        if !state.image.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.act(Done::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut state = self.ask("remove")?;
        if state.image.names.contains_key(path) {
            state.act(Done::Remove { path: path.to_owned() });
        }
        Ok(())
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>> {
        let state = self.ask("list")?;
        let ends = |path: &&PathBuf| path.extension().is_some_and(|e| e == extension);
        Ok(state.image.names.keys().filter(ends).cloned().collect())
    }

    fn sync(&self) -> Result<()> {
        self.ask("syncfs")?.act(Done::Sync);
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryFile {
    medium: Memory,
    file: u64,
}

impl Storage for MemoryFile {
    fn len(&self) -> Result<u64> {
        let state = self.medium.ask("stat")?;
        state.image.files.get(&self.file).map_or(Ok(0), Storage::len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let state = self.medium.ask("read")?;
        let file = state.image.files.get(&self.file);
        file.map_or(Err(ErrorKind::UnexpectedEof.into()), |file| file.read_at(offset, buf))
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file;
        match self.medium.ask("write") {
            Ok(mut state) => state.act(Done::Write { file, at, bytes: bytes.to_vec() }),
            Err(error) => {
                // A write that fails may have got half of it done.
                let bytes = bytes[..bytes.len() / 2].to_vec();
                self.medium.state().act(Done::Write { file, at, bytes });
                return Err(error);
            }
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> Result<()> {
        self.medium.ask("set_len")?.act(Done::SetLen { file: self.file, len });
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.medium.ask("fsync")?.act(Done::SyncFile { file: self.file });
        Ok(())
    }
}
