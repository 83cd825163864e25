//! Parts of two composites, matched and compared.
//!
//! Mappings of one process are the same where they begin at the same address; those of two processes
//! where they show the same place of the same file; entries of a directory by name.
//!
//! Knows: parts, pages' states and cells. Must never know: how differences are shown.
//! Keeps: where a part lies on the plane is no difference of its own.

use crate::cli::brick_file::BrickFile;
use crate::process::maps::permission_text;
use foundry_brick::geometry::LEAF_LEVEL;
use foundry_brick::parts::{Attribute, PAGE_BYTES, PAGE_ORDER, Part, PartKind, Parts, Place, page};
use foundry_brick::{Error, Kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Pages compared at once.
const BATCH: u64 = 1 << 14;

/// One of the two.
pub(super) struct Side<'a> {
    file: &'a BrickFile,
    pub(super) parts: Parts,
}

impl<'a> Side<'a> {
    pub(super) fn new(file: &'a BrickFile, parts: Parts) -> Self {
        Self { file, parts }
    }
}

/// What differs.
#[derive(Debug, Default, Serialize)]
pub(super) struct PartsFound {
    pub(super) parts_added: Vec<PartNamed>,
    pub(super) parts_removed: Vec<PartNamed>,
    pub(super) parts_changed: Vec<PartChanged>,
}

/// A part of one side only.
#[derive(Debug, Serialize)]
pub(super) struct PartNamed {
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<u64>,
    length: u64,
    /// Where it lies in its brick.
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A part of both that differs.
#[derive(Debug, Serialize)]
pub(super) struct PartChanged {
    part: PartNamed,
    /// Attributes: `name: from -> to`.
    changes: Vec<String>,
    pages_changed: u64,
    /// Runs of pages that differ, numbered from the part's first.
    page_ranges: Vec<[u64; 2]>,
}

impl PartChanged {
    /// The runs of the plane of `b` that differ; all of the part where it is not about pages.
    pub(super) fn runs(&self) -> Vec<Range<u64>> {
        let Range { start, end } = self.part.start..self.part.end;
        let run =
            |[from, to]: &[u64; 2]| start + from * PAGE_BYTES..(start + to * PAGE_BYTES).min(end);
        if self.page_ranges.is_empty() {
            return std::iter::once(start..end).collect();
        }
        self.page_ranges.iter().map(run).collect()
    }
}

impl PartsFound {
    pub(super) fn is_empty(&self) -> bool {
        self.parts_added.is_empty()
            && self.parts_removed.is_empty()
            && self.parts_changed.is_empty()
    }

    /// For people.
    pub(super) fn lines(&self) -> [(char, Vec<String>); 3] {
        let changed = |changed: &PartChanged| {
            let mut line = changed.part.line();
            for change in &changed.changes {
                line.push_str(&format!("; {change}"));
            }
            if changed.pages_changed > 0 {
                line.push_str(&format!("; {} pages differ", changed.pages_changed));
            }
            line
        };
        [
            ('+', self.parts_added.iter().map(PartNamed::line).collect()),
            ('-', self.parts_removed.iter().map(PartNamed::line).collect()),
            ('~', self.parts_changed.iter().map(changed).collect()),
        ]
    }
}

impl PartNamed {
    fn of(side: &Side<'_>, place: Place, part: &Part) -> Self {
        let run = side.parts.run(place).unwrap_or(0..0);
        Self {
            name: String::from_utf8_lossy(&part.name).into_owned(),
            kind: part.kind.name(),
            address: part.address,
            length: part.length,
            start: run.start,
            end: run.end,
        }
    }

    fn line(&self) -> String {
        let name = if self.name.is_empty() { self.kind } else { &self.name };
        match self.address {
            Some(address) => {
                format!("{address:#x} {name}, {} pages", self.length.div_ceil(PAGE_BYTES))
            }
            None => format!("{name}, {} bytes", self.length),
        }
    }
}

/// By what a part of one side is found on the other.
type Key = (PartKind, Vec<u8>, u64, u64);

fn keyed<'a>(side: &'a Side<'_>, one_process: bool) -> BTreeMap<Key, (Place, &'a Part)> {
    let mut found = BTreeMap::new();
    let mut in_order: Vec<(Place, &Part)> = side.parts.iter().collect();
    in_order.sort_by_key(|(_, part)| part.address);
    for (place, part) in in_order {
        let offset = part.link.as_ref().map_or(0, |link| link.offset);
        let mut key = match part.address {
            Some(address) if one_process => (part.kind, part.name.to_vec(), address, 0),
            _ => (part.kind, part.name.to_vec(), offset, 0),
        };
        // The n-th of those that look alike answers to the n-th.
        while found.contains_key(&key) {
            key.3 += 1;
        }
        found.insert(key, (place, part));
    }
    found
}

/// Compares all parts.
pub(super) fn compare(sides: &[Side<'_>; 2]) -> Result<PartsFound, Error> {
    let [a, b] = sides;
    let identity = |side: &Side<'_>| (side.file.brick.meta().pid, side.file.brick.meta().identity);
    let is_process = a.file.brick.meta().kind == Kind::Process;
    let one_process = is_process && identity(a) == identity(b);
    let (of_a, of_b) = (keyed(a, one_process), keyed(b, one_process));
    let mut found = PartsFound::default();
    for (key, (place, part)) in &of_a {
        if !of_b.contains_key(key) {
            found.parts_removed.push(PartNamed::of(a, *place, part));
        }
    }
    for (key, (place, part)) in &of_b {
        let Some((before_place, before)) = of_a.get(key) else {
            found.parts_added.push(PartNamed::of(b, *place, part));
            continue;
        };
        let changes = attributes(before, part, one_process);
        let pages = pages(sides, (*before_place, before), (*place, part))?;
        if !changes.is_empty() || !pages.is_empty() {
            found.parts_changed.push(PartChanged {
                part: PartNamed::of(b, *place, part),
                changes,
                pages_changed: pages.iter().map(|[from, to]| to - from).sum(),
                page_ranges: pages,
            });
        }
    }
    Ok(found)
}

fn attributes(a: &Part, b: &Part, one_process: bool) -> Vec<String> {
    let mut changes = Vec::new();
    if a.length != b.length {
        changes.push(format!("length: {} -> {}", a.length, b.length));
    }
    let is_entry = b.address.is_none();
    for (code, name) in Attribute::NAMES {
        let attribute = Attribute(*code);
        let number = |part: &Part| part.numbers.get(&attribute).copied();
        // Two processes have other inodes and threads by nature; pages are compared one by one.
        let by_nature = [Attribute::RESIDENT, Attribute::SWAPPED].contains(&attribute)
            || (!one_process && !is_entry && attribute == Attribute::TID);
        if !by_nature && number(a) != number(b) {
            let shown = |n: Option<u64>| n.map_or("none".to_owned(), |n| value(attribute, n));
            changes.push(format!("{name}: {} -> {}", shown(number(a)), shown(number(b))));
        }
        let text = |part: &Part| {
            part.texts.get(&attribute).map(|text| String::from_utf8_lossy(text).into_owned())
        };
        if text(a) != text(b) {
            let shown = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
            changes.push(format!("{name}: {} -> {}", shown(text(a)), shown(text(b))));
        }
    }
    if is_entry && changes.is_empty() && a.top != b.top {
        changes.push("content".to_owned());
    }
    changes
}

fn value(attribute: Attribute, number: u64) -> String {
    match attribute {
        Attribute::PERMISSIONS => permission_text(number),
        Attribute::MODE => format!("{number:04o}"),
        _ => number.to_string(),
    }
}

/// Runs of pages whose state or cell differs, among those that both have.
fn pages(
    sides: &[Side<'_>; 2],
    a: (Place, &Part),
    b: (Place, &Part),
) -> Result<Vec<[u64; 2]>, Error> {
    let mut found: Vec<[u64; 2]> = Vec::new();
    let mut add = |from: u64, to: u64| match found.last_mut() {
        Some(last) if last[1] == from => last[1] = to,
        _ => found.push([from, to]),
    };
    for (range, states) in alike(a.1, b.1) {
        let mark = page::SAMPLED;
        if states[0] & !mark != states[1] & !mark {
            add(range.start, range.end);
            continue;
        }
        if states[0] & states[1] & mark == 0 {
            continue;
        }
        let mut at = range.start;
        while at < range.end {
            let batch = at..range.end.min(at + BATCH);
            let cells = [cells(&sides[0], a.0, &batch)?, cells(&sides[1], b.0, &batch)?];
            for (i, _) in
                batch.clone().zip(cells[0].iter().zip(&cells[1])).filter(|(_, (l, r))| l != r)
            {
                add(i, i + 1);
            }
            at = batch.end;
        }
    }
    Ok(found)
}

/// Ranges of pages in which both sides have one state each; those absent on both are left out.
fn alike(a: &Part, b: &Part) -> Vec<(Range<u64>, [u8; 2])> {
    let mut found = Vec::new();
    let (mut left, mut right) = (a.pages.iter(), b.pages.iter());
    let (mut l, mut r) = (left.next().copied(), right.next().copied());
    let mut at = 0;
    while let (Some(x), Some(y)) = (&mut l, &mut r) {
        let n = x.count.min(y.count);
        if x.state | y.state != 0 {
            found.push((at..at + n, [x.state, y.state]));
        }
        at += n;
        x.count -= n;
        y.count -= n;
        if x.count == 0 {
            l = left.next().copied();
        }
        if y.count == 0 {
            r = right.next().copied();
        }
    }
    found
}

/// The cells of some pages of a part.
fn cells(
    side: &Side<'_>,
    place: Place,
    pages: &Range<u64>,
) -> Result<Vec<foundry_brick::cells::Cell>, Error> {
    let level = LEAF_LEVEL + u32::from(PAGE_ORDER.saturating_sub(side.parts.leaf_order()));
    let first = side.parts.run(place).map_or(0, |run| run.start / PAGE_BYTES);
    let mut cells = Vec::new();
    side.file.brick.cells(level, first + pages.start..first + pages.end, &mut cells)?;
    Ok(cells)
}
