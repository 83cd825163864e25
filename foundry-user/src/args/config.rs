//! What was typed after `config`.
//!
//! Knows: names of commands and flags. Must never know: what they mean for the rest.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// `config`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user config check
  foundry-user config check new.toml && mv new.toml /etc/foundry/foundry.toml
  systemctl reload foundry              have the daemon read it again")]
pub struct Config {
    /// What to do
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done about a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the daemon would start on a file, and what is wrong with it
    Check {
        /// The file [default: that of --config, else /etc/foundry/foundry.toml]
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}
