//! Arguments in, exit code out.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    foundry_user::cli::run(foundry_user::args::Cli::parse())
}
