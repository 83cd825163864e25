//! Doing: a task's steps, one after the other, each with its own verification.
//!
//! Knows: what each step means. Must never know: who asked for it, how it is shown.
//! Keeps: a step is done when its verification passed; doing it again gives the same.

use super::confined::{Dir, plain};
use super::file::{Format, Op, StepFile, from_project};
use super::make::{self, Made, MakeError};
use super::source::{self, Source, SourceError};
use crate::binary;
use crate::clock;
use crate::config::{Operation, Project};
use crate::process::sample::Live;
use crate::process::{Survey, Target};
use crate::schedule::Every;
use crate::store::FileStorage;
use crate::wire_tasks::{self, Analyzed};
use foundry_brick::{Brick, Payload};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// Files of a step that does not say how many.
const MOST_FILES: usize = 50;

/// Longest name that most file systems take, less what is added to it.
const MOST_NAME: usize = 200;

/// Why a step is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// It cannot be, as things are.
    Failed(String),
    /// Somebody else has to do something first, who says when he has.
    Waits(String),
    /// The daemon ends: it is for the next one.
    Stopping,
}

impl From<String> for Halt {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<&str> for Halt {
    fn from(why: &str) -> Self {
        Self::Failed(why.to_owned())
    }
}

/// How the questions about a path stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Bricks at or beneath it that are questions.
    pub questions: u64,
    /// Of these, those that have the answer of their content.
    pub answered: u64,
    /// Questions that were put aside, and why, where any was.
    pub aside: Option<String>,
    /// Why nobody answers at the moment.
    pub silent: Option<String>,
}

/// What the daemon does for a task.
pub trait Helper: Send {
    /// Keeps bricks of a directory from now on.
    ///
    /// # Errors
    /// Why it does not.
    fn watch(&self, path: &Path) -> Result<(), Halt>;

    /// Compares a tree with its bricks again and again.
    ///
    /// # Errors
    /// Why it does not.
    fn schedule(&self, path: &Path, every: &Every) -> Result<(), Halt>;

    /// Has a model asked what the files at and beneath a path are. Whoever is told that an answer is
    /// missing is woken when it comes.
    ///
    /// # Errors
    /// Why nobody can be asked.
    fn annotate(&self, path: &Path) -> Result<Asked, Halt>;
}

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) made: Vec<Made>,
    /// What was left out, or done otherwise than it was asked for.
    pub(super) notes: Vec<String>,
}

/// Carries out steps of one task.
pub(super) struct Runner<'a> {
    pub(super) project: &'a Project,
    pub(super) helper: &'a dyn Helper,
    pub(super) approved: bool,
    /// What results are called that have no name.
    pub(super) name: &'a str,
    /// All steps, for those that are about another one's result.
    pub(super) steps: &'a [StepFile],
    pub(super) dir: Dir,
}

/// A brick that a step makes, or made.
struct Wanted {
    real: PathBuf,
    to: Dir,
    name: OsString,
}

impl Runner<'_> {
    /// Carries out one step.
    pub(super) fn step(&self, step: &StepFile) -> Result<Outcome, Halt> {
        let Op::Does(operation) = step.op else {
            return Err("this step is for a person".into());
        };
        match operation {
            Operation::Fold | Operation::Export => Ok(self.fold(step)?),
            Operation::Verify => Ok(self.verify(step)?),
            Operation::Analyze => Ok(self.analyze(step)?),
            Operation::Capture => Ok(self.capture(step)?),
            Operation::Watch => {
                self.helper.watch(&self.subject(step)?)?;
                Ok(Outcome::default())
            }
            Operation::Schedule => {
                let every = step.every.as_ref().ok_or("`every` is missing")?;
                self.helper.schedule(&self.subject(step)?, every)?;
                Ok(Outcome::default())
            }
            Operation::Annotate => self.annotate(step),
        }
    }

    /// What a step is about, where it really is.
    fn subject(&self, step: &StepFile) -> Result<PathBuf, String> {
        let path = match (&step.path, &step.of) {
            (Some(path), _) => path,
            (None, Some(of)) => {
                let earlier = self.steps.iter().find(|s| s.id.as_ref() == Some(of));
                earlier.and_then(|s| s.path.as_ref()).ok_or("it is about a step without a path")?
            }
            (None, None) => return Err("`path` is missing".to_owned()),
        };
        let path = from_project(&self.project.path, path);
        source::resolve(self.project, &path, self.approved).map_err(|e| e.to_string())
    }

    /// The directory and the name that `text` says, beneath the project's results.
    fn place(&self, text: &str) -> Result<(PathBuf, OsString), String> {
        let results = self.project.path.join(&self.project.results);
        let path = Path::new(text);
        let path = path.strip_prefix(&results).unwrap_or(path);
        let refused = |what: &str| format!("the destination {text} {what}");
        let way = plain(path).ok_or_else(|| refused("leads out of the project's results"))?;
        let name = way.file_name().ok_or_else(|| refused("names no file"))?;
        let shown = name.to_string_lossy();
        if shown.starts_with('.') || shown.contains(".task.json") || MOST_NAME < name.len() {
            return Err(refused("is no name for a result"));
        }
        let parent = way.parent().unwrap_or(Path::new(""));
        Ok((self.project.results.join(parent), name.to_owned()))
    }

    fn open(&self, way: &Path) -> Result<Dir, String> {
        self.dir.make(way).map_err(|e| {
            let why = super::scan::why_unreadable(&e);
            format!("{}: {why}", self.project.path.join(way).display())
        })
    }

    /// Every brick that a step is about, and whether there are more files than it takes.
    fn wanted(&self, step: &StepFile, format: Format) -> Result<(Vec<Wanted>, bool), String> {
        let real = self.subject(step)?;
        if !real.is_dir() {
            let (way, name) = match &step.brick {
                Some(text) => self.place(text)?,
                None => (self.project.results.clone(), flat(&real, format)),
            };
            return Ok((vec![Wanted { real, to: self.open(&way)?, name }], false));
        }
        let most = step.max_files.map_or(MOST_FILES, |n| n as usize);
        let (files, more) = source::files(&real, most).map_err(|e| e.to_string())?;
        let text = step.brick.as_deref().unwrap_or(self.name);
        let (way, name) = self.place(text)?;
        let way = way.join(name);
        let mut wanted = Vec::new();
        for real in files {
            let name = flat(&real, format);
            wanted.push(Wanted { real, to: self.open(&way)?, name });
        }
        Ok((wanted, more))
    }

    fn format(step: &StepFile) -> Format {
        let name = step.brick.as_deref().unwrap_or_default();
        Format::wanted(step.format, Path::new(name), step.texture_size)
    }

    fn fold(&self, step: &StepFile) -> Result<Outcome, String> {
        let format = Self::format(step);
        let (wanted, more) = self.wanted(step, format)?;
        let mut outcome = Outcome::default();
        let all = wanted.len();
        for one in wanted {
            match make::brick(&one.real, &one.to, &one.name, format, step.texture_size) {
                Ok(made) => outcome.made.push(made),
                // The medium will not be better for the next file.
                Err(error @ MakeError::Write(..)) => return Err(error.to_string()),
                Err(error) if all == 1 => return Err(error.to_string()),
                Err(error) => outcome.notes.push(error.to_string()),
            }
        }
        if more {
            outcome.notes.push(format!("there are more than {all} files; the rest was left out"));
        }
        let covered = share(outcome.made.len(), all + usize::from(more));
        let asked = step.verify.covers.unwrap_or(1.0);
        if covered < asked || (outcome.made.is_empty() && all != 0) {
            let why = outcome.notes.first().cloned().unwrap_or_default();
            return Err(format!("{} of {all} files became bricks: {why}", outcome.made.len()));
        }
        Ok(outcome)
    }

    /// Compares bricks that an earlier step made with what they are of.
    fn verify(&self, step: &StepFile) -> Result<Outcome, String> {
        let earlier = step.of.as_ref().and_then(|of| {
            self.steps
                .iter()
                .find(|s| s.id.as_ref() == Some(of) && s.op != Op::Does(Operation::Verify))
        });
        let made = earlier.unwrap_or(step);
        let (wanted, _) = self.wanted(made, Self::format(made))?;
        let mut outcome = Outcome::default();
        for one in wanted {
            let place = one.to.path().join(&one.name);
            let open = FileStorage::open_to_read(&one.to.place(&one.name));
            let failed = |what: String| format!("{}: {what}", place.display());
            let storage = open.map_err(|e| failed(e.to_string().to_lowercase()))?;
            let brick = Brick::open(storage).map_err(|e| failed(e.to_string()))?;
            if let Some(problem) = brick.verify().first() {
                return Err(failed(format!("corrupt at {}: {}", problem.at, problem.what)));
            }
            let hash = hash(&one.real).map_err(|e| e.to_string())?;
            if brick.blake3() != Some(*hash.as_bytes()) {
                return Err(failed(format!("{} is not what it was any more", one.real.display())));
            }
            outcome.notes.push(format!("{}: {}", place.display(), hash.to_hex()));
        }
        Ok(outcome)
    }

    /// Writes down what is known of files.
    fn analyze(&self, step: &StepFile) -> Result<Outcome, String> {
        let real = self.subject(step)?;
        let text = step.brick.clone().unwrap_or_else(|| format!("{}.analysis.json", self.name));
        let (way, name) = self.place(&text)?;
        let to = self.open(&way)?;
        let place = to.path().join(&name);
        let failed = |e: io::Error| format!("cannot write {}: {e}", place.display());
        if !to.may_replace(&name).map_err(failed)? {
            return Err(MakeError::Taken(place).to_string());
        }
        let most = step.max_files.map_or(MOST_FILES, |n| n as usize);
        let (files, more) = source::files(&real, most).map_err(|e| e.to_string())?;
        let loaded = std::fs::read_to_string("/proc/modules").unwrap_or_default();
        let mut analyzed = Vec::new();
        let mut notes = Vec::new();
        let mut is_public = true;
        for file in files {
            match analyze(&file, &loaded) {
                Ok((one, public)) => {
                    is_public &= public;
                    analyzed.push(one);
                }
                Err(error) => notes.push(error.to_string()),
            }
        }
        let bytes = wire_tasks::analysis(&real, &analyzed, more);
        let mode = if is_public { 0o644 } else { 0o600 };
        to.put(&name, &bytes, mode).map_err(failed)?;
        let made = Made {
            path: place,
            format: "analysis",
            source: real,
            size: bytes.len() as u64,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
        };
        Ok(Outcome { made: vec![made], notes })
    }

    /// Makes a brick of a process's memory: structure and statistics, no bytes.
    fn capture(&self, step: &StepFile) -> Result<Outcome, String> {
        let pid = step.pid.ok_or("`pid` is missing")?;
        let (way, name) = self.place(step.brick.as_deref().ok_or("`brick` is missing")?)?;
        let to = self.open(&way)?;
        let place = to.path().join(&name);
        let failed = |e: io::Error| format!("cannot write {}: {e}", place.display());
        if !to.may_replace(&name).map_err(failed)? {
            return Err(MakeError::Taken(place).to_string());
        }
        let half = to.begin(&name).map_err(failed)?;
        let target = Target::open(pid).map_err(|e| e.to_string())?;
        let survey = Survey::take(&target, None).map_err(|e| e.to_string())?;
        let storage = FileStorage::create(&to.place(&half)).map_err(failed)?;
        let folded = survey.fold(storage, &mut Live(pid), Payload::Reference, clock::wall().0);
        let (editor, _, _) = folded.map_err(|e| e.to_string())?;
        editor.into_storage().file().sync_all().map_err(failed)?;
        to.finish(&half, &name).map_err(failed)?;
        let source = PathBuf::from(format!("pid:{pid}"));
        let made = Made { path: place, format: "brick", source, size: 0, blake3: String::new() };
        Ok(Outcome { made: vec![made], notes: Vec::new() })
    }

    /// Done when every brick that it is about has the annotation of the content that it shows.
    fn annotate(&self, step: &StepFile) -> Result<Outcome, Halt> {
        let real = self.subject(step)?;
        let asked = match self.helper.annotate(&real) {
            Ok(asked) => asked,
            Err(Halt::Failed(why)) => Asked { silent: Some(why), ..Asked::default() },
            Err(other) => return Err(other),
        };
        let said = |what: String| Outcome { made: Vec::new(), notes: vec![what] };
        let Asked { questions, answered, aside, silent } = asked;
        if let Some(why) = silent.filter(|_| answered < questions || questions == 0) {
            return match step.optional_without_model {
                true => Ok(said(format!("{why}; left out, as the step allows"))),
                false if questions == 0 => Err(Halt::Failed(why)),
                false => Err(Halt::Waits(format!("{why}; it goes on when that answers"))),
            };
        }
        if questions == 0 {
            let what = "nothing of it can be asked about: it has no brick here, is empty, holds \
                        secrets, or not everybody may read it (annotate.private)";
            return Err(Halt::Failed(format!("{}: {what}", real.display())));
        }
        if answered == questions {
            return Ok(said(format!("{}: {answered} annotated", real.display())));
        }
        if let Some(why) = aside {
            let what = "`foundry-user annotate --retry` asks again";
            return Err(Halt::Waits(format!("the model gave no valid answer ({why}); {what}")));
        }
        Err(Halt::Waits("a model was asked; it goes on with the answer".to_owned()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of files are small")]
fn share(made: usize, all: usize) -> f64 {
    if all == 0 { 1.0 } else { made as f64 / all as f64 }
}

/// What the brick of a file is called that nobody named: its path in one word.
fn flat(real: &Path, format: Format) -> OsString {
    let text = real.to_string_lossy();
    let mut name =
        text.trim_start_matches('/').replace('/', "_").trim_start_matches('.').to_owned();
    if MOST_NAME < name.len() || name.is_empty() {
        let hash = blake3::hash(real.as_os_str().as_encoded_bytes()).to_hex();
        let end = (0..=MOST_NAME / 2).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.truncate(end.min(name.len()));
        name.push_str(&hash[..16]);
    }
    name.push_str(if format == Format::RtsPng { ".rts.png" } else { ".brick" });
    name.into()
}

fn hash(real: &Path) -> Result<blake3::Hash, SourceError> {
    let source = Source::open(real)?;
    let mut hasher = blake3::Hasher::new();
    let mut buf = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        let read = binary::ReadAt::read_at(&source, &mut buf, at);
        match read.map_err(|e| SourceError::Io(real.to_owned(), e))? {
            0 => return Ok(hasher.finalize()),
            n => {
                hasher.update(&buf[..n]);
                at += n as u64;
            }
        }
    }
}

/// What is known of one file, and whether everybody may know it.
fn analyze(real: &Path, loaded: &str) -> Result<(Analyzed, bool), SourceError> {
    let source = Source::open(real)?;
    let described = binary::describe(&source, source.size());
    let described = described.map_err(|e| SourceError::Io(real.to_owned(), e))?;
    let is_public = source.mode() & 0o004 != 0;
    let (_, facts) = described.into_brick();
    let one = Analyzed {
        path: real.to_owned(),
        size: source.size(),
        mode: source.mode(),
        blake3: hash(real)?.to_hex().to_string(),
        facts,
        loaded: module(real.file_name().unwrap_or_default())
            .map(|name| loaded.lines().any(|line| line.split(' ').next() == Some(name.as_str()))),
    };
    Ok((one, is_public))
}

/// The kernel's name of a module in a file of this name; `None` where it is no module.
fn module(name: &OsStr) -> Option<String> {
    let name = name.to_string_lossy();
    let stem =
        [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().find_map(|end| name.strip_suffix(end))?;
    Some(stem.replace('-', "_"))
}
