//! The threads that write bricks.
//!
//! Knows: which worker a path belongs to. Must never know: what a job does.
//! Keeps: jobs of one path are carried out in their order by one worker; a rename takes place
//! when both paths' workers have come to it.

use super::FatalError;
use super::readers::{join, spawn};
use crate::pipeline::effect::{StoreJob, StoreOp};
use crate::pipeline::input::Input;
use crate::store::{Edits, Store};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Jobs that wait for one worker.
const JOBS: usize = 16;

/// Answers that wait for the loop.
const ANSWERS: usize = 256;

/// What a worker is told.
enum Order {
    Job(StoreJob),
    /// Another worker renames away from one of our paths: be there, and wait until it is done.
    Meet(Arc<Barrier>),
    /// Rename from another worker's path to one of ours, when that worker is there.
    Rename(StoreJob, Arc<Barrier>),
    Flush(Arc<Flush>),
}

/// A flush on its way through all workers.
struct Flush {
    ticket: u64,
    left: AtomicUsize,
}

/// The workers' queues.
pub(super) struct Shards {
    queues: Vec<mpsc::Sender<Order>>,
    answers: mpsc::Receiver<Input>,
    /// Answers taken while a queue was full.
    taken: VecDeque<Input>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    /// Starts the workers.
    pub(super) fn start(
        store: &Arc<Store>,
        panics: &mpsc::Sender<FatalError>,
    ) -> Result<Self, FatalError> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (tx, answers) = mpsc::channel(ANSWERS);
        let (mut queues, mut threads) = (vec![], vec![]);
        for _ in 0..cores.clamp(1, 4) {
            let (queue, orders) = mpsc::channel(JOBS);
            let (store, tx) = (Arc::clone(store), tx.clone());
            threads.push(spawn("store", panics, move || work(&store, orders, &tx))?);
            queues.push(queue);
        }
        Ok(Self { queues, answers, taken: VecDeque::new(), threads })
    }

    /// Ends the workers, when they have done what they were told. What they answer is not heard.
    pub(super) fn end(self) {
        drop((self.queues, self.answers));
        join(self.threads);
    }

    /// Hands over a job; waits where its worker has enough to do.
    pub(super) async fn submit(&mut self, job: StoreJob) -> Result<(), FatalError> {
        let from = self.worker(&job.path);
        let StoreOp::Rename { to, .. } = &job.op else {
            return self.order(from, Order::Job(job)).await;
        };
        let to = self.worker(to);
        if from == to {
            return self.order(from, Order::Job(job)).await;
        }
        let meeting = Arc::new(Barrier::new(2));
        self.order(from, Order::Meet(Arc::clone(&meeting))).await?;
        self.order(to, Order::Rename(job, meeting)).await
    }

    /// Makes everything submitted so far durable, and answers.
    pub(super) async fn flush(&mut self, ticket: u64) -> Result<(), FatalError> {
        let left = AtomicUsize::new(self.queues.len());
        let flush = Arc::new(Flush { ticket, left });
        for worker in 0..self.queues.len() {
            self.order(worker, Order::Flush(Arc::clone(&flush))).await?;
        }
        Ok(())
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> Option<Input> {
        match self.taken.pop_front() {
            Some(answer) => Some(answer),
            None => self.answers.recv().await,
        }
    }

    fn worker(&self, path: &[u8]) -> usize {
        let hash = blake3::hash(path);
        usize::from(hash.as_bytes()[0]) % self.queues.len()
    }

    async fn order(&mut self, worker: usize, order: Order) -> Result<(), FatalError> {
        let gone = |()| FatalError::Panic("a store worker");
        let Self { queues, answers, taken, .. } = self;
        let queue = queues.get(worker).ok_or_else(|| gone(()))?;
        loop {
            // A worker that waits to be heard must not keep us from talking to it.
            tokio::select! {
                biased;
                permit = queue.reserve() => {
                    permit.map_err(|_| gone(()))?.send(order);
                    return Ok(());
                }
                Some(answer) = answers.recv() => taken.push_back(answer),
            }
        }
    }
}

fn work(store: &Arc<Store>, mut orders: mpsc::Receiver<Order>, answers: &mpsc::Sender<Input>) {
    let mut edits = Edits::new(Arc::clone(store));
    while let Some(order) = orders.blocking_recv() {
        let answer = match order {
            Order::Job(job) => edits.carry_out(job).map(Input::Stored),
            Order::Meet(meeting) => {
                meeting.wait();
                meeting.wait();
                None
            }
            Order::Rename(job, meeting) => {
                meeting.wait();
                let answer = edits.carry_out(job).map(Input::Stored);
                meeting.wait();
                answer
            }
            Order::Flush(flush) => {
                let last = flush.left.fetch_sub(1, Ordering::AcqRel) == 1;
                last.then(|| Input::Flushed { ticket: flush.ticket, ok: store.flush() })
            }
        };
        if let Some(answer) = answer {
            // Nobody listens at the end; the jobs that are left are done all the same.
            drop(answers.blocking_send(answer));
        }
    }
}
