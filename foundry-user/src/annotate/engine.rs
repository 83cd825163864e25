//! One turn of work: put an answer into its brick, or ask one question.
//!
//! Knows: everything of this room. Must never know: who calls it, and when.
//! Keeps: one question at a time; what was leased is answered, put off, put aside or given back before
//! the turn ends; a turn that is dropped in the middle leaves a lease, which the next start gives back.

mod ask;

use super::backoff::Chance;
use super::breaker::{Breaker, Gate};
use super::client::{Client, Failure};
use super::deliver::Deliver;
use super::endpoint::{self, Lookup};
use super::gather::gather;
use super::pressure::Pressure;
use super::queue::{Delivery, Queue, QueueError};
use super::session::Session;
use super::settings::Settings;
use super::status::Status;
use super::{answer, budget};
use crate::clock;
use crate::pipeline::effect::AnnotationOutcome;
use crate::wire_annotate;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is known of a server is found out again after this time.
const SESSION_MS: i64 = 3_600_000;

/// Answers that are put into bricks in one turn.
const DELIVERIES: u32 = 32;

/// A brick that is about to change is left alone for so long.
const REST_MS: i64 = 500;

/// How long a look whether somebody is there may take.
const LOOK: Duration = Duration::from_secs(2);

/// Between two looks at nothing.
const IDLE_MS: i64 = 60_000;

/// What a turn came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something was done; there may be more.
    Worked,
    /// Nothing is to be done before this moment.
    Idle {
        /// Milliseconds since 1970.
        until_ms: i64,
    },
    /// Something is to be done, and cannot be.
    Paused {
        /// In words.
        why: String,
        /// Milliseconds since 1970.
        until_ms: i64,
    },
}

/// Why the annotator cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The client cannot be made.
    #[error("cannot make a client for the model server: {0}")]
    Client(#[from] reqwest::Error),
    /// There is no randomness, or the store cannot be listed.
    #[error("cannot annotate: {0}")]
    Io(#[from] std::io::Error),
    /// Nobody takes answers any more.
    #[error("the daemon takes no more annotations")]
    Closed,
}

/// The annotator.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    store: PathBuf,
    queue: Queue,
    client: Client,
    deliver: Deliver,
    chance: Chance,
    breaker: Breaker,
    pressure: Pressure,
    session: Option<Session>,
    reachable: Option<bool>,
    /// Why the server was last found wanting.
    trouble: Option<String>,
    /// Bricks that are about to change, and until when they are left alone.
    resting: BTreeMap<Vec<u8>, i64>,
}

impl Engine {
    /// Opens the queue and gives back what a worker before left leased. The caller holds the store.
    ///
    /// # Errors
    /// Where the queue cannot be opened, or the client not be made.
    pub fn open(store: &Path, settings: Settings, deliver: Deliver) -> Result<Self, EngineError> {
        let chance = Chance::unforeseeable()?;
        Self::with(store, settings, deliver, chance, endpoint::system())
    }

    pub(super) fn with(
        store: &Path,
        settings: Settings,
        deliver: Deliver,
        chance: Chance,
        lookup: Lookup,
    ) -> Result<Self, EngineError> {
        let queue = Queue::open(store)?;
        queue.give_back_all()?;
        Ok(Self {
            client: Client::new(&settings.endpoint, settings.patience, lookup)?,
            breaker: Breaker::new(settings.pace),
            pressure: Pressure::of_this_machine(),
            store: store.to_owned(),
            session: None,
            reachable: None,
            trouble: None,
            resting: BTreeMap::new(),
            settings,
            queue,
            deliver,
            chance,
        })
    }

    /// The directory of the store.
    pub(super) fn store(&self) -> &Path {
        &self.store
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The queue.
    pub fn queue(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// Somebody says that it is worth trying now.
    pub fn try_again(&mut self) {
        self.breaker.reset();
        if self.trouble.take().is_some() {
            self.session = None;
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// Where the queue fails, or nobody takes answers any more.
    pub async fn turn(&mut self) -> Result<Turn, EngineError> {
        if self.hand_over().await? {
            return Ok(Turn::Worked);
        }
        let now = now_ms();
        let due = self.queue.next_due()?;
        let rested = self.resting.values().min().copied();
        let until_ms = due.into_iter().chain(rested).min().unwrap_or(now + IDLE_MS);
        if due.is_none_or(|due| now < due) || !self.settings.enabled {
            let until_ms = until_ms.max(now + 1).min(now + IDLE_MS);
            return Ok(Turn::Idle { until_ms });
        }
        if let Some((why, until_ms)) = self.must_wait(now)? {
            return Ok(Turn::Paused { why, until_ms });
        }
        if let Err(failure) = self.meet(now).await {
            self.blame_server(&failure);
            let until_ms = now + i64::try_from(self.settings.pace.cool_ms).unwrap_or(IDLE_MS);
            return Ok(Turn::Paused { why: failure.to_string(), until_ms });
        }
        self.ask_next().await
    }

    /// Why nothing may be asked now.
    fn must_wait(&self, now: i64) -> Result<Option<(String, i64)>, QueueError> {
        if let Gate::Wait { until_ms } = self.breaker.gate(now) {
            let why = self.trouble.clone().unwrap_or_else(|| "the server fails".to_owned());
            return Ok(Some((why, until_ms)));
        }
        if let Some(exhausted) = budget::exhausted(&self.queue, &self.settings, now)? {
            return Ok(Some(exhausted));
        }
        let wait = i64::try_from(self.settings.pace.pressure_ms).unwrap_or(IDLE_MS);
        Ok(self.pressure.too_high(&self.settings).map(|why| (why, now + wait)))
    }

    /// Knows the server, or gets to know it.
    async fn meet(&mut self, now: i64) -> Result<(), Failure> {
        if self.breaker.gate(now) == Gate::Probe {
            self.session = None;
        }
        if self.session.as_ref().is_some_and(|s| now - s.at_ms < SESSION_MS) {
            return Ok(());
        }
        self.session = None;
        let session = Session::begin(&self.client, &self.settings, now).await?;
        self.session = Some(session);
        self.reachable = Some(true);
        self.trouble = None;
        Ok(())
    }

    /// The server failed to do something that has nothing to do with the question.
    fn blame_server(&mut self, failure: &Failure) {
        let now = now_ms();
        self.trouble = Some(failure.to_string());
        match failure {
            Failure::Nobody(_) => {
                self.reachable = Some(false);
                self.session = None;
                self.breaker.trip(now);
            }
            Failure::Refused(_) => {
                self.session = None;
                self.breaker.trip(now);
            }
            Failure::OtherModel(_) => {
                self.session = None;
                self.breaker.failure(now);
            }
            _ => self.breaker.failure(now),
        }
    }

    /// Puts answers into bricks. Says whether there was anything to do.
    async fn hand_over(&mut self) -> Result<bool, EngineError> {
        let now = now_ms();
        self.resting.retain(|_, until| now < *until);
        let mut after = Vec::new();
        let mut worked = false;
        loop {
            let batch = self.queue.deliverable(&after, DELIVERIES)?;
            let Some(last) = batch.last() else { return Ok(worked) };
            after.clone_from(&last.path);
            for delivery in batch {
                if !self.resting.contains_key(&delivery.path) {
                    self.put(delivery, now).await?;
                    worked = true;
                }
            }
        }
    }

    async fn put(&mut self, delivery: Delivery, now: i64) -> Result<(), EngineError> {
        let Delivery { path, content, answer, .. } = &delivery;
        let note = wire_annotate::document(answer, content);
        let outcome = self.deliver.put(path.clone(), *content, note).await;
        match outcome.ok_or(EngineError::Closed)? {
            AnnotationOutcome::Stored => self.queue.delivered(&delivery)?,
            AnnotationOutcome::Missing => self.queue.forget(path)?,
            AnnotationOutcome::Stale => match gather(&self.store, path, &self.settings) {
                // It is about to change: when it has, it is asked about anew.
                Some(g) if g.want.content == *content && g.want.key == delivery.key => {
                    self.resting.insert(path.clone(), now + REST_MS);
                }
                Some(changed) => drop(self.queue.want(&changed.want)?),
                None => self.queue.forget(path)?,
            },
        }
        Ok(())
    }

    /// How things stand.
    ///
    /// # Errors
    /// Where the queue fails.
    pub fn status(&self) -> Result<Status, QueueError> {
        let now = now_ms();
        let mut status = status(&self.queue, &self.settings)?;
        status.reachable = self.reachable;
        if let Some(session) = &self.session {
            status.model = Some(answer::plain(&session.model, 80));
            status.constrained = Some(session.constrained);
            status.context = Some(session.context);
        }
        if 0 < status.counts.waiting {
            status.paused = self.must_wait(now)?.map(|(why, _)| why);
        }
        Ok(status)
    }

    /// Finds out whether the server is there, where nobody has lately.
    pub async fn look(&mut self) {
        self.reachable = Some(is_there(&self.client).await);
    }
}

/// Whether anybody answers; whatever it says, somebody is there.
pub(super) async fn is_there(client: &Client) -> bool {
    let asked = tokio::time::timeout(LOOK, client.models()).await;
    !matches!(asked, Ok(Err(Failure::Nobody(_))))
}

/// What the queue alone knows of how things stand.
pub(super) fn status(queue: &Queue, settings: &Settings) -> Result<Status, QueueError> {
    let spent = budget::spent(queue, now_ms())?;
    Ok(Status {
        enabled: settings.enabled,
        server: settings.endpoint.base().to_owned(),
        counts: queue.counts()?,
        failures: queue.failures()?,
        jobs_this_hour: spent.jobs_this_hour,
        jobs_per_hour: settings.jobs_per_hour,
        tokens_today: spent.tokens_today,
        tokens_per_day: settings.tokens_per_day,
        ..Status::default()
    })
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> i64 {
    clock::wall().0 / 1_000_000
}
