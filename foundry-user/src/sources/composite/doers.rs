//! Programs that were seen to start, kept for a while after they ended.
//!
//! Knows: events. Must never know: which source says what.
//! Keeps: only what a process was seen to be is said of it: a doer that is known by its number alone
//! is completed from the last start of a program under that number.

use crate::event::{Actor, Event};
use std::collections::{HashMap, VecDeque};

/// Starts that are remembered; the oldest are forgotten first.
const MOST_REMEMBERED: usize = 4096;

/// Processes by number.
#[derive(Debug, Default)]
pub(super) struct Doers {
    known: HashMap<u32, Actor>,
    oldest_first: VecDeque<u32>,
}

impl Doers {
    /// Learns from the starts among `events`, then completes the doers of the others: a short-lived
    /// writer is gone before its write is heard of, but its start was heard of before.
    pub(super) fn complete(&mut self, events: &mut [Event]) {
        for event in events.iter() {
            if let Event::Exec { actor, .. } = event {
                self.learn(actor);
            }
        }
        for event in events {
            if let Event::Dirty { actor: Some(actor), .. } | Event::Entry { actor: Some(actor), .. } =
                event
                && actor.comm.is_empty()
                && let Some(known) = self.known.get(&actor.pid)
            {
                actor.clone_from(known);
            }
        }
    }

    fn learn(&mut self, actor: &Actor) {
        // A process that was gone when its start was heard of is no news.
        if actor.comm.is_empty() {
            return;
        }
        if self.known.insert(actor.pid, actor.clone()).is_some() {
            return;
        }
        self.oldest_first.push_back(actor.pid);
        if self.oldest_first.len() > MOST_REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ArtifactId;
    use crate::event::{Extents, MonotonicNs};

    const AT: MonotonicNs = MonotonicNs(1);

    fn named(pid: u32, comm: &str) -> Actor {
        Actor { pid, tid: pid, comm: comm.into(), ..Actor::default() }
    }

    fn write_by(actor: Option<Actor>) -> Event {
        Event::Dirty { artifact: ArtifactId(1), extents: Extents::Whole, actor, at: AT }
    }

    fn writer(event: &Event) -> Option<&Actor> {
        if let Event::Dirty { actor, .. } = event { actor.as_ref() } else { None }
    }

    #[test]
    fn a_doer_that_is_gone_is_known_by_its_start() {
        let mut doers = Doers::default();
        let mut events =
            [write_by(Some(named(7, ""))), Event::Exec { actor: named(7, "dd"), at: AT }];
        doers.complete(&mut events);
        assert_eq!(writer(&events[0]), Some(&named(7, "dd")));
        let mut later =
            [write_by(Some(named(7, ""))), write_by(Some(named(8, ""))), write_by(None)];
        doers.complete(&mut later);
        assert_eq!(
            later.each_ref().map(writer),
            [Some(&named(7, "dd")), Some(&named(8, "")), None]
        );
        let mut alive = [write_by(Some(named(7, "sh")))];
        doers.complete(&mut alive);
        assert_eq!(writer(&alive[0]), Some(&named(7, "sh")));
    }

    #[test]
    fn memory_is_bounded() {
        let mut doers = Doers::default();
        for pid in 1..=5000 {
            doers.complete(&mut [Event::Exec { actor: named(pid, "x"), at: AT }]);
        }
        assert_eq!(doers.known.len(), MOST_REMEMBERED);
        assert_eq!(doers.oldest_first.len(), MOST_REMEMBERED);
        assert!(!doers.known.contains_key(&1) && doers.known.contains_key(&5000));
    }
}
