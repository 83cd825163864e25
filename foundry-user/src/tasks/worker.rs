//! The thread that does tasks: looks, does what may be done, and waits until something changes.
//!
//! Knows: the look, the runner. Must never know: where hints come from, how the daemon does what
//! a task asks of it.
//! Keeps: a hint is only a reason to look; one thing is done at a time, and after each the files say
//! so; whoever asked to be told is told when nothing is left to do.

use super::boxes::{self, Ticked};
use super::change::{self, Change};
use super::confined::Dir;
use super::file::TaskFile;
use super::run::{Outcome, Runner};
use super::scan::{self, Approvals, Found, INBOXES, Place, Work, look};
use crate::clock;
use crate::config::Project;
use crate::next::Step;
use crate::wire_tasks::{self, Evidence};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

pub use super::run::{Asked, Halt, Helper};

/// Until something that is being written is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// Messages that wait; more of them say nothing more.
const MESSAGES: usize = 16;

/// What the worker is told.
#[derive(Debug)]
pub enum Message {
    /// Something may have changed.
    Look,
    /// Answer when nothing is left to do.
    Wait(oneshot::Sender<()>),
    /// From now on these projects.
    Projects(Vec<Project>),
}

/// The worker's mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox(SyncSender<Message>);

impl Mailbox {
    /// Something may have changed. Where the mailbox is full, it will look anyway.
    pub fn look(&self) {
        drop(self.0.try_send(Message::Look));
    }

    /// As [`Message`] says. Gives it back where the mailbox is full, or the worker has ended.
    ///
    /// # Errors
    /// With the message.
    pub fn send(&self, message: Message) -> Result<(), Message> {
        use std::sync::mpsc::TrySendError;
        self.0.try_send(message).map_err(|e| match e {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => message,
        })
    }
}

/// A worker that has not begun.
pub struct Worker {
    projects: Vec<Project>,
    store: PathBuf,
    approvals: Approvals,
    helper: Box<dyn Helper>,
    mail: Receiver<Message>,
    /// What was tried since something changed: nothing is tried twice.
    given_up: BTreeSet<(String, String)>,
    /// Tasks with a step that waits: which, and what came of those before it.
    reached: BTreeMap<String, (usize, Outcome)>,
}

impl Worker {
    /// A worker for the tasks of `projects`, and where it is reached.
    #[must_use]
    pub fn new(projects: Vec<Project>, store: &Path, helper: Box<dyn Helper>) -> (Self, Mailbox) {
        let (tx, mail) = sync_channel(MESSAGES);
        let approvals = Approvals::of(store);
        let (given_up, reached) = (BTreeSet::new(), BTreeMap::new());
        let store = store.to_owned();
        (Self { projects, store, approvals, helper, mail, given_up, reached }, Mailbox(tx))
    }

    /// Works until nobody can send to it any more.
    pub fn run(mut self) {
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let mut is_news = true;
        loop {
            if is_news {
                self.given_up.clear();
            }
            let is_later = self.pass();
            if !is_later {
                for one in waiting.drain(..) {
                    // Whoever left needs no answer.
                    let _heard = one.send(()).is_ok();
                }
            }
            let first = match is_later {
                true => self.mail.recv_timeout(PAUSE),
                false => self.mail.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let first = match first {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            is_news = first.is_some();
            for message in first.into_iter().chain(self.mail.try_iter()) {
                match message {
                    Message::Look => {}
                    Message::Wait(answer) => waiting.push(answer),
                    Message::Projects(projects) => self.projects = projects,
                }
            }
        }
    }

    /// Does everything that may be done now. Says whether something has to be looked at again soon.
    fn pass(&mut self) -> bool {
        let mut is_later = false;
        for project in self.projects.clone() {
            loop {
                let now = clock::wall();
                let one = std::slice::from_ref(&project);
                let found = look(one, &self.approvals, Some(&self.store), true, now);
                is_later |= found.iter().any(|f| matches!(f.work, Work::Later));
                let is_new = |f: &&Found| !self.given_up.contains(&key(f));
                let is_work = |f: &&Found| !matches!(f.work, Work::None | Work::Later);
                let Some(next) = found.iter().filter(is_work).find(is_new) else { break };
                let key = key(next);
                if let Ok(false) = self.carry_out(&project, next) {
                    is_later = true;
                    break;
                }
                // What is done is not to be done any more, or is another step by now; what comes up
                // again could not even be written down.
                self.given_up.insert(key);
            }
        }
        is_later
    }

    /// Does one thing. `false` says that somebody is in the way just now.
    fn carry_out(&mut self, project: &Project, found: &Found) -> io::Result<bool> {
        let dir = Dir::open(&project.path)?;
        match &found.work {
            Work::None | Work::Later => Ok(true),
            Work::SetAside { place, why } => {
                let inbox = dir.sub(&place.inbox)?.ok_or(io::ErrorKind::NotFound)?;
                set_aside(&inbox, place, &found.view.name, why)?;
                Ok(true)
            }
            Work::Task { place, task, approved } => {
                let inbox = dir.sub(&place.inbox)?.ok_or(io::ErrorKind::NotFound)?;
                let runs = Runs { place, task, approved: *approved, id: &found.view.id };
                self.task(project, dir, &inbox, &runs)?;
                Ok(true)
            }
            Work::Change(change) => self.change(project, dir, change),
        }
    }

    fn task(
        &mut self,
        project: &Project,
        dir: Dir,
        inbox: &Dir,
        runs: &Runs<'_>,
    ) -> io::Result<()> {
        let Runs { place, task, approved, id } = *runs;
        let steps = task.as_steps();
        let helper = self.helper.as_ref();
        let name = &task.task_id.replace(['/', '\0'], "_");
        let runner = Runner { project, helper, approved, name, steps: &steps, dir };
        let (done, mut outcome) = self.reached.remove(id).unwrap_or_default();
        for (i, step) in steps.iter().enumerate().skip(done) {
            let number = step.id.as_ref().map_or((i + 1).to_string(), |id| id.0.clone());
            let said = |why| if steps.len() == 1 { why } else { format!("step {number}: {why}") };
            match runner.step(step) {
                Ok(done) => {
                    outcome.made.extend(done.made);
                    outcome.notes.extend(done.notes);
                }
                Err(Halt::Failed(why)) => {
                    return set_aside(inbox, place, &task.task_id, &said(why));
                }
                Err(Halt::Waits(why)) => {
                    self.reached.insert(id.to_owned(), (i, outcome));
                    return say_waiting(inbox, place, task, &said(why), &self.store);
                }
                Err(Halt::Stopping) => return Ok(()),
            }
        }
        let next = match outcome.made.first() {
            Some(made) if made.format == "brick" => Step::TaskMadeBrick(&made.path).line(None),
            Some(made) if made.format == "analysis" => Step::Wrote(&made.path).line(None),
            Some(made) => Step::Exported(&made.path).line(None),
            None => Step::Watching.line(Some(&self.store)),
        };
        let at = clock::wall().0;
        let bytes = wire_tasks::result(task, &outcome.made, &outcome.notes, at, &next);
        inbox.remove(&place.error())?;
        inbox.put(place.result(), &bytes, 0o644)?;
        // The mark comes last: until it is there, the task is still to be done.
        inbox.rename(&place.name, &place.done(), true)
    }

    fn change(&self, project: &Project, dir: Dir, change: &Change) -> io::Result<bool> {
        let (Some(step), Some(open)) = (change.step(), dir.sub(&change.way)?) else {
            return Ok(true);
        };
        let number = step.id.as_ref().map(|id| id.0.clone()).unwrap_or_default();
        let evidence = open.make(Path::new(change::EVIDENCE_DIR))?;
        let runner = Runner {
            project,
            helper: self.helper.as_ref(),
            approved: change.approved,
            name: &change.name,
            steps: &change.plan.steps,
            dir,
        };
        let done = runner.step(step);
        let at = clock::wall().0;
        let list = open.read(change::LIST, boxes::MOST)?.map(|t| t.bytes).unwrap_or_default();
        let said = match &done {
            Ok(outcome) => Evidence::Done(&outcome.made, &outcome.notes),
            Err(Halt::Waits(why)) if change.waits.as_ref() == Some(why) => return Ok(true),
            Err(Halt::Waits(why)) => Evidence::Waits(why),
            Err(Halt::Failed(why)) => Evidence::Failed(why),
            Err(Halt::Stopping) => return Ok(true),
        };
        let line = wire_tasks::evidence(&change.id, &number, &said, &list, at);
        evidence.append(change::EVIDENCE, &line)?;
        if done.is_err() {
            return Ok(true);
        }
        match boxes::tick(&open, change::LIST, &number)? {
            Ticked::Now | Ticked::Already => Ok(true),
            Ticked::Busy => Ok(false),
            Ticked::NoBox => Err(io::Error::other("the box is gone")),
        }
    }
}

/// What a job is known by while it is given up.
fn key(found: &Found) -> (String, String) {
    let boxes = found.view.boxes.map(|(done, _)| done.to_string()).unwrap_or_default();
    (found.view.id.clone(), boxes)
}

/// A task that is carried out.
struct Runs<'a> {
    place: &'a Place,
    task: &'a TaskFile,
    approved: bool,
    id: &'a str,
}

/// Says beside a task what it waits for, unless that is said already.
fn say_waiting(
    inbox: &Dir,
    place: &Place,
    task: &TaskFile,
    why: &str,
    store: &Path,
) -> io::Result<()> {
    let before = inbox.read(place.result(), scan::MOST)?.map(|t| wire_tasks::said(&t.bytes));
    if before.and_then(|said| said.waits).as_deref() == Some(why) {
        return Ok(());
    }
    let next = Step::TaskAwaits.line(Some(store));
    inbox.put(place.result(), &wire_tasks::waiting(task, why, clock::wall().0, &next), 0o644)
}

/// Puts a task file aside, with the reason beside it. Nothing that was set aside before is lost.
fn set_aside(inbox: &Dir, place: &Place, task: &str, why: &str) -> io::Result<()> {
    let mut n = 0;
    let to = loop {
        let to = place.aside(n);
        if !inbox.names()?.contains(&to) {
            break to;
        }
        n += 1;
    };
    let next = Step::NoTasks(true).line(None);
    inbox.put(place.error(), &wire_tasks::error(task, why, clock::wall().0, &next), 0o644)?;
    inbox.rename(&place.name, &to, false)
}

/// Whether a change of `path` is a reason to look.
#[must_use]
pub fn concerns(projects: &[Project], path: &[u8]) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(OsStr::from_bytes(path));
    projects.iter().any(|project| scan::concerns(project, path))
}

/// Where task files are looked for, seen from a project.
pub const PLACES: [&str; 2] = INBOXES;
