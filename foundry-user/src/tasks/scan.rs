//! Which tasks there are, and how each stands: read from the files, which are the state.
//!
//! Knows: where task files lie, what their names say. Must never know: how a task is done.
//! Keeps: looking changes nothing; a file that makes no sense is a task that was set aside, or will
//! be, never one that is forgotten.

use super::change::{self, Change};
use super::confined::{Dir, Text};
use super::file::TaskFile;
use super::{State, View};
use crate::config::Project;
use crate::event::UnixNs;
use crate::next::Step;
use crate::wire_tasks;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// Where task files lie.
pub(super) const INBOXES: [&str; 2] = ["openspec/tasks/system_foundry", "tasks/system_foundry"];

/// Longest task file.
pub(super) const MOST: u64 = 1 << 20;

/// A file that ends too early may still be being written.
const YOUNG_NS: i64 = 2_000_000_000;

/// How names end.
const TASK: &str = ".task.json";
const DONE: &str = ".task.task.json.done";
const ASIDE: &str = ".task.task.json.failed";

/// What was approved, and where that is remembered.
#[derive(Clone, Debug)]
pub struct Approvals {
    dir: PathBuf,
}

impl Approvals {
    /// Those of a store.
    #[must_use]
    pub fn of(store: &Path) -> Self {
        Self { dir: store.join("approved") }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.dir.join(id).is_file()
    }

    /// Approves what has this id, for good.
    ///
    /// # Errors
    /// As `open(2)`; an id that is none is [`io::ErrorKind::InvalidInput`].
    pub fn add(&self, id: &str) -> io::Result<()> {
        if id.len() != ID_DIGITS || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        std::fs::create_dir_all(&self.dir)?;
        std::fs::File::create(self.dir.join(id))?.sync_all()
    }
}

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 12;

/// The id of a task: another place or another content is another task.
pub(super) fn id(project: &Path, place: &str, content: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [project.as_os_str().as_encoded_bytes(), place.as_bytes(), content] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..ID_DIGITS].to_owned()
}

/// One task, and what is to be done about it.
#[derive(Debug)]
pub struct Found {
    /// For whoever asks.
    pub view: View,
    /// For whoever does it.
    pub(super) work: Work,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// Nothing, by us.
    None,
    /// Nothing yet: it may still be being written.
    Later,
    /// Carry it out.
    Task { place: Place, task: Box<TaskFile>, approved: bool },
    /// Put the file aside.
    SetAside { place: Place, why: String },
    /// Carry out the next step.
    Change(Box<Change>),
}

/// Where a task file lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) inbox: PathBuf,
    pub(super) name: OsString,
}

impl Place {
    /// The name without its ending.
    fn stem(&self) -> String {
        let name = self.name.to_string_lossy();
        name.strip_suffix(TASK).unwrap_or(&name).to_owned()
    }

    /// What the file is called when it is done: as Geometry OS marks it.
    pub(super) fn done(&self) -> OsString {
        format!("{}{DONE}", self.stem()).into()
    }

    /// What it is called when it was set aside, the `n`th time.
    pub(super) fn aside(&self, n: u32) -> OsString {
        match n {
            0 => format!("{}{ASIDE}", self.stem()).into(),
            n => format!("{}{ASIDE}.{n}", self.stem()).into(),
        }
    }

    /// What says how it went.
    pub(super) fn result(&self) -> OsString {
        format!("{}.task.result.json", self.stem()).into()
    }

    /// What says why it was set aside.
    pub(super) fn error(&self) -> OsString {
        format!("{}.task.error.json", self.stem()).into()
    }
}

/// Looks at every task of `projects`. `runs` says whether a daemon is there to do them.
#[must_use]
pub fn look(
    projects: &[Project],
    approvals: &Approvals,
    store: Option<&Path>,
    runs: bool,
    now: UnixNs,
) -> Vec<Found> {
    let mut found = Vec::new();
    for project in projects {
        let scan = Scan { project, approvals, store, runs, now };
        let Ok(dir) = Dir::open(&project.path) else { continue };
        for inbox in INBOXES {
            match dir.sub(Path::new(inbox)) {
                Ok(Some(open)) => scan.inbox(&open, inbox, &mut found),
                Ok(None) => {}
                Err(error) => found.push(scan.unreadable(inbox, &error)),
            }
        }
        for change in change::all(&dir, project, approvals) {
            found.push(scan.change(change));
        }
    }
    found
}

/// What one look stands on.
struct Scan<'a> {
    project: &'a Project,
    approvals: &'a Approvals,
    store: Option<&'a Path>,
    runs: bool,
    now: UnixNs,
}

impl Scan<'_> {
    fn inbox(&self, open: &Dir, inbox: &str, found: &mut Vec<Found>) {
        let names = match open.names() {
            Ok(names) => names,
            Err(error) => return found.push(self.unreadable(inbox, &error)),
        };
        for name in names {
            let text = name.to_string_lossy().into_owned();
            if text.starts_with('.') {
                continue;
            }
            let place = Place { inbox: PathBuf::from(inbox), name: name.clone() };
            if text.ends_with(DONE) {
                found.push(self.ended(open, place, &text, State::Done));
            } else if text.contains(ASIDE) {
                found.push(self.ended(open, place, &text, State::SetAside));
            } else if text.ends_with(TASK) {
                found.push(self.task(open, place));
            }
        }
    }

    fn view(&self, place: &Place, content: &[u8]) -> View {
        let file = self.project.path.join(&place.inbox).join(&place.name);
        let at = place.inbox.join(&place.name);
        View {
            id: id(&self.project.path, &at.to_string_lossy(), content),
            name: place.stem(),
            kind: "task".to_owned(),
            state: State::Waiting,
            detail: None,
            project: self.project.path.clone(),
            file,
            results: Vec::new(),
            boxes: None,
            next: String::new(),
        }
    }

    /// A file that is a task still.
    fn task(&self, open: &Dir, place: Place) -> Found {
        let read = match open.read(&place.name, MOST) {
            Ok(Some(text)) => text,
            Ok(None) => return self.later(place),
            Err(error) => return self.aside(place, &[], why_unreadable(&error)),
        };
        let task = match wire_tasks::task(&read.bytes) {
            Ok(task) => task,
            Err(bad) if bad.is_cut_short && self.is_young(&read) => return self.later(place),
            Err(bad) => return self.aside(place, &read.bytes, bad.what),
        };
        if let Some(what) = task.mistake() {
            return self.aside(place, &read.bytes, what);
        }
        let mut view = self.view(&place, &read.bytes);
        view.name.clone_from(&task.task_id);
        view.kind = task.kind.name().to_owned();
        let approved = self.approvals.has(&view.id);
        match self.asks(&task).filter(|_| !approved) {
            Some(more) => {
                view.state = State::NeedsApproval;
                view.detail = Some(more);
                view.next = Step::TaskAsks(&view.id).line(self.store);
                Found { view, work: Work::None }
            }
            None => {
                view.next = Step::TaskWaits(self.runs).line(self.store);
                let said = open.read(place.result(), MOST).ok().flatten();
                let said = said.map(|text| wire_tasks::said(&text.bytes)).unwrap_or_default();
                if said.task_id.as_ref() == Some(&task.task_id) && said.waits.is_some() {
                    view.detail = said.waits;
                    view.next = Step::TaskAwaits.line(self.store);
                }
                Found { view, work: Work::Task { place, task: Box::new(task), approved } }
            }
        }
    }

    /// What a task asks for beyond what its project allows.
    fn asks(&self, task: &TaskFile) -> Option<String> {
        task.as_steps().iter().find_map(|step| change::asks(self.project, step))
    }

    fn is_young(&self, text: &Text) -> bool {
        self.now.0.saturating_sub(text.mtime_ns) < YOUNG_NS
    }

    fn later(&self, place: Place) -> Found {
        let mut view = self.view(&place, &[]);
        view.detail = Some("it is being written".to_owned());
        view.next = Step::TaskWaits(self.runs).line(self.store);
        Found { view, work: Work::Later }
    }

    fn aside(&self, place: Place, content: &[u8], why: String) -> Found {
        let mut view = self.view(&place, content);
        view.detail = Some(why.clone());
        view.next = Step::TaskWaits(self.runs).line(self.store);
        Found { view, work: Work::SetAside { place, why } }
    }

    /// A file whose name says that it ended.
    fn ended(&self, open: &Dir, place: Place, name: &str, state: State) -> Found {
        let ending = if state == State::Done { DONE } else { ASIDE };
        let stem = name.split(ending).next().unwrap_or(name);
        let before = Place { inbox: place.inbox.clone(), name: format!("{stem}{TASK}").into() };
        let mut view = self.view(&place, &[]);
        view.name = stem.to_owned();
        view.state = state;
        let said = if state == State::Done { before.result() } else { before.error() };
        let said = open.read(&said, MOST).ok().flatten().map(|text| wire_tasks::said(&text.bytes));
        let said = said.unwrap_or_default();
        view.name = said.task_id.unwrap_or(view.name);
        view.kind = said.kind.unwrap_or(view.kind);
        view.detail = said.error;
        view.results = said.results;
        view.next = match state {
            State::Done => said.next.unwrap_or_else(|| Step::Wrote(&view.file).line(None)),
            _ => Step::TaskRetry(&view.id).line(self.store),
        };
        Found { view, work: Work::None }
    }

    fn unreadable(&self, inbox: &str, error: &io::Error) -> Found {
        let place = Place { inbox: PathBuf::new(), name: OsString::from(inbox) };
        let mut view = self.view(&place, &[]);
        view.state = State::Failed;
        view.detail = Some(why_unreadable(error));
        view.next = Step::Wrote(&view.file).line(None);
        Found { view, work: Work::None }
    }

    fn change(&self, change: Change) -> Found {
        let mut view = change.view(self.store, self.runs);
        view.project.clone_from(&self.project.path);
        let is_runnable = view.state == State::Waiting;
        let work = if is_runnable { Work::Change(Box::new(change)) } else { Work::None };
        Found { view, work }
    }
}

/// What a file that was set aside was called before.
pub(super) fn before(name: &OsStr) -> Option<OsString> {
    let (stem, _) = name.to_str()?.split_once(ASIDE)?;
    Some(format!("{stem}{TASK}").into())
}

/// Why a file cannot be read, in words that say what to do.
pub(super) fn why_unreadable(error: &io::Error) -> String {
    if error.raw_os_error() == Some(libc::ELOOP) {
        return "is a symbolic link: put the file itself there".to_owned();
    }
    match error.kind() {
        io::ErrorKind::InvalidInput => "is not a regular file".to_owned(),
        io::ErrorKind::FileTooLarge => format!("is longer than {MOST} bytes"),
        _ => error.to_string().to_lowercase(),
    }
}

/// Whether a change of `path` may concern the tasks of `project`.
pub(super) fn concerns(project: &Project, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(&project.path) else { return false };
    let name = inside.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    let is_own = name.ends_with(".foundry-half") || name == change::EVIDENCE;
    !is_own
        && (INBOXES.iter().any(|inbox| inside.starts_with(inbox))
            || inside.starts_with(change::CHANGES))
}
