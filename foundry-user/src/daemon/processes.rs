//! The two threads that keep the bricks of watched processes.
//!
//! Programs that start and end are events, and so are changes of a layout where the source has probes for
//! them: a hint, whereupon the layout is asked for and compared. Where it has none, layouts are asked for
//! many times a second. One thread (`rounds`) follows layouts and is never long at it; the other (`looks`)
//! looks into pages, at a slower pace, and gives what it saw to the first. A sync has both for everybody.
//!
//! Knows: what a source tells, who waits. Must never know: the pipeline, what a layout is.
//! Keeps: what was told is taken before it is looked at.

mod looks;
mod rounds;

use super::FatalError;
use super::readers::spawn;
use crate::directory::Process;
use crate::event::{Actor, Event, LossKind};
use crate::pipeline::input::Input;
use crate::store::Store;
use crate::tracker::Tracker;
use looks::Desk;
use rounds::Rounds;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

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

/// The other end of the threads.
pub(super) struct Processes {
    wake: SyncSender<()>,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    news: mpsc::Receiver<Process>,
    by_name: bool,
}

impl Processes {
    /// Starts the threads, if there is anything to watch.
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
        let (shared, desk) = (Arc::<Shared>::default(), Arc::<Desk>::default());
        let rounds = Rounds::new(
            names.to_vec(),
            (Arc::clone(store), tracker),
            (Arc::clone(&shared), Arc::clone(&desk)),
            tell,
        );
        let (looks, store, rung) = (Arc::clone(&desk), Arc::clone(store), wake.clone());
        // One bell is enough for everything that is done by the time it is heard.
        let ring = move || {
            let _rang = rung.try_send(()).is_ok();
        };
        spawn("page looker", panics, move || looks::work(&looks, &store, ring))?;
        spawn("process watcher", panics, move || rounds::work(rounds, &woken))?;
        let by_name = names.iter().any(|name| name.parse::<u32>().is_err());
        Ok(Some(Self { wake, shared, desk, news, by_name }))
    }

    /// Answers when each watched process was followed, and looked into by a look that began after this call.
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

impl Drop for Processes {
    /// Nobody looks any more, and then nobody rings: that ends the other thread.
    fn drop(&mut self) {
        self.desk.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
