//! Every developer's chore: `cargo xtask help` lists them.
//!
//! Knows: which task has which name. Must never know: what a task does.
//! Keeps: nothing runs before the task that was asked for; one task, one file.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks on the terminal"
)]

mod apt;
mod arm;
mod bench;
mod check;
mod coverage;
mod ebpf;
mod fuzz;
mod live;
mod llm;
mod openspec;
mod place;
mod probes;
mod record;
mod run;
mod stage;
mod test;
mod tools;
mod types;
mod vm;
mod web;

use std::process::ExitCode;

/// What every task returns. The error's text goes to standard error; an empty one was said already.
pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

const HELP: &str = "\
Foundry's chores

usage: cargo xtask TASK [ARGUMENTS]

  run -- ARGS    build, then start `foundry-user ARGS` (asks for sudo if need be)
  test [STAGE...]
                 everything, or only some of check web openspec live probes fuzz: format, lints, docs, unit, integration and live tests;
                 installs what they need where it may, says what it skipped where it may not
                 (with CI=true a skip is a failure)
  ebpf [--check] compiles the probes into foundry-ebpf/prebuilt, or proves that they are what
                 is committed there
  vm [KERNEL...] [--with FILE...] [--arm] -- PROGRAM ARGS [--then PROGRAM ARGS]...
                 runs programs as root in virtual machines with other kernels
  coverage [here | KERNEL...]
                 writes COVERAGE.md from tests/data/coverage; with a place, fills the table of
                 this kernel (as root) or of another one first
  check          the quick part of `test`: format, lints, and every test that needs no privileges
  bench [NAME]   the figures the project is measured by, or one of them: fold untracked latency
                 flood huge idle (root; nothing else should run meanwhile)
  arm            the program built for 64-bit ARM, its folding tests run on an emulated one, its
                 probes on emulated machines
  record [LOG...]
                 lives through the runs of tests/data/replay again and keeps their logs (root)
  fuzz [--seconds N] [--seed N] [TARGET...]
                 everything that reads bytes from outside, given damaged ones: 60 s each
  llm-test       asks a real model server (llama.cpp, from a package registry) about a program
  help           this text
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = match args.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match task {
        "run" => run::run(rest),
        "test" => test::run(rest),
        "ebpf" => ebpf::run(rest),
        "vm" => vm::run(rest),
        "check" => check::run(rest),
        "coverage" => coverage::run(rest),
        "bench" => bench::run(rest),
        "arm" => arm::run(rest),
        "fuzz" => fuzz::run(rest),
        "record" => record::run(rest),
        "llm-test" => llm::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("no task `{other}`; `cargo xtask help` lists them").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            if !text.is_empty() {
                eprintln!("xtask {task}: {text}");
            }
            ExitCode::FAILURE
        }
    }
}
