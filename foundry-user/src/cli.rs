//! The commands: one file each, and what they share.
//!
//! Knows: arguments, the store's layout, the daemon's interfaces. Must never know: the pipeline's rules.
//! Keeps: results go to standard output, everything else to standard error; `--json` prints exactly
//! one document; every command ends with a code of [`Exit`].

mod annotate;
mod brick_file;
mod capture;
mod compare;
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
mod temporary;
mod text;
mod thumbnail;
mod tree;
mod unfold;
mod verify;
mod watch;

use crate::args::{Cli, Command};
use crate::config::{Wishes, store_or_default};
use crate::diagnostics;
use crate::error::{CommandError, Exit};
use output::complain;
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
    let file = cli.config.as_deref().map(Wishes::read).transpose()?.unwrap_or_default();
    let typed = cli.wishes();
    diagnostics::start(typed.log.as_deref().or(file.log.as_deref()))
        .map_err(CommandError::Usage)?;
    let Some(command) = cli.command else {
        return watch::run(&typed.or(file).watch()?);
    };
    if cli.watch != crate::args::Watch::default() {
        let what =
            "--watch, --backend, --payload and --record go with the main job, not with a command";
        return Err(CommandError::Usage(what.to_owned()));
    }
    let section = file.annotate;
    let store = Store { named: typed.store, configured: file.store };
    match command {
        Command::Sync(args) => sync::run(&args, &store),
        Command::Status(args) => status::run(&args, &store),
        Command::Fold(args) => fold::run(&args),
        Command::Capture(args) => capture::run(&args),
        Command::Diff(args) => diff::run(&args, &store),
        Command::Unfold(args) => unfold::run(&args, &store),
        Command::Inspect(args) => inspect::run(&args, &store),
        Command::Search(args) => search::run(&args, &store),
        Command::Verify(args) => verify::run(&args, &store),
        Command::Replay(args) => replay::run(&args, &store),
        Command::Export(args) => export::run(&args, &store),
        Command::Publish(args) => publish::run(&args, &store),
        Command::Annotate(args) => annotate::run(&args, &store, section.as_ref()),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
        Command::Witness => watch::witness(),
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
    /// Its directory.
    fn path(&self) -> Result<PathBuf, CommandError> {
        store_or_default(self.named.clone().or_else(|| self.configured.clone()))
    }
}
