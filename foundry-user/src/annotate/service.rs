//! The daemon's annotator: a thread that hears what happens and works through the queue.
//!
//! Knows: updates, requests, the engine. Must never know: the pipeline's rules, the daemon's loop.
//! Keeps: the daemon never waits for it; what it missed it finds again by looking at every brick, now
//! or at the next start; it ends within a moment, whatever it waits for.

mod intake;

use super::deliver::Deliver;
use super::engine::{Engine, EngineError, Turn, now_ms};
use super::settings::Settings;
use super::status::{Request, Status};
use crate::control::server::Call;
use crate::pipeline::effect::Update;
use intake::Intake;
pub(super) use intake::wants;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

/// Requests that wait; more are refused.
const REQUESTS: usize = 16;

/// A request and who waits for its answer.
pub type Ask = (Request, oneshot::Sender<Result<Status, String>>);

/// What connects it with the daemon.
pub struct Hooks {
    /// What happens to artifacts.
    pub updates: broadcast::Receiver<Arc<Update>>,
    /// Whether the first look at the trees has ended.
    pub settled: Box<dyn Fn() -> bool + Send>,
    /// Where annotations go.
    pub calls: mpsc::Sender<Call>,
}

/// The running annotator; dropping it ends it.
#[derive(Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// Where requests go.
    #[must_use]
    pub fn asks(&self) -> mpsc::Sender<Ask> {
        self.asks.clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the queue is as good as its last transaction.
            drop(thread.join());
        }
    }
}

/// Starts the thread. The caller holds the store.
///
/// # Errors
/// Where there is no thread to be had.
pub fn start(store: &Path, settings: Settings, hooks: Hooks) -> std::io::Result<Handle> {
    let (asks, requests) = mpsc::channel(REQUESTS);
    let stop = Arc::new(Notify::new());
    let (store, stopped) = (store.to_owned(), Arc::clone(&stop));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = move || {
        runtime.block_on(run(store, settings, hooks, requests, stopped));
        // A name that is being resolved is not waited for.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("annotate".to_owned()).spawn(body)?;
    Ok(Handle { asks, stop, thread: Some(thread) })
}

/// What the two halves tell each other.
pub(super) struct Between {
    /// There is something new to do.
    wake: Notify,
    /// Somebody says that it is worth trying now.
    again: AtomicBool,
    /// How things stand, as the working half sees them, and whether it rests.
    shown: watch::Sender<(Status, Rest)>,
}

/// What the working half does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Rest {
    #[default]
    Working,
    Idle,
    Paused(String),
}

async fn run(
    store: PathBuf,
    settings: Settings,
    hooks: Hooks,
    mut requests: mpsc::Receiver<Ask>,
    stop: Arc<Notify>,
) {
    let shown = watch::Sender::new((Status::default(), Rest::default()));
    let between = Between { wake: Notify::new(), again: AtomicBool::new(false), shown };
    let Hooks { updates, settled, calls } = hooks;
    let deliver = Deliver::Daemon(calls);
    let working = async {
        let engine = Engine::open(&store, settings.clone(), deliver)?;
        work(engine, &between).await
    };
    let hearing = async {
        let intake = Intake::open(&store, &settings, &between, settled)?;
        intake.run(updates, &mut requests, &stop).await
    };
    let ended: Result<(), EngineError> = tokio::select! {
        ended = hearing => ended,
        ended = working => ended,
    };
    // Without its queue it can do nothing but say so.
    let Err(why) = ended.map_err(|e| e.to_string()) else { return };
    let refusing = async {
        while let Some((_, answer)) = requests.recv().await {
            // A client that left needs no answer.
            drop(answer.send(Err(why.clone())));
        }
    };
    tokio::select! { () = refusing => {}, () = stop.notified() => {} }
}

async fn work(mut engine: Engine, between: &Between) -> Result<(), EngineError> {
    loop {
        if between.again.swap(false, Ordering::Relaxed) {
            engine.try_again();
        }
        let turn = match engine.turn().await {
            // The daemon ends, and so shall we in a moment.
            Err(EngineError::Closed) => return std::future::pending().await,
            turn => turn?,
        };
        let (rest, until_ms) = match turn {
            Turn::Worked => {
                between.shown.send_modify(|shown| shown.1 = Rest::Working);
                tokio::task::yield_now().await;
                continue;
            }
            Turn::Idle { until_ms } => (Rest::Idle, until_ms),
            Turn::Paused { why, until_ms } => (Rest::Paused(why), until_ms),
        };
        between.shown.send_replace((engine.status()?, rest));
        let wait = u64::try_from(until_ms.saturating_sub(now_ms())).unwrap_or(0);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait.max(1))) => {}
            () = between.wake.notified() => {}
        }
    }
}
