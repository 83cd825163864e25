//! What of one file waits to be folded again, and who did it.
//!
//! Knows: ranges and actors. Must never know: names, the store, I/O.
//! Keeps: a range that became dirty stays dirty until a read that began later has ended.

use crate::artifact::{OsBytes, Stat};
use crate::directory::Face;
use crate::event::{Actor, Extents, MonotonicNs, UnixNs};
use crate::pipeline::debts::Seq;
use crate::pipeline::effect::Attribution;
use crate::pipeline::ranges::Ranges;

/// More actors than this between two reads: of the oldest nobody knows any more.
const MAX_ACTORS: usize = 8;

/// What waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    /// Tiles to fold again.
    pub(super) ranges: Ranges,
    /// Who made them dirty, oldest first, as far as that is known. Most of a first look has nobody:
    /// it costs nothing then.
    pub(super) actors: Vec<(Ranges, Actor)>,
    /// Everything becomes dirty if the brick does not show this state of this inode.
    pub(super) check: bool,
    /// Likewise, but events may have been lost, so that only a brick folded at once can show anything.
    pub(super) audit: bool,
    /// A change was seen: goes before the first look at a tree.
    pub(super) live: bool,
    /// Owner, mode or attributes changed: facts stand on them.
    pub(super) meta: bool,
    /// Facts stand on something outside the file that changed.
    pub(super) renew: bool,
    /// It was seen to change before its source told of it: the word of who wrote may still come.
    pub(super) ahead: bool,
    /// Attempts to read it that were refused.
    pub(super) refused: Option<Refused>,
}

/// Attempts by one name after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) names: u16,
    /// Number of the input at which the first of them was begun.
    pub(super) since: Seq,
}

/// What the description of a file stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Stands {
    /// Any byte, for all that is known: the description was made in an earlier run.
    #[default]
    Unknown,
    /// Not on what the file is now.
    Stale,
    /// Any byte.
    Whole,
    /// These tiles.
    Parts(Box<Ranges>),
}

impl Stands {
    /// Of what the reader said.
    pub(super) fn on(ranges: &[(u64, u64)], size: u64) -> Self {
        let mut set = Ranges::default();
        for &(start, end) in ranges {
            set.add(start, end);
        }
        let covers_all = set.as_slice().first().is_some_and(|r| r.0 == 0 && size <= r.1);
        if covers_all { Self::Whole } else { Self::Parts(Box::new(set)) }
    }

    /// Whether a change of these ranges may change the description.
    pub(super) fn is_touched_by(&self, changed: &Ranges) -> bool {
        match self {
            Self::Stale => true,
            Self::Unknown | Self::Whole => !changed.is_empty(),
            Self::Parts(set) => set.touches(changed),
        }
    }
}

impl Dirty {
    /// Adds what a change says. Says whether it added anything.
    pub(super) fn add(&mut self, extents: &Extents, actor: Option<&Actor>) -> bool {
        let mut new = Ranges::default();
        match extents {
            Extents::Ranges(ranges) => {
                for &(start, end) in ranges {
                    new.add(start, end);
                }
            }
            Extents::From(start) => {
                new.add(*start, u64::MAX);
            }
            Extents::Whole => new = Ranges::all(),
        }
        let added = self.ranges.add_all(&new);
        self.blame(new, actor);
        added
    }

    /// Adds what another dirty set has; `older` came before this one.
    pub(super) fn absorb_older(&mut self, older: Self) {
        self.ranges.add_all(&older.ranges);
        self.check |= older.check;
        self.audit |= older.audit;
        self.live |= older.live;
        self.meta |= older.meta;
        self.renew |= older.renew;
        self.ahead |= older.ahead;
        self.refused = older.refused.or(self.refused);
        let newer = std::mem::replace(&mut self.actors, older.actors);
        for (ranges, actor) in newer {
            self.blame(ranges, Some(&actor));
        }
    }

    /// An attempt that was begun with input number `begun` was refused.
    pub(super) fn refuse(&mut self, begun: Seq) -> Refused {
        let before = self.refused.unwrap_or(Refused { names: 0, since: begun });
        let names = before.names.saturating_add(1);
        *self.refused.insert(Refused { names, ..before })
    }

    /// Whatever turns out to have changed was this actor's doing.
    pub(super) fn blame_all(&mut self, actor: Option<&Actor>) {
        self.blame(Ranges::all(), actor);
    }

    fn blame(&mut self, ranges: Ranges, actor: Option<&Actor>) {
        let Some(actor) = actor.filter(|_| !ranges.is_empty()) else { return };
        // Most changes are by whoever made the last one.
        if let Some((known, last)) = self.actors.last_mut()
            && same_process(last, actor)
        {
            known.add_all(&ranges);
            return;
        }
        if self.actors.len() == MAX_ACTORS {
            self.actors.remove(0);
        }
        self.actors.reserve_exact(1);
        self.actors.push((ranges, actor.clone()));
    }

    /// For the commit: the last one wins where several touched a tile.
    pub(super) fn attributions(actors: Vec<(Ranges, Actor)>) -> Vec<Attribution> {
        let whose = |(ranges, actor): (Ranges, Actor)| Attribution {
            ranges: ranges.as_slice().to_vec(),
            actor,
        };
        actors.into_iter().map(whose).collect()
    }
}

fn same_process(a: &Actor, b: &Actor) -> bool {
    a.pid == b.pid && a.exe == b.exe && a.comm == b.comm
}

/// A read that is under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: u64,
    pub(super) seq: Seq,
    /// Number of the input at which it was begun.
    pub(super) begun_at: Seq,
    pub(super) paths: Vec<OsBytes>,
    pub(super) work: Dirty,
    /// Wall time when the reading was asked for.
    pub(super) at: UnixNs,
    /// What `Start` said.
    pub(super) start: Option<Stat>,
    /// The store has begun an edit of each path.
    pub(super) begun: bool,
    /// No longer wanted: what comes is dropped, the debt is paid already.
    pub(super) cancelled: bool,
    pub(super) bytes: u64,
    /// What the description that came stands on.
    pub(super) stands: Option<Stands>,
}

impl Flight {
    /// Whether it writes the brick at `path`.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|p| p == path)
    }
}

/// A place in one of the schedule's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Live(Seq),
    Backlog(Seq),
    Cooling(MonotonicNs),
}

/// The part of a node that only files have.
#[derive(Debug)]
pub(super) struct FileState {
    /// What was last seen of it.
    pub(super) stat: Stat,
    /// What waits, and what caused it (the oldest); owed.
    pub(super) dirty: Option<(Seq, Box<Dirty>)>,
    /// Set instead of `dirty` while no path leads here: not owed, nobody can wait for it.
    pub(super) parked: Option<Box<Dirty>>,
    pub(super) flight: Option<Box<Flight>>,
    /// Where it stands in the schedule.
    pub(super) queued: Option<Slot>,
    /// Places or bricks changed since the last read was asked for.
    pub(super) moved: bool,
    /// The source refused it: only comparing tells whether it changed.
    pub(super) untracked: bool,
    /// Stores through mappings become events.
    pub(super) sees_mapped_stores: bool,
    /// Some process may hold it in a shared writable mapping.
    pub(super) mapped: bool,
    /// Counts towards the first look at the tree, until it is done.
    pub(super) first: bool,
    /// The last read that was folded was ahead of the word of who wrote: that may still come.
    pub(super) unclaimed: bool,
    /// What it looks like, by the last commit of this run. Boxed: a file that this run has not read
    /// has none.
    pub(super) face: Option<Box<Face>>,
    /// The ticket of that commit.
    pub(super) face_ticket: u64,
    /// Attempts that found another inode at the path, since the last that did not.
    pub(super) misses: u8,
    /// Which of its names it is read by: one that was not refused.
    pub(super) read_by: u16,
    /// Not before then: a file that is written all the time must not be folded all the time.
    pub(super) not_before: MonotonicNs,
    /// Number of the input at which the last read was begun that has ended.
    pub(super) read_since: Seq,
    /// What the description in its bricks stands on.
    pub(super) stands: Stands,
}

impl FileState {
    pub(super) const fn new(stat: Stat) -> Self {
        Self {
            stat,
            dirty: None,
            parked: None,
            flight: None,
            queued: None,
            moved: true,
            untracked: false,
            sees_mapped_stores: false,
            mapped: false,
            first: false,
            unclaimed: false,
            face: None,
            face_ticket: 0,
            misses: 0,
            read_by: 0,
            not_before: MonotonicNs(0),
            read_since: 0,
            stands: Stands::Unknown,
        }
    }

    /// The name that it was read by was refused: the next of its `names` is tried.
    pub(super) fn read_by_next(&mut self, names: u16) {
        let next = if self.read_by < names { self.read_by + 1 } else { 1 };
        self.read_by = if next < names { next } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{FileIdentity, FileKind};

    /// A sync that was asked for between two refusals wants the first name tried again, too.
    #[test]
    fn refusals_are_one_row_from_the_first_on() {
        let mut dirty = Dirty::default();
        assert_eq!(dirty.refuse(5).names, 1);
        let Refused { names, since } = dirty.refuse(9);
        assert_eq!((names, since), (2, 5));
        let mut newer = Dirty::default();
        newer.absorb_older(dirty);
        assert_eq!(newer.refuse(12).since, 5);
    }

    #[test]
    fn every_name_has_its_turn_however_many_there_are_by_then() {
        let mut file = FileState::new(Stat {
            identity: FileIdentity { dev: 1, ino: 2, btime_ns: 3 },
            kind: FileKind::File,
            size: 0,
            blocks: 0,
            mode: 0o644,
            uid: 0,
            gid: 0,
            nlink: 4,
            mtime_ns: 0,
            ctime_ns: 0,
        });
        let mut turns = |names: u16| {
            let turn = |_| {
                file.read_by_next(names);
                file.read_by
            };
            (0..names).map(turn).collect::<Vec<_>>()
        };
        assert_eq!(turns(4), [1, 2, 3, 0]);
        assert_eq!(turns(1), [0]);
        assert_eq!(turns(3), [1, 2, 0]);
        // Two of three names are gone, and the last was next: the one that is left was tried for it.
        file.read_by = 2;
        file.read_by_next(2);
        assert_eq!(file.read_by, 1);
    }
}
