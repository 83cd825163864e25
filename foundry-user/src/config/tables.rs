//! The tables of the configuration file: what is compared again and again, and whose tasks are done.
//!
//! Knows: their keys, what is allowed by default. Must never know: who carries them out.
//! Keeps: a table that makes no sense is an error that names its key; a task may do nothing that the
//! table of its project does not allow.

use crate::error::CommandError;
use crate::schedule::Every;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// Where results go in a project that does not say: where Geometry OS takes its bricks from.
const RESULTS: &str = "systems/builder/queue";

/// `[[schedule]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleWish {
    /// What is compared: a watched directory, or something below one.
    pub path: PathBuf,
    /// When.
    pub every: Every,
}

/// `[[project]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectWish {
    /// The project's directory.
    pub path: PathBuf,
    /// Where results go, seen from there.
    pub results: Option<PathBuf>,
    /// What tasks may read besides the project itself.
    #[serde(default)]
    pub allow: Vec<PathBuf>,
    /// What tasks may do without being approved.
    pub operations: Option<Vec<Operation>>,
}

/// What a task may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Make a brick of a file, or of the files of a directory.
    Fold,
    /// Make a brick of a process's memory.
    Capture,
    /// Keep bricks of a directory from now on.
    Watch,
    /// Have a model say what something is.
    Annotate,
    /// Write a brick in another program's format.
    Export,
    /// Compare a brick with its artifact.
    Verify,
    /// Compare a tree with its bricks again and again.
    Schedule,
    /// Write down what is known of files.
    Analyze,
}

impl Operation {
    /// As files spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fold => "fold",
            Self::Capture => "capture",
            Self::Watch => "watch",
            Self::Annotate => "annotate",
            Self::Export => "export",
            Self::Verify => "verify",
            Self::Schedule => "schedule",
            Self::Analyze => "analyze",
        }
    }
}

/// What only reads what is allowed, and only writes results.
const HARMLESS: [Operation; 4] =
    [Operation::Fold, Operation::Export, Operation::Verify, Operation::Analyze];

/// A project, ready: every path is absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its directory, without symbolic links.
    pub path: PathBuf,
    /// Where results go: names below `path`, none of them `..`.
    pub results: PathBuf,
    /// What tasks may read, without symbolic links; the project itself is among it.
    pub allow: Vec<PathBuf>,
    /// What tasks may do without being approved.
    pub operations: Vec<Operation>,
}

impl ProjectWish {
    /// The paths that count from where the file lies.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        std::iter::once(&mut self.path).chain(&mut self.allow)
    }

    fn resolve(self) -> Result<Project, CommandError> {
        let real = |op, path: &Path| path.canonicalize().map_err(|e| CommandError::io(op, path, e));
        let path = real("take tasks from", &self.path)?;
        let results = self.results.unwrap_or_else(|| RESULTS.into());
        if !results.components().all(|part| matches!(part, Component::Normal(_))) {
            let what = "`results` of a project is a path below the project, without `..`";
            return Err(CommandError::Usage(format!("{}: {what}", results.display())));
        }
        // What is allowed and is not there cannot be read: no reason not to start.
        let mut allow: Vec<PathBuf> =
            self.allow.iter().filter_map(|p| p.canonicalize().ok()).collect();
        allow.push(path.clone());
        let operations = self.operations.unwrap_or_else(|| HARMLESS.to_vec());
        Ok(Project { path, results, allow, operations })
    }
}

/// The tables as the daemon takes them.
///
/// # Errors
/// Where a project is not there, or a schedule is about something that is not watched.
pub(super) fn resolve(
    schedules: Vec<ScheduleWish>,
    projects: Vec<ProjectWish>,
    roots: &[PathBuf],
) -> Result<(Vec<ScheduleWish>, Vec<Project>), CommandError> {
    let projects = projects.into_iter().map(ProjectWish::resolve).collect::<Result<_, _>>()?;
    let mut resolved: Vec<ScheduleWish> = Vec::new();
    for wish in schedules {
        let path = wish.path.canonicalize();
        let path = path.map_err(|e| CommandError::io("schedule", &wish.path, e))?;
        if !roots.iter().any(|root| path.starts_with(root)) {
            let what = "is scheduled and not watched: add it, or a directory above it, to `watch`";
            return Err(CommandError::Usage(format!("{} {what}", path.display())));
        }
        resolved.push(ScheduleWish { path, every: wish.every });
    }
    Ok((resolved, projects))
}
