//! `inspect`: what a brick says of its artifact.
//!
//! Knows: bricks, how to lay out text. Must never know: the store's daemon, the artifact's own bytes.
//! Keeps: the human form fits 80 columns; the JSON form has every value.

mod freshness;

use self::freshness::Freshness;
use super::brick_file::BrickFile;
use super::output::{print, wants_colour};
use super::regions::names_in;
use super::{Store, text, thumbnail};
use crate::args::Inspect;
use crate::error::{CommandError, Exit};
use crate::facts::record;
use crate::next::Step;
use crate::{wire, wire_annotate};
use foundry_brick::geometry::{self, TILE_BYTES};
use foundry_brick::parts::{Attribute, Part, Place};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, FactValue, Facts, GenerationInfo, Kind, Payload, Region, Writer};
use std::collections::BTreeMap;
use std::ops::Range;

/// Columns of the names in front of the values.
const NAME: usize = 13;

/// Lines of a long list that are shown.
const SHOWN: usize = 12;

/// Facts of which the line `what` is made.
const WHAT: [&str; 5] =
    ["kind", "binary.type", "binary.machine", "code.language", "content.encoding"];

/// Facts that other lines say.
const SAID: [&str; 7] = [
    "facts.version",
    "identity.blake3",
    "identity.gid",
    "identity.mode",
    "identity.size",
    "identity.uid",
    "script.shebang",
];

/// Characters of a value that may stand beside others.
const SHORT: usize = 32;

/// Runs the command.
pub(super) fn run(args: &Inspect, store: &Store) -> Result<Exit, CommandError> {
    let file = match args.generation {
        None => BrickFile::open(&args.brick, store)?,
        Some(number) => BrickFile::open_generation(&args.brick, store, number)?,
    };
    let corrupt = |e| CommandError::brick(&file.path, e);
    let freshness = Freshness::of(&file, store);
    if args.json {
        let mut value = wire::inspect(&file.path, &file.brick).map_err(corrupt)?;
        wire::add_freshness(&mut value, freshness.document());
        print(&wire::answer(&value, &store.next(Step::Shown(&args.brick)))?)?;
    } else {
        let mut sheet = Sheet::of(&file).map_err(corrupt)?;
        if let Some(line) = freshness.line() {
            sheet.line("compared", line);
        }
        let picture = if wants_colour() { thumbnail::render(&file.brick) } else { Vec::new() };
        print(&sheet.render(&picture))?;
    }
    Ok(Exit::Done)
}

/// Everything that the human form shows.
struct Sheet {
    title: String,
    lines: Vec<(String, String)>,
    regions: Vec<Region>,
    /// Of entries, by where they lie.
    packages: BTreeMap<u64, String>,
    writers: Vec<(Range<u64>, Writer)>,
    generations: Vec<GenerationInfo>,
}

impl Sheet {
    fn of(file: &BrickFile) -> Result<Self, foundry_brick::Error> {
        let brick = &file.brick;
        let facts = record::of(brick)?;
        let writers = brick.writers()?;
        let mut sheet = Self {
            title: match brick.meta().pid {
                Some(pid) => format!("pid:{pid}"),
                None => text::lossy(&brick.meta().path),
            },
            lines: Vec::new(),
            regions: brick.regions()?,
            packages: packages(brick)?,
            generations: brick.generations(),
            writers: Vec::new(),
        };
        sheet.artifact_lines(file, &facts);
        let changed = brick.changed_since(brick.content_generation().saturating_sub(1))?;
        sheet.brick_lines(file, &changed);
        if let Some((_, last)) = writers.iter().max_by_key(|(_, w)| w.at_ns) {
            sheet.line("last writer", who(last));
        }
        sheet.fact_lines(&facts);
        if let Some(note) = brick.annotation()? {
            for (name, value) in wire_annotate::lines(&note, brick.blake3().as_ref()) {
                sheet.line(name, text::clean(&value));
            }
        }
        sheet.writers = writers;
        Ok(sheet)
    }

    fn line(&mut self, name: &str, value: impl Into<String>) {
        self.lines.push((name.to_owned(), value.into()));
    }

    fn artifact_lines(&mut self, file: &BrickFile, facts: &Facts) {
        let meta = file.brick.meta();
        let kind = match meta.kind {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Process => "process",
        };
        let size = text::bytes(meta.size);
        let exact = text::plural(meta.size, "byte", "bytes");
        let size = if meta.size < 1000 { exact } else { format!("{size} ({exact})") };
        self.line(kind, size);
        let what: Vec<String> =
            WHAT.iter().filter_map(|name| fact_text(facts.get(*name)?)).collect();
        if !what.is_empty() {
            self.line("what", what.join(", "));
        }
        if meta.kind == Kind::File {
            let owner = format!("{} uid {} gid {}", text::mode(meta.mode), meta.uid, meta.gid);
            self.line("mode", owner);
            self.line("modified", text::time(meta.mtime_ns));
        }
        let hash = file.brick.blake3();
        self.line(
            "blake3",
            hash.map_or_else(|| "pending: a large hole".to_owned(), |h| wire::hex(&h)),
        );
    }

    /// Which tiles the last change of content touched, and what lies there.
    fn changed_line(&mut self, size: u64, changed: &[Range<u64>]) {
        let tiles: u64 = changed.iter().map(|r| r.end - r.start).sum();
        let places: Vec<String> = changed.iter().take(4).map(tile_range).collect();
        let more = if changed.len() > places.len() { ", ..." } else { "" };
        let all = text::count(geometry::tiles(size));
        let mut line = format!("tile {}{more} of {all}", places.join(", "));
        if tiles > 1 {
            line.push_str(&format!(" ({})", text::plural(tiles, "tile", "tiles")));
        }
        let bytes = changed.iter().map(|r| r.start * TILE_BYTES..(r.end * TILE_BYTES).min(size));
        let mut names: Vec<String> =
            bytes.flat_map(|range| names_in(&self.regions, &range)).collect();
        names.dedup();
        if !names.is_empty() {
            let names: Vec<String> = names.iter().take(4).map(|n| text::clean(n)).collect();
            line.push_str(&format!(": {}", names.join(" ")));
        }
        self.line("changed", line);
    }

    fn brick_lines(&mut self, file: &BrickFile, changed: &[Range<u64>]) {
        let brick = &file.brick;
        let kept = self.generations.len();
        let number = text::count(brick.generation());
        self.line("generation", format!("{number}, {}, {kept} kept", text::time(brick.at_ns())));
        let tiles: u64 = changed.iter().map(|r| r.end - r.start).sum();
        if brick.generation() > 1 && (1..geometry::tiles(brick.meta().size)).contains(&tiles) {
            self.changed_line(brick.meta().size, changed);
        }
        let payload = match (brick.meta().kind, brick.meta().payload) {
            (Kind::File, Payload::Reference) => "reference: the bytes are in the artifact",
            (Kind::File, Payload::Embedded) => "embedded: the bytes are in the brick",
            (Kind::Directory, _) => "reference: what lies in it has bricks of its own",
            (Kind::Process, Payload::Reference) => "reference: no byte of memory, only statistics",
            (Kind::Process, Payload::Embedded) => "embedded: bytes of memory are in the brick",
        };
        self.line("payload", payload);
        if let Some(top) = brick.levels().last() {
            let levels = format!(
                "3 to {}, {} a cell at the top",
                top.level,
                text::bytes(top.bytes_per_cell)
            );
            self.line("levels", levels);
        }
    }

    /// Group by group: what is short in one line, then what is long.
    fn fact_lines(&mut self, facts: &Facts) {
        let said = |name: &str| SAID.contains(&name) || WHAT.contains(&name);
        let mut groups: BTreeMap<&str, Vec<(&str, String, bool)>> = BTreeMap::new();
        for (name, value) in facts.iter().filter(|(name, _)| !said(name)) {
            let (group, rest) = name.split_once('.').unwrap_or(("", name));
            let shown = match value {
                FactValue::Number(n) if name.ends_with("entry") => format!("{n:#x}"),
                FactValue::Number(n) => text::count(*n),
                FactValue::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
                FactValue::Text(text) => text::clean(text),
                FactValue::List(list) => list_text(list),
            };
            let is_short = !matches!(value, FactValue::List(_)) && shown.len() <= SHORT;
            groups.entry(group).or_default().push((rest, shown, is_short));
        }
        for (group, facts) in groups {
            let words = |name: &str| text::clean(&name.replace('_', " "));
            let short = facts.iter().filter(|(.., is_short)| *is_short);
            let short: Vec<String> = short.map(|(n, v, _)| format!("{} {v}", words(n))).collect();
            let long = facts.iter().filter(|(.., is_short)| !is_short);
            let long = long.map(|(n, v, _)| format!("{}: {v}", words(n)));
            let lines = (!short.is_empty()).then(|| short.join(", ")).into_iter().chain(long);
            for (i, line) in lines.enumerate() {
                self.line(if i == 0 { group } else { "" }, line);
            }
        }
    }

    /// The sheet; `picture` stands beside the first lines.
    fn render(&self, picture: &[String]) -> String {
        let mut out = String::new();
        let mut add = |line: &str| {
            out.push_str(line.trim_end());
            out.push('\n');
        };
        add(&text::fit(&self.title, text::WIDTH));
        add("");
        let mut left = picture.iter();
        for (name, value) in &self.lines {
            let beside = if left.len() == 0 { 0 } else { thumbnail::SIDE + 2 };
            for (i, part) in value_lines(value, text::WIDTH - NAME - beside).iter().enumerate() {
                let name = if i == 0 { text::fit(name, NAME - 1) } else { String::new() };
                let picture = match left.next() {
                    Some(line) => format!("{line}  "),
                    None => " ".repeat(beside),
                };
                add(&format!("{picture}{name:NAME$}{part}"));
            }
        }
        left.for_each(|line| add(line));
        self.region_lines(&mut add);
        self.writer_lines(&mut add);
        self.generation_lines(&mut add);
        out
    }

    fn region_lines(&self, add: &mut impl FnMut(&str)) {
        if self.regions.is_empty() {
            return;
        }
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for region in &self.regions {
            *kinds.entry(&region.kind).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, n)| format!("{} {}", text::count(*n), text::clean(kind)))
            .collect();
        add("");
        add(&text::fit(&format!("regions      {}", kinds.join(", ")), text::WIDTH));
        let mut largest: Vec<&Region> = self.regions.iter().collect();
        largest.sort_by_key(|r| (std::cmp::Reverse(r.end - r.start), r.start));
        largest.truncate(SHOWN);
        largest.sort_by_key(|r| (r.start, std::cmp::Reverse(r.end)));
        for region in &largest {
            add(&format!(
                "  {:>12x} {:>10}  {:10} {}",
                region.start,
                text::bytes(region.end - region.start),
                text::fit(&text::clean(&region.kind), 10),
                text::fit(&self.named(region), text::WIDTH - 39),
            ));
        }
        if self.regions.len() > largest.len() {
            add(&format!(
                "  ... and {} smaller; --json lists all",
                text::count((self.regions.len() - largest.len()) as u64)
            ));
        }
    }

    /// A region's name, and the package it came with.
    fn named(&self, region: &Region) -> String {
        let package = self.packages.get(&region.start).map(|name| format!(" (package {name})"));
        text::clean(&(region.name.clone() + &package.unwrap_or_default()))
    }

    fn writer_lines(&self, add: &mut impl FnMut(&str)) {
        if self.writers.is_empty() {
            return;
        }
        add("");
        add("written by");
        let mut newest: Vec<&(Range<u64>, Writer)> = self.writers.iter().collect();
        newest.sort_by_key(|(range, w)| (std::cmp::Reverse(w.at_ns), range.start));
        for (range, writer) in newest.iter().take(SHOWN) {
            let place =
                format!("{:>12x} {:>10}", range.start, text::bytes(range.end - range.start));
            let comm = text::fit(&text::lossy(&writer.comm), 15);
            let process = format!("{comm} (pid {})", writer.pid);
            add(&format!("  {place}  {process:28} {}", text::time(writer.at_ns)));
        }
        if newest.len() > SHOWN {
            add(&format!("  ... and {} more; --json lists all", newest.len() - SHOWN));
        }
    }

    fn generation_lines(&self, add: &mut impl FnMut(&str)) {
        if self.generations.len() < 2 {
            return;
        }
        add("");
        add("generations");
        for one in self.generations.iter().take(SHOWN) {
            let tiles = one.changed_tiles.first().copied().unwrap_or(0);
            add(&format!(
                "  {:>6}  {}  {:>10}  {:>8}  {}",
                one.number,
                text::time(one.at_ns),
                text::bytes(one.size),
                text::plural(u64::from(tiles), "tile", "tiles"),
                one.root.map_or_else(|| "pending".to_owned(), |h| wire::hex(&h[..6])),
            ));
        }
        if self.generations.len() > SHOWN {
            add(&format!("  ... and {} earlier", self.generations.len() - SHOWN));
        }
    }
}

/// A value in lines of `width`; words are kept whole where they fit, a hash is broken in halves.
fn value_lines(value: &str, width: usize) -> Vec<String> {
    let is_hash = value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash && width < 64 {
        return vec![value[..32].to_owned(), value[32..].to_owned()];
    }
    let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
    text::wrap(&words, width)
}

fn fact_text(value: &FactValue) -> Option<String> {
    match value {
        FactValue::Text(text) => Some(text::clean(text)),
        _ => None,
    }
}

fn list_text(list: &[String]) -> String {
    let mut shown: Vec<String> = list.iter().take(SHOWN).map(|s| text::clean(s)).collect();
    if list.len() > SHOWN {
        shown.push(format!("... {} more", list.len() - SHOWN));
    }
    let has_blanks = shown.iter().any(|s| s.contains(' '));
    shown.join(if has_blanks { "; " } else { " " })
}

fn tile_range(range: &Range<u64>) -> String {
    if range.end - range.start == 1 {
        text::count(range.start)
    } else {
        format!("{}-{}", text::count(range.start), text::count(range.end - 1))
    }
}

/// A writer in one line.
fn who(writer: &Writer) -> String {
    let comm = text::lossy(&writer.comm);
    let exe = if writer.exe.is_empty() {
        String::new()
    } else {
        format!(" {}", text::lossy(&writer.exe))
    };
    format!("{comm} (pid {}, uid {}){exe}, {}", writer.pid, writer.uid, text::time(writer.at_ns))
}

/// Packages of a directory's entries, by where they lie.
fn packages<S: Storage>(brick: &Brick<S>) -> Result<BTreeMap<u64, String>, foundry_brick::Error> {
    let Some(parts) = brick.parts()? else { return Ok(BTreeMap::new()) };
    let package = |(place, part): (Place, &Part)| {
        let name = String::from_utf8_lossy(part.texts.get(&Attribute::PACKAGE)?).into_owned();
        Some((parts.run(place)?.start, name))
    };
    Ok(parts.iter().filter_map(package).collect())
}
