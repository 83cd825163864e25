//! The whole promises what every part promises.

use super::*;
use crate::event::MonotonicNs;
use rustix::event::{EventfdFlags, eventfd};
use std::sync::Mutex;

/// A source that plays back, and a tracker that says yes or no.
struct Part {
    fd: OwnedFd,
    events: Vec<Event>,
    fails: bool,
    tracker: Arc<Yes>,
}

struct Yes {
    answer: bool,
    tracked: Mutex<Vec<ArtifactId>>,
}

fn part(events: Vec<Event>, answer: bool) -> Part {
    let flags = EventfdFlags::CLOEXEC;
    let fd = eventfd(u32::from(!events.is_empty()), flags).unwrap();
    let tracker = Arc::new(Yes { answer, tracked: Mutex::default() });
    Part { fd, events, fails: false, tracker }
}

impl Source for Part {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::clone(&self.tracker) as Arc<dyn Tracker>
    }
    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        out.append(&mut self.events);
        if self.fails {
            return Err(SourceError::Invalid { backend: "test", what: "it fails".to_owned() });
        }
        Ok(())
    }
    fn counters(&self) -> SourceCounters {
        SourceCounters { seen: 2, other: [("things", 3)].into(), ..SourceCounters::default() }
    }
    fn name(&self) -> &'static str {
        "part"
    }
}

impl Tracker for Yes {
    fn track(
        &self,
        _: BorrowedFd<'_>,
        artifact: ArtifactId,
        _: FileKind,
        _: u64,
    ) -> io::Result<()> {
        if !self.answer {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.tracked.lock().unwrap().push(artifact);
        Ok(())
    }
    fn untrack(&self, artifact: ArtifactId) {
        self.tracked.lock().unwrap().retain(|tracked| *tracked != artifact);
    }
    fn sees_mapped_stores(&self, _: BorrowedFd<'_>) -> bool {
        self.answer
    }
}

fn event(n: u64) -> Event {
    Event::Sweep { at: MonotonicNs(n) }
}

fn readable(source: &Composite) -> bool {
    let mut fds =
        [rustix::event::PollFd::from_borrowed_fd(source.wait_fd(), rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap()
        == 1
}

#[test]
fn all_parts_are_heard() {
    let (first, second) = (part(vec![], true), part(vec![event(2)], true));
    let mut whole =
        Composite::new("whole", Sharing::All, vec![Box::new(first), Box::new(second)]).unwrap();
    assert!(readable(&whole));
    let mut out = vec![event(1)];
    whole.drain(&mut out).unwrap();
    assert_eq!(out, [event(1), event(2)]);
    assert_eq!(whole.counters().seen, 4);
    assert_eq!(whole.counters().other["things"], 6);
}

#[test]
fn a_failing_part_fails_the_whole_after_all_were_heard() {
    let mut first = part(vec![event(1)], true);
    first.fails = true;
    let second = part(vec![event(2)], true);
    let mut whole =
        Composite::new("whole", Sharing::All, vec![Box::new(first), Box::new(second)]).unwrap();
    let mut out = Vec::new();
    assert!(whole.drain(&mut out).is_err());
    assert_eq!(out, [event(1), event(2)]);
}

#[test]
fn an_optional_part_may_fail_once() {
    let mut second = part(vec![event(2)], true);
    second.fails = true;
    let mut whole = Composite::new("whole", Sharing::All, vec![Box::new(part(vec![], true))])
        .unwrap()
        .with_optional(Box::new(second))
        .unwrap();
    assert!(readable(&whole));
    let mut out = Vec::new();
    whole.drain(&mut out).unwrap();
    assert_eq!(out, [event(2), Event::Lost { kind: LossKind::Process, n: 1 }]);
    whole.drain(&mut out).unwrap();
    assert_eq!(out.len(), 2);
    assert!(!readable(&whole));
    assert_eq!(whole.counters().other["closed_sources"], 1);
    assert_eq!(whole.counters().seen, 4);
}

/// What the two parts took, and what the whole answered.
fn tracked(sharing: Sharing, answers: [bool; 2]) -> (bool, [usize; 2]) {
    let parts = answers.map(|answer| part(vec![], answer));
    let trackers = [Arc::clone(&parts[0].tracker), Arc::clone(&parts[1].tracker)];
    let parts = parts.into_iter().map(|part| Box::new(part) as Box<dyn Source>).collect();
    let whole = Composite::new("whole", sharing, parts).unwrap();
    let file = tempfile::tempfile().unwrap();
    let answer = whole.tracker().track(file.as_fd(), ArtifactId(1), FileKind::File, 0);
    let took = trackers.each_ref().map(|tracker| tracker.tracked.lock().unwrap().len());
    whole.tracker().untrack(ArtifactId(1));
    assert!(trackers.iter().all(|tracker| tracker.tracked.lock().unwrap().is_empty()));
    (answer.is_ok(), took)
}

#[test]
fn sharing_decides_who_tracks() {
    assert_eq!(tracked(Sharing::All, [true, true]), (true, [1, 1]));
    assert_eq!(tracked(Sharing::All, [false, true]), (false, [0, 1]));
    assert_eq!(tracked(Sharing::FirstOf, [true, true]), (true, [1, 0]));
    assert_eq!(tracked(Sharing::FirstOf, [false, true]), (true, [0, 1]));
    assert_eq!(tracked(Sharing::FirstOf, [false, false]), (false, [0, 0]));
}
