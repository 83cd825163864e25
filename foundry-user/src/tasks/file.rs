//! A task as it is written: the fields of a FoundryTask, and the steps of foundry-v2.
//!
//! Knows: names of fields, what they may hold. Must never know: how a task is done, JSON or YAML.
//! Keeps: whatever is in the file, a task that gets past here names only what there is to name; the
//! fields that are not known stay in the file, which is never written.

use crate::config::Operation;
use crate::schedule::Every;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use std::path::{Path, PathBuf};

/// Files of one directory that a task makes bricks of where it does not say.
const MAX_FILES: u32 = 50;

/// Of each of the `paths` of a whole system.
const MAX_FILES_PER_PATH: u32 = 10;

/// More than this is not asked for by anybody who wants to see the end of it.
const MOST_FILES: u32 = 100_000;

/// Largest side of a texture that version 1's readers can hold.
const MAX_TEXTURE: u32 = 1 << 14;

/// What kind of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    /// A file becomes a brick.
    #[serde(rename = "convert_binary")]
    ConvertBinary,
    /// The files of a directory do.
    #[serde(rename = "convert_directory")]
    ConvertDirectory,
    /// Bricks of a directory are kept from now on.
    #[serde(rename = "watch_path")]
    WatchPath,
    /// What is known of files is written down.
    #[serde(rename = "analyze_system")]
    AnalyzeSystem,
    /// The files of several directories become bricks.
    #[serde(rename = "crystallize_system")]
    CrystallizeSystem,
    /// What is known of kernel modules is written down.
    #[serde(rename = "scan_kernel_modules")]
    ScanKernelModules,
    /// Several steps, each with its own verification.
    #[serde(rename = "foundry-v2")]
    FoundryV2,
}

impl Kind {
    /// As files spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConvertBinary => "convert_binary",
            Self::ConvertDirectory => "convert_directory",
            Self::WatchPath => "watch_path",
            Self::AnalyzeSystem => "analyze_system",
            Self::CrystallizeSystem => "crystallize_system",
            Self::ScanKernelModules => "scan_kernel_modules",
            Self::FoundryV2 => "foundry-v2",
        }
    }
}

/// What a brick is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Format {
    /// The container of this project (version 2), which holds the bytes.
    #[serde(rename = "brick")]
    Brick,
    /// V2BR version 1, as Geometry OS reads it.
    #[serde(rename = "v2br")]
    V2br,
    /// PixelRTS version 2.
    #[serde(rename = "rts-png")]
    RtsPng,
}

impl Format {
    /// As files spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brick => "brick",
            Self::V2br => "v2br",
            Self::RtsPng => "rts-png",
        }
    }

    /// What a destination asks for: a format that is named wins; then the ending of the name; then a
    /// texture's size, which only version 1 has.
    #[must_use]
    pub fn wanted(named: Option<Self>, destination: &Path, texture: Option<u32>) -> Self {
        let name = destination.to_string_lossy();
        match (named, texture) {
            (Some(format), _) => format,
            _ if name.ends_with(".png") => Self::RtsPng,
            _ if name.ends_with(".v1.brick") => Self::V2br,
            (None, Some(_)) => Self::V2br,
            (None, None) => Self::Brick,
        }
    }
}

/// A task file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TaskFile {
    /// Its name for people.
    pub task_id: String,
    /// What kind.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it is about.
    #[serde(default)]
    pub source: Option<String>,
    /// Where the result goes, seen from the project's results.
    #[serde(default)]
    pub destination: Option<String>,
    /// What for, in words.
    #[serde(default)]
    pub intent: Option<String>,
    /// Side of the texture in pixels.
    #[serde(default)]
    pub texture_size: Option<u32>,
    /// What to write, where the destination does not say it.
    #[serde(default)]
    pub format: Option<Format>,
    /// Most files of a directory.
    #[serde(default)]
    pub max_files: Option<u32>,
    /// Several sources.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Most files of each.
    #[serde(default)]
    pub max_files_per_path: Option<u32>,
    /// How often, for `watch_path`.
    #[serde(default)]
    pub every: Option<Every>,
    /// What to do, for `foundry-v2`.
    #[serde(default)]
    pub steps: Vec<StepFile>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The daemon does it, where the project allows it.
    Does(Operation),
    /// A person does it, and ticks the box.
    Human,
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        if word == "human" {
            return Ok(Self::Human);
        }
        let word: serde::de::value::StringDeserializer<D::Error> = word.into_deserializer();
        Operation::deserialize(word).map(Self::Does)
    }
}

impl Op {
    /// What must be allowed for it.
    #[must_use]
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::Does(operation) => Some(operation),
            Self::Human => None,
        }
    }
}

/// A step of a task.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StepFile {
    /// Its number; that of its box in an OpenSpec change.
    #[serde(default)]
    pub id: Option<Number>,
    /// What it does.
    pub op: Op,
    /// With what.
    #[serde(default)]
    pub path: Option<String>,
    /// The brick, or the directory of bricks, seen from the project's results.
    #[serde(default, alias = "destination")]
    pub brick: Option<String>,
    /// The step whose result it is about.
    #[serde(default)]
    pub of: Option<Number>,
    /// What to write.
    #[serde(default)]
    pub format: Option<Format>,
    /// Side of the texture in pixels.
    #[serde(default)]
    pub texture_size: Option<u32>,
    /// Most files of a directory.
    #[serde(default)]
    pub max_files: Option<u32>,
    /// Which process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// How often.
    #[serde(default)]
    pub every: Option<Every>,
    /// Whether it is well where no model can be asked.
    #[serde(default)]
    pub optional_without_model: bool,
    /// What must hold when it is done, beside that the step did what it does.
    #[serde(default)]
    pub verify: Verify,
}

/// What must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Verify {
    /// Share of the files that must be covered, 0 to 1; all of them where nothing is said.
    #[serde(default)]
    pub covers: Option<f64>,
}

impl Eq for Verify {}

/// A step's number: text, however the file wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(pub String);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl serde::de::Visitor<'_> for Any {
            type Value = Number;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a step's number")
            }
            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.to_owned()))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Number, E> {
                Ok(Number(n.to_string()))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Number, E> {
                Ok(Number(n.to_string()))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Number, E> {
                Ok(Number(n.to_string()))
            }
        }
        from.deserialize_any(Any)
    }
}

impl TaskFile {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        if self.task_id.trim().is_empty() {
            return Some("`task_id` is empty".to_owned());
        }
        if self.source.as_ref().is_none_or(|s| s.is_empty()) && self.kind != Kind::FoundryV2 {
            return Some("`source` is missing: it says what the task is about".to_owned());
        }
        let needs_place = matches!(self.kind, Kind::ConvertBinary);
        if needs_place && self.destination.as_ref().is_none_or(|d| d.is_empty()) {
            return Some("`destination` is missing: it names the brick".to_owned());
        }
        if self.kind == Kind::FoundryV2 && self.steps.is_empty() {
            return Some("`steps` is missing: a foundry-v2 task is made of steps".to_owned());
        }
        let counts = [self.max_files, self.max_files_per_path];
        if counts.into_iter().flatten().any(|n| n == 0 || MOST_FILES < n) {
            return Some(format!("the number of files is not within 1 and {MOST_FILES}"));
        }
        texture_mistake(self.texture_size).or_else(|| mistake_of_steps(&self.steps))
    }

    /// Most files of one directory.
    #[must_use]
    pub fn most(&self) -> usize {
        let usual = match self.kind {
            Kind::CrystallizeSystem => MAX_FILES_PER_PATH,
            _ => MAX_FILES,
        };
        let said = match self.kind {
            Kind::CrystallizeSystem => self.max_files_per_path.or(self.max_files),
            _ => self.max_files,
        };
        said.unwrap_or(usual) as usize
    }

    /// The task as steps: every kind is one, or several, of what foundry-v2 says.
    #[must_use]
    pub fn as_steps(&self) -> Vec<StepFile> {
        let step = |operation, path: &str| StepFile {
            id: None,
            op: Op::Does(operation),
            path: Some(path.to_owned()),
            brick: self.destination.clone(),
            of: None,
            format: self.format,
            texture_size: self.texture_size,
            max_files: u32::try_from(self.most()).ok(),
            pid: None,
            every: self.every.clone(),
            optional_without_model: false,
            // A number of files was asked for, not all of them.
            verify: Verify { covers: Some(0.0) },
        };
        let source = self.source.as_deref().unwrap_or_default();
        match self.kind {
            Kind::FoundryV2 => self.steps.clone(),
            Kind::ConvertBinary => vec![step(Operation::Fold, source)],
            Kind::ConvertDirectory => vec![step(Operation::Fold, source)],
            Kind::CrystallizeSystem if self.paths.is_empty() => vec![step(Operation::Fold, source)],
            Kind::CrystallizeSystem => {
                self.paths.iter().map(|path| step(Operation::Fold, path)).collect()
            }
            Kind::AnalyzeSystem | Kind::ScanKernelModules => vec![step(Operation::Analyze, source)],
            Kind::WatchPath if self.every.is_some() => {
                vec![step(Operation::Watch, source), step(Operation::Schedule, source)]
            }
            Kind::WatchPath => vec![step(Operation::Watch, source)],
        }
    }
}

/// What is wrong with steps, if anything.
#[must_use]
pub fn mistake_of_steps(steps: &[StepFile]) -> Option<String> {
    for (i, step) in steps.iter().enumerate() {
        let name = step.id.as_ref().map_or_else(|| format!("{}", i + 1), |id| id.0.clone());
        let lacks = |what: &str| Some(format!("step {name}: `{what}` is missing"));
        let has_subject = step.path.is_some() || step.of.is_some();
        use Operation::{Analyze, Annotate, Capture, Export, Fold, Schedule, Verify, Watch};
        match step.op.operation() {
            Some(Fold | Watch | Schedule | Analyze) if step.path.is_none() => {
                return lacks("path");
            }
            Some(Export | Verify | Annotate) if !has_subject => return lacks("path"),
            Some(Schedule) if step.every.is_none() => return lacks("every"),
            Some(Capture) if step.pid.is_none() => return lacks("pid"),
            Some(Capture | Export) if step.brick.is_none() => return lacks("brick"),
            _ => {}
        }
        if let Some(of) = &step.of
            && !steps[..i].iter().any(|before| before.id.as_ref() == Some(of))
        {
            return Some(format!("step {name} is about step {}, which is not before it", of.0));
        }
        if let Some(what) = texture_mistake(step.texture_size) {
            return Some(format!("step {name}: {what}"));
        }
    }
    None
}

fn texture_mistake(side: Option<u32>) -> Option<String> {
    let bad = side.is_some_and(|side| !side.is_power_of_two() || MAX_TEXTURE < side);
    bad.then(|| format!("`texture_size` is not a power of two up to {MAX_TEXTURE}"))
}

/// Where a path of a task leads, before any link is followed.
#[must_use]
pub fn from_project(project: &Path, path: &str) -> PathBuf {
    project.join(path)
}
