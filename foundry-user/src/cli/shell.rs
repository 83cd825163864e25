//! `completions` and `man`: made from the definition of the command line itself.
//!
//! Knows: the definition. Must never know: what the commands do.

use super::output::print_bytes;
use crate::args::{Cli, Completions, Man};
use crate::error::{CommandError, Exit};
use clap::CommandFactory;

/// Name of the program, as it is installed.
const NAME: &str = "foundry-user";

/// Prints the completion script of a shell.
pub(super) fn completions(args: &Completions) -> Result<Exit, CommandError> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut out);
    print_bytes(&out)?;
    Ok(Exit::Done)
}

/// Prints a manual page.
pub(super) fn man(args: &Man) -> Result<Exit, CommandError> {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = &args.command {
        let Some(sub) = command.find_subcommand(name) else {
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let what = format!("there is no command `{name}`; commands are {}", names.join(", "));
            return Err(CommandError::Usage(what));
        };
        command = sub.clone().name(format!("{NAME}-{name}"));
    }
    let mut out = Vec::new();
    let written = clap_mangen::Man::new(command).render(&mut out);
    written.map_err(|e| CommandError::io("write", "the manual page", e))?;
    print_bytes(&out)?;
    Ok(Exit::Done)
}
