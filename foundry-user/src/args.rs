//! What was typed.
//!
//! Knows: names of commands and flags, and the words that explain them. Must never know: what they
//! mean for the rest (`config`), the file system.
//! Keeps: the names are the contract that scripts rely on.

mod config;
mod shell;
mod tasks;

pub use config::{Config, ConfigCommand};
pub use shell::{Completions, Man};
pub use tasks::{Tasks, TasksCommand};

use crate::config::{Backend, Payload, Wishes};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use foundry_brick::export::Palette;
use std::path::PathBuf;

/// See a Linux system change: one .brick per artifact, true to the disk.
///
/// An eBPF program sees every change to the watched trees in the kernel; only what changed is read
/// and folded again along a Hilbert curve.
#[derive(Debug, Parser)]
#[command(
    name = "foundry-user",
    version,
    after_help = EXAMPLES,
    arg_required_else_help = true,
    max_term_width = 80,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Where the bricks lie [default: /var/lib/foundry as root, else $XDG_STATE_HOME/foundry]
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub store: Option<PathBuf>,

    /// TOML file with a key for each flag of the main job
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// What to say on standard error: a level (error, warn, info, debug, trace) or a filter as in
    /// RUST_LOG [default: RUST_LOG, else warnings and what the daemon sets up]
    // `replay` has a LOG of its own.
    #[arg(id = "log-level", long = "log", value_name = "LEVEL", global = true)]
    pub log: Option<String>,

    /// The main job's own flags.
    #[command(flatten)]
    pub watch: Watch,

    /// What to do; nothing where --watch is the job.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  sudo foundry-user --watch /opt         keep bricks of /opt, and show the map
  sudo foundry-user sync                 wait until the bricks have all changes
  sudo foundry-user inspect /opt/tool    what is known of one artifact
  sudo foundry-user verify --all         every checksum, and against the disk
  foundry-user fold /bin/ls -o ls.brick  one file, once, without the daemon
  foundry-user doctor                    what this kernel and this user may do

Exit codes: 0 done, 1 a difference was found, 2 usage, 3 the environment does
not allow it, 4 the input is not valid, 5 input or output failed.";

/// Flags of the main job.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Watching")]
pub struct Watch {
    /// Keep bricks of every file under DIR, until SIGINT or SIGTERM (may be given often)
    #[arg(long = "watch", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub roots: Vec<PathBuf>,

    /// Keep bricks of the memory of a process, by number or by its program's name (may be given often)
    #[arg(long = "watch-process", value_name = "PID|NAME")]
    pub processes: Vec<String>,

    /// How kernel events are had [default: auto]
    #[arg(long, value_name = "B")]
    pub backend: Option<Backend>,

    /// Where a brick keeps the bytes [default: reference]
    #[arg(long, value_name = "P")]
    pub payload: Option<Payload>,

    /// Also write every input to a replay log; it holds the bytes that were read (mode 0600)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,

    /// Where the map listens [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "no_listen")]
    pub listen: Option<std::net::SocketAddr>,

    /// Show no map
    #[arg(long)]
    pub no_listen: bool,

    /// Keep the tiles of a Geometry OS map (its systems/builder directory) true, too: up to 4096 files of up to
    /// 4 MiB each
    #[arg(long = "geometry-os", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub geometry_os: Option<PathBuf>,

    /// Where Geometry OS's map is told of new tiles [default: 127.0.0.1:8765]
    #[arg(long, value_name = "ADDRESS:PORT", requires = "geometry_os")]
    pub geometry_os_listen: Option<std::net::SocketAddr>,

    /// Where changes may go unheard, compare every file with its brick this often; 0 is never
    /// [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub sweep: Option<u64>,

    /// Keep every privilege and every place in reach, to find out whether the sandbox is in the way
    #[arg(long)]
    pub no_sandbox: bool,

    /// Levels of directories, from each DIR down, that have bricks of their own [default: 8]
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,

    /// Let the probes go on when this ends, so that the next start knows what changed meanwhile
    #[arg(long)]
    pub pins: bool,
}

impl Cli {
    /// What the main job was asked for on the command line.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        Wishes {
            watch: self.watch.roots.clone(),
            watch_process: self.watch.processes.clone(),
            store: self.store.clone(),
            backend: self.watch.backend,
            payload: self.watch.payload,
            record: self.watch.record.clone(),
            listen: self.watch.listen,
            no_listen: self.watch.no_listen.then_some(true),
            geometry_os: self.watch.geometry_os.clone(),
            geometry_os_listen: self.watch.geometry_os_listen,
            sweep: self.watch.sweep,
            log: self.log.clone(),
            no_sandbox: self.watch.no_sandbox.then_some(true),
            depth: self.watch.depth,
            pins: self.watch.pins.then_some(true),
            ..Wishes::default()
        }
    }
}

/// Everything but the main job.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Return when every change made before the call is in the bricks
    Sync(Sync),
    /// Counters of the running daemon: seen, coalesced, lost, resyncs, pending, artifacts, bytes
    Status(Status),
    /// Fold one file or directory, once, without a daemon
    Fold(Fold),
    /// Map the memory of live processes, without stopping them
    Capture(Capture),
    /// Write an artifact's bytes back to a file
    Unfold(Unfold),
    /// Show what a brick says of its artifact
    Inspect(Inspect),
    /// Show what differs between two bricks, or two generations of one
    Diff(Diff),
    /// Find artifacts by path, symbol, fact, hash or annotation
    Search(Search),
    /// Check every checksum, and the bricks against the live artifacts
    Verify(Verify),
    /// Make the bricks of a recorded run again, byte for byte
    Replay(Replay),
    /// Write a brick as an image, or for Geometry OS
    Export(Export),
    /// Write the map and the bricks as plain files, for any web server
    Publish(Publish),
    /// Ask a local model what artifacts are, and see how far it is
    Annotate(Annotate),
    /// Say what this kernel and these privileges allow, and which backend would run
    Doctor(Doctor),
    /// Tasks and OpenSpec changes of the configured projects, and what to do next
    Tasks(Tasks),
    /// Judge a configuration file before the daemon does
    Config(Config),
    /// Print a shell's completion script
    Completions(Completions),
    /// Print the manual page (roff)
    Man(Man),
    /// Look into processes for a daemon that may not: only the daemon itself starts this
    #[command(name = crate::witness::WORD, hide = true)]
    Witness,
}

/// `publish`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo foundry-user publish --out site
  python3 -m http.server --directory site --bind 127.0.0.1 8000

It needs no daemon, neither now nor later. It holds the bytes of the files that
are on the map.")]
pub struct Publish {
    /// The directory to write: one that is not there, is empty, or was made by this
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
}

/// `sync`
#[derive(Args, Debug)]
#[command(after_help = "\
What cannot be read any more is named, and the exit code is 3, or 5 where reading
failed: its brick may be older than the disk.

Examples:
  sudo foundry-user sync
  cp tool /opt && sudo foundry-user sync --timeout 10")]
pub struct Sync {
    /// Give up after this many seconds [default: a day]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// `status`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo foundry-user status
  sudo foundry-user status --json | jq .pending")]
pub struct Status {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `fold`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user fold /usr/bin/git -o git.brick
  foundry-user fold big.img -o big.brick --payload reference")]
pub struct Fold {
    /// The file, or a directory: its brick shows its entries
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
    /// The brick to write
    #[arg(short, long, value_name = "X.brick", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Whether the brick holds the bytes, or the file alone does
    #[arg(long, value_name = "P", default_value = "embedded")]
    pub payload: Payload,
}

/// `capture`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo foundry-user capture --pid 1 -o init.brick
  sudo foundry-user capture --exe chromium -o captured/   one for each process
  sudo foundry-user capture --all -o captured/

A brick holds the layout, the state of every page and statistics of its content;
bytes of memory are in it only with --payload embedded. Its mode is 0600.")]
#[group(skip)]
#[command(group = clap::ArgGroup::new("whose").required(true).args(["pid", "exe", "all"]))]
pub struct Capture {
    /// The process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Every process that runs this program (a name or a path)
    #[arg(long, value_name = "NAME")]
    pub exe: Option<String>,
    /// Every process there is
    #[arg(long)]
    pub all: bool,
    /// The brick to write, or a directory where there may be several
    #[arg(short, long, value_name = "X.brick", value_hint = ValueHint::AnyPath)]
    pub output: PathBuf,
    /// Whether the brick also holds the bytes of memory
    #[arg(long, value_name = "P", default_value = "reference")]
    pub payload: Payload,
}

/// `diff`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user diff before.brick after.brick
  foundry-user diff tool.brick --from 3 --to 7      two generations of one brick
  foundry-user diff a.brick b.brick --png what-changed.png

Exit code 1 where anything differs.")]
pub struct Diff {
    /// A .brick file, or an artifact's path
    #[arg(value_name = "A", value_hint = ValueHint::FilePath)]
    pub a: PathBuf,
    /// The brick to compare it with [default: A itself, in another generation]
    #[arg(value_name = "B", value_hint = ValueHint::FilePath)]
    pub b: Option<PathBuf>,
    /// Generation of A [default: its newest; without B the one before]
    #[arg(long, value_name = "N")]
    pub from: Option<u64>,
    /// Generation of B [default: its newest]
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// Also draw what differs: unchanged grey, changed yellow, added green, removed red
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub png: Option<PathBuf>,
}

/// `unfold`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user unfold git.brick -o git
  sudo foundry-user unfold /opt/tool -o tool.copy")]
pub struct Unfold {
    /// A .brick file, or an artifact's path
    #[arg(value_name = "BRICK", value_hint = ValueHint::FilePath)]
    pub brick: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

/// `inspect`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user inspect git.brick
  sudo foundry-user inspect /opt/tool
  foundry-user inspect git.brick --json | jq .regions[].name")]
pub struct Inspect {
    /// A .brick file, or an artifact's path
    #[arg(value_name = "BRICK", value_hint = ValueHint::FilePath)]
    pub brick: PathBuf,
    /// An earlier generation, as long as the brick holds it
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `search`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo foundry-user search libssl
  sudo foundry-user search hardening.relro=none
  sudo foundry-user search capability.ptrace=
  sudo foundry-user search build-id:5d2e --json

A word is looked for everywhere; path:, sym:, fact:, note:, build-id: and hash:
narrow it, KEY=VALUE asks for one fact (docs/FACTS.md lists them).")]
pub struct Search {
    /// What to look for
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Stop after so many hits
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: usize,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `verify`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user verify git.brick
  sudo foundry-user verify --all

Exit code 1 where anything differs; what differs is on standard output.")]
#[group(skip)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["brick", "all"]))]
pub struct Verify {
    /// A .brick file, or an artifact's path
    #[arg(value_name = "BRICK", value_hint = ValueHint::FilePath)]
    pub brick: Option<PathBuf>,
    /// Every brick of the store
    #[arg(long)]
    pub all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `replay`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user replay run.log --store /tmp/replayed")]
pub struct Replay {
    /// The log that --record wrote
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub log: PathBuf,
}

/// `export`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user export git.brick --format png --palette entropy -o git.png
  foundry-user export git.brick --format rts-png -o git.rts.png
  foundry-user export git.brick --format v2br -o git.v1.brick")]
pub struct Export {
    /// A .brick file, or an artifact's path
    #[arg(value_name = "BRICK", value_hint = ValueHint::FilePath)]
    pub brick: PathBuf,
    /// What to write
    #[arg(long, value_name = "F")]
    pub format: ExportFormat,
    /// Colours of a png
    #[arg(long, value_name = "NAME", default_value = "byte-class", value_parser = palettes())]
    pub palette: Palette,
    /// Largest side of a png in pixels: its level is chosen so that the artifact fits
    #[arg(long, value_name = "PIXELS", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub side: u32,
    /// The file to write
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The 132-byte header and RGBA texture that Geometry OS reads (version 1)
    V2br,
    /// PixelRTS: a PNG of four bytes a pixel
    RtsPng,
    /// A picture to look at
    Png,
}

/// The palettes by their names.
fn palettes() -> impl TypedValueParser<Value = Palette> {
    PossibleValuesParser::new(Palette::ALL.map(|(name, _)| name))
        .map(|name| Palette::named(&name).unwrap_or(Palette::ByteClass))
}

/// `annotate`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo foundry-user annotate --status
  sudo foundry-user annotate /usr/bin/ssh        this one first
  sudo foundry-user annotate --all --drain       everything, and wait for it

A running daemon does the work; without one, --drain does it here. Only a model
server on this machine is asked (LM Studio's http://127.0.0.1:1234, unless the
section [annotate] of the configuration file says otherwise). What it answers
is an opinion: `inspect` shows it as that.

Exit code 3 where --drain could not finish.")]
#[group(skip)]
#[command(group = clap::ArgGroup::new("task").required(true).multiple(true)
    .args(["path", "all", "status", "retry", "drain"]))]
#[command(group = clap::ArgGroup::new("which").args(["path", "all", "status", "retry"]))]
pub struct Annotate {
    /// An artifact, or a directory: ask about it before anything else
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// Ask about everything that has a brick
    #[arg(long)]
    pub all: bool,
    /// Say how things stand
    #[arg(long, conflicts_with = "drain")]
    pub status: bool,
    /// Try again what failed, now
    #[arg(long)]
    pub retry: bool,
    /// Return when nothing more waits, or nothing more can be done for now
    #[arg(long)]
    pub drain: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `doctor`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo foundry-user doctor
  foundry-user doctor --json | jq -r .auto

Exit code 3 where no backend can run.")]
pub struct Doctor {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound_and_everything_is_explained() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} is not explained", sub.get_name());
            for arg in sub.get_arguments() {
                let explained = arg.get_help().is_some();
                assert!(explained, "{} {} is not explained", sub.get_name(), arg.get_id());
            }
        }
    }

    #[test]
    fn help_fits_eighty_columns_and_has_examples() {
        let mut command = Cli::command();
        command.build();
        let mut texts = vec![command.render_long_help().to_string()];
        // What is hidden is for no person.
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            texts.push(sub.clone().render_long_help().to_string());
        }
        for text in texts {
            assert!(text.contains("Examples:\n  "), "{text}");
            // The usage is one line whatever it has in it.
            for line in text.lines().filter(|l| !l.starts_with("Usage:")) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn the_contract_parses() {
        for line in [
            "foundry-user --watch /opt --watch /srv --store /s --backend tracepoint",
            "foundry-user --watch /opt --payload embedded --record f --config c",
            "foundry-user --watch-process 1 --watch-process java --watch /opt",
            "foundry-user sync --timeout 5",
            "foundry-user status --json --store /s",
            "foundry-user --store /s status",
            "foundry-user fold /bin/ls -o ls.brick --payload reference",
            "foundry-user unfold ls.brick -o ls",
            "foundry-user inspect pid:1 --store /s --json",
            "foundry-user verify ls.brick --json",
            "foundry-user verify --all",
            "foundry-user search kind=library --store /s --json",
            "foundry-user replay log --store /s",
            "foundry-user export b --format rts-png -o out",
            "foundry-user export b --format png --palette entropy -o out",
            "foundry-user doctor --json",
            "foundry-user annotate /usr/bin/ls --drain",
            "foundry-user annotate --all --json",
            "foundry-user annotate --status",
            "foundry-user annotate --retry --drain",
            "foundry-user annotate --drain",
            "foundry-user capture --pid 1 -o x.brick --payload embedded",
            "foundry-user capture --exe cat -o d",
            "foundry-user capture --all -o d",
            "foundry-user diff a b --json --png p",
            "foundry-user diff a --from 1 --to 2",
            "foundry-user tasks --wait --json --store /s",
            "foundry-user tasks approve 0123456789ab",
            "foundry-user tasks retry 0123456789ab",
            "foundry-user tasks init .",
            "foundry-user config check",
            "foundry-user config check f --json",
        ] {
            if let Err(e) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {e}");
            }
        }
        for line in [
            "foundry-user verify",
            "foundry-user verify --all b",
            "foundry-user fold x",
            "foundry-user capture -o x",
            "foundry-user capture --pid 1 --all -o x",
            "foundry-user --backend kprobe",
            "foundry-user export b --format gif -o out",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).map(|_| ()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
