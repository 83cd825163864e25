//! The thread that looks into the pages of watched processes, and makes the first brick of each.
//!
//! Knows: processes, one look after the other. Must never know: layouts that changed meanwhile, the
//! pipeline.
//! Keeps: at most a twentieth of one core, but for what somebody waits for; a brick is written only where
//! it is made from everything, and until then nobody else writes it.

use crate::capture::{Captured, capture};
use crate::clock;
use crate::process::maps::Mapping;
use crate::process::sample::Live;
use crate::process::{CaptureError, Functions, Look, Target};
use crate::store::Store;
use crate::store::place::unfinished;
use foundry_brick::Payload;
use foundry_brick::parts::Parts;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Looks may take one part in so many of the time.
const SHARE: u64 = 20;

/// They give way to everything else.
const NICE: i32 = 10;

/// What is to be done.
pub(super) enum Work {
    /// Look into every page of a layout.
    Pages(Parts, Vec<Mapping>),
    /// Make the brick at this place from everything.
    Whole(PathBuf),
}

/// One process's turn.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) pid: u32,
    pub(super) target: Arc<Target>,
    pub(super) work: Work,
    /// Somebody waits.
    pub(super) urgent: bool,
}

/// What came of it.
pub(super) enum Outcome {
    /// What was seen.
    Seen(Box<Look>),
    /// The brick was made.
    Made(Box<Captured>),
}

/// A job that is done.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) pid: u32,
    pub(super) outcome: Result<Outcome, CaptureError>,
}

/// Where jobs lie until it is their turn, and what came of them until it is fetched.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    rung: Condvar,
    /// The functions of mapped files, as far as a look came by them.
    functions: Mutex<Arc<Functions>>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    done: Vec<Done>,
    closed: bool,
}

impl Desk {
    /// Asks for a look.
    pub(super) fn submit(&self, job: Job) {
        lock(&self.state).jobs.push_back(job);
        self.rung.notify_all();
    }

    /// Somebody waits for this job now. False where it has begun, or is over.
    pub(super) fn hurry(&self, number: u64) -> bool {
        let mut state = lock(&self.state);
        let found = state.jobs.iter_mut().find(|job| job.number == number);
        let waits = found.map(|job| job.urgent = true).is_some();
        self.rung.notify_all();
        waits
    }

    /// Whether something was done that nobody has fetched.
    pub(super) fn has_done(&self) -> bool {
        !lock(&self.state).done.is_empty()
    }

    /// What was done since the last call.
    pub(super) fn done(&self) -> Vec<Done> {
        std::mem::take(&mut lock(&self.state).done)
    }

    /// What is known of mapped files.
    pub(super) fn functions(&self) -> Arc<Functions> {
        Arc::clone(&lock(&self.functions))
    }

    /// No more jobs.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.rung.notify_all();
    }

    /// The next job: one that somebody waits for at once, another from `rest_until` on. `None` at the end.
    fn next(&self, rest_until: u64) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            let left = rest_until.saturating_sub(clock::monotonic().0);
            let urgent = state.jobs.iter().position(|job| job.urgent);
            let turn = urgent.or((left == 0 && !state.jobs.is_empty()).then_some(0));
            if let Some(job) = turn.and_then(|turn| state.jobs.remove(turn)) {
                return Some(job);
            }
            state = if state.jobs.is_empty() {
                self.rung.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = self.rung.wait_timeout(state, Duration::from_nanos(left));
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
        }
    }
}

/// Does one job after the other; `tell` is called after each.
pub(super) fn work(desk: &Desk, store: &Store, tell: impl Fn()) {
    // Whoever follows a change comes first. Where even this is refused, looks take their share all the same.
    let _lowered = setpriority_process(Some(gettid()), NICE).is_ok();
    let mut functions = Functions::default();
    let mut rest_until = 0;
    while let Some(job) = desk.next(rest_until) {
        let Job { number, pid, target, work, .. } = job;
        let begun = clock::monotonic().0;
        let outcome = match work {
            Work::Pages(parts, mappings) => {
                let memory = &mut Live(pid);
                let look = Look::take(&target, parts, mappings, memory, &mut functions);
                look.map(|look| Outcome::Seen(Box::new(look)))
            }
            Work::Whole(place) => {
                let beside = unfinished(&place);
                let (medium, places) = (store.medium(), (&*place, &*beside));
                let made = capture(medium, &target, places, Payload::Reference, &mut functions);
                made.map(|captured| Outcome::Made(Box::new(captured)))
            }
        };
        *lock(&desk.functions) = Arc::new(functions.clone());
        let ended = clock::monotonic().0;
        rest_until = ended + (ended - begun).saturating_mul(SHARE - 1);
        lock(&desk.state).done.push(Done { number, pid, outcome });
        tell();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is changed by single calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: u64, urgent: bool) -> Job {
        let target = Arc::new(Target::open(std::process::id()).unwrap());
        let work = Work::Whole(PathBuf::new());
        Job { number, pid: std::process::id(), target, work, urgent }
    }

    #[test]
    fn who_is_waited_for_comes_first_and_needs_no_rest() {
        let desk = Desk::default();
        desk.submit(job(1, false));
        desk.submit(job(2, false));
        desk.submit(job(3, true));
        let numbers = |rest| desk.next(rest).map(|job| job.number);
        assert_eq!(numbers(u64::MAX), Some(3));
        assert!(desk.hurry(2), "it has not begun");
        assert!(!desk.hurry(3), "it has");
        assert_eq!(numbers(u64::MAX), Some(2));
        let soon = clock::monotonic().0 + 20_000_000;
        assert_eq!(numbers(soon), Some(1));
        assert!(soon <= clock::monotonic().0, "the rest was kept");
        desk.close();
        assert_eq!(numbers(0), None);
    }
}
