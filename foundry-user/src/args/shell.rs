//! What was typed after `completions` and `man`.
//!
//! Knows: names of commands and flags. Must never know: what they mean for the rest.

use clap::Args;

/// `completions`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user completions bash > /etc/bash_completion.d/foundry-user
  foundry-user completions zsh > \"${fpath[1]}/_foundry-user\"
  foundry-user completions fish > ~/.config/fish/completions/foundry-user.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  foundry-user man | man -l -
  foundry-user man --command inspect > foundry-user-inspect.1")]
pub struct Man {
    /// The page of one command
    #[arg(long, value_name = "NAME")]
    pub command: Option<String>,
}
