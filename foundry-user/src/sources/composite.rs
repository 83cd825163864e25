//! Several sources behind one: content from here, names from there, processes from a third.
//!
//! Knows: sources as everybody sees them. Must never know: which ones they are.
//! Keeps: draining drains all of them, so the promise of the whole is the promise of each. A failing
//! part stops the whole, unless the whole can do without it; then it is closed, counted and said.

mod doers;

use self::doers::Doers;
use crate::artifact::{ArtifactId, FileKind};
use crate::event::{Event, Extents, LossKind};
use crate::sources::{Source, SourceCounters, SourceError};
use crate::tracker::{MemoryNews, Tracker};
use rustix::event::epoll;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How the parts share what is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Each part tracks everything; one that refuses makes the whole refuse.
    All,
    /// Parts are asked in order until one takes the artifact.
    FirstOf,
}

/// Sources joined.
pub struct Composite {
    name: &'static str,
    epoll: OwnedFd,
    parts: Vec<Part>,
    tracker: Arc<Trackers>,
    doers: Doers,
    /// Counters of parts that failed and were closed, and how many those are.
    closed: SourceCounters,
}

struct Part {
    source: Box<dyn Source>,
    optional: bool,
}

/// The trackers of the parts that track.
struct Trackers {
    sharing: Sharing,
    parts: Vec<Arc<dyn Tracker>>,
}

impl Composite {
    /// Joins `parts`; the whole fails with any of them.
    ///
    /// # Errors
    /// Where no epoll instance can be made.
    pub fn new(
        name: &'static str,
        sharing: Sharing,
        parts: Vec<Box<dyn Source>>,
    ) -> Result<Self, SourceError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| SourceError::Io { op: "epoll_create", source: error.into() })?;
        let trackers = parts.iter().map(|part| part.tracker()).collect();
        let tracker = Arc::new(Trackers { sharing, parts: trackers });
        let closed = SourceCounters::default();
        let doers = Doers::default();
        let mut whole = Self { name, epoll, parts: Vec::new(), tracker, doers, closed };
        for source in parts {
            whole.join(Part { source, optional: false })?;
        }
        Ok(whole)
    }

    /// Joins a source that tracks nothing and that the whole can go on without.
    ///
    /// # Errors
    /// Where epoll refuses its descriptor.
    pub fn with_optional(mut self, source: Box<dyn Source>) -> Result<Self, SourceError> {
        self.join(Part { source, optional: true })?;
        Ok(self)
    }

    fn join(&mut self, part: Part) -> Result<(), SourceError> {
        let data = epoll::EventData::new_u64(0);
        epoll::add(&self.epoll, part.source.wait_fd(), data, epoll::EventFlags::IN)
            .map_err(|error| SourceError::Io { op: "epoll_ctl", source: error.into() })?;
        self.parts.push(part);
        Ok(())
    }

    /// Closes the optional parts that failed (a closed descriptor leaves the epoll set by itself).
    fn close(&mut self, failed: &[usize], out: &mut Vec<Event>) {
        for index in failed.iter().rev() {
            let part = self.parts.remove(*index);
            // Its descriptor may be shared with a tracker that lives on, so it is taken out by hand.
            epoll::delete(&self.epoll, part.source.wait_fd()).unwrap_or_default();
            add(&mut self.closed, &part.source.counters());
            *self.closed.other.entry("closed_sources").or_default() += 1;
            *self.closed.lost.entry(LossKind::Process).or_default() += 1;
            out.push(Event::Lost { kind: LossKind::Process, n: 1 });
        }
    }
}

/// Adds `more` to `sum`, counter by counter.
fn add(sum: &mut SourceCounters, more: &SourceCounters) {
    sum.seen += more.seen;
    sum.coalesced += more.coalesced;
    for (kind, n) in &more.lost {
        *sum.lost.entry(*kind).or_default() += n;
    }
    for (name, n) in &more.other {
        *sum.other.entry(name).or_default() += n;
    }
}

impl Source for Composite {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::clone(&self.tracker) as Arc<dyn Tracker>
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// All parts are drained even where one fails: what they hold is worth having.
    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        let mut outcome = Ok(());
        let mut failed = Vec::new();
        let before = out.len();
        for (index, part) in self.parts.iter_mut().enumerate() {
            match part.source.drain(out) {
                Ok(()) => {}
                Err(_) if part.optional => failed.push(index),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.doers.complete(out.get_mut(before..).unwrap_or_default());
        self.close(&failed, out);
        outcome
    }

    fn looked(&mut self) {
        self.parts.iter_mut().for_each(|part| part.source.looked());
    }

    fn counters(&self) -> SourceCounters {
        let mut sum = self.closed.clone();
        for part in &self.parts {
            add(&mut sum, &part.source.counters());
        }
        sum
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

impl Tracker for Trackers {
    fn track(
        &self,
        fd: BorrowedFd<'_>,
        artifact: ArtifactId,
        kind: FileKind,
        size: u64,
    ) -> io::Result<()> {
        let mut outcome = Ok(());
        for part in &self.parts {
            let answer = part.track(fd, artifact, kind, size);
            match self.sharing {
                // The others track it nevertheless: part of the events is better than none.
                Sharing::All => outcome = outcome.and(answer),
                Sharing::FirstOf if answer.is_ok() => return answer,
                Sharing::FirstOf => outcome = answer,
            }
        }
        outcome
    }

    fn missed(&self, artifact: ArtifactId) -> Option<Extents> {
        self.parts.iter().find_map(|part| part.missed(artifact))
    }

    fn untrack(&self, artifact: ArtifactId) {
        for part in &self.parts {
            part.untrack(artifact);
        }
    }

    fn sees_mapped_stores(&self, fd: BorrowedFd<'_>) -> bool {
        self.parts.iter().any(|part| part.sees_mapped_stores(fd))
    }

    fn sees_every_write(&self) -> bool {
        self.parts.iter().any(|part| part.sees_every_write())
    }

    fn watch_memory(&self, pid: u32) -> bool {
        self.parts.iter().any(|part| part.watch_memory(pid))
    }

    fn unwatch_memory(&self, pid: u32) {
        self.parts.iter().for_each(|part| part.unwatch_memory(pid));
    }

    fn take_memory(&self, pid: u32) -> Option<MemoryNews> {
        self.parts.iter().find_map(|part| part.take_memory(pid))
    }
}

#[cfg(test)]
mod tests;
