//! Bricks of directories in the simulated world: what each should show, from the world itself.

use super::*;
use crate::directory::{Below, Body, Face, Total, WORLD};

/// The brick of a directory.
pub(super) struct Shown {
    pub(super) entries: Vec<Entry>,
    /// How often it was drawn since it was made: where its entries lie depends on what was before.
    drawn: u32,
}

impl Shown {
    /// What the brick looks like.
    fn face(&self) -> Face {
        Face::new(4096 * self.entries.len() as u64, vec![self.drawn.to_le_bytes()])
    }
}

impl Sim {
    /// What a file looks like here: every 4096th byte.
    pub(super) fn face(data: &[u8]) -> Face {
        let cells = data.iter().step_by(4096).map(|byte| [*byte, 1, 2, 3]).collect();
        Face::new(data.len() as u64, cells)
    }

    pub(super) fn heads_of_directories(&self) -> impl Iterator<Item = BrickHead> + '_ {
        let nothing = FileIdentity { dev: 0, ino: 0, btime_ns: 0 };
        let state =
            FoldedState { identity: nothing, size: 0, mtime_ns: 0, ctime_ns: 0, at: UnixNs(0) };
        let paths = self.dirs.keys().filter(|path| **path != WORLD);
        paths.map(move |path| BrickHead { path: path.clone(), state, face: None, directory: true })
    }

    pub(super) fn store_directory(
        &mut self,
        path: &[u8],
        entries: Vec<Entry>,
        fresh: bool,
    ) -> Result<Committed, StoreFailure> {
        assert!(!self.edits.contains_key(path), "a directory's brick while a file's is edited");
        if !fresh && self.rng.one_in(40) {
            return Err(StoreFailure::Corrupt);
        }
        self.store.remove(path);
        let before = self.dirs.get(path).filter(|_| !fresh);
        let new = before.is_none_or(|before| before.entries != entries);
        let drawn = before.map_or(0, |before| before.drawn) + u32::from(new);
        let shown = Shown { entries, drawn };
        let face = Some(shown.face());
        self.dirs.insert(path.to_vec(), shown);
        if new && path != WORLD {
            self.untold.insert(path.to_vec());
        }
        Ok(Committed { generation: 1, new, size: 0, changed_tiles: None, face })
    }

    fn expected(&self, path: &[u8], obj: Obj) -> (Vec<Entry>, Below) {
        let (mut entries, mut total) = (vec![], Total::default());
        for (name, child) in &self.inodes[&obj].entries {
            let inode = &self.inodes[child];
            let body = if inode.kind == FileKind::Directory {
                let mut below = path.to_vec();
                below.push(b'/');
                below.extend(name);
                Body::Directory(self.expected(&below, *child).1)
            } else {
                Body::File(Some(Self::face(&inode.data)))
            };
            let entry = Entry { name: name.clone(), stat: Some(self.stat(*child)), body };
            entry.add_to(&mut total);
            entries.push(entry);
        }
        // What is too deep has no brick, and so no face.
        let face = self.dirs.get(path).map(Shown::face);
        let below = Below { total, entries: entries.len() as u64, face };
        (entries, below)
    }

    /// Every directory's brick shows what a fresh look at the world would.
    pub(super) fn check_directories(&self) {
        let shown = |entries: &[Entry]| entries.iter().map(Entry::part).collect::<Vec<_>>();
        let tree = self.tree();
        let depth = |path: &[u8]| path.iter().filter(|b| **b == b'/').count();
        let dirs: BTreeMap<_, _> = tree
            .iter()
            .filter(|(_, o)| self.inodes[*o].kind == FileKind::Directory)
            .filter(|(path, _)| depth(path) <= DEPTH)
            .collect();
        for (path, obj) in &dirs {
            let (entries, _) = self.expected(path, **obj);
            let Some(brick) = self.dirs.get(*path) else {
                panic!("no brick for the directory {}", path.escape_ascii());
            };
            assert_eq!(shown(&brick.entries), shown(&entries), "{}", path.escape_ascii());
        }
        let (_, below) = self.expected(ROOT, self.root);
        let root = Entry { name: ROOT.to_vec(), stat: None, body: Body::Directory(below) };
        assert_eq!(shown(&self.dirs[WORLD].entries), shown(&[root]));
        for path in self.dirs.keys().filter(|path| **path != WORLD) {
            assert!(dirs.contains_key(path), "left over directory {}", path.escape_ascii());
        }
    }
}
