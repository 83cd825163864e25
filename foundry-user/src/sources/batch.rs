//! Events on their way out of one drain: each said once, with who did it looked up at the end.
//!
//! Knows: events; that a process can be looked up by its number. Must never know: which source.
//! Keeps: two events that ask for the same look become one, in the place of the first.

use crate::artifact::{ArtifactId, OsBytes};
use crate::event::{Actor, Event, Extents, LossKind, MonotonicNs};
use crate::sources::actors::Actors;
use std::collections::HashSet;

/// So many distinct events are remembered before repetitions are allowed again.
const MOST_REMEMBERED: usize = 1 << 16;

/// What is asked for; two events with the same wish are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Wish {
    Entry(ArtifactId, OsBytes),
    Relist(ArtifactId),
    Content(ArtifactId),
    Meta(ArtifactId),
}

/// The events of one drain.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    out: &'a mut Vec<Event>,
    at: MonotonicNs,
    wishes: HashSet<Wish>,
    /// Events whose doer is known by number only: place in `out`, process.
    unnamed: Vec<(usize, u32)>,
    coalesced: u64,
}

impl<'a> Batch<'a> {
    /// Events go to the end of `out` and happened, as far as anybody knows, at `at`.
    pub(super) fn new(out: &'a mut Vec<Event>, at: MonotonicNs) -> Self {
        Self { out, at, wishes: HashSet::new(), unnamed: Vec::new(), coalesced: 0 }
    }

    /// Entry `name` of `dir` is to be looked at.
    pub(super) fn entry(&mut self, dir: ArtifactId, name: &[u8], pid: u32) {
        let name = name.to_vec();
        if self.is_new(Wish::Entry(dir, name.clone())) {
            self.push(Event::Entry { dir, name, actor: None, at: self.at }, pid);
        }
    }

    /// The content of `artifact` may have changed anywhere.
    pub(super) fn whole(&mut self, artifact: ArtifactId, pid: u32) {
        if self.is_new(Wish::Content(artifact)) {
            let extents = Extents::Whole;
            self.push(Event::Dirty { artifact, extents, actor: None, at: self.at }, pid);
        }
    }

    /// Attributes of `artifact` changed.
    pub(super) fn meta(&mut self, artifact: ArtifactId) {
        if self.is_new(Wish::Meta(artifact)) {
            self.out.push(Event::Meta { artifact, at: self.at });
        }
    }

    /// The directory itself moved or went, or its names are not known.
    pub(super) fn relist(&mut self, dir: ArtifactId) {
        if self.is_new(Wish::Relist(dir)) {
            self.out.push(Event::Relist { dir, deep: false, at: self.at });
        }
    }

    /// The kernel dropped what it could not queue: anything may have changed anywhere.
    pub(super) fn overflow(&mut self) {
        self.out.push(Event::Lost { kind: LossKind::Queue, n: 1 });
        self.out.push(Event::Sweep { at: self.at });
    }

    /// Names the doers, and says how many events were already covered by another.
    pub(super) fn finish(self, actors: &mut Actors) -> u64 {
        for (index, pid) in self.unnamed {
            if let Some(Event::Entry { actor, .. } | Event::Dirty { actor, .. }) =
                self.out.get_mut(index)
            {
                *actor = Some(actors.of(pid));
            }
        }
        self.coalesced
    }

    fn push(&mut self, event: Event, pid: u32) {
        if pid != 0 {
            self.unnamed.push((self.out.len(), pid));
        }
        self.out.push(event);
    }

    fn is_new(&mut self, wish: Wish) -> bool {
        if self.wishes.len() >= MOST_REMEMBERED {
            self.wishes.clear();
        }
        let new = self.wishes.insert(wish);
        self.coalesced += u64::from(!new);
        new
    }
}

/// The doer of an event, when only its number is known.
pub(crate) fn nameless(pid: u32) -> Actor {
    Actor { pid, tid: pid, ..Actor::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_granted_once() {
        let mut out = Vec::new();
        let mut batch = Batch::new(&mut out, MonotonicNs(7));
        let dir = ArtifactId(1);
        batch.entry(dir, b"a", 0);
        batch.entry(dir, b"a", 5);
        batch.entry(dir, b"b", 0);
        batch.whole(dir, 0);
        batch.whole(dir, 0);
        batch.meta(dir);
        batch.relist(dir);
        assert_eq!(batch.finish(&mut Actors::default()), 2);
        assert_eq!(out.len(), 5);
    }

    #[test]
    fn the_doer_is_named_at_the_end() {
        let mut out = vec![Event::Sweep { at: MonotonicNs(1) }];
        let own = std::process::id();
        let mut batch = Batch::new(&mut out, MonotonicNs(7));
        batch.whole(ArtifactId(9), own);
        assert_eq!(batch.finish(&mut Actors::default()), 0);
        let Some(Event::Dirty { actor: Some(actor), .. }) = out.get(1) else {
            panic!("{out:?}");
        };
        assert_eq!(actor.pid, own);
        assert!(!actor.comm.is_empty() && actor.exe.is_some());
    }
}
