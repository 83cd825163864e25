//! Bricks of directories in the simulated world: what each should show, from the world itself.

use super::*;
use crate::directory::{Body, Face, Total, WORLD};

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
        let new = self.dirs.get(path) != Some(&entries);
        self.dirs.insert(path.to_vec(), entries);
        if new && path != WORLD {
            self.untold.insert(path.to_vec());
        }
        Ok(Committed { generation: 1, new, size: 0, changed_tiles: None, face: None })
    }

    fn expected(&self, obj: Obj) -> (Vec<Entry>, Total) {
        let (mut entries, mut total) = (vec![], Total::default());
        for (name, child) in &self.inodes[&obj].entries {
            let inode = &self.inodes[child];
            let body = if inode.kind == FileKind::Directory {
                let (below, sum) = self.expected(*child);
                Body::Directory(sum, below.len() as u64)
            } else {
                Body::File(Some(Self::face(&inode.data)))
            };
            let entry = Entry { name: name.clone(), stat: Some(self.stat(*child)), body };
            entry.add_to(&mut total);
            entries.push(entry);
        }
        (entries, total)
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
            let (entries, _) = self.expected(**obj);
            let Some(brick) = self.dirs.get(*path) else {
                panic!("no brick for the directory {}", path.escape_ascii());
            };
            assert_eq!(shown(brick), shown(&entries), "{}", path.escape_ascii());
            let told = !self.untold.contains(*path);
            assert!(told, "nobody was told of {}", path.escape_ascii());
        }
        let (entries, total) = self.expected(self.root);
        let body = Body::Directory(total, entries.len() as u64);
        let root = Entry { name: ROOT.to_vec(), stat: None, body };
        assert_eq!(shown(&self.dirs[WORLD]), shown(&[root]));
        for path in self.dirs.keys().filter(|path| **path != WORLD) {
            assert!(dirs.contains_key(path), "left over directory {}", path.escape_ascii());
        }
    }
}
