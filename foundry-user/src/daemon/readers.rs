//! The threads that look at the disk.
//!
//! Knows: queues and threads. Must never know: what is read, why.
//! Keeps: no more threads than reads the pipeline may ask for; names never wait behind content.

use super::FatalError;
use crate::artifact::OsBytes;
use crate::clock;
use crate::diagnostics::Throttle;
use crate::pipeline::Settings;
use crate::pipeline::effect::{Effect, ReadRequest};
use crate::pipeline::input::{Input, ReadAnswer, ReadFailure, ReadPart};
use crate::reader::Reader;
use crate::store::Store;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc;

/// Threads for listings and looks.
const NAME_THREADS: usize = 3;

/// Answers that wait for the loop.
const ANSWERS: usize = 16;

/// The two pools.
pub(super) struct Readers {
    names: mpsc::Sender<Effect>,
    content: mpsc::Sender<ReadRequest>,
    cancelled: Arc<Mutex<BTreeSet<u64>>>,
    threads: Vec<JoinHandle<()>>,
}

/// What each thread has.
struct Shared {
    reader: Arc<Reader>,
    store: Arc<Store>,
    answers: mpsc::Sender<Input>,
    fatal: mpsc::Sender<FatalError>,
    cancelled: Arc<Mutex<BTreeSet<u64>>>,
    refused: Throttle,
}

impl Shared {
    /// Says what cannot be read, and why. `status` counts all of it.
    fn remark(&self, path: &OsBytes, failure: ReadFailure) {
        if failure == ReadFailure::Gone {
            return;
        }
        if let Some(held_back) = self.refused.pass(clock::monotonic()) {
            let path = String::from_utf8_lossy(path).into_owned();
            tracing::warn!(path, why = %failure, held_back, "cannot be read");
        }
    }
}

impl Readers {
    /// Starts the threads. Answers come out of the second value; a panic out of `panics`.
    pub(super) fn start(
        reader: &Arc<Reader>,
        store: &Arc<Store>,
        settings: &Settings,
        panics: &mpsc::Sender<FatalError>,
    ) -> Result<(Self, mpsc::Receiver<Input>), FatalError> {
        let (answers, receiver) = mpsc::channel(ANSWERS);
        let n_names = (settings.lists + settings.looks) as usize + 64;
        let (names, name_queue) = mpsc::channel(n_names);
        let (content, content_queue) = mpsc::channel(settings.reads as usize);
        let cancelled = Arc::<Mutex<BTreeSet<u64>>>::default();
        let shared = Arc::new(Shared {
            reader: Arc::clone(reader),
            store: Arc::clone(store),
            answers,
            fatal: panics.clone(),
            cancelled: Arc::clone(&cancelled),
            refused: Throttle::new(),
        });
        let name_queue = Arc::new(Mutex::new(name_queue));
        let mut threads = vec![];
        for _ in 0..NAME_THREADS {
            let (shared, queue) = (Arc::clone(&shared), Arc::clone(&name_queue));
            threads.push(spawn("names", panics, move || look(&shared, &queue))?);
        }
        let content_queue = Arc::new(Mutex::new(content_queue));
        for _ in 0..settings.reads {
            let (shared, queue) = (Arc::clone(&shared), Arc::clone(&content_queue));
            threads.push(spawn("reader", panics, move || read(&shared, &queue))?);
        }
        Ok((Self { names, content, cancelled, threads }, receiver))
    }

    /// Hands over a listing, a look, a scan or a recall.
    pub(super) fn name(&self, effect: Effect) -> Result<(), FatalError> {
        let sent = self.names.try_send(effect);
        sent.map_err(|_| FatalError::Panic("the queue of the name readers"))
    }

    /// Hands over a read.
    pub(super) fn content(&self, request: ReadRequest) -> Result<(), FatalError> {
        let sent = self.content.try_send(request);
        sent.map_err(|_| FatalError::Panic("the queue of the content readers"))
    }

    /// The answer to a read is no longer wanted.
    pub(super) fn cancel(&self, ticket: u64) {
        lock(&self.cancelled).insert(ticket);
    }

    /// Ends the threads. Their answers must have been closed before.
    pub(super) fn end(self) {
        drop((self.names, self.content));
        join(self.threads);
    }

    /// The last answer to a read has come.
    pub(super) fn ended(&self, ticket: u64) {
        lock(&self.cancelled).remove(&ticket);
    }
}

/// A thread whose panic is reported. It ends with its queue.
pub(super) fn spawn(
    name: &'static str,
    panics: &mpsc::Sender<FatalError>,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, FatalError> {
    let panics = panics.clone();
    let guarded = move || {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
            // One report is enough to end the daemon.
            drop(panics.try_send(FatalError::Panic(name)));
        }
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(guarded);
    thread.map_err(|source| FatalError::Io { op: "start a thread", source })
}

/// Waits for threads that have nothing left to do.
pub(super) fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A panic was reported by the thread itself.
        drop(thread.join());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is changed by single calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(shared: &Shared, queue: &Mutex<mpsc::Receiver<Effect>>) {
    loop {
        let Some(effect) = lock(queue).blocking_recv() else { return };
        let answer = match effect {
            Effect::List { dir, path, expect } => {
                let answer = shared.reader.list(dir, &path, &expect);
                if let Input::Listed { outcome: Err(failure), .. } = &answer {
                    shared.remark(&path, *failure);
                }
                answer
            }
            Effect::Look { dir, path, expect, name } => {
                let answer = shared.reader.look(dir, &path, &expect, &name);
                if let Input::Looked { outcome: Err(failure), .. } = &answer {
                    shared.remark(&path, *failure);
                }
                answer
            }
            Effect::ScanMappings => {
                if shared.answers.blocking_send(shared.reader.tables()).is_err() {
                    return;
                }
                match crate::witness::shared_writable() {
                    Ok(shared_writable) => Input::Mappings { shared_writable },
                    Err(source) => {
                        let op = "ask the witness who maps what";
                        // One report is enough to end the daemon.
                        drop(shared.fatal.try_send(FatalError::Io { op, source }));
                        return;
                    }
                }
            }
            Effect::Recall { root } => recall(shared, root),
            _ => continue,
        };
        if shared.answers.blocking_send(answer).is_err() {
            return;
        }
    }
}

/// A store that cannot be read is stopped: whatever is asked of it next is answered with the error.
fn recall(shared: &Shared, root: Vec<u8>) -> Input {
    let found = shared.store.inventory(&root);
    let heads = found.map(|i| i.heads).unwrap_or_else(|e| {
        shared.store.fail(&e);
        vec![]
    });
    Input::Recalled { root, heads }
}

fn read(shared: &Shared, queue: &Mutex<mpsc::Receiver<ReadRequest>>) {
    loop {
        let Some(request) = lock(queue).blocking_recv() else { return };
        let (artifact, ticket) = (request.artifact, request.ticket);
        let mut ended = false;
        let mut closed = false;
        let mut send = |part: ReadPart| {
            ended |= matches!(part, ReadPart::End { .. } | ReadPart::Failed(_));
            let answer = Input::Read(ReadAnswer { artifact, ticket, part });
            closed |= shared.answers.blocking_send(answer).is_err();
            !closed
        };
        shared.reader.read(&request, &mut |part| {
            if let ReadPart::Failed(failure) = &part {
                shared.remark(&request.path, *failure);
            }
            let last = matches!(part, ReadPart::End { .. } | ReadPart::Failed(_));
            let wanted = last || !lock(&shared.cancelled).contains(&ticket);
            wanted && send(part)
        });
        // Ended early, because it was cancelled: the pipeline waits for an end all the same.
        if closed || (!ended && !send_end(shared, &request)) {
            return;
        }
    }
}

fn send_end(shared: &Shared, request: &ReadRequest) -> bool {
    let (artifact, ticket) = (request.artifact, request.ticket);
    let part = ReadPart::Failed(ReadFailure::Gone);
    shared.answers.blocking_send(Input::Read(ReadAnswer { artifact, ticket, part })).is_ok()
}
