//! The least that uses a source as the daemon does: tracks a tree, and looks where events point.
//!
//! Knows: the `Source` and `Tracker` contracts. Must never know: which source it is.
//! Keeps: a directory is tracked before it is listed.

use foundry_user::artifact::{ArtifactId, FileKind, OsBytes};
use foundry_user::event::{Actor, Event};
use foundry_user::sources::Source;
use foundry_user::tracker::Tracker;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Watcher {
    pub(super) source: Box<dyn Source>,
    tracker: Arc<dyn Tracker>,
    root: PathBuf,
    next: u32,
    /// Paths below the root, by artifact; and artifacts by path.
    paths: BTreeMap<ArtifactId, PathBuf>,
    artifacts: BTreeMap<PathBuf, (ArtifactId, u64)>,
}

impl Watcher {
    /// Tracks `root` and everything below it.
    pub(super) fn new(source: Box<dyn Source>, root: &Path) -> Self {
        let tracker = source.tracker();
        let (paths, artifacts) = (BTreeMap::new(), BTreeMap::new());
        let root = root.to_path_buf();
        let mut watcher = Self { source, tracker, root, next: 1, paths, artifacts };
        watcher.adopt(Path::new("")).unwrap();
        watcher
    }

    /// Tracks what is at `path` below the root, then what is in it. What is gone is forgotten.
    pub(super) fn adopt(&mut self, path: &Path) -> io::Result<()> {
        let full = self.root.join(path);
        let stat = match std::fs::symlink_metadata(&full) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(path);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if self.artifacts.get(path).is_some_and(|(_, ino)| *ino == stat.ino()) {
            return Ok(());
        }
        self.forget(path);
        let artifact = ArtifactId(self.next);
        self.next += 1;
        self.paths.insert(artifact, path.to_path_buf());
        self.artifacts.insert(path.to_path_buf(), (artifact, stat.ino()));
        let kind = match () {
            () if stat.is_dir() => FileKind::Directory,
            () if stat.is_file() => FileKind::File,
            () => return Ok(()),
        };
        let file = match File::open(&full) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        self.tracker.track(file.as_fd(), artifact, kind, stat.size())?;
        if kind == FileKind::Directory {
            // What is open is listed, whatever has come to its path meanwhile.
            let open = format!("/proc/self/fd/{}", file.as_raw_fd());
            for entry in std::fs::read_dir(open)? {
                self.adopt(&path.join(entry?.file_name()))?;
            }
        }
        Ok(())
    }

    fn forget(&mut self, path: &Path) {
        let below: Vec<PathBuf> =
            self.artifacts.keys().filter(|known| known.starts_with(path)).cloned().collect();
        for path in below {
            if let Some((artifact, _)) = self.artifacts.remove(&path) {
                self.tracker.untrack(artifact);
                self.paths.remove(&artifact);
            }
        }
    }

    /// Everything that is known to be in the tree.
    pub(super) fn known(&self) -> BTreeSet<PathBuf> {
        self.artifacts.keys().cloned().collect()
    }

    /// Waits until there is something to drain: for changes that other processes make.
    pub(super) fn wait(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::from_borrowed_fd(self.source.wait_fd(), PollFlags::IN)];
        let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&limit)).unwrap(), 1, "nothing happened for a minute");
    }

    fn events(&mut self) -> Vec<Event> {
        let mut out = Vec::new();
        self.source.drain(&mut out).unwrap();
        out
    }

    /// Who did what is waiting.
    pub(super) fn actors(&mut self) -> Vec<Actor> {
        let actor = |event| match event {
            Event::Entry { actor, .. } | Event::Dirty { actor, .. } => actor,
            _ => None,
        };
        self.events().into_iter().filter_map(actor).collect()
    }

    /// Everything that happened before the call, by path.
    pub(super) fn drain(&mut self) -> BTreeSet<Told> {
        self.events().into_iter().filter_map(|event| self.told(event)).collect()
    }

    fn told(&self, event: Event) -> Option<Told> {
        let path = |artifact: ArtifactId| self.paths.get(&artifact).cloned();
        let join = |dir: PathBuf, name: OsBytes| dir.join(OsStr::from_bytes(&name));
        match event {
            Event::Entry { dir, name, .. } => Some(Told::Entry(join(path(dir)?, name))),
            Event::Dirty { artifact, .. } => Some(Told::Content(path(artifact)?)),
            Event::Meta { artifact, .. } => Some(Told::Meta(path(artifact)?)),
            Event::Relist { dir, .. } => Some(Told::Relist(path(dir)?)),
            Event::Sweep { .. } => Some(Told::Sweep),
            Event::Lost { .. } => Some(Told::Lost),
            Event::Exec { .. } | Event::Exit { .. } | Event::Mmap { .. } | Event::Layout { .. } => {
                None
            }
        }
    }

    /// Looks wherever the events of one drain point to, as the pipeline does; false where there
    /// were none.
    pub(super) fn follow(&mut self) -> bool {
        let told = self.drain();
        for told in &told {
            match told {
                Told::Entry(path) => self.adopt(path).unwrap(),
                Told::Relist(path) => {
                    let path = path.clone();
                    self.forget(&path);
                    self.adopt(&path).unwrap();
                }
                Told::Content(_) | Told::Meta(_) => {}
                Told::Sweep | Told::Lost => panic!("{told:?}"),
            }
        }
        !told.is_empty()
    }
}

/// An event, by the path below the root that it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Entry(PathBuf),
    Content(PathBuf),
    Meta(PathBuf),
    Relist(PathBuf),
    Sweep,
    Lost,
}
