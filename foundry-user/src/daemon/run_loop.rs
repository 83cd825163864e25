//! The loop: whatever comes goes through the pipeline, whatever it asks for is handed on.
//!
//! Knows: every queue's end. Must never know: why the pipeline asks for what it does.
//! Keeps: an input is recorded before it is stepped; what a drain hands over is dated and stepped
//! before anything else is.

use super::processes::Processes;
use super::readers::Readers;
use super::recorder::Recorder;
use super::service::Service;
use super::shards::Shards;
use super::tasks::{Asked, Tasks, Wish};
use super::{FatalError, Listeners, Progress, Summary};
use crate::annotate::service::Ask;
use crate::artifact::OsBytes;
use crate::clock;
use crate::config::WatchConfig;
use crate::control::server::{Call, Synced};
use crate::diagnostics::{Throttle, shown};
use crate::event::{Event, MonotonicNs, UnixNs};
use crate::pipeline::effect::{AnnotationOutcome, Effect, Update};
use crate::pipeline::input::{Annotated, Input, ReadPart, StoreFailure};
use crate::pipeline::{Pipeline, Settings};
use crate::reader::Reader;
use crate::schedule::{Kept, Schedules};
use crate::sources::Source;
use crate::stats::{COMPARED, Report, loss_name};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Between two ticks while something waits for time to pass.
const BUSY_TICK: Duration = Duration::from_millis(20);

/// Between two ticks otherwise.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Answers of the readers that are taken at once.
const BATCH: usize = 32;

/// What the loop is made of.
pub(super) struct Parts {
    pub(super) settings: Settings,
    pub(super) reader: Arc<Reader>,
    pub(super) store: Arc<Store>,
    pub(super) source: Box<dyn Source>,
    pub(super) recorder: Option<Recorder>,
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) listeners: Listeners,
    pub(super) roots: Vec<PathBuf>,
    pub(super) annotator: Option<mpsc::Sender<Ask>>,
    pub(super) processes: Vec<String>,
    pub(super) config: WatchConfig,
}

/// The running daemon.
pub(super) struct Loop {
    pub(super) parts: Parts,
    pub(super) pipeline: Pipeline,
    readers: Readers,
    answers: mpsc::Receiver<Input>,
    shards: Shards,
    processes: Option<Processes>,
    panics: mpsc::Receiver<FatalError>,
    readable: AsyncFd<OwnedFd>,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    pub(super) service: Service,
    pub(super) tasks: Tasks,
    asks: mpsc::Receiver<Wish>,
    /// Artifacts whose record of facts an earlier program wrote.
    old_records: mpsc::Receiver<Vec<OsBytes>>,
    pub(super) asked: Asked,
    pub(super) schedules: Schedules,
    pub(super) kept: Kept,
    /// Comparisons under way, and what they are of.
    pub(super) audits: BTreeMap<u64, Vec<u8>>,
    pub(super) last_audit: u64,
    effects: Vec<Effect>,
    events: Vec<Event>,
    syncs: BTreeMap<u64, Synced>,
    /// Roots whose directory cannot be read.
    pub(super) closed: BTreeSet<PathBuf>,
    last_sync: u64,
    /// The sync that ends the sweep under way, and when that began.
    sweeping: Option<(u64, UnixNs)>,
    /// When the last sweep began that has ended.
    compared: Option<UnixNs>,
    losses: Throttle,
    annotations: BTreeMap<u64, oneshot::Sender<AnnotationOutcome>>,
    last_annotation: u64,
    started: MonotonicNs,
    ticked: Instant,
    stopping: bool,
    stopped: bool,
    /// Syncs whose processes have been captured.
    captured: (mpsc::Sender<Synced>, mpsc::Receiver<Synced>),
    /// It was told twice: whatever is under way is left to itself.
    forced: bool,
}

impl Loop {
    pub(super) fn start(parts: Parts, asked: Asked) -> Result<Self, FatalError> {
        let (panic_tx, panics) = mpsc::channel(1);
        let Parts { reader, store, settings, .. } = &parts;
        let (readers, answers) = Readers::start(reader, store, settings, &panic_tx)?;
        let shards = Shards::start(&parts.store, &panic_tx)?;
        let tracker = parts.source.tracker();
        let processes = Processes::start(&parts.processes, &parts.store, tracker, &panic_tx)?;
        let updates = parts.listeners.updates.subscribe();
        let (projects, dir) = (&parts.config.projects, parts.store.dir());
        let annotator = parts.annotator.clone();
        let (tasks, asks) = Tasks::start(projects, dir, updates, annotator, &panic_tx)?;
        // A recording begins every brick anew: there is nothing old.
        let old_records = match parts.settings.fresh {
            true => mpsc::channel(1).1,
            false => super::renew::start(dir, parts.listeners.progress.subscribe()),
        };
        let io = |op| move |source| FatalError::Io { op, source };
        let fd = rustix::io::fcntl_dupfd_cloexec(parts.source.wait_fd(), 0);
        let fd = fd.map_err(|e| io("wait for the source")(e.into()))?;
        #[expect(deprecated, reason = "an OwnedFd stays the descriptor it is")]
        let readable = AsyncFd::with_interest(fd, Interest::READABLE);
        let signals = |kind| signal(kind).map_err(io("wait for signals"));
        Ok(Self {
            pipeline: Pipeline::new(parts.settings),
            readers,
            answers,
            shards,
            processes,
            panics,
            readable: readable.map_err(io("wait for the source"))?,
            interrupt: signals(SignalKind::interrupt())?,
            terminate: signals(SignalKind::terminate())?,
            hangup: signals(SignalKind::hangup())?,
            service: Service::new(),
            tasks,
            asks,
            old_records,
            asked,
            schedules: Schedules::new(jiff::tz::TimeZone::system()),
            kept: Kept::open(parts.store.dir()),
            audits: BTreeMap::new(),
            last_audit: 0,
            effects: vec![],
            events: vec![],
            syncs: BTreeMap::new(),
            closed: BTreeSet::new(),
            last_sync: 0,
            sweeping: None,
            compared: None,
            losses: Throttle::new(),
            annotations: BTreeMap::new(),
            last_annotation: 0,
            started: clock::monotonic(),
            ticked: Instant::now(),
            stopping: false,
            stopped: false,
            captured: mpsc::channel(16),
            forced: false,
            parts,
        })
    }

    /// Runs until it is told to stop and everything under way has ended.
    pub(super) async fn run(mut self) -> Result<Summary, FatalError> {
        self.tick().await?;
        for root in self.parts.roots.clone() {
            let stat = self.parts.reader.root_stat(&root);
            let stat = stat.map_err(|source| FatalError::Root { path: root.clone(), source })?;
            let root = root.as_os_str().as_bytes().to_vec();
            self.feed(Input::Watch { root, stat }).await?;
        }
        self.set_schedules();
        self.service.ready();
        let mut batch = Vec::with_capacity(BATCH);
        let stop = Arc::clone(&self.parts.listeners.stop);
        while !self.stopped {
            self.service.alive(clock::monotonic());
            let pause = if self.pipeline.wants_ticks() { BUSY_TICK } else { IDLE_TICK };
            let pause = self.service.pause(pause);
            tokio::select! {
                Some(answer) = self.shards.answer() => self.feed(answer).await?,
                n = self.answers.recv_many(&mut batch, BATCH) => {
                    if n == 0 {
                        return Err(FatalError::Panic("the readers"));
                    }
                    for answer in batch.drain(..) {
                        self.feed(answer).await?;
                    }
                }
                ready = self.readable.readable() => {
                    // Cleared before the drain: what comes during it wakes us again.
                    ready.map_err(|source| FatalError::Io { op: "wait for the source", source })?
                        .clear_ready();
                    self.drain().await?;
                }
                Some(news) = news(&mut self.processes) => self.feed(news).await?,
                Some(answer) = self.captured.1.recv() => self.processes_done(answer).await?,
                Some(call) = self.parts.calls.recv() => self.call(call).await?,
                Some(panic) = self.panics.recv() => return Err(panic),
                Some(ask) = self.asks.recv() => self.asked(ask).await?,
                Some(changed) = self.old_records.recv(), if !self.pipeline.wants_ticks() => {
                    self.feed(Input::Tables { changed }).await?;
                }
                _ = self.hangup.recv() => self.hung_up().await?,
                _ = self.interrupt.recv() => self.stop().await?,
                _ = self.terminate.recv() => self.stop().await?,
                () = stop.notified() => self.stop().await?,
                // Also where answers never cease: how long things take is known by ticks alone.
                () = tokio::time::sleep_until(self.ticked + pause) => self.drain().await?,
            }
        }
        let report = self.report();
        if let Some(recorder) = self.parts.recorder.take() {
            recorder.finish()?;
        }
        if !self.forced {
            drop(self.answers);
            self.readers.end();
            self.shards.end();
        }
        Ok(Summary { report })
    }

    /// The first time, finish what is under way; the second, leave: the bricks are whole anyway.
    async fn stop(&mut self) -> Result<(), FatalError> {
        if self.stopping {
            self.forced = true;
            self.stopped = true;
            return Ok(());
        }
        self.stopping = true;
        self.service.stopping();
        self.drain().await?;
        self.feed(Input::Shutdown).await
    }

    /// Without a file to read again, the terminal is gone.
    async fn hung_up(&mut self) -> Result<(), FatalError> {
        if self.parts.config.file.is_some() { self.reload().await } else { self.stop().await }
    }

    async fn tick(&mut self) -> Result<(), FatalError> {
        let (now, wall) = (clock::monotonic(), clock::wall());
        self.feed(Input::Tick { now, wall }).await?;
        let first_fold = self.pipeline.stats().first_fold;
        // What is not known yet cannot be compared.
        if first_fold.complete && !self.stopping {
            self.begin_due(wall).await?;
        }
        let progress =
            Progress::new(self.parts.source.name(), first_fold, self.started, clock::monotonic());
        let mut ended = false;
        self.parts.listeners.progress.send_if_modified(|old| {
            ended = progress.first_fold.complete && !old.first_fold.complete;
            let news = old.backend.is_empty() || old.first_fold != progress.first_fold;
            if news {
                *old = progress;
            }
            news
        });
        if ended {
            super::memory::give_back();
            self.parts.source.looked();
        }
        self.ticked = Instant::now();
        Ok(())
    }

    /// Takes everything the source has.
    pub(super) async fn drain(&mut self) -> Result<(), FatalError> {
        let mut events = std::mem::take(&mut self.events);
        self.parts.source.drain(&mut events)?;
        self.tick().await?;
        let mut swept = false;
        for event in events.drain(..) {
            self.remark(&event);
            swept |= matches!(event, Event::Sweep { .. });
            if let Some(processes) = &self.processes {
                processes.hint(&event);
            }
            if !matches!(event, Event::Layout { .. }) {
                self.feed(Input::Event(event)).await?;
            }
        }
        self.events = events;
        self.look_at_roots().await?;
        if swept && !self.stopping && self.sweeping.is_none() {
            // What a sync promises is what a sweep is for: after it, everything was compared.
            self.last_sync += 1;
            self.sweeping = Some((self.last_sync, clock::wall()));
            self.feed(Input::Sync { ticket: self.last_sync }).await?;
        }
        Ok(())
    }

    /// Says what whoever runs the daemon may want to know of an event.
    fn remark(&self, event: &Event) {
        match event {
            Event::Lost { kind, n } => {
                if let Some(held_back) = self.losses.pass(clock::monotonic()) {
                    let kind = loss_name(*kind);
                    tracing::warn!(kind, n, held_back, "events were lost; what repairs it follows");
                }
            }
            Event::Sweep { .. } => tracing::debug!("sweep: everything is compared"),
            _ => {}
        }
    }

    async fn call(&mut self, call: Call) -> Result<(), FatalError> {
        match call {
            Call::Status(answer) => {
                // A client that left needs no answer.
                drop(answer.send(self.report()));
                Ok(())
            }
            Call::Tasks(answer) => {
                self.tasks.wait(answer);
                Ok(())
            }
            // Dropping the answer refuses.
            Call::Annotate(request, answer) => {
                let refused = || Err("annotation is off (annotate.enabled = false)".to_owned());
                match &self.parts.annotator {
                    Some(annotator) => drop(annotator.try_send((request, answer))),
                    None => drop(answer.send(refused())),
                }
                Ok(())
            }
            Call::Sync(_) | Call::Annotated { .. } if self.stopping => Ok(()),
            Call::Annotated { path, content, note, done } => {
                self.last_annotation += 1;
                let ticket = self.last_annotation;
                self.annotations.insert(ticket, done);
                self.feed(Input::Annotated(Annotated { ticket, path, content, note })).await
            }
            Call::Sync(answer) => {
                let Some(processes) = &self.processes else { return self.sync(answer).await };
                // First the processes: what was captured then is on its way into the world.
                let (done, captured) = (processes.sync(), self.captured.0.clone());
                tokio::spawn(async move {
                    if done.await.is_ok() {
                        // Nobody listens at the end, and that refuses.
                        drop(captured.send(answer).await);
                    }
                });
                Ok(())
            }
        }
    }

    /// Watched processes were captured for a sync: what is told of them comes first.
    async fn processes_done(&mut self, answer: Synced) -> Result<(), FatalError> {
        // Dropping the answer refuses.
        if self.stopping {
            return Ok(());
        }
        while let Some(news) = self.processes.as_mut().and_then(Processes::ready_news) {
            self.feed(news).await?;
        }
        self.sync(answer).await
    }

    /// Whether it is about to end: what is asked from now on is refused.
    pub(super) const fn stopping(&self) -> bool {
        self.stopping
    }

    pub(super) async fn sync(&mut self, answer: Synced) -> Result<(), FatalError> {
        self.drain().await?;
        self.look_at_closed().await?;
        self.last_sync += 1;
        self.syncs.insert(self.last_sync, answer);
        self.feed(Input::Sync { ticket: self.last_sync }).await
    }

    pub(super) async fn feed(&mut self, input: Input) -> Result<(), FatalError> {
        if let Some(recorder) = &mut self.parts.recorder
            && let Err(error) = recorder.append(&input).await
        {
            // Why it left is known to its thread.
            if let Some(recorder) = self.parts.recorder.take() {
                recorder.finish()?;
            }
            return Err(error);
        }
        self.notice(&input)?;
        let mut effects = std::mem::take(&mut self.effects);
        self.pipeline.step(input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect).await?;
        }
        self.effects = effects;
        Ok(())
    }

    /// What concerns the daemon itself in an answer.
    fn notice(&self, input: &Input) -> Result<(), FatalError> {
        let dir = || self.parts.store.dir().to_owned();
        match input {
            Input::Read(answer) => {
                if matches!(answer.part, ReadPart::End { .. } | ReadPart::Failed(_)) {
                    self.readers.ended(answer.ticket);
                }
                Ok(())
            }
            Input::Stored(answer) => match answer.outcome {
                Err(StoreFailure::Io(errno)) => Err(FatalError::StoreFailed { dir: dir(), errno }),
                _ => Ok(()),
            },
            Input::Flushed { ok: false, .. } => {
                let errno = self.parts.store.failure().unwrap_or(libc::EIO);
                Err(FatalError::StoreFailed { dir: dir(), errno })
            }
            _ => Ok(()),
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<(), FatalError> {
        match effect {
            Effect::List { .. }
            | Effect::Look { .. }
            | Effect::ScanMappings
            | Effect::Recall { .. } => self.readers.name(effect),
            Effect::Read(request) => self.readers.content(request),
            Effect::Cancel { ticket } => {
                self.readers.cancel(ticket);
                Ok(())
            }
            Effect::Untrack { artifact } => {
                self.parts.source.tracker().untrack(artifact);
                Ok(())
            }
            Effect::Store(job) => self.shards.submit(job).await,
            Effect::Flush { ticket } => self.shards.flush(ticket).await,
            Effect::SyncDone { ticket } if self.sweeping.is_some_and(|s| s.0 == ticket) => {
                self.compared = self.sweeping.take().map(|(_, began)| began);
                Ok(())
            }
            Effect::AnnotationDone { ticket, outcome } => {
                // The annotator asks again where it did not hear the answer.
                let _heard =
                    self.annotations.remove(&ticket).is_some_and(|c| c.send(outcome).is_ok());
                Ok(())
            }
            Effect::SyncDone { ticket } => {
                let kept = self.all_open().map(|()| self.left_out());
                // A client that left needs no answer.
                let _heard = self.syncs.remove(&ticket).is_some_and(|c| c.send(kept).is_ok());
                Ok(())
            }
            Effect::Publish(update) => {
                remark_update(&update);
                // Nobody has to listen.
                drop(self.parts.listeners.updates.send(Arc::new(update)));
                Ok(())
            }
            Effect::AuditDone { ticket, files, differing } => {
                self.audited(ticket, files, differing);
                Ok(())
            }
            Effect::Stopped => {
                self.stopped = true;
                Ok(())
            }
        }
    }

    fn report(&self) -> Report {
        let roots = self.parts.roots.iter().map(|r| r.to_string_lossy().into_owned()).collect();
        let (source, stats) = (self.parts.source.counters(), self.pipeline.stats());
        let mut report = Report::new(self.parts.source.name(), roots, &source, &stats);
        let seconds = |at: UnixNs| u64::try_from(at.0 / 1_000_000_000).unwrap_or_default();
        if let Some(processes) = &self.processes {
            let counts = processes.counts().map(|(name, n)| (name.to_owned(), n));
            report.numbers.extend(counts);
        }
        if let Some(at) = self.compared {
            report.numbers.insert(COMPARED.to_owned(), seconds(at));
        }
        report.closed = self.closed.iter().map(|r| r.to_string_lossy().into_owned()).collect();
        report.left_out = self.left_out();
        report
    }
}

/// Says what became of an artifact.
fn remark_update(update: &Update) {
    match update {
        Update::Committed { path, generation, size, actor, .. } => {
            let by = actor.as_ref().map(|actor| shown(&actor.comm));
            tracing::debug!(path = ?shown(path), generation, size, ?by, "committed");
        }
        Update::Removed { path, .. } => tracing::debug!(path = ?shown(path), "removed"),
        _ => {}
    }
}

/// What the watcher of processes has to tell; never, where there is none.
async fn news(processes: &mut Option<Processes>) -> Option<Input> {
    match processes {
        Some(processes) => processes.news().await,
        None => std::future::pending().await,
    }
}
