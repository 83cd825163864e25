//! `config check`: everything that can be said of a configuration file without starting on it.
//!
//! Knows: the file, what it names on this machine. Must never know: how a daemon runs.
//! Keeps: what is accepted here is accepted at the start, unless the machine changes meanwhile.

use super::{Mistake, WatchConfig, Wishes};
use crate::error::CommandError;
use std::path::Path;

/// What a file amounts to.
#[derive(Debug)]
pub struct Checked {
    /// What is wrong with it; nothing where the daemon would start on it.
    pub mistakes: Vec<Mistake>,
    /// The main job it asks for, where nothing is wrong.
    pub config: Option<WatchConfig>,
}

/// Reads and judges the file at `path`.
///
/// # Errors
/// Where it cannot be read.
pub fn check(path: &Path) -> Result<Checked, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|e| CommandError::io("read", path, e))?;
    let base = std::path::absolute(path).map_err(|e| CommandError::io("find", path, e))?;
    Ok(judge(&text, base.parent().unwrap_or(Path::new("/"))))
}

pub(super) fn judge(text: &str, base: &Path) -> Checked {
    let wishes = match Wishes::parse(text, base) {
        Ok(wishes) => wishes,
        Err(mistake) => return Checked { mistakes: vec![mistake], config: None },
    };
    let mut mistakes = missing(text, base, &wishes);
    if !mistakes.is_empty() {
        return Checked { mistakes, config: None };
    }
    let found = match wishes.watch() {
        Ok(config) => match config.roots.iter().find(|root| root.starts_with(&config.store)) {
            None => return Checked { mistakes, config: Some(config) },
            Some(root) => {
                let what = format!("{}: a store cannot be watched", root.display());
                Mistake { line: key_line(text, "store"), key: Some("store".to_owned()), what }
            }
        },
        Err(error) => Mistake { line: None, key: None, what: error.to_string() },
    };
    mistakes.push(found);
    Checked { mistakes, config: None }
}

/// Every directory that is named and is not there.
fn missing(text: &str, base: &Path, wishes: &Wishes) -> Vec<Mistake> {
    let watch = wishes.watch.iter().map(|path| ("watch", path));
    let schedules = wishes.schedule.iter().map(|s| ("schedule.path", &s.path));
    let projects = wishes.project.iter().map(|p| ("project.path", &p.path));
    let mut found = Vec::new();
    for (key, path) in watch.chain(schedules).chain(projects) {
        let what = match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() || key == "schedule.path" => continue,
            Ok(_) => "is not a directory; name the directory that holds it".to_owned(),
            Err(error) => error.to_string().to_lowercase(),
        };
        let line = value_line(text, base, path);
        let what = format!("{}: {what}", path.display());
        found.push(Mistake { line, key: Some(key.to_owned()), what });
    }
    found
}

/// The line on which a path is written, as it is or seen from where the file lies.
fn value_line(text: &str, base: &Path, path: &Path) -> Option<usize> {
    let full = path.to_str()?;
    let short = path.strip_prefix(base).ok().and_then(Path::to_str).unwrap_or(full);
    let is_written = |line: &str| {
        let quoted = |q: char, p: &str| line.contains(&format!("{q}{p}{q}"));
        [full, short].iter().any(|p| quoted('"', p) || quoted('\'', p))
    };
    text.lines()
        .position(|line| !line.trim_start().starts_with('#') && is_written(line))
        .map(|n| n + 1)
}

fn key_line(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| line.split_once('=').is_some_and(|(k, _)| k.trim() == key);
    text.lines().position(sets).map(|n| n + 1)
}
