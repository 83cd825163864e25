//! Which artifact a file handle belongs to.
//!
//! Knows: handles and artifacts' numbers. Must never know: system calls, events.
//! Keeps: a handle is looked up only among those of its own file system, where it names one inode
//! for ever (handles hold the inode's generation).

use super::superblock::Superblock;
use crate::artifact::ArtifactId;
use crate::sources::owners::Owners;
use std::collections::HashMap;
use std::sync::Arc;

/// All handles of one file system: directories apart from files, since one of each can be asked for.
#[derive(Debug, Default)]
struct Handles {
    directories: HashMap<Arc<[u8]>, Owners>,
    files: HashMap<Arc<[u8]>, Owners>,
}

impl Handles {
    fn kind(&mut self, directory: bool) -> &mut HashMap<Arc<[u8]>, Owners> {
        if directory { &mut self.directories } else { &mut self.files }
    }
}

/// Where an artifact's handle stands.
#[derive(Debug)]
struct Tracked {
    superblock: Superblock,
    directory: bool,
    handle: Arc<[u8]>,
}

/// Everything that is tracked.
#[derive(Debug, Default)]
pub(super) struct Tables {
    handles: HashMap<Superblock, Handles>,
    tracked: HashMap<ArtifactId, Tracked>,
}

impl Tables {
    /// From now on `handle` on `superblock` is `artifact`.
    pub(super) fn insert(
        &mut self,
        artifact: ArtifactId,
        superblock: Superblock,
        handle: &[u8],
        directory: bool,
    ) {
        if let Some(tracked) = self.tracked.get(&artifact) {
            if tracked.superblock == superblock && *tracked.handle == *handle {
                return;
            }
            self.remove(artifact);
        }
        let of_kind = self.handles.entry(superblock).or_default().kind(directory);
        let handle: Arc<[u8]> = match of_kind.get_key_value(handle) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(handle),
        };
        of_kind
            .entry(Arc::clone(&handle))
            .and_modify(|owners| owners.add(artifact))
            .or_insert(Owners::One(artifact));
        self.tracked.insert(artifact, Tracked { superblock, directory, handle });
    }

    /// `artifact` is no longer wanted.
    pub(super) fn remove(&mut self, artifact: ArtifactId) {
        let Some(tracked) = self.tracked.remove(&artifact) else { return };
        let Some(handles) = self.handles.get_mut(&tracked.superblock) else { return };
        let of_kind = handles.kind(tracked.directory);
        if of_kind.get_mut(&tracked.handle).is_some_and(|owners| owners.remove(artifact)) {
            of_kind.remove(&tracked.handle);
        }
    }

    /// The directory artifacts behind `handle`.
    pub(super) fn directory(&self, superblock: Superblock, handle: &[u8]) -> Option<&Owners> {
        self.handles.get(&superblock)?.directories.get(handle)
    }

    /// The file artifacts behind `handle`.
    pub(super) fn file(&self, superblock: Superblock, handle: &[u8]) -> Option<&Owners> {
        self.handles.get(&superblock)?.files.get(handle)
    }

    /// How many artifacts are tracked.
    pub(super) fn len(&self) -> usize {
        self.tracked.len()
    }
}
