//! What cannot be read in the simulated world: closed for a while, told of or not, and what a sync
//! must say of it.

use super::super::super::unreadable::Unread;
use super::*;

impl Sim {
    /// Something cannot be read any more, or can be read again. Half of the times nothing tells so.
    pub(in super::super) fn close_or_open(&mut self) {
        let kind = if self.rng.one_in(2) { FileKind::Directory } else { FileKind::File };
        let Some((path, obj)) = self.pick(kind) else { return };
        let inode = self.inodes.get_mut(&obj).unwrap();
        inode.closed ^= true;
        self.log.push(format!("CLOSED {} {}", path.escape_ascii(), inode.closed));
        if self.rng.one_in(2) {
            return;
        }
        self.inodes.get_mut(&obj).unwrap().mode ^= 0o444;
        self.touch(obj);
        if let Some(&artifact) = self.tracked.get(&obj) {
            self.events.push_back(Event::Meta { artifact, at: MonotonicNs(0) });
        }
    }

    /// A directory cannot be read any more. Says which files beneath it have bricks.
    pub(in super::super) fn close_a_directory(&mut self) -> Vec<OsBytes> {
        let (path, obj) = self.pick(FileKind::Directory).unwrap();
        self.inodes.get_mut(&obj).unwrap().closed = true;
        self.removed.clear();
        let beneath = |other: &&OsBytes| {
            other.strip_prefix(&path[..]).is_some_and(|rest| rest.starts_with(b"/"))
        };
        self.store.keys().filter(beneath).cloned().collect()
    }

    /// Whether the brick that was there is there.
    pub(in super::super) fn kept_brick(&self, path: &[u8]) -> bool {
        self.store.contains_key(path) && !self.removed.contains(path)
    }

    /// No brick is waited for whose owner cannot come.
    pub(in super::super) fn is_at_rest(&self) -> bool {
        !self.pipeline.bricks.has_orphans()
    }

    /// Everything can be read, and nothing tells so.
    pub(in super::super) fn open_all(&mut self) {
        self.inodes.values_mut().for_each(|inode| inode.closed = false);
    }

    pub(super) fn is_closed(&self, obj: Obj) -> bool {
        self.inodes.get(&obj).is_some_and(|inode| inode.closed)
    }

    pub(super) fn any_closed(&self) -> bool {
        self.tree().values().any(|obj| self.inodes[obj].closed)
    }

    /// What is at `path`, for who must go through every directory above it.
    pub(super) fn reach(&self, path: &[u8], expect: &FileIdentity) -> Result<Obj, ReadFailure> {
        let mut at = self.root;
        let rest = path.strip_prefix(ROOT).ok_or(ReadFailure::Gone)?;
        for name in rest.split(|b| *b == b'/').filter(|n| !n.is_empty()) {
            if self.is_closed(at) {
                return Err(ReadFailure::Denied);
            }
            let inode = self.inodes.get(&at).ok_or(ReadFailure::Gone)?;
            at = *inode.entries.get(name).ok_or(ReadFailure::Gone)?;
        }
        if self.stat(at).identity != *expect {
            return Err(ReadFailure::Gone);
        }
        if self.is_closed(at) { Err(ReadFailure::Io(5)) } else { Ok(at) }
    }

    /// Whether the artifact at `path`, or something above it, is closed.
    fn is_out_of_reach(&self, path: &[u8]) -> bool {
        let mut at = self.root;
        for name in path.strip_prefix(ROOT).unwrap().split(|b| *b == b'/').filter(|n| !n.is_empty())
        {
            if self.is_closed(at) {
                return true;
            }
            match self.inodes[&at].entries.get(name) {
                Some(next) => at = *next,
                None => return false,
            }
        }
        self.is_closed(at)
    }

    /// A brick that is not what the world has is at, or beneath, something that is said to be out of
    /// reach; and what is said to be so is.
    pub(super) fn check_unread(&self, untrue: &[OsBytes]) {
        let unread = self.pipeline.unread();
        let beneath = |path: &[u8], u: &Unread| {
            path.strip_prefix(&u.path[..]).is_some_and(|r| r.is_empty() || r[0] == b'/')
        };
        for path in untrue {
            let kept = self.store.contains_key(path);
            let said = unread.iter().any(|u| beneath(path, u) && (u.behind || !kept));
            let shown = path.escape_ascii();
            assert!(said, "{shown} is not what its brick says, and no word of it: {unread:?}");
        }
        for u in &unread {
            assert!(self.is_out_of_reach(&u.path), "it can be read: {}", u.path.escape_ascii());
        }
    }
}
