//! The commands: one file each, and what they share.
//!
//! Knows: arguments, the store's layout, the daemon's interfaces. Must never know: the pipeline's rules.
//! Keeps: results go to standard output, everything else to standard error; `--json` prints exactly
//! one document; every command ends with a code of [`Exit`].

mod annotate;
mod brick_file;
mod capture;
mod compare;
mod composite;
mod config;
mod diff;
mod doctor;
mod export;
mod fold;
mod inspect;
mod live;
mod mapped;
mod output;
mod payload;
mod publish;
mod regions;
mod replay;
mod search;
mod shell;
mod status;
mod sync;
mod tasks;
mod temporary;
mod text;
mod thumbnail;
mod tree;
mod unfold;
mod verify;
mod watch;

use crate::annotate::settings::Section;
use crate::args::{Cli, Command};
use crate::config::{Reload, Wishes, store_or_default};
use crate::diagnostics;
use crate::error::{CommandError, Exit};
use crate::next::Step;
use output::{complain, say_next};
use std::path::PathBuf;
use std::process::ExitCode;

/// Does what was asked.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(CommandError::BrokenPipe) => Exit::Done.into(),
        Err(error) => {
            complain(&error);
            error.exit().into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, CommandError> {
    if let Some(Command::Config(args)) = &cli.command {
        return config::run(args, cli.config.as_deref());
    }
    let file = cli.config.as_deref().map(Wishes::read).transpose()?.unwrap_or_default();
    let typed = cli.wishes();
    diagnostics::start(typed.log.as_deref().or(file.log.as_deref()))
        .map_err(CommandError::Usage)?;
    let Some(command) = cli.command else {
        // The sandbox leaves the directory open that the file lies in, and names it in full.
        let full = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let reload = cli.config.map(|path| Reload { path: full(path), typed: typed.clone() });
        let mut config = typed.or(file).watch()?;
        config.file = reload;
        return watch::run(&config);
    };
    if cli.watch != crate::args::Watch::default() {
        let what =
            "--watch, --backend, --payload and --record go with the main job, not with a command";
        return Err(CommandError::Usage(what.to_owned()));
    }
    if let Command::Tasks(args) = &command {
        let projects = (!file.project.is_empty()).then(|| file.clone().projects()).transpose()?;
        let store = Store { named: typed.store, configured: file.store };
        return tasks::run(args, &store, projects.as_deref());
    }
    let section = file.annotate;
    let store = Store { named: typed.store, configured: file.store };
    let exit = carry_out(&command, &store, section.as_ref())?;
    if let Some(step) = after(&command, exit) {
        say_next(&step.line(store.named.as_deref()));
    }
    Ok(exit)
}

fn carry_out(
    command: &Command,
    store: &Store,
    section: Option<&Section>,
) -> Result<Exit, CommandError> {
    match command {
        Command::Sync(args) => sync::run(args, store),
        Command::Status(args) => status::run(args, store),
        Command::Fold(args) => fold::run(args),
        Command::Capture(args) => capture::run(args),
        Command::Diff(args) => diff::run(args, store),
        Command::Unfold(args) => unfold::run(args, store),
        Command::Inspect(args) => inspect::run(args, store),
        Command::Search(args) => search::run(args, store),
        Command::Verify(args) => verify::run(args, store),
        Command::Replay(args) => replay::run(args, store),
        Command::Export(args) => export::run(args, store),
        Command::Publish(args) => publish::run(args, store),
        Command::Annotate(args) => annotate::run(args, store, section),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
        Command::Witness => watch::witness(),
        // It knows its projects from the configuration, where one is named.
        Command::Tasks(args) => tasks::run(args, store, None),
        // It is about a file that need not be good enough to get here.
        Command::Config(args) => config::run(args, None),
    }
}

/// What a command that printed no JSON document leads to. What prints scripts says nothing beside
/// them, and some say it themselves, because they alone know what they found.
fn after(command: &Command, exit: Exit) -> Option<Step<'_>> {
    let is_good = exit == Exit::Done;
    Some(match command {
        Command::Sync(_) => Step::Synced,
        Command::Fold(args) => Step::Made(&args.output),
        Command::Capture(args) if !args.output.is_dir() => Step::Made(&args.output),
        Command::Diff(args) if !args.json => Step::Compared(&args.a, is_good),
        Command::Unfold(args) if unfold::is_ours(&args.brick) => Step::Unfolded(&args.brick),
        Command::Unfold(args) => Step::Wrote(&args.output),
        Command::Inspect(args) if !args.json => Step::Shown(&args.brick),
        Command::Verify(args) if !args.json => verified(args, is_good),
        Command::Replay(_) => Step::Replayed,
        Command::Export(args) if args.format == crate::args::ExportFormat::Png => {
            Step::Drawn(&args.output)
        }
        Command::Export(args) => Step::Exported(&args.output),
        Command::Publish(args) => Step::Published(&args.out),
        Command::Doctor(args) if !args.json => Step::Examined(is_good),
        _ => return None,
    })
}

/// What `verify` leads to.
fn verified(args: &crate::args::Verify, is_good: bool) -> Step<'_> {
    match &args.brick {
        Some(brick) => Step::Verified(brick, is_good),
        None => Step::AllVerified(is_good),
    }
}

/// Which store a command is about.
struct Store {
    /// By `--store`.
    named: Option<PathBuf>,
    /// By the configuration file.
    configured: Option<PathBuf>,
}

impl Store {
    /// What to run next, for a JSON document.
    fn next(&self, step: Step<'_>) -> String {
        step.line(self.named.as_deref())
    }

    /// Its directory.
    fn path(&self) -> Result<PathBuf, CommandError> {
        store_or_default(self.named.clone().or_else(|| self.configured.clone()))
    }
}
