//! What was asked for, once the command line and the configuration file agree.
//!
//! Knows: the meaning of flags and keys, where things lie by default. Must never know: channels,
//! what runs on it.
//! Keeps: every flag of the main job has a key of the same name; an unknown key is an error; what the
//! command line says beats the file.

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
}

/// The keys of the configuration file: the names of the flags.
const KEYS: [&str; 15] = [
    "watch",
    "watch-process",
    "store",
    "backend",
    "payload",
    "record",
    "listen",
    "no-listen",
    "geometry-os",
    "geometry-os-listen",
    "sweep",
    "log",
    "no-sandbox",
    "annotate",
    "depth",
];

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
            .map_err(|what| CommandError::Config { path: path.to_owned(), what })
    }

    fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|e| one_line(&e))?;
        if let Some(unknown) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let hint = nearest(unknown).map_or_else(
                || format!("keys are {}", KEYS.join(", ")),
                |k| format!("did you mean `{k}`?"),
            );
            return Err(format!("unknown key `{unknown}`; {hint}"));
        }
        let mut wishes: Self = toml::from_str(text).map_err(|e| one_line(&e))?;
        let single = [&mut wishes.store, &mut wishes.record, &mut wishes.geometry_os];
        for path in wishes.watch.iter_mut().chain(single.into_iter().flatten()) {
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
            no_listen: self.no_listen.or(other.no_listen.filter(|_| self.listen.is_none())),
            geometry_os: self.geometry_os.or(other.geometry_os),
            geometry_os_listen: self.geometry_os_listen.or(other.geometry_os_listen),
            sweep: self.sweep.or(other.sweep),
            log: self.log.or(other.log),
            no_sandbox: self.no_sandbox.or(other.no_sandbox),
            annotate: self.annotate.or(other.annotate),
        }
    }

    /// The main job, where these wishes are enough for one.
    ///
    /// # Errors
    /// Where there is nothing to watch, or a root is not a directory that can be opened.
    pub fn watch(self) -> Result<WatchConfig, CommandError> {
        if self.watch.is_empty() && self.watch_process.is_empty() {
            let what = "nothing to watch: give --watch DIR, or `watch` in the file of --config";
            return Err(CommandError::Usage(what.to_owned()));
        }
        let mut roots = Vec::new();
        for root in self.watch {
            let real = root.canonicalize().map_err(|e| CommandError::io("watch", &root, e))?;
            if !real.is_dir() {
                let what = "is not a directory: watch the directory that holds it".to_owned();
                return Err(CommandError::Invalid { path: root, what });
            }
            roots.push(real);
        }
        Ok(WatchConfig {
            roots: outermost(roots),
            processes: self.watch_process,
            store: store_or_default(self.store)?,
            backend: self.backend.unwrap_or_default(),
            payload: self.payload.unwrap_or(Payload::Reference),
            record: self.record,
            depth: self.depth.unwrap_or(DEFAULT_DEPTH),
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

/// The roots without those that lie inside another one, or are named twice.
fn outermost(mut roots: Vec<PathBuf>) -> Vec<PathBuf> {
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

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The known key that `typed` was probably meant to be.
fn nearest(typed: &str) -> Option<&'static str> {
    let distance = |key: &&&str| edits(typed, key);
    KEYS.iter().min_by_key(distance).filter(|key| edits(typed, key) <= 2).copied()
}

/// Edits (insert, delete, replace) between two words.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_relative_paths_count_from_the_file() {
        let text = "watch = ['/opt', 'here']\nstore = 's'\nbackend = 'fentry'\n\
                    watch-process = ['java', '7']\npayload = 'embedded'\nrecord = '/r.log'\n\
                    listen = '127.0.0.1:80'\nno-listen = false\ndepth = 3\n\
                    geometry-os = 'b'\ngeometry-os-listen = '127.0.0.1:81'\n\
                    sweep = 9\nlog = 'debug'\nno-sandbox = true\n\
                    [annotate]\nenabled = false\njobs_per_hour = 5\n";
        let wishes = Wishes::parse(text, Path::new("/etc/foundry")).unwrap();
        assert_eq!(
            wishes,
            Wishes {
                watch: vec!["/opt".into(), "/etc/foundry/here".into()],
                watch_process: vec!["java".into(), "7".into()],
                store: Some("/etc/foundry/s".into()),
                backend: Some(Backend::Fentry),
                payload: Some(Payload::Embedded),
                record: Some("/r.log".into()),
                listen: Some(([127, 0, 0, 1], 80).into()),
                no_listen: Some(false),
                geometry_os: Some("/etc/foundry/b".into()),
                geometry_os_listen: Some(([127, 0, 0, 1], 81).into()),
                sweep: Some(9),
                log: Some("debug".to_owned()),
                no_sandbox: Some(true),
                annotate: Some(Section {
                    enabled: Some(false),
                    jobs_per_hour: Some(5),
                    ..Section::default()
                }),
                depth: Some(3),
            }
        );
        for key in KEYS {
            assert!(text.contains(key), "{key} is not in the example");
        }
    }

    #[test]
    fn the_example_is_valid_and_names_every_key() {
        let text = include_str!("../../deploy/foundry.toml");
        let wishes = Wishes::parse(text, Path::new("/etc/foundry")).unwrap();
        assert!(!wishes.watch.is_empty());
        // What is not set is named, with a mark in front.
        for key in KEYS {
            let is_named = |line: &str| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} =")) || line == format!("[{key}]")
            };
            assert!(text.lines().any(is_named), "the example does not name `{key}`");
        }
    }

    #[test]
    fn the_example_names_every_key_of_the_annotator() {
        let text = include_str!("../../deploy/foundry.toml");
        let (_, section) = text.split_once("[annotate]\n").unwrap();
        let is_key = |line: &&str| line.starts_with("# ") && line.contains(" = ");
        let keys: Vec<&str> =
            section.lines().filter(is_key).map(|line| line.trim_start_matches("# ")).collect();
        let Section {
            enabled,
            url,
            model,
            remote_hosts,
            private,
            context,
            answer_tokens,
            jobs_per_hour,
            tokens_per_day,
            first_byte_seconds,
            total_seconds,
            pause_cpu,
            pause_memory,
        } = toml::from_str(&keys.join("\n")).unwrap();
        let usual = Section::default().settings().unwrap();
        assert_eq!((enabled, private), (Some(usual.enabled), Some(usual.private)));
        assert_eq!(url.as_deref(), Some(usual.endpoint.base()));
        assert!(model.is_some() && !remote_hosts.is_empty() && context.is_some());
        assert_eq!(answer_tokens, Some(usual.answer_tokens));
        let budgets = (usual.jobs_per_hour, usual.tokens_per_day);
        assert_eq!((jobs_per_hour, tokens_per_day), (Some(budgets.0), Some(budgets.1)));
        let patience = (usual.patience.first_byte.as_secs(), usual.patience.total.as_secs());
        assert_eq!((first_byte_seconds, total_seconds), (Some(patience.0), Some(patience.1)));
        assert_eq!((pause_cpu, pause_memory), (Some(usual.pause_cpu), Some(usual.pause_memory)));
    }

    #[test]
    fn mistakes_are_named_with_a_hint() {
        for (text, words) in [
            ("bakend = 'auto'", "unknown key `bakend`; did you mean `backend`?"),
            ("zzz = 1", "unknown key `zzz`; keys are watch, watch-process, store,"),
            ("backend = 'kprobe'", "unknown variant `kprobe`"),
            ("watch = '/opt'", "expected a sequence"),
            ("watch = [", "toml parse error at line 1"),
        ] {
            let error = Wishes::parse(text, Path::new("")).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_command_line_beats_the_file() {
        let typed = Wishes { backend: Some(Backend::Auto), ..Wishes::default() };
        let file = Wishes {
            watch: vec!["/opt".into()],
            backend: Some(Backend::Fentry),
            ..Wishes::default()
        };
        let both = typed.or(file);
        assert_eq!(both.backend, Some(Backend::Auto));
        assert_eq!(both.watch, [PathBuf::from("/opt")]);
    }

    #[test]
    fn the_default_store_follows_the_xdg_specification() {
        let none = |_: &str| None;
        assert_eq!(default_store(true, none), Some("/var/lib/foundry".into()));
        assert_eq!(default_store(false, none), None);
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/u"));
        assert_eq!(default_store(false, home), Some("/home/u/.local/state/foundry".into()));
        let relative = |name: &str| match name {
            "HOME" => Some(PathBuf::from("/home/u")),
            _ => Some(PathBuf::from("state")),
        };
        assert_eq!(default_store(false, relative), Some("/home/u/.local/state/foundry".into()));
        let state = |_: &str| Some(PathBuf::from("/s"));
        assert_eq!(default_store(false, state), Some("/s/foundry".into()));
    }

    #[test]
    fn roots_inside_roots_are_watched_once() {
        let roots = ["/opt/x", "/opt", "/optional", "/opt"].map(PathBuf::from).to_vec();
        assert_eq!(outermost(roots), ["/opt", "/optional"].map(PathBuf::from));
    }
}
