//! OpenSpec changes with the schema foundry-v2: their steps, their boxes, how they stand.
//!
//! Knows: the files of a change. Must never know: how a step is done.
//! Keeps: steps go in their order; a step whose box is ticked is not done again; what failed is not
//! tried again before somebody changed something.

use super::boxes::{self, TickBox};
use super::confined::Dir;
use super::file::{Op, StepFile, from_project, mistake_of_steps};
use super::scan::{Approvals, MOST, id, why_unreadable};
use super::source;
use super::{State, View};
use crate::config::Project;
use crate::next::Step;
use crate::wire_tasks;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where changes lie in a project.
pub(super) const CHANGES: &str = "openspec/changes";

/// The steps, beside a change's proposal.
const STEPS: &str = "foundry.yaml";

/// The boxes.
pub(super) const LIST: &str = "tasks.md";

/// Where evidence lies in a change's directory, and what it is called.
pub(super) const EVIDENCE_DIR: &str = "foundry";
pub(super) const EVIDENCE: &str = "evidence.jsonl";

/// What `foundry.yaml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Plan {
    #[serde(rename = "apiVersion")]
    pub(super) api_version: Option<String>,
    #[serde(default)]
    pub(super) steps: Vec<StepFile>,
}

/// What `.openspec.yaml` says that concerns us.
#[derive(Debug, Default, Deserialize)]
struct Metadata {
    schema: Option<String>,
}

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) project: PathBuf,
    /// Seen from the project.
    pub(super) way: PathBuf,
    pub(super) id: String,
    pub(super) plan: Plan,
    pub(super) boxes: Vec<TickBox>,
    pub(super) approved: bool,
    /// What is wrong with its files.
    mistake: Option<String>,
    /// What the last attempt said, where that failed and nothing has changed since.
    failure: Option<String>,
    /// What its step waits for, as was said last.
    pub(super) waits: Option<String>,
    /// What it asks for beyond what the project allows.
    asks: Option<String>,
}

/// Every change of a project that is ours to carry out.
pub(super) fn all(dir: &Dir, project: &Project, approvals: &Approvals) -> Vec<Change> {
    let Ok(Some(changes)) = dir.sub(Path::new(CHANGES)) else { return Vec::new() };
    let names = changes.names().unwrap_or_default();
    let names = names.iter().filter_map(|name| name.to_str());
    names
        .filter(|name| *name != "archive" && !name.starts_with('.'))
        .filter_map(|name| {
            let open = changes.sub(Path::new(name)).ok().flatten()?;
            read(&open, name, project, approvals)
        })
        .collect()
}

fn read(open: &Dir, name: &str, project: &Project, approvals: &Approvals) -> Option<Change> {
    let text = |file: &str| open.read(file, MOST);
    let metadata = text(".openspec.yaml").ok().flatten().map(|t| t.bytes).unwrap_or_default();
    let metadata: Metadata = yaml(&metadata).unwrap_or_default();
    let steps = text(STEPS);
    let is_ours = metadata.schema.as_deref() == Some("foundry-v2") || !matches!(steps, Ok(None));
    if !is_ours {
        return None;
    }
    let way = Path::new(CHANGES).join(name);
    let (steps, mut mistake) = match steps {
        Ok(read) => (read.map(|t| t.bytes).unwrap_or_default(), None),
        Err(error) => (Vec::new(), Some(format!("{STEPS} {}", why_unreadable(&error)))),
    };
    let plan: Plan = yaml(&steps).unwrap_or_else(|what| {
        mistake = Some(format!("{STEPS}: {what}"));
        Plan::default()
    });
    let list = match open.read(LIST, boxes::MOST) {
        Ok(read) => read.map(|t| t.bytes).unwrap_or_default(),
        Err(error) => {
            mistake = Some(format!("{LIST} {}", why_unreadable(&error)));
            Vec::new()
        }
    };
    let found = boxes::boxes(&String::from_utf8_lossy(&list));
    let mistake = mistake.or_else(|| mistake_of(&plan, &found));
    let id = id(&project.path, &way.to_string_lossy(), &steps);
    let evidence = open.sub(Path::new(EVIDENCE_DIR)).ok().flatten();
    let evidence = evidence.and_then(|dir| dir.read(EVIDENCE, MOST).ok().flatten());
    let last = evidence.and_then(|t| wire_tasks::last_evidence(&t.bytes, &id, &list));
    let (failure, waits) = last.unwrap_or_default();
    let asks = plan.steps.iter().find_map(|step| asks(project, step));
    Some(Change {
        name: name.to_owned(),
        project: project.path.clone(),
        way,
        approved: approvals.has(&id),
        id,
        plan,
        boxes: found,
        mistake,
        failure,
        waits,
        asks,
    })
}

/// Reads YAML; what is empty has nothing in it.
fn yaml<T: Default + serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or("is not valid").to_owned()
    })
}

fn mistake_of(plan: &Plan, boxes: &[TickBox]) -> Option<String> {
    if plan.api_version.as_deref().is_some_and(|version| version != "foundry/v2") {
        return Some(format!("{STEPS}: `apiVersion` is not foundry/v2"));
    }
    if let Some(what) = mistake_of_steps(&plan.steps) {
        return Some(format!("{STEPS}: {what}"));
    }
    for step in &plan.steps {
        let Some(number) = &step.id else {
            return Some(format!("{STEPS}: a step has no `id`: that of its box in {LIST}"));
        };
        let has = |one: &&TickBox| one.id.as_ref() == Some(&number.0);
        match boxes.iter().filter(has).count() {
            _ if boxes.is_empty() => {}
            0 => return Some(format!("{LIST} has no box {} for its step", number.0)),
            1 => {}
            n => return Some(format!("{LIST} has {n} boxes {}", number.0)),
        }
    }
    None
}

/// What a step asks for beyond what a project allows.
pub(super) fn asks(project: &Project, step: &StepFile) -> Option<String> {
    let operation = step.op.operation()?;
    if !project.operations.contains(&operation) {
        return Some(format!(
            "it asks for `{}`, which the project does not allow",
            operation.name()
        ));
    }
    let path = from_project(&project.path, step.path.as_deref()?);
    match source::resolve(project, &path, false) {
        Err(error @ source::SourceError::Outside(_)) => Some(error.to_string()),
        // What is not there is no question of who may see it.
        _ => None,
    }
}

impl Change {
    /// The step to carry out now: the first whose box is not ticked.
    pub(super) fn step(&self) -> Option<&StepFile> {
        self.plan.steps.iter().find(|step| !self.is_ticked(step))
    }

    fn is_ticked(&self, step: &StepFile) -> bool {
        let is_its =
            |one: &&TickBox| one.id.is_some() && one.id.as_ref() == step.id.as_ref().map(|n| &n.0);
        self.boxes.iter().find(is_its).is_some_and(|one| one.done)
    }

    fn state(&self) -> (State, Option<String>) {
        let left = self.boxes.iter().filter(|one| !one.done).count();
        if let Some(mistake) = &self.mistake {
            return (State::Failed, Some(mistake.clone()));
        }
        if self.boxes.is_empty() {
            return (State::Planned, Some(format!("there is no box in {LIST} yet")));
        }
        if left == 0 {
            return (State::Done, None);
        }
        match self.step() {
            None => (State::ForPeople, Some(format!("{left} boxes belong to no step"))),
            Some(step) if step.op == Op::Human => {
                let number = step.id.as_ref().map_or("", |id| &id.0);
                (State::ForPeople, Some(format!("box {number} is for somebody to tick")))
            }
            Some(_) if self.failure.is_some() => (State::Failed, self.failure.clone()),
            Some(_) if !self.approved && self.asks.is_some() => {
                (State::NeedsApproval, self.asks.clone())
            }
            Some(_) => (State::Waiting, self.waits.clone()),
        }
    }

    /// For whoever asks.
    pub(super) fn view(&self, store: Option<&Path>, runs: bool) -> View {
        let (state, detail) = self.state();
        let directory = self.project.join(&self.way);
        let next = match state {
            State::Waiting if self.waits.is_some() => Step::TaskAwaits.line(store),
            State::Waiting => Step::TaskWaits(runs).line(store),
            State::NeedsApproval => Step::TaskAsks(&self.id).line(store),
            State::Done => Step::ChangeDone(&self.project, &self.name).line(None),
            State::Planned => Step::ChangePlanned(&self.project, &self.name).line(None),
            State::ForPeople => Step::ChangeForPeople(&self.project, &self.name).line(None),
            _ if self.mistake.is_some() => Step::ChangeWrong(&directory.join(STEPS)).line(None),
            _ => Step::TaskRetry(&self.id).line(store),
        };
        let done = self.boxes.iter().filter(|one| one.done).count();
        View {
            id: self.id.clone(),
            name: self.name.clone(),
            kind: "change".to_owned(),
            state,
            detail,
            project: self.project.clone(),
            file: directory,
            results: Vec::new(),
            boxes: Some((done, self.boxes.len())),
            next,
        }
    }
}
