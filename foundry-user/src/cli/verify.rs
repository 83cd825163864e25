//! `verify`: bricks against their own checksums, and against the live artifacts.
//!
//! Knows: bricks, live files, the store's directory. Must never know: the pipeline.
//! Keeps: every difference is named with its place; a file that changes meanwhile is looked at again
//! before it is called different.

mod all;
mod missing;
mod trees;

use super::Store;
use super::brick_file::BrickFile;
use super::compare;
use super::live::LiveFile;
use super::output::{print, say};
use super::regions::names_in;
use super::text;
use super::tree::Trees;
use crate::args::Verify;
use crate::error::{CommandError, Exit};
use crate::wire::{self, Difference, VerifyDocument};
use foundry_brick::{Kind, Meta, Payload, Region};
use std::path::{Path, PathBuf};

/// How often an artifact that changes meanwhile is looked at.
const ATTEMPTS: u32 = 4;

/// Differences of one artifact that a person is shown; `--json` has them all.
const SHOWN: usize = 16;

/// Runs the command.
pub(super) fn run(args: &Verify, store: &Store) -> Result<Exit, CommandError> {
    let found = match &args.brick {
        Some(typed) => one(typed, store)?,
        None => all::run(&store.path()?)?,
    };
    if args.json {
        print(&wire::answer(&found, &store.next(super::verified(args, found.ok)))?)?;
    } else {
        let mut out = String::new();
        out.push_str(&lines(&found.differences));
        out.push_str(&summary(&found));
        print(&out)?;
    }
    Ok(if found.ok { Exit::Done } else { Exit::Difference })
}

fn one(typed: &Path, store: &Store) -> Result<VerifyDocument, CommandError> {
    let file = BrickFile::open(typed, store)?;
    let is_kept = file.path == typed;
    let mut checked = check(&file, &Trees::new(store_of(&file)))?;
    for _ in 1..ATTEMPTS {
        if !checked.is_uncertain {
            break;
        }
        checked = check(&BrickFile::at(file.path.clone())?, &Trees::new(store_of(&file)))?;
    }
    // A brick with the bytes in it may be far from where its artifact is: that is what it is for.
    if is_kept && file.brick.meta().payload == Payload::Embedded {
        checked.differences.retain(|d| {
            if d.what == "gone" {
                say(&format!("{}: {}; only the brick itself was checked", d.artifact, d.detail));
            }
            d.what != "gone"
        });
    }
    let ok = checked.differences.is_empty();
    Ok(VerifyDocument { ok, bricks: 1, bytes: checked.bytes, differences: checked.differences })
}

/// What one brick gave.
#[derive(Default)]
struct Checked {
    differences: Vec<Difference>,
    bytes: u64,
    /// The artifact changed while it was compared: what was found may not be so any more.
    is_uncertain: bool,
}

/// Checks one brick and compares it with its artifact.
fn check(file: &BrickFile, trees: &Trees) -> Result<Checked, CommandError> {
    let mut checked = Checked::default();
    let differs = |what, detail: String| Difference {
        brick: Some(file.path.to_string_lossy().into_owned()),
        artifact: name(file.brick.meta()),
        what,
        detail,
        start: None,
        end: None,
        regions: Vec::new(),
    };
    for problem in file.brick.verify() {
        let detail = format!("the brick is corrupt at offset {}: {}", problem.at, problem.what);
        checked.differences.push(differs("corrupt", detail));
    }
    if !checked.differences.is_empty() {
        return Ok(checked);
    }
    match file.brick.meta().kind {
        Kind::File => {}
        Kind::Directory => {
            let found = trees::compare(file, trees)?;
            checked.is_uncertain = !found.is_empty();
            checked
                .differences
                .extend(found.into_iter().map(|(what, detail)| differs(what, detail)));
            return Ok(checked);
        }
        Kind::Process => return Ok(checked),
    }
    let live = match LiveFile::open(&file.artifact()) {
        Ok(live) => live,
        Err(error) => {
            let (what, detail) = absence(error);
            checked.differences.push(differs(what, detail));
            return Ok(checked);
        }
    };
    metadata(file.brick.meta(), &live.meta(Payload::Reference), &differs, &mut checked);
    if live.size() == file.brick.meta().size {
        content(file, &live, &differs, &mut checked)?;
    }
    checked.is_uncertain = live.changed()?;
    Ok(checked)
}

/// The store that a brick lies in, if it lies in one.
fn store_of(file: &BrickFile) -> Option<PathBuf> {
    let store = file.path.canonicalize().ok()?.ancestors().nth(3)?.to_owned();
    let place = crate::store::brick_path(&store, name(file.brick.meta()).as_bytes());
    (place.canonicalize().ok()? == file.path.canonicalize().ok()?).then_some(store)
}

/// Why there is no live file to compare with.
fn absence(error: CommandError) -> (&'static str, String) {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error {
        CommandError::Io { source, .. } if matches!(source.kind(), NotFound | NotADirectory) => {
            ("gone", "there is no such file any more".to_owned())
        }
        CommandError::Invalid { what, .. } => ("kind", what),
        other => ("unreadable", other.to_string()),
    }
}

/// Compares the bytes.
fn content(
    file: &BrickFile,
    live: &LiveFile,
    differs: &impl Fn(&'static str, String) -> Difference,
    checked: &mut Checked,
) -> Result<(), CommandError> {
    match compare::content(&file.brick, live) {
        Ok(ranges) => {
            let regions = if ranges.is_empty() { Vec::new() } else { regions(file)? };
            checked.differences.extend(ranges.iter().map(|range| Difference {
                start: Some(range.start),
                end: Some(range.end),
                regions: names_in(&regions, range),
                ..differs("content", "the content differs".to_owned())
            }));
            checked.bytes = live.size();
        }
        Err(compare::Stopped::Brick(e)) => {
            checked.differences.push(differs("corrupt", e.to_string()));
        }
        Err(compare::Stopped::Live(e)) => {
            checked.differences.push(differs("unreadable", e.to_string()));
        }
    }
    Ok(())
}

fn regions(file: &BrickFile) -> Result<Vec<Region>, CommandError> {
    file.brick.regions().map_err(|e| CommandError::brick(&file.path, e))
}

/// Compares what is known of the artifact besides its bytes. Times are no difference: they say
/// when something may have changed, and the bytes were compared.
fn metadata(
    was: &Meta,
    is: &Meta,
    differs: &impl Fn(&'static str, String) -> Difference,
    checked: &mut Checked,
) {
    if was.size != is.size {
        let detail = format!("the size was {}, and is {} now", was.size, is.size);
        checked.differences.push(differs("size", detail));
    }
    if was.mode != is.mode {
        let detail = format!("the mode was {:04o}, and is {:04o} now", was.mode, is.mode);
        checked.differences.push(differs("mode", detail));
    }
    if (was.uid, was.gid) != (is.uid, is.gid) {
        let detail =
            format!("the owner was {}:{}, and is {}:{} now", was.uid, was.gid, is.uid, is.gid);
        checked.differences.push(differs("owner", detail));
    }
}

/// How an artifact is called.
fn name(meta: &Meta) -> String {
    match meta.pid {
        Some(pid) => format!("pid:{pid}"),
        None => String::from_utf8_lossy(&meta.path).into_owned(),
    }
}

/// One line for each difference, but of one artifact only so many.
fn lines(differences: &[Difference]) -> String {
    let mut out = String::new();
    for same in differences.chunk_by(|a, b| a.artifact == b.artifact) {
        same.iter().take(SHOWN).for_each(|difference| out.push_str(&line(difference)));
        if let (Some(first), true) = (same.first(), SHOWN < same.len()) {
            let more = same.len() - SHOWN;
            out.push_str(&format!("{}: and {more} more\n", text::clean(&first.artifact)));
        }
    }
    out
}

fn line(difference: &Difference) -> String {
    let mut out = format!("{}: {}", text::clean(&difference.artifact), difference.detail);
    if let (Some(start), Some(end)) = (difference.start, difference.end) {
        out.push_str(&format!(" in bytes {start}..{end}"));
    }
    if !difference.regions.is_empty() {
        let names: Vec<String> = difference.regions.iter().map(|n| text::clean(n)).collect();
        out.push_str(&format!(" ({})", names.join(", ")));
    }
    out.push('\n');
    out
}

fn summary(found: &VerifyDocument) -> String {
    let what = format!(
        "{}, {} compared",
        text::plural(found.bricks, "brick", "bricks"),
        text::bytes(found.bytes)
    );
    let n = found.differences.len() as u64;
    match n {
        0 => format!("{what}: no difference\n"),
        _ => format!("{what}: {}\n", text::plural(n, "difference", "differences")),
    }
}
