//! Does one of the operations of `tests/support/ops.rs`, for tests on machines that cannot build.
//!
//! `operations list` names them. `operations run NAME DIR` makes a ground in the empty directory DIR,
//! prepares, prints `prepared`, waits for a line, performs, prints what changed, ends with `done`, and
//! waits for another line, so that files and mappings stay open until somebody has looked.
//! What cannot be done here ends with exit code 3.

mod support {
    pub(crate) mod ops;
}

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use support::ops::{Change, Ground, all, by_name};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["list"] => list(),
        ["run", name, dir] => run(name, Path::new(dir)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "operations list | run NAME DIR")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(io::stderr(), &error.to_string()).unwrap_or_default();
            match error.kind() {
                io::ErrorKind::Unsupported => ExitCode::from(3),
                io::ErrorKind::InvalidInput => ExitCode::from(2),
                _ => ExitCode::from(5),
            }
        }
    }
}

fn list() -> io::Result<()> {
    let lines: Vec<String> =
        all().map(|operation| format!("{}\t{}", operation.name, operation.about)).collect();
    say(io::stdout(), &lines.join("\n"))
}

/// A line of output, at once: the other end waits for it.
fn say(mut to: impl Write, line: &str) -> io::Result<()> {
    writeln!(to, "{line}")?;
    to.flush()
}

fn run(name: &str, dir: &Path) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("no operation {name}"));
    let operation = by_name(name).ok_or_else(unknown)?;
    let ground = Ground::new(dir)?;
    let perform = operation.prepare(&ground)?;
    say(io::stdout(), "prepared")?;
    await_line()?;
    let done = perform()?;
    for change in &done.changes {
        match change {
            Change::Entry(path) => say(io::stdout(), &format!("entry {}", path.display()))?,
            Change::Bytes(path, ranges) => {
                let ranges: Vec<String> =
                    ranges.iter().map(|(start, end)| format!("{start}-{end}")).collect();
                let line = format!("bytes {} {}", path.display(), ranges.join(","));
                say(io::stdout(), line.trim_end())?;
            }
        }
    }
    say(io::stdout(), "done")?;
    await_line()
}

fn await_line() -> io::Result<()> {
    io::stdin().lock().read_line(&mut String::new())?;
    Ok(())
}
