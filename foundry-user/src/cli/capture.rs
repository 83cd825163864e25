//! `capture`: the memory of live processes as bricks, without a daemon.
//!
//! Knows: processes, the editor of a brick. Must never know: the store.
//! Keeps: the brick appears whole under its name or not at all, mode 0600; without `--payload embedded`
//! it holds structure and statistics only.

use super::output::say;
use super::temporary::{Temporary, refuse_sources};
use super::text;
use crate::args::Capture;
use crate::capture::{Captured, capture_into};
use crate::clock;
use crate::config::Payload;
use crate::error::{CommandError, Exit};
use crate::process::{self, CaptureError, ProcessError, Target};
use std::fs;
use std::path::{Path, PathBuf};

/// Runs the command.
pub(super) fn run(args: &Capture) -> Result<Exit, CommandError> {
    if let Some(pid) = args.pid {
        one(pid, &args.output, args.payload)?;
        return Ok(Exit::Done);
    }
    let mut found = process::find(args.exe.as_deref());
    // A capture of the capture would show nothing but itself.
    found.retain(|pid| *pid != std::process::id());
    match (found.as_slice(), &args.exe) {
        ([], Some(name)) => {
            let what = format!("no process runs {name}; `ps -e` lists those that run");
            Err(CommandError::Invalid { path: PathBuf::from(name), what })
        }
        ([pid], Some(_)) if !args.output.is_dir() => {
            one(*pid, &args.output, args.payload)?;
            Ok(Exit::Done)
        }
        (pids, _) => many(pids, &args.output, args.payload),
    }
}

/// Captures each process into a directory. One that ends meanwhile, or refuses, does not end the rest.
fn many(pids: &[u32], directory: &Path, payload: Payload) -> Result<Exit, CommandError> {
    if !directory.is_dir() {
        fs::create_dir(directory).map_err(|e| CommandError::io("create", directory, e))?;
    }
    let (mut done, mut last) = (0, None);
    for pid in pids {
        match one(*pid, &directory.join(format!("pid-{pid}.brick")), payload) {
            Ok(()) => done += 1,
            Err(error) => {
                say(&error.to_string());
                last = Some(error);
            }
        }
    }
    say(&format!("{done} of {} captured", text::plural(pids.len() as u64, "process", "processes")));
    match last {
        Some(error) if done == 0 => Err(error),
        _ => Ok(Exit::Done),
    }
}

fn one(pid: u32, output: &Path, payload: Payload) -> Result<(), CommandError> {
    refuse_sources(output, &[Path::new(&format!("/proc/{pid}/exe"))])?;
    super::fold::check_replaces_brick(output)?;
    let begun = clock::monotonic().0;
    let target = Target::open(pid).map_err(|e| refused(pid, e))?;
    let failed = |error| match error {
        CaptureError::Process(error) => refused(pid, error),
        CaptureError::Parts(error) => {
            CommandError::Invalid { path: name(pid), what: error.to_string() }
        }
        CaptureError::Brick(error) => CommandError::brick(output, error),
    };
    let temporary = Temporary::beside(output)?;
    let captured =
        capture_into(&target, output, temporary.path(), payload.into()).map_err(failed)?;
    let Captured { committed, sampled, resident, .. } = captured;
    let elapsed = clock::monotonic().0.saturating_sub(begun) / 1_000_000;
    let mut line = format!(
        "{}: generation {}, {} ({pid}), {} resident, {} looked into, {} added, {elapsed} ms",
        output.display(),
        committed.generation,
        text::clean(target.comm()),
        text::bytes(resident),
        text::plural(sampled.pages, "page", "pages"),
        text::bytes(committed.appended_bytes),
    );
    if payload == Payload::Embedded {
        line.push_str("; it holds the process's memory: keep it private");
    }
    if sampled.denied {
        line.push_str("; contents may not be read: the layout alone is in it (try with sudo)");
    }
    if sampled.ended {
        line.push_str("; the process ended meanwhile: what was not read yet is left out");
    }
    say(&line);
    Ok(())
}

fn name(pid: u32) -> PathBuf {
    PathBuf::from(format!("pid:{pid}"))
}

fn refused(pid: u32, error: ProcessError) -> CommandError {
    match error {
        ProcessError::Denied { .. } => CommandError::NotAllowed(error.to_string()),
        ProcessError::Io { source, .. } => CommandError::io("read", name(pid), source),
        _ => CommandError::Invalid { path: name(pid), what: error.to_string() },
    }
}
