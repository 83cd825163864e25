//! The thread that follows the layouts of watched processes.
//!
//! Knows: processes, where their bricks lie. Must never know: the pipeline, how pages are looked into.
//! Keeps: at most a fourth of one core for layouts that change all the time, and a change never waits for a
//! look; a process that ended leaves its last brick, which says so; whoever waits is answered when every
//! process was looked into since.

use super::looks::{Desk, Done, Job, Outcome, Work};
use super::{Shared, lock};
use crate::capture::{Care, follow, layout, mark_ended, put};
use crate::clock;
use crate::directory::Process;
use crate::process::maps::Mapping;
use crate::process::{CaptureError, ProcessError, Target, find};
use crate::store::place::unfinished;
use crate::store::{Store, brick_path};
use crate::tracker::Tracker;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Between two looks at a layout of which nobody tells.
const LAYOUTS_NS: u64 = 10_000_000;

/// Between two looks into the pages of one process at least.
const CONTENTS_NS: u64 = 1_000_000_000;

/// The contents of a process that did not run in between: only others can have changed them.
const STILL_NS: u64 = 10 * CONTENTS_NS;

/// Layouts may take one part in so many of the time.
const LAYOUTS_SHARE: u64 = 4;

/// Looks for processes of a name follow one another at this distance, where no event says that one began.
const SEARCH_NS: u64 = 1_000_000_000;

/// What was committed is made durable so often, even if nobody asks.
const SETTLE_NS: u64 = 5_000_000_000;

/// Bytes that following may append before somebody cleans up.
const MOST_APPENDED: u64 = 32 << 20;

/// Follows layouts until nobody rings any more.
pub(super) fn work(mut rounds: Rounds, woken: &Receiver<()>) {
    let mut rest_until = 0;
    while let Some(due) = wait(&rounds, woken, rest_until) {
        for done in rounds.desk.done() {
            rounds.take(done);
        }
        if due {
            // Who comes from now on wants a round that has not begun yet.
            let answers = std::mem::take(&mut *lock(&rounds.shared.waiters));
            let begun = clock::monotonic().0;
            rounds.round(answers);
            let ended = clock::monotonic().0;
            rest_until = ended + (ended - begun).saturating_mul(LAYOUTS_SHARE - 1);
        }
        rounds.answer();
    }
}

/// Waits for what there is to do: a round (true), as soon as something is due, somebody was told of, or a
/// client waits, but for all but the client not before the last round's share of the time is over; or only
/// to take what was looked at. `None` at the end.
fn wait(rounds: &Rounds, woken: &Receiver<()>, rest_until: u64) -> Option<bool> {
    loop {
        let due = if rounds.is_told() { 0 } else { rounds.due_ns() };
        let left = due.max(rest_until).saturating_sub(clock::monotonic().0);
        if left == 0 || !lock(&rounds.shared.waiters).is_empty() {
            return Some(true);
        }
        match woken.recv_timeout(Duration::from_nanos(left)) {
            Ok(()) if rounds.desk.has_done() => return Some(false),
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// A process and what is known of it.
struct Watched {
    target: Arc<Target>,
    /// What its brick shows; nothing, where that is not known.
    layout: Vec<Mapping>,
    /// Nobody tells of its layout.
    polled: bool,
    /// Its memory was not there, and yet it lives: another program is about to run in it, or it is about
    /// to end. Nobody may tell when that is over.
    between: bool,
    /// When its layout was asked for.
    looked_ns: u64,
    /// Its pages are not looked into before.
    due_ns: u64,
    /// When somebody was sent to look into them, and how long it had run by then.
    contents_ns: u64,
    ran_ns: Option<u64>,
    /// The look that is on its way.
    away: Option<Away>,
    /// When what was committed before was made durable last.
    settled_ns: u64,
    /// Somebody was promised what is committed now.
    promised: bool,
    /// Bytes that following has appended.
    appended: u64,
    /// This thread or its helper wrote the brick.
    own: bool,
}

/// A job that was given away.
#[derive(Clone, Copy)]
struct Away {
    number: u64,
    /// It writes the brick itself.
    whole: bool,
    /// Another look is wanted after it.
    again: bool,
}

/// Clients that wait, and for which processes' jobs: numbers of jobs rise.
struct Batch {
    answers: Vec<oneshot::Sender<()>>,
    missing: BTreeMap<u32, u64>,
}

/// Everything the thread has.
pub(super) struct Rounds {
    names: Vec<String>,
    store: Arc<Store>,
    tracker: Arc<dyn Tracker>,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    tell: mpsc::Sender<Process>,
    known: BTreeMap<u32, Watched>,
    /// Lives that have ended, or may not be looked at: number and start.
    over: BTreeSet<(u32, u64)>,
    searched_ns: u64,
    jobs: u64,
    batches: Vec<Batch>,
}

/// What a process came to.
enum Fate {
    Lives,
    Ended,
    /// It may not be looked at.
    Hidden,
}

impl Rounds {
    pub(super) fn new(
        names: Vec<String>,
        (store, tracker): (Arc<Store>, Arc<dyn Tracker>),
        (shared, desk): (Arc<Shared>, Arc<Desk>),
        tell: mpsc::Sender<Process>,
    ) -> Self {
        let (known, over, batches) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let (searched_ns, jobs) = (0, 0);
        Self { names, store, tracker, shared, desk, tell, known, over, searched_ns, jobs, batches }
    }

    /// Whether somebody was told of who can be looked at now.
    fn is_told(&self) -> bool {
        self.shared.begun.load(Ordering::Acquire)
            || lock(&self.shared.told)
                .iter()
                .any(|pid| self.known.get(pid).is_none_or(|watched| !watched.is_elsewhere()))
    }

    /// When there is something to do even if nobody tells of anything.
    fn due_ns(&self) -> u64 {
        let look = |watched: &Watched| match watched.away {
            Some(Away { whole: true, .. }) => u64::MAX,
            _ if watched.polled || watched.between => watched.looked_ns + LAYOUTS_NS,
            Some(_) => u64::MAX,
            None => watched.due_ns,
        };
        let search = self.searched_ns.saturating_add(SEARCH_NS);
        self.known.values().map(look).fold(search, u64::min)
    }

    /// Follows whoever's layout changed, and sends somebody to look into whoever's time has come; into
    /// everybody where somebody waits for it.
    fn round(&mut self, answers: Vec<oneshot::Sender<()>>) {
        let (all, now) = (!answers.is_empty(), clock::monotonic().0);
        let mut told = std::mem::take(&mut *lock(&self.shared.told));
        let pids: Vec<u32> = self.known.keys().copied().collect();
        let (mut forked, mut missing) = (false, BTreeMap::new());
        for pid in pids {
            if self.known.get(&pid).is_some_and(Watched::is_elsewhere) {
                // What is told of it stays told.
                lock(&self.shared.told).extend(told.take(&pid));
                self.want(pid, all, &mut missing);
                continue;
            }
            // Taken first, then looked at.
            let news = self.tracker.take_memory(pid).unwrap_or_default();
            forked |= news.forked;
            self.visit(pid, all, news.changed || told.contains(&pid));
            self.want(pid, all, &mut missing);
        }
        let begun = self.shared.begun.swap(false, Ordering::AcqRel);
        if all || begun || forked || self.searched_ns.saturating_add(SEARCH_NS) <= now {
            self.searched_ns = now;
            self.discover(all, &mut missing);
        }
        *lock(&self.shared.known) = self.known.keys().copied().collect();
        let polled = self.known.values().filter(|watched| watched.polled).count();
        self.shared.polled.store(polled as u64, Ordering::Relaxed);
        if all {
            self.batches.push(Batch { answers, missing });
        }
    }

    /// Where a client waits, makes sure that this process is looked into by a job that began later.
    fn want(&mut self, pid: u32, all: bool, missing: &mut BTreeMap<u32, u64>) {
        let Some(watched) = self.known.get_mut(&pid).filter(|_| all) else { return };
        let number = match &mut watched.away {
            None => self.send(pid, true),
            Some(away) if self.desk.hurry(away.number) => Some(away.number),
            Some(away) => {
                away.again = true;
                Some(self.jobs + 1)
            }
        };
        missing.extend(number.map(|number| (pid, number)));
    }

    /// Follows the layout of a process whose brick is here.
    fn visit(&mut self, pid: u32, all: bool, told: bool) {
        let Some(watched) = self.known.get_mut(&pid) else { return };
        let now = clock::monotonic().0;
        let due = watched.away.is_none() && watched.due_ns <= now;
        if !(all || told || watched.polled || watched.between || due) {
            return;
        }
        (watched.looked_ns, watched.between) = (now, false);
        let fate = match watched.target.mappings() {
            Ok(mappings) if mappings == watched.layout => Ok(()),
            Ok(mappings) => self.follow(pid, mappings),
            Err(error) => Err(error.into()),
        };
        match self.fate(pid, fate) {
            Fate::Lives if due && !all => self.send_if_it_ran(pid, now),
            Fate::Lives => {}
            fate => self.forget(pid, &fate),
        }
    }

    /// Brings the layout in the brick up to date; where that takes everything, sends somebody to do it.
    fn follow(&mut self, pid: u32, mappings: Vec<Mapping>) -> Result<(), CaptureError> {
        let place = self.place(pid);
        let (functions, store) = (self.desk.functions(), Arc::clone(&self.store));
        let Some(watched) = self.known.get_mut(&pid) else { return Ok(()) };
        if store.failure().is_some() {
            return Ok(());
        }
        // Another program may run in it by now, under another name.
        let again = Target::open(pid).ok().filter(|t| t.started() == watched.target.started());
        let renamed = again.as_ref().is_some_and(|t| t.comm() != watched.target.comm());
        if let Some(again) = again {
            watched.target = Arc::new(again);
        }
        let beside = unfinished(&place);
        let care = watched.care(MOST_APPENDED < watched.appended);
        let (medium, places) = (store.medium(), (&*place, &*beside));
        let followed = follow(medium, &watched.target, &mappings, places, (&functions, care))?;
        let Some(captured) = followed else {
            self.send_whole(pid, false);
            return Ok(());
        };
        watched.layout = mappings;
        watched.appended += captured.committed.appended_bytes;
        watched.tended(care);
        if renamed || captured.sampled.put_off > 0 {
            watched.due_ns = 0;
        }
        self.tell(captured.shown);
        Ok(())
    }

    /// Sends somebody to look into a process, unless it did nothing since the last time.
    fn send_if_it_ran(&mut self, pid: u32, now: u64) {
        let Some(watched) = self.known.get_mut(&pid) else { return };
        // Asked before the pages are read: what it does meanwhile counts for the next time.
        let ran = watched.target.ran_ns();
        let still = ran.is_some() && ran == watched.ran_ns;
        if still && now < watched.contents_ns + STILL_NS {
            watched.due_ns = now + CONTENTS_NS;
            return;
        }
        watched.ran_ns = ran;
        self.send(pid, false);
    }

    /// Sends somebody to look into a process. Gives the job's number.
    fn send(&mut self, pid: u32, urgent: bool) -> Option<u64> {
        let place = self.place(pid);
        let watched = self.known.get_mut(&pid)?;
        let parts = match layout(self.store.medium(), &watched.target, &place, watched.own) {
            Ok(parts) if !watched.layout.is_empty() => parts,
            // What the brick shows is not known, or it cannot be read: it is made anew.
            _ => None,
        };
        let Some(parts) = parts else { return self.send_whole(pid, urgent) };
        let work = Work::Pages(parts, watched.layout.clone());
        self.submit(pid, work, urgent)
    }

    /// Sends somebody to make the brick from everything. Gives the job's number.
    fn send_whole(&mut self, pid: u32, urgent: bool) -> Option<u64> {
        let place = self.place(pid);
        let watched = self.known.get_mut(&pid)?;
        watched.layout.clear();
        watched.own = false;
        self.submit(pid, Work::Whole(place), urgent)
    }

    fn submit(&mut self, pid: u32, work: Work, urgent: bool) -> Option<u64> {
        let watched = self.known.get_mut(&pid)?;
        self.jobs += 1;
        let (number, whole) = (self.jobs, matches!(work, Work::Whole(_)));
        watched.away = Some(Away { number, whole, again: false });
        watched.contents_ns = clock::monotonic().0;
        // A brick that is not there is waited for by everybody.
        let urgent = urgent || whole;
        let target = Arc::clone(&watched.target);
        self.desk.submit(Job { number, pid, target, work, urgent });
        Some(number)
    }

    /// Takes what somebody brought back.
    fn take(&mut self, done: Done) {
        let Done { number, pid, outcome } = done;
        let Some(watched) = self.known.get_mut(&pid) else { return };
        let Some(away) = watched.away.take_if(|away| away.number == number) else { return };
        let taken = outcome.and_then(|outcome| self.take_in(pid, outcome));
        match self.fate(pid, taken) {
            Fate::Lives => {}
            fate => return self.forget(pid, &fate),
        }
        let Some(watched) = self.known.get_mut(&pid) else { return };
        let now = clock::monotonic().0;
        watched.due_ns = now + CONTENTS_NS;
        for batch in &mut self.batches {
            batch.missing.retain(|missing, wanted| *missing != pid || number < *wanted);
        }
        if away.whole {
            // What changed while it was made.
            self.visit(pid, false, true);
        }
        if away.again
            && let Some(watched) = self.known.get(&pid)
            && watched.away.is_none()
        {
            self.send(pid, true);
        }
    }

    fn take_in(&mut self, pid: u32, outcome: Outcome) -> Result<(), CaptureError> {
        let (place, store) = (self.place(pid), Arc::clone(&self.store));
        let Some(watched) = self.known.get_mut(&pid) else { return Ok(()) };
        let captured = match outcome {
            Outcome::Made(captured) => {
                watched.own = true;
                *captured
            }
            Outcome::Seen(_) if store.failure().is_some() => return Ok(()),
            // What was seen before is more than what could still be read.
            Outcome::Seen(look) if look.sampled().ended => {
                return Err(watched.target.ended().into());
            }
            Outcome::Seen(look) => {
                let beside = unfinished(&place);
                let care = watched.care(true);
                let places = (&*place, &*beside);
                let done = put(store.medium(), &watched.target, *look, places, care)?;
                watched.tended(care);
                match done {
                    Some(captured) => captured,
                    // Its brick is gone: the next visit makes another.
                    None => {
                        watched.layout.clear();
                        return Ok(());
                    }
                }
            }
        };
        let ended = captured.sampled.ended.then(|| watched.target.ended());
        self.tell(captured.shown);
        ended.map_or(Ok(()), |ended| Err(ended.into()))
    }

    fn fate(&mut self, pid: u32, came_to: Result<(), CaptureError>) -> Fate {
        let watched = self.known.get_mut(&pid);
        match came_to {
            Ok(()) => Fate::Lives,
            Err(CaptureError::Process(
                ProcessError::Ended { .. } | ProcessError::Missing { .. },
            )) => match watched.filter(|watched| watched.target.is_alive()) {
                Some(watched) => {
                    watched.between = true;
                    Fate::Lives
                }
                None => Fate::Ended,
            },
            Err(CaptureError::Process(ProcessError::Denied { .. })) => Fate::Hidden,
            // A brick that failed is made anew; a medium that failed stops the store.
            Err(error) => {
                self.stop(&error);
                Fate::Lives
            }
        }
    }

    /// There is nothing more to see of it.
    fn forget(&mut self, pid: u32, fate: &Fate) {
        let Some(watched) = self.known.remove(&pid) else { return };
        if matches!(fate, Fate::Ended) && self.store.failure().is_none() {
            let at_ns = clock::wall().0;
            let (medium, place) = (self.store.medium(), self.place(pid));
            // Where even that fails, the brick is the last one all the same.
            let last = mark_ended(medium, &watched.target, &place, at_ns);
            match last {
                Ok(Some(shown)) => self.tell(Process { ended_ns: at_ns, ..shown }),
                Ok(None) => {}
                Err(error) => self.stop(&error),
            }
        }
        self.tracker.unwatch_memory(pid);
        self.over.insert((pid, watched.target.started()));
        for batch in &mut self.batches {
            batch.missing.remove(&pid);
        }
    }

    /// Looks for processes that are to be watched, and sends somebody to make their bricks.
    fn discover(&mut self, all: bool, missing: &mut BTreeMap<u32, u64>) {
        let mut found = Vec::new();
        for name in &self.names {
            let pids = name.parse().map_or_else(|_| find(Some(name)), |pid| vec![pid]);
            found.extend(pids.into_iter().filter(|pid| *pid != std::process::id()));
        }
        for pid in found {
            if let Some(watched) = self.known.get(&pid) {
                if watched.target.is_alive() {
                    continue;
                }
                // Its number may be another's already.
                self.forget(pid, &Fate::Ended);
            }
            // Told from here on; what is there is read later.
            let polled = !self.tracker.watch_memory(pid);
            let fresh = Target::open(pid).ok();
            let fresh = fresh.filter(|t| !self.over.contains(&(pid, t.started())));
            let Some(target) = fresh else {
                self.tracker.unwatch_memory(pid);
                continue;
            };
            self.known.insert(pid, Watched::new(target, polled));
            let number = self.send_whole(pid, true);
            missing.extend(number.filter(|_| all).map(|number| (pid, number)));
        }
    }

    /// Answers who waits for nothing more.
    fn answer(&mut self) {
        for batch in self.batches.extract_if(.., |batch| batch.missing.is_empty()) {
            for watched in self.known.values_mut() {
                watched.promised = true;
            }
            for answer in batch.answers {
                // A client that left needs no answer.
                let _heard = answer.send(()).is_ok();
            }
        }
    }

    fn place(&self, pid: u32) -> PathBuf {
        brick_path(self.store.dir(), format!("pid:{pid}").as_bytes())
    }

    fn tell(&self, shown: Process) {
        // Nobody listens at the end.
        drop(self.tell.blocking_send(shown));
    }

    fn stop(&self, error: &CaptureError) {
        if let CaptureError::Brick(foundry_brick::Error::Io(error)) = error
            && error.kind() != std::io::ErrorKind::UnexpectedEof
        {
            self.store.fail(error);
        }
    }
}

impl Watched {
    fn new(target: Target, polled: bool) -> Self {
        Self {
            target: Arc::new(target),
            layout: Vec::new(),
            polled,
            between: false,
            looked_ns: 0,
            due_ns: 0,
            contents_ns: 0,
            ran_ns: None,
            away: None,
            settled_ns: 0,
            promised: false,
            appended: 0,
            own: false,
        }
    }

    /// Its brick is somebody else's for now.
    fn is_elsewhere(&self) -> bool {
        self.away.is_some_and(|away| away.whole)
    }

    /// What the next commit is to care for.
    fn care(&self, compact: bool) -> Care {
        let old = self.settled_ns.saturating_add(SETTLE_NS) <= clock::monotonic().0;
        Care { own: self.own, settle: self.promised || (compact && old), compact }
    }

    /// It did.
    fn tended(&mut self, care: Care) {
        if care.settle {
            (self.promised, self.settled_ns) = (false, clock::monotonic().0);
        }
        if care.compact {
            self.appended = 0;
        }
    }
}
