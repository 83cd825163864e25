//! What was typed after `tasks`.
//!
//! Knows: names of commands and flags. Must never know: what they mean for the rest.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// `tasks`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user tasks                    every task, its state, and what to do next
  foundry-user tasks --wait             until the daemon has nothing left to do
  foundry-user tasks approve 3f2a9c01b77e
  foundry-user tasks init .             make a project ready for OpenSpec changes

A task is a file NAME.task.json in openspec/tasks/system_foundry/ or in
tasks/system_foundry/ of a [[project]] of the configuration, or an OpenSpec
change with the schema foundry-v2. Exit code 1 where one was set aside.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Tasks {
    /// Return when the daemon has done all that it may do
    #[arg(long)]
    pub wait: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// What to do instead of listing
    #[command(subcommand)]
    pub command: Option<TasksCommand>,
}

/// What can be done about tasks.
#[derive(Debug, Subcommand)]
pub enum TasksCommand {
    /// Let a task do what it asks for, as long as its file stays as it is
    Approve {
        /// As the list shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Try again what was set aside, or failed
    Retry {
        /// As the list shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Make a directory ready for tasks: the inbox, and the OpenSpec schema foundry-v2
    Init {
        /// The project
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        project: PathBuf,
    },
}
