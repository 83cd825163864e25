//! The thread that keeps the bricks of watched processes.
//!
//! Programs that start and end are events, and so are changes of a layout where the source has probes for
//! them: a hint, whereupon the layout is asked for and compared. Where it has none, layouts are asked for
//! many times a second. Only a process whose layout changed is captured then; contents are read again,
//! page by page, at a slower pace. A sync has a round of its own.
//!
//! Knows: processes, where their bricks lie. Must never know: the pipeline.
//! Keeps: at most a twentieth of one core for contents, and a fourth for layouts that change all the time;
//! what was told is taken before it is looked at; a process that ended leaves its last brick, which says so.

use super::FatalError;
use super::readers::spawn;
use crate::capture::{capture, follow, mark_ended};
use crate::clock;
use crate::directory::Process;
use crate::event::{Actor, Event, LossKind};
use crate::pipeline::input::Input;
use crate::process::maps::Mapping;
use crate::process::{CaptureError, Functions, ProcessError, Target, find};
use crate::store::{Store, brick_path};
use crate::tracker::Tracker;
use foundry_brick::Payload;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Between two looks at a layout of which nobody tells.
const LAYOUTS_NS: u64 = 10_000_000;

/// Between two looks into the pages of one process at least.
const CONTENTS_NS: u64 = 1_000_000_000;

/// The contents of a process that did not run in between: only others can have changed them.
const STILL_NS: u64 = 10 * CONTENTS_NS;

/// Contents may take one part in so many of the time.
const CONTENTS_SHARE: u64 = 20;

/// Layouts may take one part in so many.
const LAYOUTS_SHARE: u64 = 4;

/// Looks for processes of a name follow one another at this distance, where no event says that one began.
const SEARCH_NS: u64 = 1_000_000_000;

/// What the loop and the thread share.
#[derive(Default)]
struct Shared {
    waiters: Mutex<Vec<oneshot::Sender<()>>>,
    /// A program began since the last search.
    begun: AtomicBool,
    /// Who is watched now.
    known: Mutex<BTreeSet<u32>>,
    /// Who was told of since they were looked at.
    told: Mutex<BTreeSet<u32>>,
    /// How many of those who are watched are looked at again and again.
    polled: AtomicU64,
    /// How often the source told of a layout.
    layouts_told: AtomicU64,
}

/// The thread's other end.
pub(super) struct Processes {
    wake: SyncSender<()>,
    shared: Arc<Shared>,
    news: mpsc::Receiver<Process>,
    by_name: bool,
}

impl Processes {
    /// Starts the thread, if there is anything to watch.
    pub(super) fn start(
        names: &[String],
        store: &Arc<Store>,
        tracker: Arc<dyn Tracker>,
        panics: &mpsc::Sender<FatalError>,
    ) -> Result<Option<Self>, FatalError> {
        if names.is_empty() {
            return Ok(None);
        }
        let (wake, woken) = sync_channel(1);
        let (tell, news) = mpsc::channel(64);
        let shared = Arc::<Shared>::default();
        let rounds = Rounds {
            names: names.to_vec(),
            store: Arc::clone(store),
            shared: Arc::clone(&shared),
            tracker,
            tell,
            known: BTreeMap::new(),
            over: BTreeSet::new(),
            searched_ns: 0,
        };
        spawn("process watcher", panics, move || work(rounds, &woken))?;
        let by_name = names.iter().any(|name| name.parse::<u32>().is_err());
        Ok(Some(Self { wake, shared, news, by_name }))
    }

    /// Answers when a round that begins after this call is done.
    pub(super) fn sync(&self) -> oneshot::Receiver<()> {
        let (answer, done) = oneshot::channel();
        lock(&self.shared.waiters).push(answer);
        self.hurry();
        done
    }

    /// Says what a source saw.
    pub(super) fn hint(&self, event: &Event) {
        let known = lock(&self.shared.known);
        if let Event::Layout { .. } = event {
            self.shared.layouts_told.fetch_add(1, Ordering::Relaxed);
        }
        let concerned = match event {
            Event::Exec { actor, .. } => {
                self.shared.begun.fetch_or(self.by_name, Ordering::AcqRel);
                lock(&self.shared.told).extend(known.get(&actor.pid));
                self.by_name || known.contains(&actor.pid)
            }
            Event::Exit { actor: Actor { pid, .. }, .. }
            | Event::Mmap { actor: Actor { pid, .. }, .. }
            | Event::Layout { pid } => {
                lock(&self.shared.told).extend(known.get(pid));
                known.contains(pid)
            }
            Event::Lost { kind: LossKind::Process, .. } => {
                self.shared.begun.store(true, Ordering::Release);
                lock(&self.shared.told).extend(known.iter());
                true
            }
            _ => false,
        };
        if concerned {
            self.hurry();
        }
    }

    /// How many processes are watched, of how many of them nobody tells, and how often somebody did.
    pub(super) fn counts(&self) -> [(&'static str, u64); 3] {
        [
            ("watched_processes", lock(&self.shared.known).len() as u64),
            ("polled_processes", self.shared.polled.load(Ordering::Relaxed)),
            ("layouts_told", self.shared.layouts_told.load(Ordering::Relaxed)),
        ]
    }

    /// The next brick that was captured, as the world shows it.
    pub(super) async fn news(&mut self) -> Option<Input> {
        self.news.recv().await.map(Input::Process)
    }

    /// One that waits already.
    pub(super) fn ready_news(&mut self) -> Option<Input> {
        self.news.try_recv().ok().map(Input::Process)
    }

    fn hurry(&self) {
        // One that is on its way to be woken will see everything by then; one that left needs nothing.
        let _woken = self.wake.try_send(()).is_ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(mut rounds: Rounds, woken: &Receiver<()>) {
    let mut rest_until = 0;
    while wait(&rounds, woken, rest_until) {
        // Who comes from now on wants a round that has not begun yet.
        let answers = std::mem::take(&mut *lock(&rounds.shared.waiters));
        let begun = clock::monotonic().0;
        rounds.round(!answers.is_empty());
        let ended = clock::monotonic().0;
        rest_until = ended + (ended - begun).saturating_mul(LAYOUTS_SHARE - 1);
        for answer in answers {
            // A client that left needs no answer.
            let _heard = answer.send(()).is_ok();
        }
    }
}

/// Waits for the next round: until something is due, or earlier where somebody was told of, but not
/// before the last round's share of the time is over, or until a client waits. False at the end.
fn wait(rounds: &Rounds, woken: &Receiver<()>, rest_until: u64) -> bool {
    let mut due = rounds.due_ns();
    loop {
        let left = due.max(rest_until).saturating_sub(clock::monotonic().0);
        if left == 0 || !lock(&rounds.shared.waiters).is_empty() {
            return true;
        }
        match woken.recv_timeout(Duration::from_nanos(left)) {
            Ok(()) => due = 0,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// A process and what is known of it.
struct Watched {
    target: Target,
    /// As it was before the last capture began.
    layout: Vec<Mapping>,
    /// Its contents are not looked at before.
    due_ns: u64,
    /// When its layout was asked for.
    looked_ns: u64,
    /// When its contents were looked into, and how long it had run by then.
    contents_ns: u64,
    ran_ns: Option<u64>,
    /// Nobody tells of its layout.
    polled: bool,
    /// Of the files that it maps.
    functions: Functions,
}

struct Rounds {
    names: Vec<String>,
    store: Arc<Store>,
    shared: Arc<Shared>,
    tracker: Arc<dyn Tracker>,
    tell: mpsc::Sender<Process>,
    known: BTreeMap<u32, Watched>,
    /// Lives that have ended, or may not be looked at: number and start.
    over: BTreeSet<(u32, u64)>,
    searched_ns: u64,
}

impl Rounds {
    /// When there is something to do even if nobody tells of anything.
    fn due_ns(&self) -> u64 {
        let look = |watched: &Watched| match watched.polled {
            true => watched.looked_ns + LAYOUTS_NS,
            false => watched.due_ns,
        };
        let search = self.searched_ns.saturating_add(SEARCH_NS);
        self.known.values().map(look).fold(search, u64::min)
    }

    /// Captures whoever's layout changed or whose time has come; everybody where `all`.
    fn round(&mut self, all: bool) {
        let now = clock::monotonic().0;
        let told = std::mem::take(&mut *lock(&self.shared.told));
        let pids: Vec<u32> = self.known.keys().copied().collect();
        let mut forked = false;
        for pid in pids {
            // Taken first, then looked at.
            let news = self.tracker.take_memory(pid).unwrap_or_default();
            forked |= news.forked;
            self.visit(pid, all, news.changed || told.contains(&pid));
        }
        let begun = self.shared.begun.swap(false, Ordering::AcqRel);
        if all || begun || forked || self.searched_ns.saturating_add(SEARCH_NS) <= now {
            self.searched_ns = now;
            self.discover();
        }
        *lock(&self.shared.known) = self.known.keys().copied().collect();
        let polled = self.known.values().filter(|watched| watched.polled).count();
        self.shared.polled.store(polled as u64, Ordering::Relaxed);
    }

    fn visit(&mut self, pid: u32, all: bool, told: bool) {
        let Some(watched) = self.known.get_mut(&pid) else { return };
        let now = clock::monotonic().0;
        if !(all || told || watched.polled || now >= watched.due_ns) {
            return;
        }
        watched.looked_ns = now;
        // Asked before the contents are read: what it does meanwhile counts for the next time.
        let ran = if all || now >= watched.due_ns { watched.target.ran_ns() } else { None };
        let still = ran.is_some() && ran == watched.ran_ns;
        if !all && still && now < watched.contents_ns + STILL_NS {
            watched.due_ns = now + CONTENTS_NS;
        }
        let layout = watched.target.mappings();
        let same = layout.as_ref().is_ok_and(|layout| *layout == watched.layout);
        if !all && same && now < watched.due_ns {
            return;
        }
        watched.layout = layout.unwrap_or_default();
        let known = watched.contents_ns > 0;
        // Another program may run in it by now, under another name.
        if let Some(again) =
            Target::open(pid).ok().filter(|t| !same && t.started() == watched.target.started())
        {
            watched.target = again;
        }
        let place = brick_path(self.store.dir(), format!("pid:{pid}").as_bytes());
        // What is in the pages waits for its time; a client that waits gets everything.
        let contents = all || !known || now >= watched.due_ns;
        let more = keep(&self.store, watched, &place, contents, &self.tell);
        let took = clock::monotonic().0.saturating_sub(now);
        if contents {
            (watched.contents_ns, watched.ran_ns) = (now, ran);
            watched.due_ns = now + took + CONTENTS_NS.max(took.saturating_mul(CONTENTS_SHARE - 1));
        }
        if !more && let Some(watched) = self.known.remove(&pid) {
            self.tracker.unwatch_memory(pid);
            self.over.insert((pid, watched.target.started()));
        }
    }

    /// Looks for processes that are to be watched, and captures those that were found.
    fn discover(&mut self) {
        let mut found = Vec::new();
        for name in &self.names {
            let pids = name.parse().map_or_else(|_| find(Some(name)), |pid| vec![pid]);
            found.extend(pids.into_iter().filter(|pid| *pid != std::process::id()));
        }
        for pid in found {
            let held = self.known.get(&pid);
            if held.is_some_and(|watched| watched.target.is_alive()) {
                continue;
            }
            // Told from here on; what is there is read later.
            let polled = held.is_none() && !self.tracker.watch_memory(pid);
            let fresh = Target::open(pid).ok();
            let fresh = fresh.filter(|t| !self.over.contains(&(pid, t.started())));
            match fresh {
                Some(target) if !self.known.contains_key(&pid) => {
                    let (layout, functions) = (Vec::new(), Functions::default());
                    let (due_ns, looked_ns, contents_ns, ran_ns) = (0, 0, 0, None);
                    let watched = Watched {
                        target,
                        layout,
                        due_ns,
                        looked_ns,
                        contents_ns,
                        ran_ns,
                        polled,
                        functions,
                    };
                    self.known.insert(pid, watched);
                    self.visit(pid, true, true);
                }
                Some(_) => {}
                None if self.known.contains_key(&pid) => {}
                None => self.tracker.unwatch_memory(pid),
            }
        }
    }
}

/// Brings one brick up to date, with what is in the pages or as far as the layout goes. Says whether there
/// will be more of it.
fn keep(
    store: &Store,
    watched: &mut Watched,
    place: &Path,
    contents: bool,
    tell: &mpsc::Sender<Process>,
) -> bool {
    if store.failure().is_some() {
        return true;
    }
    let Watched { target, layout, functions, .. } = watched;
    let (target, beside) = (&*target, place.with_extension("tmp"));
    let (medium, places) = (store.medium(), (place, &*beside));
    let followed = match contents || layout.is_empty() {
        true => Ok(None),
        false => follow(medium, target, layout, places, functions),
    };
    let captured = match followed {
        Ok(None) => capture(medium, target, places, Payload::Reference, functions),
        Ok(Some(captured)) => Ok(captured),
        Err(error) => Err(error),
    };
    let mut shown = None;
    let ended = match captured {
        Ok(captured) => {
            shown = Some(captured.shown);
            captured.sampled.ended
        }
        Err(CaptureError::Process(ProcessError::Ended { .. } | ProcessError::Missing { .. })) => {
            true
        }
        Err(CaptureError::Process(ProcessError::Denied { .. })) => return false,
        // A brick that failed is replaced in the next round; a medium that failed stops the store.
        Err(error) => {
            stop(store, &error);
            return true;
        }
    };
    if ended {
        let at_ns = clock::wall().0;
        // Where even that fails, the brick is the last one all the same.
        let last = mark_ended(medium, target, place, at_ns).unwrap_or_else(|error| {
            stop(store, &error);
            None
        });
        shown = shown.or(last).map(|shown| Process { ended_ns: at_ns, ..shown });
    }
    if let Some(shown) = shown {
        // Nobody listens at the end.
        drop(tell.blocking_send(shown));
    }
    !ended
}

fn stop(store: &Store, error: &CaptureError) {
    if let CaptureError::Brick(foundry_brick::Error::Io(error)) = error
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        store.fail(error);
    }
}
