//! Tasks: requests that lie in a project as files, and OpenSpec changes; what may run, runs.
//!
//! Reading order: `file` (what a task says), `scan` (which there are, and how they stand), `change`
//! and `boxes` (OpenSpec), `source` and `make` (what is read, what is written), `run` (doing one),
//! `worker` (doing them all).
//!
//! Knows: task files, changes, what a project allows. Must never know: the pipeline, sources, sinks.
//! Keeps: a task is data: no command in it is run, nothing outside of what its project allows is
//! read, nothing is written but results, and what says how the task went. The files are the state:
//! whoever kills the daemon at any moment finds each task done, or still to be done.

mod boxes;
mod change;
mod confined;
pub mod file;
mod lease;
mod make;
pub mod prepare;
mod run;
mod scan;
mod source;
pub mod worker;

pub use make::Made;
pub use scan::{Approvals, look};

use crate::config::Project;
use crate::wire_tasks::{self, Evidence};
use confined::Dir;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a store remembers which projects its daemon had.
const KNOWN: &str = "projects";

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It will be done, or is being done.
    Waiting,
    /// It asks for more than its project allows.
    NeedsApproval,
    /// It cannot be done as it is; its file was put aside.
    SetAside,
    /// It is a change without boxes yet.
    Planned,
    /// A step of the change failed.
    Failed,
    /// What is left of the change is for people.
    ForPeople,
    /// It is done.
    Done,
}

impl State {
    /// As the list shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::NeedsApproval => "needs approval",
            Self::SetAside => "set aside",
            Self::Planned => "planned",
            Self::Failed => "failed",
            Self::ForPeople => "for people",
            Self::Done => "done",
        }
    }

    /// Whether somebody has to see to it.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::SetAside | Self::Failed)
    }
}

/// One task, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What `approve` takes: of the file's place and content.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// `convert_binary`, ..., or `change`.
    pub kind: String,
    /// How it stands.
    pub state: State,
    /// Why, where there is something to say.
    pub detail: Option<String>,
    /// The project.
    pub project: PathBuf,
    /// Its file.
    pub file: PathBuf,
    /// What it made.
    pub results: Vec<PathBuf>,
    /// Boxes ticked, and boxes there are.
    pub boxes: Option<(usize, usize)>,
    /// The command to run next.
    pub next: String,
}

/// Remembers the projects of a daemon, for those who ask while it does not run.
///
/// # Errors
/// As `open(2)` and `rename(2)`.
pub fn remember(store: &Path, projects: &[Project]) -> io::Result<()> {
    let bytes = postcard::to_allocvec(projects).map_err(io::Error::other)?;
    let half = store.join("projects.tmp");
    std::fs::File::create(&half)?.write_all(&bytes)?;
    std::fs::rename(half, store.join(KNOWN))
}

/// The projects that the store's daemon had last.
#[must_use]
pub fn known(store: &Path) -> Vec<Project> {
    crate::store::remembered(&store.join(KNOWN))
}

/// Makes what was set aside, or failed, something to be done again.
///
/// # Errors
/// As `rename(2)`; [`io::ErrorKind::InvalidInput`] where there is nothing to try again.
pub fn retry(view: &View) -> io::Result<()> {
    let project = Dir::open(&view.project)?;
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let inside = view.file.strip_prefix(&view.project).map_err(|_| invalid())?;
    match view.state {
        State::SetAside => {
            let name = inside.file_name().ok_or_else(invalid)?;
            let inbox = inside.parent().ok_or_else(invalid)?;
            let inbox = project.sub(inbox)?.ok_or(io::ErrorKind::NotFound)?;
            inbox.rename(name, &scan::before(name).ok_or_else(invalid)?, false)
        }
        State::Failed if view.kind == "change" => {
            let change = project.sub(inside)?.ok_or(io::ErrorKind::NotFound)?;
            let dir = change.make(Path::new(change::EVIDENCE_DIR))?;
            let at = crate::clock::wall().0;
            let line = wire_tasks::evidence(&view.id, "", &Evidence::Retry, &[], at);
            dir.append(change::EVIDENCE, &line)
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests;
