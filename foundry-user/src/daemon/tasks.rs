//! Tasks beside the loop: a thread that does them, and what wakes it.
//!
//! Knows: the worker, updates. Must never know: what a task is.
//! Keeps: what happens in a project is a hint to look; one that was missed is made up for by looking;
//! the loop never waits for a task.

use super::FatalError;
use crate::annotate::{Request, service::Ask};
use crate::config::Project;
use crate::pipeline::effect::Update;
use crate::schedule::Every;
use crate::tasks::worker::{Asked as Tally, Halt, Helper, Mailbox, Message, Worker, concerns};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};

/// What tasks ask at a time: there is one worker, and it waits for the answer.
const ASKS: usize = 1;

/// What a task asks of the daemon.
#[derive(Debug)]
pub(super) enum Wish {
    /// Watch a directory from now on.
    Watch(PathBuf, oneshot::Sender<Result<(), String>>),
    /// Compare a tree again and again.
    Schedule(PathBuf, Every, oneshot::Sender<Result<(), String>>),
    /// Say when all that happened until now is in the bricks, of what is watched.
    Settle(PathBuf, oneshot::Sender<Result<(), String>>),
}

/// The loop's end.
pub(super) struct Tasks {
    mailbox: Mailbox,
    projects: Arc<Mutex<Vec<Project>>>,
    store: PathBuf,
}

impl Tasks {
    /// Starts the worker, and the task that passes hints on.
    pub(super) fn start(
        projects: &[Project],
        store: &Path,
        updates: broadcast::Receiver<Arc<Update>>,
        annotator: Option<mpsc::Sender<Ask>>,
        panics: &mpsc::Sender<FatalError>,
    ) -> Result<(Self, mpsc::Receiver<Wish>), FatalError> {
        let (tx, asks) = mpsc::channel(ASKS);
        let awaited = Awaited::default();
        let helper = Asking { wishes: tx, annotator, awaited: Arc::clone(&awaited) };
        let (worker, mailbox) = Worker::new(projects.to_vec(), store, Box::new(helper));
        super::readers::spawn("tasks", panics, move || worker.run())?;
        let shared = Arc::new(Mutex::new(projects.to_vec()));
        let (watched, wakes) = (Arc::clone(&shared), mailbox.clone());
        tokio::spawn(async move { pass_on(updates, &watched, &awaited, &wakes).await });
        let tasks = Self { mailbox, projects: shared, store: store.to_owned() };
        tasks.remember(projects);
        Ok((tasks, asks))
    }

    /// From now on these projects.
    pub(super) fn projects(&self, projects: Vec<Project>) {
        self.remember(&projects);
        (*lock(&self.projects)).clone_from(&projects);
        if self.mailbox.send(Message::Projects(projects)).is_err() {
            tracing::warn!("the tasks are busy: reload once more for the new projects");
        }
    }

    /// Answers when nothing is left to do.
    pub(super) fn wait(&self, answer: oneshot::Sender<()>) {
        // Dropping the answer refuses.
        drop(self.mailbox.send(Message::Wait(answer)));
    }

    /// For those who ask while no daemon runs.
    fn remember(&self, projects: &[Project]) {
        if let Err(error) = crate::tasks::remember(&self.store, projects) {
            tracing::warn!(%error, "projects cannot be remembered");
        }
    }
}

/// What steps wait for answers about.
type Awaited = Arc<Mutex<BTreeSet<PathBuf>>>;

async fn pass_on(
    mut updates: broadcast::Receiver<Arc<Update>>,
    projects: &Mutex<Vec<Project>>,
    awaited: &Mutex<BTreeSet<PathBuf>>,
    mailbox: &Mailbox,
) {
    loop {
        let is_ours = match updates.recv().await {
            Ok(update) => {
                let projects = lock(projects);
                match &*update {
                    Update::Committed { path, .. } if is_awaited(awaited, path) => true,
                    Update::Committed { path, .. } | Update::Removed { path, .. } => {
                        concerns(&projects, path)
                    }
                    Update::Renamed { from, to, .. } => {
                        concerns(&projects, from) || concerns(&projects, to)
                    }
                    _ => false,
                }
            }
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        if is_ours {
            mailbox.look();
        }
    }
}

/// Whether a step waits for an answer about this, or about what holds it.
fn is_awaited(awaited: &Mutex<BTreeSet<PathBuf>>, path: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    lock(awaited).iter().any(|above| path.starts_with(above))
}

/// The worker's way to the loop, and to the annotator.
struct Asking {
    wishes: mpsc::Sender<Wish>,
    annotator: Option<mpsc::Sender<Ask>>,
    awaited: Awaited,
}

impl Asking {
    fn ask(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Wish,
    ) -> Result<(), Halt> {
        let (tx, rx) = oneshot::channel();
        self.wishes.blocking_send(make(tx)).map_err(|_| Halt::Stopping)?;
        Ok(rx.blocking_recv().map_err(|_| Halt::Stopping)??)
    }
}

impl Helper for Asking {
    fn watch(&self, path: &Path) -> Result<(), Halt> {
        self.ask(|answer| Wish::Watch(path.to_owned(), answer))
    }

    fn schedule(&self, path: &Path, every: &Every) -> Result<(), Halt> {
        self.ask(|answer| Wish::Schedule(path.to_owned(), every.clone(), answer))
    }

    fn annotate(&self, path: &Path) -> Result<Tally, Halt> {
        let Some(annotator) = &self.annotator else {
            return Err("no model is asked: annotation is off (annotate.enabled = false)".into());
        };
        self.ask(|answer| Wish::Settle(path.to_owned(), answer))?;
        // Before it is asked: the answer may be there before we are told that it is not.
        lock(&self.awaited).insert(path.to_owned());
        let (tx, rx) = oneshot::channel();
        let request = Request::Path(path.as_os_str().as_bytes().to_vec());
        annotator.blocking_send((request, tx)).map_err(|_| Halt::Stopping)?;
        let status = rx.blocking_recv().map_err(|_| Halt::Stopping)??;
        let tally = status.tally.unwrap_or_default();
        if tally.questions == tally.answered {
            lock(&self.awaited).remove(path);
        }
        let is_silent = status.reachable == Some(false);
        let silent = is_silent.then(|| format!("no model server at {}", status.server));
        let aside = (0 < tally.aside)
            .then(|| status.failures.first().map_or_else(String::new, |(why, _)| why.clone()));
        let silent = silent.or_else(|| status.paused.filter(|_| aside.is_none()));
        Ok(Tally { questions: tally.questions, answered: tally.answered, aside, silent })
    }
}

/// What tasks asked for, which outlives the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    #[serde(skip)]
    file: PathBuf,
    pub(super) watch: Vec<PathBuf>,
    pub(super) schedule: Vec<(PathBuf, String)>,
}

impl Asked {
    /// What a store remembers. Directories that are gone are not watched.
    pub(super) fn open(store: &Path) -> Self {
        let file = store.join("asked");
        let mut asked: Self = crate::store::remembered(&file);
        asked.watch.retain(|path| path.is_dir());
        asked.file = file;
        asked
    }

    /// Remembers it, for good.
    pub(super) fn keep(&self) -> io::Result<()> {
        let bytes = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let half = self.file.with_extension("tmp");
        let mut file = std::fs::File::create(&half)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&half, &self.file)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
