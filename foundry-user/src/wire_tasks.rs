//! The JSON of configurations and tasks: documents of the command line, task files and their results.
//!
//! Knows: names of keys. Must never know: what a task does.
//! Keeps: names are stable, other programs read and write them.

use crate::config::check::Checked;
use crate::error::CommandError;
use crate::tasks::file::TaskFile;
use crate::tasks::{Made, View};
use crate::wire;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What `config check --json` says.
///
/// # Errors
/// As [`wire::document`].
pub fn checked(file: &Path, checked: &Checked, next: &str) -> Result<String, CommandError> {
    let mistakes: Vec<Value> = checked
        .mistakes
        .iter()
        .map(|m| json!({ "line": m.line, "key": m.key, "what": m.what }))
        .collect();
    let mut out = json!({
        "ok": checked.config.is_some(),
        "file": file.to_string_lossy(),
        "mistakes": mistakes,
    });
    if let Some(config) = &checked.config {
        out["watch"] = config.roots.iter().map(|r| r.to_string_lossy()).collect();
        out["store"] = config.store.to_string_lossy().into();
        out["schedules"] = config
            .schedules
            .iter()
            .map(|s| json!({ "path": s.path.to_string_lossy(), "every": s.every.to_string() }))
            .collect();
        out["projects"] = config.projects.iter().map(|p| p.path.to_string_lossy()).collect();
    }
    wire::answer(&out, next)
}

/// A task file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTask {
    /// What is wrong, with the line.
    pub what: String,
    /// It ends before it is whole.
    pub is_cut_short: bool,
}

/// Reads a task file.
///
/// # Errors
/// Where it is not JSON, or not a task.
pub fn task(bytes: &[u8]) -> Result<TaskFile, BadTask> {
    serde_json::from_slice(bytes)
        .map_err(|error| BadTask { is_cut_short: error.is_eof(), what: error.to_string() })
}

/// What is known of one file of an analysis.
#[derive(Clone, Debug)]
pub struct Analyzed {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// BLAKE3 of its content.
    pub blake3: String,
    /// What it says of itself.
    pub facts: foundry_brick::Facts,
    /// Whether the running kernel has it loaded, where it is a module.
    pub loaded: Option<bool>,
}

/// The document of an analysis.
#[must_use]
pub fn analysis(source: &Path, files: &[Analyzed], truncated: bool) -> Vec<u8> {
    let one = |file: &Analyzed| {
        let mut out = json!({
            "path": file.path.to_string_lossy(),
            "size": file.size,
            "mode": format!("{:04o}", file.mode),
            "blake3": file.blake3,
            "facts": wire::facts(&file.facts),
        });
        if let Some(loaded) = file.loaded {
            out["loaded"] = loaded.into();
        }
        out
    };
    pretty(&json!({
        "source": source.to_string_lossy(),
        "files": files.iter().map(one).collect::<Vec<_>>(),
        "truncated": truncated,
    }))
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut out = serde_json::to_vec_pretty(value).unwrap_or_default();
    out.push(b'\n');
    out
}

fn made(made: &[Made]) -> Vec<Value> {
    let one = |m: &Made| {
        json!({
            "path": m.path.to_string_lossy(),
            "format": m.format,
            "source": m.source.to_string_lossy(),
            "size": m.size,
            "blake3": m.blake3,
        })
    };
    made.iter().map(one).collect()
}

/// What lies beside a task that was done.
#[must_use]
pub fn result(task: &TaskFile, results: &[Made], notes: &[String], at: i64, next: &str) -> Vec<u8> {
    pretty(&json!({
        "task_id": task.task_id,
        "type": task.kind.name(),
        "state": "done",
        "results": made(results),
        "notes": notes,
        "at_ns": at,
        "next": next,
    }))
}

/// What lies beside a task with a step that waits.
#[must_use]
pub fn waiting(task: &TaskFile, why: &str, at: i64, next: &str) -> Vec<u8> {
    pretty(&json!({
        "task_id": task.task_id,
        "type": task.kind.name(),
        "state": "waiting",
        "waits": why,
        "at_ns": at,
        "next": next,
    }))
}

/// What lies beside a task that was set aside.
#[must_use]
pub fn error(task: &str, why: &str, at: i64, next: &str) -> Vec<u8> {
    pretty(&json!({
        "task_id": task, "state": "set aside", "error": why, "at_ns": at, "next": next,
    }))
}

/// What was said beside a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The task's name.
    pub task_id: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// Why it was set aside.
    pub error: Option<String>,
    /// What it waits for.
    pub waits: Option<String>,
    /// What it made.
    pub results: Vec<PathBuf>,
    /// What to run next.
    pub next: Option<String>,
}

/// Reads what was said beside a task. Whatever makes no sense was not said.
#[must_use]
pub fn said(bytes: &[u8]) -> Said {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Said::default() };
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let results = value["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    Said {
        task_id: text("task_id"),
        kind: text("type"),
        error: text("error"),
        waits: text("waits"),
        results: results.iter().filter_map(|r| r["path"].as_str()).map(PathBuf::from).collect(),
        next: text("next"),
    }
}

/// A line of evidence: what a step of a change came to.
#[must_use]
pub fn evidence(change: &str, step: &str, outcome: &Evidence<'_>, list: &[u8], at: i64) -> Vec<u8> {
    let mut out = json!({
        "change": change,
        "step": step,
        "tasks_blake3": blake3::hash(list).to_hex().as_str(),
        "at_ns": at,
    });
    match outcome {
        Evidence::Done(results, notes) => {
            out["ok"] = true.into();
            out["results"] = made(results).into();
            out["notes"] = (*notes).into();
        }
        Evidence::Failed(why) => {
            out["ok"] = false.into();
            out["error"] = (*why).into();
        }
        Evidence::Waits(why) => out["waits"] = (*why).into(),
        Evidence::Retry => out["retry"] = true.into(),
    }
    let mut line = out.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// What a step came to.
#[derive(Debug)]
pub enum Evidence<'a> {
    /// It was done: what was made, and what is to be said.
    Done(&'a [Made], &'a [String]),
    /// It was not, and why.
    Failed(&'a str),
    /// It waits for somebody, and for what.
    Waits(&'a str),
    /// Somebody asked to try again.
    Retry,
}

/// Why the last attempt failed, and what it waits for, if either, and neither the steps nor the boxes
/// changed since.
#[must_use]
pub fn last_evidence(
    evidence: &[u8],
    change: &str,
    list: &[u8],
) -> Option<(Option<String>, Option<String>)> {
    let last = evidence.trim_ascii_end().rsplit(|b| *b == b'\n').next()?;
    let value: Value = serde_json::from_slice(last).ok()?;
    let is_same =
        value["change"] == change && value["tasks_blake3"] == blake3::hash(list).to_hex().as_str();
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    is_same.then(|| (text("error").filter(|_| value["ok"] == false), text("waits")))
}

/// What `tasks --json` says.
///
/// # Errors
/// As [`wire::document`].
pub fn list(
    tasks: &[View],
    schedules: &[Listed],
    runs: bool,
    next: &str,
) -> Result<String, CommandError> {
    let task = |view: &View| {
        json!({
            "id": view.id,
            "name": view.name,
            "type": view.kind,
            "state": view.state.name(),
            "detail": view.detail,
            "project": view.project.to_string_lossy(),
            "file": view.file.to_string_lossy(),
            "results": view.results.iter().map(|r| r.to_string_lossy()).collect::<Vec<_>>(),
            "boxes": view.boxes.map(|(done, total)| json!({ "done": done, "total": total })),
            "next": view.next,
        })
    };
    let schedule = |s: &Listed| json!({ "path": s.path, "every": s.every, "last_ns": s.last, "next_ns": s.next });
    let out = json!({
        "daemon": runs,
        "tasks": tasks.iter().map(task).collect::<Vec<_>>(),
        "schedules": schedules.iter().map(schedule).collect::<Vec<_>>(),
    });
    wire::answer(&out, next)
}

/// One schedule of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What is compared.
    pub path: String,
    /// How often.
    pub every: String,
    /// When it was last done, or first heard of.
    pub last: i64,
    /// When it is due, where the calendar says.
    pub next: Option<i64>,
}
