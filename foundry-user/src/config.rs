//! What was asked for, once the command line and the configuration file agree.
//!
//! Knows: the meaning of flags and keys, where things lie by default. Must never know: channels,
//! what runs on it.
//! Keeps: every flag of the main job has a key of the same name; an unknown key is an error; what the
//! command line says beats the file.

pub mod check;
mod mistake;
mod tables;

pub use mistake::Mistake;
pub use tables::{Operation, Project, ProjectWish, ScheduleWish};

use crate::annotate::settings::{Section, Settings as Annotate};
use crate::error::CommandError;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How kernel events are had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The best that this kernel and these privileges allow.
    #[default]
    Auto,
    /// eBPF trampolines: exact ranges after the data is there (Linux 5.5 or later).
    Fentry,
    /// eBPF tracepoints, and fanotify for names.
    Tracepoint,
    /// fanotify, or inotify where it is refused: whole files; writers only where the kernel names them.
    Fanotify,
}

/// Where a brick keeps the artifact's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Payload {
    /// In the artifact itself: the brick holds hashes and levels.
    Reference,
    /// In the brick.
    Embedded,
}

impl From<Payload> for foundry_brick::Payload {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Reference => Self::Reference,
            Payload::Embedded => Self::Embedded,
        }
    }
}

/// The main job, ready to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// Directories, absolute and without symbolic links, none inside another.
    pub roots: Vec<PathBuf>,
    /// Processes, by number or by the name of their program.
    pub processes: Vec<String>,
    /// Where the bricks lie.
    pub store: PathBuf,
    /// Where events come from.
    pub backend: Backend,
    /// Where new bricks keep the bytes.
    pub payload: Payload,
    /// Replay log to write.
    pub record: Option<PathBuf>,
    /// Where the map listens.
    pub listen: Listen,
    /// The `systems/builder` directory of a Geometry OS, and where its map is told of new tiles.
    pub geometry_os: Option<(PathBuf, SocketAddr)>,
    /// Between two comparisons of everything, where changes may go unheard.
    pub sweep: Option<Duration>,
    /// Give up, once everything is open, whatever is not needed any more.
    pub sandbox: bool,
    /// How and whom the annotator asks.
    pub annotate: Annotate,
    /// Down to which level directories have bricks.
    pub depth: u32,
    /// The probes go on when the daemon has ended.
    pub pins: bool,
    /// Directories that may be watched later.
    pub may_watch: Vec<PathBuf>,
    /// Trees that are compared with their bricks again and again.
    pub schedules: Vec<ScheduleWish>,
    /// Directories whose task files are carried out.
    pub projects: Vec<Project>,
    /// The file that is read again on SIGHUP.
    pub file: Option<Reload>,
}

/// Where a running daemon's configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The file.
    pub path: PathBuf,
    /// What the command line said; it beats the file again.
    pub typed: Wishes,
}

/// Where the map listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// At [`DEFAULT_LISTEN`], where it is free; else there is no map.
    #[default]
    Usual,
    /// Here, or the daemon does not start.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Where the map listens when nothing else was said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7878);

/// Seconds between two comparisons of everything, when nothing else was said.
pub const SWEEP_SECONDS: u64 = 60;
/// Levels of directories that have bricks when nothing else was said.
pub const DEFAULT_DEPTH: u32 = 8;

/// One set of wishes: what was typed, or what the file says. `None` where nothing was said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Directories to watch.
    #[serde(default)]
    pub watch: Vec<PathBuf>,
    /// Processes to watch.
    #[serde(default, rename = "watch-process")]
    pub watch_process: Vec<String>,
    /// Where the bricks lie.
    pub store: Option<PathBuf>,
    /// Where events come from.
    pub backend: Option<Backend>,
    /// Where new bricks keep the bytes.
    pub payload: Option<Payload>,
    /// Replay log to write.
    pub record: Option<PathBuf>,
    /// Where the map listens.
    pub listen: Option<SocketAddr>,
    /// Show no map.
    #[serde(rename = "no-listen")]
    pub no_listen: Option<bool>,
    /// The `systems/builder` directory of a Geometry OS.
    #[serde(rename = "geometry-os")]
    pub geometry_os: Option<PathBuf>,
    /// Where its map is told of new tiles.
    #[serde(rename = "geometry-os-listen")]
    pub geometry_os_listen: Option<SocketAddr>,
    /// Seconds between two comparisons of everything, where changes may go unheard.
    pub sweep: Option<u64>,
    /// What to say on standard error.
    pub log: Option<String>,
    /// Keep every privilege.
    #[serde(rename = "no-sandbox")]
    pub no_sandbox: Option<bool>,
    /// The `[annotate]` section.
    pub annotate: Option<Section>,
    /// Levels of directories with bricks of their own.
    pub depth: Option<u32>,
    /// Let the probes go on when the daemon has ended.
    pub pins: Option<bool>,
    /// Directories that may be watched later.
    #[serde(default, rename = "may-watch")]
    pub may_watch: Vec<PathBuf>,
    /// Trees to compare with their bricks again and again.
    #[serde(default)]
    pub schedule: Vec<ScheduleWish>,
    /// Directories whose task files are carried out.
    #[serde(default)]
    pub project: Vec<ProjectWish>,
}

/// Where Geometry OS's own map server tells browsers of new tiles.
const GEOMETRY_OS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8765);

impl Wishes {
    /// Reads a configuration file. Relative paths in it count from where it lies.
    ///
    /// # Errors
    /// Where it cannot be read, is not TOML, or has a key or a value that is not known.
    pub fn read(path: &Path) -> Result<Self, CommandError> {
        let text = std::fs::read_to_string(path).map_err(|e| CommandError::io("read", path, e))?;
        let base = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, base)
            .map_err(|what| CommandError::Config { path: path.to_owned(), what: what.to_string() })
    }

    fn parse(text: &str, base: &Path) -> Result<Self, Mistake> {
        let mut wishes: Self = toml::from_str(text).map_err(|e| Mistake::of_toml(text, &e))?;
        let projects = wishes.project.iter_mut().flat_map(ProjectWish::paths);
        let schedules = wishes.schedule.iter_mut().map(|s| &mut s.path);
        let single =
            wishes.store.iter_mut().chain(&mut wishes.record).chain(&mut wishes.geometry_os);
        let single = single.chain(&mut wishes.may_watch);
        for path in wishes.watch.iter_mut().chain(single).chain(projects).chain(schedules) {
            *path = base.join(&path);
        }
        Ok(wishes)
    }

    /// These wishes, and where they are silent the others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            watch: if self.watch.is_empty() { other.watch } else { self.watch },
            watch_process: if self.watch_process.is_empty() {
                other.watch_process
            } else {
                self.watch_process
            },
            store: self.store.or(other.store),
            backend: self.backend.or(other.backend),
            payload: self.payload.or(other.payload),
            record: self.record.or(other.record),
            // Each of the two takes back what the other said in the file.
            listen: self.listen.or(other.listen.filter(|_| self.no_listen.is_none())),
            depth: self.depth.or(other.depth),
            pins: self.pins.or(other.pins),
            no_listen: self.no_listen.or(other.no_listen.filter(|_| self.listen.is_none())),
            geometry_os: self.geometry_os.or(other.geometry_os),
            geometry_os_listen: self.geometry_os_listen.or(other.geometry_os_listen),
            sweep: self.sweep.or(other.sweep),
            log: self.log.or(other.log),
            no_sandbox: self.no_sandbox.or(other.no_sandbox),
            annotate: self.annotate.or(other.annotate),
            may_watch: if self.may_watch.is_empty() { other.may_watch } else { self.may_watch },
            schedule: if self.schedule.is_empty() { other.schedule } else { self.schedule },
            project: if self.project.is_empty() { other.project } else { self.project },
        }
    }

    /// The main job, where these wishes are enough for one.
    ///
    /// # Errors
    /// Where there is nothing to watch, or a root is not a directory that can be opened.
    pub fn watch(self) -> Result<WatchConfig, CommandError> {
        if self.watch.is_empty() && self.watch_process.is_empty() && self.project.is_empty() {
            let what = "nothing to watch: give --watch DIR, or `watch` in the file of --config";
            return Err(CommandError::Usage(what.to_owned()));
        }
        let mut roots = Vec::new();
        // What happens in a project is what wakes its tasks.
        let named = self.project.iter().map(|project| project.path.clone());
        for root in self.watch.into_iter().chain(named) {
            let real = root.canonicalize().map_err(|e| CommandError::io("watch", &root, e))?;
            if !real.is_dir() {
                let what = "is not a directory: watch the directory that holds it".to_owned();
                return Err(CommandError::Invalid { path: root, what });
            }
            roots.push(real);
        }
        let roots = outermost(roots);
        let (schedules, projects) = tables::resolve(self.schedule, self.project, &roots)?;
        Ok(WatchConfig {
            processes: self.watch_process,
            roots,
            store: store_or_default(self.store)?,
            backend: self.backend.unwrap_or_default(),
            payload: self.payload.unwrap_or(Payload::Reference),
            record: self.record,
            depth: self.depth.unwrap_or(DEFAULT_DEPTH),
            pins: self.pins == Some(true),
            listen: match (self.no_listen, self.listen) {
                (Some(true), _) => Listen::Off,
                (_, Some(address)) => Listen::At(address),
                (_, None) => Listen::Usual,
            },
            geometry_os: self
                .geometry_os
                .map(|dir| (dir, self.geometry_os_listen.unwrap_or(GEOMETRY_OS_LISTEN))),
            sweep: Some(self.sweep.unwrap_or(SWEEP_SECONDS))
                .filter(|seconds| *seconds != 0)
                .map(Duration::from_secs),
            sandbox: self.no_sandbox != Some(true),
            annotate: annotate_settings(self.annotate.as_ref())?,
            may_watch: self.may_watch,
            schedules,
            projects,
            file: None,
        })
    }
}

/// How and whom the annotator asks.
///
/// # Errors
/// Where the section names a server that may not be asked.
pub fn annotate_settings(section: Option<&Section>) -> Result<Annotate, CommandError> {
    let section = section.cloned().unwrap_or_default();
    section.settings().map_err(|e| CommandError::Usage(e.to_string()))
}

impl Wishes {
    /// The projects alone.
    ///
    /// # Errors
    /// Where one is not there.
    pub fn projects(self) -> Result<Vec<Project>, CommandError> {
        tables::resolve(vec![], self.project, &[]).map(|(_, projects)| projects)
    }
}

impl WatchConfig {
    /// The keys in which another configuration differs that a running daemon cannot change.
    #[must_use]
    pub fn fixed_differences(&self, other: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        for (key, differs) in [
            ("store", self.store != other.store),
            ("backend", self.backend != other.backend),
            ("payload", self.payload != other.payload),
            ("record", self.record != other.record),
            ("listen", self.listen != other.listen),
            ("geometry-os", self.geometry_os != other.geometry_os),
            ("watch-process", self.processes != other.processes),
            ("depth", self.depth != other.depth),
            ("pins", self.pins != other.pins),
            ("sweep", self.sweep != other.sweep),
            ("no-sandbox", self.sandbox != other.sandbox),
            ("may-watch", self.may_watch != other.may_watch),
            ("annotate", self.annotate != other.annotate),
        ] {
            if differs {
                keys.push(key);
            }
        }
        keys
    }

    /// Takes from another configuration what a running daemon can change.
    pub fn take(&mut self, other: Self) {
        self.schedules = other.schedules;
        self.projects = other.projects;
    }
}

/// The roots without those that lie inside another one, or are named twice.
pub(crate) fn outermost(mut roots: Vec<PathBuf>) -> Vec<PathBuf> {
    roots.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for root in roots {
        if !kept.iter().any(|outer| root.starts_with(outer)) {
            kept.push(root);
        }
    }
    kept
}

/// The store that was named, or the default one.
///
/// # Errors
/// Where there is no default: no root, and neither `XDG_STATE_HOME` nor `HOME` are set.
pub fn store_or_default(named: Option<PathBuf>) -> Result<PathBuf, CommandError> {
    if let Some(store) = named {
        return std::path::absolute(&store).map_err(|e| CommandError::io("find", &store, e));
    }
    let is_root = rustix::process::geteuid().is_root();
    default_store(is_root, |name| std::env::var_os(name).map(PathBuf::from)).ok_or_else(|| {
        let what = "no place for a store: give --store DIR, or set XDG_STATE_HOME or HOME";
        CommandError::Usage(what.to_owned())
    })
}

fn default_store(is_root: bool, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/foundry"));
    }
    // The XDG specification asks to ignore relative paths.
    let state = variable("XDG_STATE_HOME").filter(|p| p.is_absolute());
    let state = state.or_else(|| {
        variable("HOME").filter(|p| p.is_absolute()).map(|home| home.join(".local/state"))
    });
    state.map(|state| state.join("foundry"))
}

#[cfg(test)]
mod tests;
