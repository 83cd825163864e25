//! `diff`: two bricks, or two generations of one.
//!
//! Knows: bricks, how differences are shown. Must never know: the store's daemon, live artifacts.
//! Keeps: two bricks of the same state of the same artifact have no difference, whatever their history.

mod content;
mod parts;
mod picture;

use super::Store;
use super::brick_file::BrickFile;
use super::output::{print, say};
use super::temporary::{Temporary, refuse_sources};
use super::text;
use crate::args::Diff;
use crate::error::{CommandError, Exit};
use crate::next::Step;
use crate::wire;
use foundry_brick::{Kind, Region};
use parts::PartsFound;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Lines of one list that are shown to a person.
const SHOWN: usize = 20;

/// Everything that differs.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// The two sides, as they are named.
    a: String,
    b: String,
    /// Whether nothing differs.
    same: bool,
    /// Size, owner and the like.
    properties: Vec<Property>,
    /// Byte ranges of the content that differ, for an artifact that is not made of parts.
    ranges: Vec<ByteSpan>,
    /// Regions by name.
    regions_added: Vec<String>,
    regions_removed: Vec<String>,
    regions_changed: Vec<String>,
    /// Parts of a process or a directory.
    #[serde(flatten)]
    parts: PartsFound,
}

/// One property and its two values.
#[derive(Debug, Serialize)]
struct Property {
    name: &'static str,
    from: String,
    to: String,
}

/// Bytes that differ: exactly these, or somewhere within.
#[derive(Debug, Serialize)]
struct ByteSpan {
    start: u64,
    end: u64,
    exact: bool,
}

/// Runs the command.
pub(super) fn run(args: &Diff, store: &Store) -> Result<Exit, CommandError> {
    let (a, b) = open(args, store)?;
    comparable(&a, &b)?;
    let found = compare(&a, &b)?;
    if let Some(output) = &args.png {
        refuse_sources(output, &[&a.path, &b.path])?;
        let bytes = picture::draw(&a, &b, &found)?;
        let temporary = Temporary::beside(output)?;
        std::fs::write(temporary.path(), bytes)
            .map_err(|e| CommandError::io("write", output, e))?;
        temporary.keep(output)?;
        say(&format!("{}: what differs, drawn", output.display()));
    }
    if args.json {
        print(&wire::answer(&found, &store.next(Step::Compared(&args.a, found.same)))?)?;
    } else {
        print(&sheet(&found))?;
    }
    Ok(if found.same { Exit::Done } else { Exit::Difference })
}

fn open(args: &Diff, store: &Store) -> Result<(BrickFile, BrickFile), CommandError> {
    let newest = |typed: &Path| BrickFile::open(typed, store);
    let at = |typed: &Path, number| match number {
        Some(number) => BrickFile::open_generation(typed, store, number),
        None => newest(typed),
    };
    if let Some(b) = &args.b {
        return Ok((at(&args.a, args.from)?, at(b, args.to)?));
    }
    let b = at(&args.a, args.to)?;
    let before = b.brick.generations().get(1).map(|generation| generation.number);
    let Some(from) = args.from.or(before) else {
        let what = "has one generation only; name a second brick to compare it with".to_owned();
        return Err(CommandError::Invalid { path: b.path, what });
    };
    Ok((BrickFile::open_generation(&args.a, store, from)?, b))
}

/// What a file's bytes, a process's pages and a directory's entries say has nothing in common.
fn comparable(a: &BrickFile, b: &BrickFile) -> Result<(), CommandError> {
    let [of_a, of_b] = [a, b].map(|file| kind(file.brick.meta().kind));
    if of_a == of_b {
        return Ok(());
    }
    let sides = [(a, of_a), (b, of_b)].map(|(file, kind)| format!("{} shows a {kind}", name(file)));
    Err(CommandError::Usage(format!(
        "{} and {}: name two bricks of one kind, or one brick with --from and --to",
        sides[0], sides[1]
    )))
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Process => "process",
    }
}

fn compare(a: &BrickFile, b: &BrickFile) -> Result<Found, CommandError> {
    let mut found = Found { a: name(a), b: name(b), ..Found::default() };
    found.properties = properties(a, b);
    let corrupt = |e| CommandError::brick(&b.path, e);
    let made = (a.brick.parts().map_err(corrupt)?, b.brick.parts().map_err(corrupt)?);
    if let (Some(of_a), Some(of_b)) = made {
        let sides = [parts::Side::new(a, of_a), parts::Side::new(b, of_b)];
        found.parts = parts::compare(&sides).map_err(corrupt)?;
    } else {
        found.ranges = content::ranges(a, b).map_err(corrupt)?;
        regions(
            &mut found,
            &a.brick.regions().map_err(corrupt)?,
            &b.brick.regions().map_err(corrupt)?,
        );
    }
    found.same = found.properties.is_empty()
        && found.ranges.is_empty()
        && found.regions_added.is_empty()
        && found.regions_removed.is_empty()
        && found.regions_changed.is_empty()
        && found.parts.is_empty();
    Ok(found)
}

fn name(file: &BrickFile) -> String {
    let meta = file.brick.meta();
    let artifact = match meta.pid {
        Some(pid) => format!("pid:{pid}"),
        None => text::lossy(&meta.path),
    };
    let brick = file.path.display();
    format!("{brick} ({artifact}, generation {})", file.brick.generation())
}

fn properties(a: &BrickFile, b: &BrickFile) -> Vec<Property> {
    let (a, b) = (a.brick.meta(), b.brick.meta());
    let mut all = vec![
        ("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode)),
        ("uid", a.uid.to_string(), b.uid.to_string()),
        ("gid", a.gid.to_string(), b.gid.to_string()),
    ];
    if a.kind == Kind::File {
        all.push(("size", a.size.to_string(), b.size.to_string()));
    }
    let differs = |(name, from, to)| (from != to).then_some(Property { name, from, to });
    all.into_iter().filter_map(differs).collect()
}

/// Regions by kind and name: a section or a function that came, went, or has another length.
fn regions(found: &mut Found, a: &[Region], b: &[Region]) {
    let by_name = |regions: &[Region]| {
        let mut known: BTreeMap<(String, String), u64> = BTreeMap::new();
        for region in regions {
            let length = region.end.saturating_sub(region.start);
            *known.entry((region.kind.clone(), region.name.clone())).or_default() += length;
        }
        known
    };
    let (a, b) = (by_name(a), by_name(b));
    let called = |(kind, name): &(String, String)| format!("{kind} {name}");
    found.regions_removed = a.keys().filter(|key| !b.contains_key(*key)).map(called).collect();
    for (key, length) in &b {
        match a.get(key) {
            None => found.regions_added.push(called(key)),
            Some(before) if before != length => {
                let change = format!("{}: {before} -> {length} bytes", called(key));
                found.regions_changed.push(change);
            }
            Some(_) => {}
        }
    }
}

/// The human form.
fn sheet(found: &Found) -> String {
    let mut out = format!("a: {}\nb: {}\n", found.a, found.b);
    if found.same {
        out.push_str("no difference\n");
        return out;
    }
    for Property { name, from, to } in &found.properties {
        out.push_str(&format!("{name}: {from} -> {to}\n"));
    }
    let spans = found.ranges.iter().map(|span| {
        let about = if span.exact { "" } else { " (somewhere in)" };
        format!("{:#x}..{:#x}{about}", span.start, span.end)
    });
    list(&mut out, "bytes", '~', spans);
    let regions =
        [('+', &found.regions_added), ('-', &found.regions_removed), ('~', &found.regions_changed)];
    for (sign, names) in regions {
        list(&mut out, "regions", sign, names.iter().map(|name| text::clean(name)));
    }
    for (sign, lines) in found.parts.lines() {
        list(&mut out, "parts", sign, lines.into_iter().map(|line| text::clean(&line)));
    }
    out
}

fn list(out: &mut String, what: &str, sign: char, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    for line in lines.iter().take(SHOWN) {
        out.push_str(&format!("{sign} {line}\n"));
    }
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        out.push_str(&format!("{sign} ... and {more} more {what}\n"));
    }
}
