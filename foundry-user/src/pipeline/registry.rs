//! Which artifacts there are, and where: inodes, the names that lead to them, the tree they form.
//!
//! Knows: identities, names, places. Must never know: what is dirty, where bricks lie, I/O.
//! Keeps: a name in a directory leads to at most one artifact, and the artifact knows of that place;
//! numbers are dense and never used again; walks are bounded, because what was seen of a tree at
//! different moments may hold a cycle until the next look.

use crate::artifact::{ArtifactId, FileIdentity, FileKind, OsBytes, Stat};
use crate::event::Actor;
use crate::pipeline::debts::Seq;
use crate::pipeline::directories::FoldState;
use crate::pipeline::dirty::FileState;
use std::collections::BTreeMap;

/// No tree is deeper: PATH_MAX is 4096, and a name takes two bytes of it.
pub(super) const MAX_DEPTH: usize = 2048;

/// One name that leads to an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: ArtifactId,
    pub(super) name: OsBytes,
}

/// One artifact: one inode.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) identity: FileIdentity,
    /// Hard links of a file. Of a directory, the first is where it is; others are other mounts of it,
    /// or where it is going.
    pub(super) places: Vec<Place>,
    pub(super) body: Body,
}

/// What the artifact is made of.
#[derive(Debug)]
pub(super) enum Body {
    Directory(Box<DirState>),
    File(Box<FileState>),
}

/// What is at one name of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    /// A file or directory.
    Node(ArtifactId),
    /// A symbolic link, device, socket or pipe: recorded, never opened or followed.
    Other(FileKind, FileIdentity),
}

impl Child {
    /// The file or directory.
    pub(super) const fn node(self) -> Option<ArtifactId> {
        match self {
            Self::Node(id) => Some(id),
            Self::Other(..) => None,
        }
    }
}

/// A look at one name that is wanted or under way.
#[derive(Debug, Default)]
pub(super) struct LookState {
    /// Asked for and not begun, with who caused it.
    pub(super) wanted: Option<(Seq, Option<Actor>)>,
    /// Begun. A change after that wants another.
    pub(super) running: Option<(Seq, Option<Actor>)>,
}

/// A listing under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListRun {
    /// What it answers for.
    pub(super) seq: Seq,
    /// The whole tree below is meant.
    pub(super) deep: bool,
    /// Number of the input at which it was begun.
    pub(super) begun: Seq,
}

/// The part of a node that only directories have.
#[derive(Debug, Default)]
pub(super) struct DirState {
    /// Path of a watched root.
    pub(super) root: Option<OsBytes>,
    /// The path under which its children's bricks were put.
    pub(super) settled_path: Option<OsBytes>,
    pub(super) children: BTreeMap<OsBytes, Child>,
    /// What was seen of those among them that are neither file nor directory.
    pub(super) others: BTreeMap<OsBytes, Stat>,
    /// A listing is asked for: what caused it, and whether the whole tree below is meant.
    pub(super) list_wanted: Option<(Seq, bool)>,
    /// A listing is under way.
    pub(super) list_running: Option<ListRun>,
    pub(super) looks: BTreeMap<OsBytes, LookState>,
    /// Looks under way.
    pub(super) looks_running: u32,
    /// What was asked while no path led here becomes a listing once one does (deep or not).
    pub(super) parked: Option<bool>,
    /// The source refused it: only listing it again tells whether it changed.
    pub(super) untracked: bool,
    /// It was listed before.
    pub(super) read: bool,
    /// It is in the schedule.
    pub(super) queued: Option<Seq>,
    /// What its own brick is about.
    pub(super) fold: FoldState,
}

/// All artifacts.
#[derive(Debug, Default)]
pub(super) struct Registry {
    nodes: BTreeMap<ArtifactId, Node>,
    by_identity: BTreeMap<FileIdentity, ArtifactId>,
    last: u32,
    pub(super) files: u64,
}

impl Registry {
    /// A new artifact without a place.
    pub(super) fn add(&mut self, stat: &Stat) -> ArtifactId {
        self.last += 1;
        let id = ArtifactId(self.last);
        let body = if stat.kind == FileKind::Directory {
            Body::Directory(Box::default())
        } else {
            self.files += 1;
            Body::File(Box::new(FileState::new(*stat)))
        };
        self.nodes.insert(id, Node { identity: stat.identity, places: vec![], body });
        self.by_identity.insert(stat.identity, id);
        id
    }

    /// Forgets an artifact that has no place any more.
    pub(super) fn remove(&mut self, id: ArtifactId) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        if self.by_identity.get(&node.identity) == Some(&id) {
            self.by_identity.remove(&node.identity);
        }
        if matches!(node.body, Body::File(_)) {
            self.files -= 1;
        }
        Some(node)
    }

    pub(super) fn node(&self, id: ArtifactId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Whether `stat` is this very artifact. A number and a birth time may be those of another inode
    /// that was freed an instant before; at least it is not of another kind.
    pub(super) fn is(&self, id: ArtifactId, stat: &Stat) -> bool {
        let kind =
            |n: &Node| matches!(n.body, Body::Directory(_)) == (stat.kind == FileKind::Directory);
        self.nodes.get(&id).is_some_and(|n| n.identity == stat.identity && kind(n))
    }

    pub(super) fn find(&self, identity: &FileIdentity) -> Option<ArtifactId> {
        self.by_identity.get(identity).copied()
    }

    pub(super) fn dir(&self, id: ArtifactId) -> Option<&DirState> {
        match &self.nodes.get(&id)?.body {
            Body::Directory(d) => Some(d),
            Body::File(_) => None,
        }
    }

    pub(super) fn dir_mut(&mut self, id: ArtifactId) -> Option<&mut DirState> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::Directory(d) => Some(d),
            Body::File(_) => None,
        }
    }

    pub(super) fn file(&self, id: ArtifactId) -> Option<&FileState> {
        match &self.nodes.get(&id)?.body {
            Body::File(f) => Some(f),
            Body::Directory(_) => None,
        }
    }

    pub(super) fn file_mut(&mut self, id: ArtifactId) -> Option<&mut FileState> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::File(f) => Some(f),
            Body::Directory(_) => None,
        }
    }

    /// Records what is at `dir/name` and is neither a file nor a directory to follow.
    pub(super) fn put(&mut self, dir: ArtifactId, name: &[u8], child: Child) {
        if let Some(d) = self.dir_mut(dir) {
            d.children.insert(name.to_vec(), child);
        }
    }

    /// Makes `dir/name` lead to `id`.
    pub(super) fn attach(&mut self, dir: ArtifactId, name: &[u8], id: ArtifactId) {
        self.put(dir, name, Child::Node(id));
        if let Some(n) = self.nodes.get_mut(&id) {
            // Most have one place, and there may be millions: no room for more is kept.
            n.places.reserve_exact(1);
            n.places.push(Place { dir, name: name.to_vec() });
        }
    }

    /// Makes `dir/name` lead nowhere. Says what was there.
    pub(super) fn detach(&mut self, dir: ArtifactId, name: &[u8]) -> Option<Child> {
        let d = self.dir_mut(dir)?;
        d.others.remove(name);
        let child = d.children.remove(name)?;
        if let Child::Node(id) = child
            && let Some(n) = self.nodes.get_mut(&id)
        {
            n.places.retain(|p| p.dir != dir || p.name != name);
        }
        Some(child)
    }

    /// The path of a directory now; `None` while some directory above it has no place.
    pub(super) fn dir_path(&self, id: ArtifactId) -> Option<OsBytes> {
        let mut names: Vec<&[u8]> = vec![];
        let mut at = id;
        for _ in 0..MAX_DEPTH {
            let node = self.nodes.get(&at)?;
            if let Body::Directory(d) = &node.body
                && let Some(root) = &d.root
            {
                let mut path = root.clone();
                for name in names.iter().rev() {
                    push_name(&mut path, name);
                }
                return Some(path);
            }
            let place = node.places.first()?;
            names.push(&place.name);
            at = place.dir;
        }
        None
    }

    /// How many directories are above this one, up to its root.
    pub(super) fn level(&self, id: ArtifactId) -> Option<u32> {
        let mut at = id;
        for level in 0..MAX_DEPTH {
            let node = self.nodes.get(&at)?;
            if let Body::Directory(d) = &node.body
                && d.root.is_some()
            {
                return u32::try_from(level).ok();
            }
            at = node.places.first()?.dir;
        }
        None
    }

    /// Whether this is the place where a directory is, of those that lead to it.
    pub(super) fn is_at(&self, id: ArtifactId, dir: ArtifactId, name: &[u8]) -> bool {
        let first = self.nodes.get(&id).and_then(|n| n.places.first());
        first.is_some_and(|place| place.dir == dir && place.name == name)
    }

    /// The path of a place now.
    pub(super) fn place_path(&self, place: &Place) -> Option<OsBytes> {
        let mut path = self.dir_path(place.dir)?;
        push_name(&mut path, &place.name);
        Some(path)
    }

    /// All paths that lead to an artifact now.
    pub(super) fn paths(&self, id: ArtifactId) -> Vec<OsBytes> {
        let places = self.nodes.get(&id).map_or(&[][..], |n| &n.places);
        places.iter().filter_map(|p| self.place_path(p)).collect()
    }
}

/// Appends a name to a path.
pub(super) fn push_name(path: &mut OsBytes, name: &[u8]) {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
