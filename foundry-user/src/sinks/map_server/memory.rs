//! Processes on the map: what their pages are, where the same bytes lie in a file, and who maps a file.
//!
//! A process's brick holds 64 bytes for each page of its plane, and that is its scale on the map: a page
//! is a square of 8 by 8 cells, and the brick's levels are the map's.
//!
//! Knows: parts, bricks of processes, the fields of API.md. Must never know: HTTP, the layout.
//! Keeps: nothing of what is in a page leaves but its state; every place is inside its part.

use super::bricks::{BrickError, Bricks, ReadFile};
use super::classes;
use super::views::text;
use crate::process::Target;
use foundry_brick::parts::{Attribute, PAGE_BYTES, PAGE_SHIFT, Part, Parts, page};
use foundry_brick::{Brick, FactValue, Facts, Kind, Meta};
use serde::Serialize;
use std::ops::Range;

/// Binary logarithm of the bytes of the plane that one cell of the map stands for.
const SCALE: u32 = PAGE_SHIFT - 6;
/// Class of the plane between parts.
const BETWEEN: u8 = classes::RESERVED;

/// Bit of a page's state on the map: that it is one. How its statistics came about is not shown.
const IS_PAGE: u8 = page::SAMPLED;

/// Ends and values of stretches.
type Stretches = Vec<(u64, u8)>;

/// Cells of the map that a run of the plane takes.
pub(super) const fn cells(plane: &Range<u64>) -> (u64, u64) {
    (plane.start >> SCALE, plane.end.div_ceil(1 << SCALE))
}

fn push(out: &mut Stretches, end: u64, value: u8) {
    match out.last_mut() {
        Some(last) if last.1 == value => last.0 = end,
        _ => out.push((end, value)),
    }
}

/// What each stretch of a process is, and in which state its pages are.
pub(super) fn stretches(parts: &Parts) -> (Stretches, Stretches) {
    let (mut kinds, mut pages) = (vec![], vec![]);
    for (run, part) in along(parts) {
        let (start, end) = cells(&run);
        if kinds.last().map_or(0, |last: &(u64, u8)| last.0) < start {
            push(&mut kinds, start, BETWEEN);
            push(&mut pages, start, 0);
        }
        push(&mut kinds, end, classes::of_part(part));
        let mut at = start;
        for state in &part.pages {
            at = end.min(at.saturating_add(state.count.saturating_mul(PAGE_BYTES >> SCALE)));
            push(&mut pages, at, IS_PAGE | (state.state & !page::SAMPLED));
        }
        if at < end {
            push(&mut pages, end, IS_PAGE);
        }
    }
    (kinds, pages)
}

/// Parts in the order of the plane.
fn along(parts: &Parts) -> Vec<(Range<u64>, &Part)> {
    let run = |(place, part)| Some((parts.run(place)?, part));
    let mut all: Vec<(Range<u64>, &Part)> = parts.iter().filter_map(run).collect();
    all.sort_by_key(|(run, _)| run.start);
    all
}

/// What a process is called: its program, its number, and whether it has ended.
pub(super) fn label(facts: &Facts, pid: Option<u32>) -> Option<String> {
    let ended = matches!(facts.get("ended"), Some(FactValue::Flag(true)));
    named(facts, pid, ended)
}

/// As [`label`], of a process that has ended without its brick being told.
pub(super) fn label_of_the_dead(brick: &Brick<ReadFile>) -> Option<String> {
    named(&brick.facts().ok()?, brick.meta().pid, true)
}

fn named(facts: &Facts, pid: Option<u32>, ended: bool) -> Option<String> {
    let Some(FactValue::Text(comm)) = facts.get("comm") else { return None };
    let ended = if ended { ", ended" } else { "" };
    Some(format!("{comm} ({}{ended})", pid.unwrap_or(0)))
}

/// Whether a brick is of a process that lives no more: nobody has its number, or somebody who began at
/// another time.
pub(super) fn is_over(meta: &Meta) -> bool {
    let Some(pid) = meta.pid.filter(|_| meta.kind == Kind::Process) else { return false };
    Target::open(pid).map_or(true, |target| target.started() != meta.identity.ino)
}

/// The state of the page that holds byte `into` of a part, in words.
fn state_at(part: &Part, into: u64) -> Vec<&'static str> {
    let mut before = 0;
    let state = part.pages.iter().find_map(|run| {
        before += run.count;
        (into >> PAGE_SHIFT < before).then_some(run.state)
    });
    let bits = state.unwrap_or(0);
    let named = page::NAMES.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    named.map(|(_, name)| *name).collect()
}

/// The same byte in a file.
#[derive(Debug, Serialize)]
struct InFile {
    path: String,
    offset: u64,
}

/// One page of a process.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    mapping: String,
    kind: &'static str,
    permissions: String,
    /// Of the page's first byte.
    address: Option<u64>,
    state: Vec<&'static str>,
    file: Option<InFile>,
}

/// The page at a cell of a process.
pub(super) fn page_at(bricks: &Bricks, path: &[u8], at: u64) -> Result<Option<Page>, BrickError> {
    let source = |source| BrickError::Brick { path: bricks.file(path), source };
    let Some(parts) = bricks.open(path, None)?.parts().map_err(source)? else { return Ok(None) };
    let plane = at << SCALE & !(PAGE_BYTES - 1);
    let Some((place, part)) = parts.at(plane) else { return Ok(None) };
    let Some(run) = parts.run(place) else { return Ok(None) };
    let into = plane - run.start;
    let permissions = part.numbers.get(&Attribute::PERMISSIONS).copied().unwrap_or(0);
    let letter = |bit, yes, no| if permissions & bit != 0 { yes } else { no };
    Ok(Some(Page {
        mapping: text(&part.name),
        kind: part.kind.name(),
        permissions: [
            letter(page::READ, 'r', '-'),
            letter(page::WRITE, 'w', '-'),
            letter(page::EXECUTE, 'x', '-'),
            letter(page::SHARED, 's', 'p'),
        ]
        .iter()
        .collect(),
        address: part.address.map(|address| address.saturating_add(into)),
        state: state_at(part, into),
        file: part.link.as_ref().map(|link| InFile {
            path: text(&link.path),
            offset: link.offset.saturating_add(into),
        }),
    }))
}

/// A process that maps a byte of a file.
#[derive(Debug, Serialize)]
pub(super) struct Mapper {
    path: String,
    label: String,
    /// Where in the process, in cells.
    at: u64,
    address: Option<u64>,
    permissions: Vec<&'static str>,
    state: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Mappers {
    mappers: Vec<Mapper>,
}

/// Which of these processes map byte `at` of the file at `path`.
pub(super) fn mapped(bricks: &Bricks, processes: &[Vec<u8>], path: &[u8], at: u64) -> Mappers {
    let mut mappers = vec![];
    for process in processes {
        // One that cannot be read maps nothing that could be shown.
        let Ok(brick) = bricks.open(process, None) else { continue };
        let Ok(Some(parts)) = brick.parts() else { continue };
        let label = brick.facts().ok().and_then(|facts| label(&facts, brick.meta().pid));
        let holds = |part: &Part| {
            let link = part.link.as_ref().filter(|link| *link.path == *path)?;
            let into = at.checked_sub(link.offset)?;
            (into < part.length).then_some(into)
        };
        for (run, part) in along(&parts) {
            let Some(into) = holds(part) else { continue };
            let plane = run.start + into;
            let permissions = part.numbers.get(&Attribute::PERMISSIONS).copied().unwrap_or(0);
            let may = [(page::READ, "read"), (page::WRITE, "write"), (page::EXECUTE, "execute")];
            mappers.push(Mapper {
                path: text(process),
                label: label.clone().unwrap_or_else(|| text(process)),
                at: plane >> SCALE,
                address: part.address.map(|address| address.saturating_add(into)),
                permissions: may
                    .iter()
                    .filter(|(bit, _)| permissions & bit != 0)
                    .map(|(_, name)| *name)
                    .collect(),
                state: state_at(part, into),
            });
        }
    }
    Mappers { mappers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundry_brick::parts::{PAGE_ORDER, PageRun, PartKind};

    #[test]
    fn stretches_cover_the_plane_in_its_order_and_say_what_is_a_page() {
        let mut parts = Parts::new(PAGE_ORDER);
        let run = |count, state| PageRun { count, state };
        for (kind, pages) in [
            (PartKind::HEAP, vec![run(3, page::RESIDENT | page::DIRTY), run(2, page::SWAPPED)]),
            (PartKind::STACK, vec![run(1, page::RESIDENT | page::SAMPLED)]),
            (PartKind::ANONYMOUS, vec![]),
        ] {
            let length = PAGE_BYTES * pages.iter().map(|run| run.count).sum::<u64>().max(1);
            parts.add(Part { kind, length, pages, ..Part::default() }).unwrap();
        }
        let (kinds, pages) = stretches(&parts);
        for stretches in [&kinds, &pages] {
            assert!(stretches.windows(2).all(|pair| pair[0].0 < pair[1].0), "{stretches:?}");
        }
        let at = |stretches: &Stretches, cell: u64| {
            stretches.iter().find(|(end, _)| cell < *end).map_or(0, |(_, value)| *value)
        };
        for (plane, part) in along(&parts) {
            let (start, end) = cells(&plane);
            assert_eq!(at(&kinds, start), classes::of_part(part));
            let mut page_starts = (start..end).step_by(64);
            for state in &part.pages {
                for cell in page_starts.by_ref().take(usize::try_from(state.count).unwrap()) {
                    assert_eq!(at(&pages, cell + 63), IS_PAGE | (state.state & !page::SAMPLED));
                }
            }
            assert!(page_starts.all(|cell| at(&pages, cell) == IS_PAGE), "nothing known of them");
        }
        assert_eq!(at(&kinds, cells(&(0..parts.plots().end())).1), 0, "nothing beyond the plane");
    }
}
