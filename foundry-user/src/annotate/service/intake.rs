//! The hearing half of the daemon's annotator: what happens becomes questions, requests get answers.
//!
//! Knows: updates, requests, the queue. Must never know: how questions are asked.
//! Keeps: a burst of changes to one brick is one look at it; whatever was not heard is made up for by
//! a look at every brick, and that this is due survives a restart.

use super::{Ask, Between, Rest};
use crate::annotate::client::Client;
use crate::annotate::engine::{self, EngineError};
use crate::annotate::gather::{gather, gather_file};
use crate::annotate::queue::{Priority, Queue, QueueError, Want, Wanted};
use crate::annotate::settings::Settings;
use crate::annotate::status::{Request, Status, Tally};
use crate::annotate::{endpoint, queue};
use crate::pipeline::effect::Update;
use crate::store::bricks;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::time::Instant;

/// How long a burst of changes is listened to before any of it is looked at.
const BURST: Duration = Duration::from_millis(250);

/// Between two looks whether the first look at the trees has ended.
const SETTLING: Duration = Duration::from_secs(1);

/// Bricks that are looked at before anybody else gets a turn.
const CHUNK: usize = 64;

/// A worker is at it: where the next start finds this, somebody was killed.
const OPEN: &str = "open";

/// Every brick is to be looked at.
const SWEEP: &str = "sweep";

/// The hearing half.
pub(super) struct Intake<'a> {
    store: PathBuf,
    settings: &'a Settings,
    between: &'a Between,
    settled: Box<dyn Fn() -> bool + Send>,
    queue: Queue,
    client: Client,
    /// Bricks with another content.
    changed: BTreeMap<Vec<u8>, Priority>,
    /// Artifacts that were used.
    used: BTreeMap<Vec<u8>, Priority>,
    sweep: bool,
    drains: Vec<oneshot::Sender<Result<Status, String>>>,
}

impl<'a> Intake<'a> {
    pub(super) fn open(
        store: &Path,
        settings: &'a Settings,
        between: &'a Between,
        settled: Box<dyn Fn() -> bool + Send>,
    ) -> Result<Self, EngineError> {
        let queue = Queue::open(store)?;
        // A new queue knows no brick, and one that was left in a hurry may have missed some.
        let sweep = queue.noted(OPEN)? != Some(false) || queue.noted(SWEEP)? == Some(true);
        queue.note(OPEN, true)?;
        queue.note(SWEEP, sweep)?;
        Ok(Self {
            client: Client::new(&settings.endpoint, settings.patience, endpoint::system())?,
            store: store.to_owned(),
            settings,
            between,
            settled,
            queue,
            changed: BTreeMap::new(),
            used: BTreeMap::new(),
            sweep,
            drains: Vec::new(),
        })
    }

    /// Until the daemon ends.
    pub(super) async fn run(
        mut self,
        mut updates: broadcast::Receiver<Arc<Update>>,
        requests: &mut mpsc::Receiver<Ask>,
        stop: &Notify,
    ) -> Result<(), EngineError> {
        let mut shown = self.between.shown.subscribe();
        let mut due: Option<Instant> = None;
        loop {
            let pause = if self.changed.is_empty() && self.used.is_empty() {
                self.sweep.then_some(SETTLING)
            } else {
                Some(BURST)
            };
            due = pause.map(|pause| due.unwrap_or_else(|| Instant::now() + pause));
            tokio::select! {
                // A burst ends by the clock, however much there is to hear.
                biased;
                () = stop.notified() => break,
                () = until(due) => {
                    due = None;
                    self.look().await?;
                }
                Some((request, answer)) = requests.recv() => self.fulfil(request, answer).await?,
                update = updates.recv() => match update {
                    Ok(update) => self.hear(&update)?,
                    Err(RecvError::Lagged(_)) => self.want_sweep()?,
                    Err(RecvError::Closed) => break,
                },
                Ok(()) = shown.changed() => self.answer_drains()?,
            }
        }
        // Whoever ends does not wait for a disk that is full: the next start looks at everything.
        if let Err(error) = self.leave(&mut updates).await {
            tracing::warn!(%error, "what was heard last is not noted");
        }
        Ok(())
    }

    /// What was said until the end is heard, so that the next start need not look at everything.
    async fn leave(
        &mut self,
        updates: &mut broadcast::Receiver<Arc<Update>>,
    ) -> Result<(), EngineError> {
        loop {
            match updates.try_recv() {
                Ok(update) => self.hear(&update)?,
                Err(TryRecvError::Lagged(_)) => self.want_sweep()?,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        // A look at everything is for the next start.
        self.sweep = false;
        self.look().await?;
        Ok(self.queue.note(OPEN, false)?)
    }

    fn want_sweep(&mut self) -> Result<(), QueueError> {
        if !std::mem::replace(&mut self.sweep, true) {
            self.queue.note(SWEEP, true)?;
        }
        Ok(())
    }

    fn hear(&mut self, update: &Update) -> Result<(), QueueError> {
        match update {
            // Nothing that a question is made of changed: it was an attribute, or our own annotation.
            Update::Committed { changed_tiles: Some(tiles), .. } if tiles.is_empty() => {}
            Update::Committed { .. } if !(self.settled)() => self.want_sweep()?,
            Update::Committed { path, .. } => {
                self.changed.insert(path.clone(), Priority::Written);
            }
            Update::Removed { path, .. } => {
                self.changed.remove(path);
                self.queue.forget(path)?;
            }
            Update::Renamed { from, to, .. } => {
                if let Some(priority) = self.changed.remove(from) {
                    self.changed.insert(to.clone(), priority);
                }
                self.queue.renamed(from, to)?;
            }
            Update::Exec { actor } => {
                if let Some(exe) = &actor.exe {
                    self.used.insert(exe.clone(), Priority::Executed);
                }
            }
            Update::Mapped { path, executable: true, .. } => {
                self.used.entry(path.clone()).or_insert(Priority::Mapped);
            }
            Update::Directory { .. }
            | Update::Captured { .. }
            | Update::Mapped { .. }
            | Update::Unreadable { .. } => {}
        }
        Ok(())
    }

    /// Looks at what a burst changed, or at everything.
    async fn look(&mut self) -> Result<(), EngineError> {
        if self.sweep && (self.settled)() {
            self.want_all(None, Priority::Found).await?;
            self.sweep = false;
            self.queue.note(SWEEP, false)?;
        }
        let mut wants = Vec::new();
        for (n, (path, priority)) in std::mem::take(&mut self.changed).into_iter().enumerate() {
            match gather(&self.store, &path, self.settings) {
                Some(g) => wants.push(Want { priority, ..g.want }),
                None => self.queue.forget(&path)?,
            }
            if n % CHUNK == CHUNK - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.queue.want_all(&wants)?;
        for (path, priority) in std::mem::take(&mut self.used) {
            self.queue.raise(&path, priority)?;
        }
        self.between.wake.notify_one();
        Ok(())
    }

    /// Every brick, or every one beneath a path, becomes a question. Says how many.
    async fn want_all(
        &mut self,
        beneath: Option<&[u8]>,
        priority: Priority,
    ) -> Result<Tally, EngineError> {
        let mut tally = Tally::default();
        let all = bricks(&self.store).unwrap_or_default();
        for files in all.chunks(CHUNK) {
            let wanted = wants(&mut self.queue, files, self.settings, beneath, priority)?;
            tally = tally.and(&wanted);
            tokio::task::yield_now().await;
        }
        Ok(tally)
    }

    async fn fulfil(
        &mut self,
        request: Request,
        answer: oneshot::Sender<Result<Status, String>>,
    ) -> Result<(), EngineError> {
        // What happened before the request belongs to it.
        self.look().await?;
        let mut tally = None;
        let said = match request {
            Request::Status => None,
            Request::Path(path) => {
                let these = match gather(&self.store, &path, self.settings) {
                    Some(g) => {
                        let want = Want { priority: Priority::Asked, ..g.want };
                        Tally::default().and(&[self.queue.want(&want)?])
                    }
                    None => self.want_all(Some(&path), Priority::Asked).await?,
                };
                tally = Some(these);
                Some(format!("{} asked about first", these.questions))
            }
            Request::All => {
                let n = self.want_all(None, Priority::Found).await?.questions;
                Some(format!("{n} bricks are questions"))
            }
            Request::Retry => Some(format!("{} tried again", self.queue.revive()?)),
            Request::Drain => {
                self.wake_up();
                self.between.shown.send_modify(|shown| shown.1 = Rest::Working);
                self.drains.push(answer);
                return Ok(());
            }
        };
        if said.is_some() {
            self.wake_up();
        }
        let status = Status { said, tally, ..self.status().await? };
        // A client that left needs no answer.
        drop(answer.send(Ok(status)));
        Ok(())
    }

    fn wake_up(&self) {
        self.between.again.store(true, Ordering::Relaxed);
        self.between.wake.notify_one();
    }

    async fn status(&self) -> Result<Status, EngineError> {
        let seen = self.between.shown.borrow().clone();
        let mut status = engine::status(&self.queue, self.settings)?;
        let Status { model, constrained, context, .. } = seen.0;
        (status.model, status.constrained, status.context) = (model, constrained, context);
        status.reachable = Some(engine::is_there(&self.client).await);
        status.paused = match seen.1 {
            Rest::Paused(why) if 0 < status.counts.waiting => Some(why),
            _ => None,
        };
        status.daemon = true;
        Ok(status)
    }

    /// Those who wait for the end of the work hear of it, or of what keeps it from going on.
    fn answer_drains(&mut self) -> Result<(), EngineError> {
        if self.drains.is_empty() {
            return Ok(());
        }
        let (seen, rest) = self.between.shown.borrow().clone();
        let counts = self.queue.counts()?;
        let left = counts.waiting + counts.leased + counts.undelivered;
        let paused = match rest {
            Rest::Paused(why) => Some(why),
            Rest::Idle if left == 0 => None,
            _ => return Ok(()),
        };
        for drain in std::mem::take(&mut self.drains) {
            let mut status = engine::status(&self.queue, self.settings)?;
            let Status { model, constrained, context, reachable, .. } = seen.clone();
            (status.model, status.constrained) = (model, constrained);
            (status.context, status.reachable) = (context, reachable);
            (status.paused, status.daemon) = (paused.clone(), true);
            // A client that left needs no answer.
            drop(drain.send(Ok(status)));
        }
        Ok(())
    }
}

/// A moment; without one, never.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// The bricks in `files` that are beneath a path become questions. Says how each stands.
pub(in crate::annotate) fn wants(
    queue: &mut Queue,
    files: &[PathBuf],
    settings: &Settings,
    beneath: Option<&[u8]>,
    priority: Priority,
) -> Result<Vec<Wanted>, queue::QueueError> {
    let is_beneath = |path: &[u8]| {
        beneath.is_none_or(|root| {
            let rest = path.strip_prefix(root.strip_suffix(b"/").unwrap_or(root));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    };
    let gathered = files.iter().filter_map(|file| gather_file(file, settings));
    let wants: Vec<Want> = gathered
        .filter(|g| is_beneath(&g.want.path))
        .map(|g| Want { priority, ..g.want })
        .collect();
    queue.want_all(&wants)
}
