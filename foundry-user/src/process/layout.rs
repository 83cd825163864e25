//! Which plot each mapping lies on, given where everything lay before.
//!
//! Neighbouring mappings of one object (the segments of a library, the heap) form a run and share a
//! plot. An address that had a pixel keeps it as long as the same object is mapped there, through
//! every split and join; what an object gains beside it takes the room of its plot; what does not fit
//! goes to another plot, or, where the whole run has outgrown its plot, that run alone moves.
//!
//! Address space that is only reserved takes one page, whatever its size: programs reserve terabytes, and
//! what they use would be lost in it.
//!
//! Knows: mappings, parts. Must never know: pages' contents, `/proc`.
//! Keeps: the parts cover the mappings exactly, but for reserved ones; see the property test.

use super::maps::Mapping;
use foundry_brick::parts::{
    Attribute, Link, PAGE_BYTES, Part, PartKind, Parts, PartsError, Place, Text,
};
use foundry_brick::plots::{PlotId, Resized};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Nameless memory without permissions is taken for reserved from here on; less is a guard.
const RESERVED: u64 = 1 << 20;

/// What is mapped: mappings of one object stay together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Object {
    kind: PartKind,
    device: u64,
    inode: u64,
    /// Only where there is no inode: a file keeps its place when it is renamed or unlinked.
    name: Text,
}

impl Object {
    fn of(kind: PartKind, device: u64, inode: u64, name: &Text) -> Self {
        if inode == 0 {
            return Self { kind, device: 0, inode, name: name.clone() };
        }
        Self { kind, device, inode, name: Text::default() }
    }

    fn of_mapping(mapping: &Mapping) -> Self {
        Self::of(kind_of(mapping), device(mapping), mapping.inode, &mapping.name)
    }

    fn of_part(part: &Part) -> Self {
        let number = |attribute| part.numbers.get(&attribute).copied().unwrap_or(0);
        Self::of(part.kind, number(Attribute::DEVICE), number(Attribute::INODE), &part.name)
    }

    /// Stacks grow downward, and the kernel puts new memory below the old and joins the two.
    fn grows_down(&self) -> bool {
        matches!(self.kind, PartKind::STACK | PartKind::ANONYMOUS)
    }
}

fn device(mapping: &Mapping) -> u64 {
    u64::from(mapping.device.0) << 32 | u64::from(mapping.device.1)
}

/// What a mapping is, by its name and its file.
#[must_use]
pub fn kind_of(mapping: &Mapping) -> PartKind {
    let name = &*mapping.name;
    let begins = |starts: &[&[u8]]| starts.iter().any(|start| name.starts_with(start));
    match name {
        b"" if is_reserved(mapping) => PartKind::RESERVED,
        b"" if mapping.inode == 0 => PartKind::ANONYMOUS,
        b"[heap]" => PartKind::HEAP,
        _ if begins(&[b"[stack"]) => PartKind::STACK,
        _ if begins(&[b"[anon", b"/memfd:", b"/SYSV", b"/dev/zero", b"/dev/shm/"]) => {
            PartKind::NAMED
        }
        _ if begins(&[b"["]) => PartKind::KERNEL,
        _ if begins(&[b"/"]) => PartKind::MAPPED_FILE,
        _ => PartKind::NAMED,
    }
}

fn is_reserved(mapping: &Mapping) -> bool {
    let length = mapping.end.saturating_sub(mapping.start);
    mapping.inode == 0 && mapping.permissions == 0 && mapping.name.is_empty() && length >= RESERVED
}

/// The addresses that a mapping takes on the plane.
fn shown(mapping: &Mapping) -> Range<u64> {
    let end = if is_reserved(mapping) { mapping.start + PAGE_BYTES } else { mapping.end };
    mapping.start..end
}

/// A run of addresses on a plot.
#[derive(Clone, Debug)]
struct Segment {
    start: u64,
    end: u64,
    plot: PlotId,
    /// The address of the plot's first byte, had it one: signed, for room below address 0.
    anchor: i128,
}

/// Gives every mapping its place in `parts`, which are those of the capture before. What is said of
/// the parts' pages is forgotten. Returns the plots that moved.
///
/// # Errors
/// Where the mappings are larger than any plane.
pub fn lay_out(parts: &mut Parts, mappings: &[Mapping]) -> Result<Vec<PlotId>, PartsError> {
    let old = old_segments(parts);
    let runs = runs(mappings);
    let mut claims: BTreeMap<PlotId, usize> = BTreeMap::new();
    for (object, run) in &runs {
        let plots: BTreeSet<PlotId> = overlapping(&old, object, run).map(|s| s.plot).collect();
        for plot in plots {
            *claims.entry(plot).or_default() += 1;
        }
    }
    let (mut placed, mut moved) = (Vec::new(), Vec::new());
    let mut rest = mappings;
    for (object, run) in &runs {
        let known: Vec<Segment> = overlapping(&old, object, run).cloned().collect();
        let segments = assign(parts, object, run, known, &claims, &mut moved)?;
        let n = rest.iter().take_while(|mapping| shown(mapping).end <= run.end).count();
        let (of_run, after) = rest.split_at(n);
        rest = after;
        for mapping in of_run {
            let Range { start, end } = shown(mapping);
            let cut = segments.iter().filter(|s| s.start < end && start < s.end);
            placed.extend(cut.map(|segment| piece(mapping, segment)));
        }
    }
    parts.replace(placed)?;
    Ok(moved)
}

/// Where addresses lie now, by object and address.
fn old_segments(parts: &Parts) -> BTreeMap<Object, Vec<Segment>> {
    let mut old: BTreeMap<Object, Vec<Segment>> = BTreeMap::new();
    for (place, part) in parts.iter() {
        let Some(start) = part.address else { continue };
        let anchor = i128::from(start) - i128::from(place.offset);
        let end = start.saturating_add(part.length);
        let segment = Segment { start, end, plot: place.plot, anchor };
        old.entry(Object::of_part(part)).or_default().push(segment);
    }
    for segments in old.values_mut() {
        segments.sort_by_key(|segment| segment.start);
    }
    old
}

fn overlapping<'a>(
    old: &'a BTreeMap<Object, Vec<Segment>>,
    object: &Object,
    run: &'a Range<u64>,
) -> impl Iterator<Item = &'a Segment> {
    let segments = old.get(object).map_or(&[][..], Vec::as_slice);
    let first = segments.partition_point(|segment| segment.end <= run.start);
    segments[first..].iter().take_while(|segment| segment.start < run.end)
}

/// Neighbouring mappings of one object.
fn runs(mappings: &[Mapping]) -> Vec<(Object, Range<u64>)> {
    let mut runs: Vec<(Object, Range<u64>)> = Vec::new();
    for mapping in mappings {
        let object = Object::of_mapping(mapping);
        let Range { start, end } = shown(mapping);
        match runs.last_mut() {
            Some((last, run)) if *last == object && run.end == start => run.end = end,
            _ => runs.push((object, start..end)),
        }
    }
    runs
}

/// Cuts a run into segments, each on a plot.
fn assign(
    parts: &mut Parts,
    object: &Object,
    run: &Range<u64>,
    mut known: Vec<Segment>,
    claims: &BTreeMap<PlotId, usize>,
    moved: &mut Vec<PlotId>,
) -> Result<Vec<Segment>, PartsError> {
    for segment in &mut known {
        segment.start = segment.start.max(run.start);
        segment.end = segment.end.min(run.end);
    }
    // A run that has all of its only plot to itself and has outgrown it moves as a whole.
    let length = run.end - run.start;
    if let Some(Segment { plot, .. }) = known.first().cloned() {
        let alone = known.iter().all(|s| s.plot == plot) && claims.get(&plot) == Some(&1);
        if alone && parts.plot(plot).is_some_and(|p| p.capacity() < length) {
            if let Resized::Moved { .. } = parts.grow(plot, length)? {
                moved.push(plot);
            }
            return Ok(vec![whole(parts, object, run, plot)]);
        }
    }
    let mut segments = Vec::new();
    let mut at = run.start;
    for right in known {
        let end = right.end;
        fill(parts, object, at..right.start, Some(right), &mut segments)?;
        at = end;
    }
    fill(parts, object, at..run.end, None, &mut segments)?;
    Ok(segments)
}

/// Gives the addresses between the last of `segments` and `right` to their plots as far as these
/// reach, and the rest a plot of their own; then appends `right`.
fn fill(
    parts: &mut Parts,
    object: &Object,
    gap: Range<u64>,
    right: Option<Segment>,
    segments: &mut Vec<Segment>,
) -> Result<(), PartsError> {
    let Range { start: mut at, mut end } = gap;
    if let Some(left) = segments.last_mut() {
        let capacity = parts.plot(left.plot).map_or(0, |plot| plot.capacity());
        let reach = address(left.anchor + i128::from(capacity)).min(end);
        if at < reach {
            (left.end, at) = (reach, reach);
        }
    }
    let right = right.map(|right| {
        end = address(right.anchor).clamp(at, end);
        Segment { start: end, ..right }
    });
    if at < end {
        let plot = parts.open(end - at)?;
        segments.push(whole(parts, object, &(at..end), plot));
    }
    match (right, segments.last_mut()) {
        (Some(right), Some(last)) if last.plot == right.plot && last.end == right.start => {
            last.end = right.end;
        }
        (Some(right), _) => segments.push(right),
        (None, _) => {}
    }
    Ok(())
}

/// An address as far as it is one.
fn address(at: i128) -> u64 {
    u64::try_from(at.max(0)).unwrap_or(u64::MAX)
}

/// A plot for a whole run: room to grow is where it will grow.
fn whole(parts: &Parts, object: &Object, run: &Range<u64>, plot: PlotId) -> Segment {
    let capacity = parts.plot(plot).map_or(0, |plot| plot.capacity());
    let anchor = if object.grows_down() {
        i128::from(run.end) - i128::from(capacity)
    } else {
        i128::from(run.start)
    };
    Segment { start: run.start, end: run.end, plot, anchor }
}

/// The part of a mapping that lies on a segment.
fn piece(mapping: &Mapping, segment: &Segment) -> (Place, Part) {
    let start = mapping.start.max(segment.start);
    let end = shown(mapping).end.min(segment.end);
    let offset = address(i128::from(start) - segment.anchor);
    let kind = kind_of(mapping);
    let mut numbers = BTreeMap::from([(Attribute::PERMISSIONS, mapping.permissions)]);
    if mapping.inode != 0 {
        numbers.insert(Attribute::INODE, mapping.inode);
        numbers.insert(Attribute::DEVICE, device(mapping));
    }
    if kind == PartKind::RESERVED {
        numbers.insert(Attribute::SIZE, mapping.end - mapping.start);
    }
    let link = (kind == PartKind::MAPPED_FILE).then(|| Link {
        path: mapping.name.clone(),
        offset: mapping.offset.saturating_add(start - mapping.start),
    });
    let name = mapping.name.clone();
    let address = Some(start);
    let part = Part { length: end - start, name, kind, address, link, numbers, ..Part::default() };
    (Place { plot: segment.plot, offset }, part)
}

#[cfg(test)]
mod tests;
