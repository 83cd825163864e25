//! The daemon: wires sources, reader, pipeline, store, recorder and control socket.
//!
//! | queue | bound | when full |
//! |---|---|---|
//! | kernel -> source | the source's own | coalesced in the kernel; what does not fit is counted and swept |
//! | probes' messages -> source | 8 of a kind between two drains | the others go unsaid |
//! | source -> loop | none: drained when readable, before each sync, at each tick | waits in the kernel |
//! | loop -> reader (names) | `lists + looks + roots` | never: the pipeline asks for no more |
//! | loop -> reader (content) | `reads` | never: the pipeline asks for no more |
//! | reader -> loop | 16 answers of at most 1 MiB | the reader waits |
//! | loop -> store | 16 jobs of at most 1 MiB for each worker | the loop waits, and takes the store's answers meanwhile |
//! | store -> loop | 256 answers | the worker waits; the loop always takes them |
//! | loop -> recorder | 64 inputs | the loop waits: a recording is complete or there is none |
//! | clients -> loop | 16 calls | the client waits |
//! | loop -> annotator | 16 requests | the request is refused |
//! | annotator -> loop | the clients' 16 calls, one at a time | the annotator waits |
//! | loop -> process watcher | one wake-up; who was told of; the clients' answers | never: a wake-up under way serves all |
//! | process watcher -> page looker | one job a process | never: the watcher asks for no more |
//! | page looker -> process watcher | one look a process | never: it waits until it is fetched |
//! | process watcher -> loop | 64 processes | the watcher waits |
//! | updates -> tasks | 16 hints | dropped: it looks anyway |
//! | old records -> loop | 1 batch of 32 | waits until the loop has nothing else to do |
//! | tasks -> loop | 1 wish | the tasks wait for its answer |
//! | loop -> sinks | 4096 updates | the sink misses the oldest, and knows how many |
//!
//! Shutdown: the source is drained a last time, reads and commits under way end, the store is
//! flushed, then the loop leaves and everybody's queue closes. A thread that panics ends the daemon
//! with an error.
//!
//! Knows: who talks to whom. Must never know: the rules of the pipeline, how anybody does it.
//! Keeps: the loop is the only one who steps the pipeline; nothing waits for a sink.

mod backend;
mod census;
mod fatal;
mod memory;
mod processes;
mod progress;
mod readers;
mod recorder;
mod reload;
mod renew;
pub mod replay;
mod roots;
mod run_loop;
mod service;
mod shards;
mod sizes;
mod tasks;

pub use fatal::FatalError;
pub use progress::Progress;

use crate::annotate;
use crate::config::WatchConfig;
use crate::control::server::{Call, Server};
use crate::log::Header;
use crate::pipeline::Settings;
use crate::pipeline::effect::Update;
use crate::reader::Reader;
use crate::sources::Source;
use crate::sources::ebpf::pins::Place;
use crate::stats::Report;
use crate::store::Store;
use recorder::Recorder;
use run_loop::{Loop, Parts};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tasks::Asked;
use tokio::sync::{Notify, broadcast, mpsc, watch};

/// What a run amounts to, when it ended well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The counters at the end.
    pub report: Report,
}

/// Who else wants to know how it goes.
#[derive(Debug)]
pub struct Listeners {
    /// The first look at the trees: the newest state, for a person.
    pub progress: watch::Sender<Progress>,
    /// What happens to artifacts, for the map.
    pub updates: broadcast::Sender<Arc<Update>>,
    /// Somebody in this process who wants it to end, as a signal would.
    pub stop: Arc<Notify>,
}

impl Default for Listeners {
    fn default() -> Self {
        let progress = watch::Sender::new(Progress::default());
        Self { progress, updates: broadcast::Sender::new(4096), stop: Arc::default() }
    }
}

/// Opens what needs privileges, before any of them is given up. Starts no thread.
///
/// # Errors
/// Where the environment does not allow it.
pub fn prepare(config: &WatchConfig) -> Result<(Arc<Store>, Box<dyn Source>), FatalError> {
    memory::few_arenas();
    raise_file_limit();
    let store = Arc::new(Store::open(&config.store, config.payload.into())?);
    check_places(config)?;
    if let Some(path) = &config.record {
        recorder::make(path)?;
    }
    let place = place(&store, config.pins)?;
    let mut roots = config.roots.clone();
    roots.extend(asked_roots(store.dir()));
    let wanted = (&*crate::config::outermost(roots), !config.processes.is_empty());
    let source = backend::open(config.backend, config.sweep, wanted, &place)?;
    Ok((store, source))
}

/// The directory in which probes of this store are pinned, where there is one: what was taken over is
/// removed from it.
///
/// # Errors
/// Where the store cannot be looked at.
pub fn pinned(store: &Store) -> Result<Option<PathBuf>, FatalError> {
    Ok(Some(place(store, false)?.home()).filter(|home| home.exists()))
}

fn place(store: &Store, keep: bool) -> Result<Place, FatalError> {
    let id = store.identity().map_err(|source| FatalError::Io { op: "stat the store", source })?;
    Ok(Place { store: [id.dev, id.ino, id.btime_ns.cast_unsigned()], keep })
}

/// Watches until SIGINT or SIGTERM, with a source and a store that are open already.
///
/// # Errors
/// Where the environment does not allow it, or where something that the daemon cannot do without
/// fails while it runs.
pub fn run_with(
    config: &WatchConfig,
    listeners: Listeners,
    store: Arc<Store>,
    source: Box<dyn Source>,
) -> Result<Summary, FatalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| FatalError::Io { op: "start the runtime", source })?;
    let done = runtime.block_on(watch_all(config, listeners, store, source));
    // Clients that are still connected are not waited for.
    runtime.shutdown_background();
    done
}

/// The directories that tasks asked to watch, in earlier runs on this store.
#[must_use]
pub fn asked_roots(store: &Path) -> Vec<PathBuf> {
    Asked::open(store).watch
}

async fn watch_all(
    config: &WatchConfig,
    listeners: Listeners,
    store: Arc<Store>,
    source: Box<dyn Source>,
) -> Result<Summary, FatalError> {
    check_places(config)?;
    raise_file_limit();
    let asked = Asked::open(store.dir());
    let mut roots = config.roots.clone();
    roots.extend(asked.watch.iter().cloned());
    let roots = crate::config::outermost(roots);
    let hidden =
        store.identity().map_err(|source| FatalError::Io { op: "stat the store", source })?;
    let reader = Reader::new(&roots, vec![hidden], source.tracker())
        .map_err(|(path, source)| FatalError::Root { path, source })?;
    let settings = settings(config);
    let recorder = match &config.record {
        None => None,
        Some(path) => Some(Recorder::start(path, &header(config, settings, source.name()))?),
    };
    let server = Server::bind(store.dir())
        .map_err(|source| FatalError::Io { op: "bind the control socket", source })?;
    let (call_tx, calls) = mpsc::channel(16);
    let annotator = start_annotator(config, &listeners, &store, call_tx.clone())?;
    let serving = tokio::spawn(server.serve(call_tx));
    let parts = Parts {
        settings,
        reader: Arc::new(reader),
        store,
        source,
        recorder,
        calls,
        listeners,
        roots,
        config: config.clone(),
        annotator: annotator.as_ref().map(annotate::service::Handle::asks),
        processes: config.processes.clone(),
    };
    let done = Loop::start(parts, asked)?.run().await;
    drop(annotator);
    serving.abort();
    // The socket goes with the task.
    drop(serving.await);
    done
}

/// A thread beside the loop, where models may be asked at all.
fn start_annotator(
    config: &WatchConfig,
    listeners: &Listeners,
    store: &Store,
    calls: mpsc::Sender<Call>,
) -> Result<Option<annotate::service::Handle>, FatalError> {
    if !config.annotate.enabled {
        return Ok(None);
    }
    let progress = listeners.progress.subscribe();
    let hooks = annotate::service::Hooks {
        updates: listeners.updates.subscribe(),
        settled: Box::new(move || progress.borrow().first_fold.complete),
        calls,
    };
    let handle = annotate::service::start(store.dir(), config.annotate.clone(), hooks);
    handle.map(Some).map_err(|source| FatalError::Io { op: "start a thread", source })
}

fn settings(config: &WatchConfig) -> Settings {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let reads = u32::try_from(cores.clamp(2, 8) * 2).unwrap_or(4);
    Settings {
        reads,
        backlog_reads: reads - reads / 4,
        fresh: config.record.is_some(),
        depth: config.depth,
        ..Settings::default()
    }
}

fn header(config: &WatchConfig, settings: Settings, source: &str) -> Header {
    Header {
        settings,
        embedded: foundry_brick::Payload::from(config.payload) == foundry_brick::Payload::Embedded,
        roots: config.roots.iter().map(|r| r.as_os_str().as_bytes().to_vec()).collect(),
        source: source.to_owned(),
    }
}

/// A recording inside a watched tree would record itself; a tree inside the store would fold itself.
fn check_places(config: &WatchConfig) -> Result<(), FatalError> {
    for root in &config.roots {
        if root.starts_with(&config.store) {
            let (path, other) = (root.clone(), config.store.clone());
            return Err(FatalError::Place { path, other, why: "a store cannot be watched" });
        }
        let log = config.record.as_ref().and_then(|log| std::path::absolute(log).ok());
        let log = log.map(|log| {
            let real = log.parent().and_then(|dir| dir.canonicalize().ok());
            real.map_or(log, |dir| dir.join("log"))
        });
        if let Some(path) = log.filter(|log| log.starts_with(root)) {
            let other = root.clone();
            let why = "a recording inside a watched directory would record itself";
            return Err(FatalError::Place { path, other, why });
        }
    }
    Ok(())
}

/// Every read and every edit holds a file open.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, the usual limit is enough.
    let _raised = setrlimit(Resource::Nofile, limit).is_ok();
}

#[cfg(test)]
mod tests;
