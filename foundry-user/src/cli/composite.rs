//! The picture of what is made of parts: what is there, what is mapped and not in memory, and the ground.
//!
//! Knows: parts, the states of pages, colours. Must never know: how parts were found, files.
//! Keeps: a place of no part is transparent, so that the shapes of plots are seen; what a part shows has
//! the colours that it would have as a file, and what it has nothing to show of has those of its kind.

use foundry_brick::cells::Cell;
use foundry_brick::export::Palette;
use foundry_brick::geometry::LEAF_BYTES;
use foundry_brick::parts::{Part, PartKind, Parts, page};
use std::ops::Range;

type Colour = [u8; 4];

/// Where no part lies.
const GROUND: Colour = [0, 0, 0, 0];

/// What is mapped and not in memory, by kind: dark, so that what is in memory stands out.
const ABSENT: [(PartKind, Colour); 7] = [
    (PartKind::ANONYMOUS, [34, 38, 48, 255]),
    (PartKind::MAPPED_FILE, [18, 42, 66, 255]),
    (PartKind::HEAP, [14, 56, 46, 255]),
    (PartKind::STACK, [52, 34, 64, 255]),
    (PartKind::KERNEL, [66, 34, 24, 255]),
    (PartKind::NAMED, [50, 46, 22, 255]),
    (PartKind::RESERVED, [92, 100, 116, 255]),
];

/// The states of a page, each over those before it where one pixel stands for several.
const STATES: [Colour; 8] = [
    [29, 37, 52, 255],    // mapped, not in memory
    [86, 180, 233, 255],  // of a file
    [138, 148, 166, 255], // zeros
    [47, 191, 143, 255],  // anonymous
    [230, 159, 0, 255],   // of a file, dirty
    [240, 228, 66, 255],  // anonymous, dirty
    [213, 94, 0, 255],    // huge
    [204, 121, 167, 255], // swapped
];

/// Which of [`STATES`] a page is in.
fn rank(state: u8) -> usize {
    let has = |bit| state & bit != 0;
    if has(page::SWAPPED) {
        7
    } else if has(page::ZERO) {
        2
    } else if !has(page::RESIDENT) {
        0
    } else if has(page::FILE) {
        if has(page::DIRTY) { 4 } else { 1 }
    } else if has(page::HUGE) {
        6
    } else if has(page::DIRTY) {
        5
    } else {
        3
    }
}

/// A pixel of a composite before its palette.
#[derive(Clone, Copy, Default)]
struct Pixel {
    /// The kind of the part that lies there, and the highest state of its pages.
    part: Option<(PartKind, usize)>,
    /// Something of it can be seen.
    shown: bool,
}

/// One colour for each of the cells of a `level` of this brick's content.
pub(super) fn colours(parts: &Parts, level: u32, cells: &[Cell], palette: Palette) -> Vec<Colour> {
    let pixels = pixels(parts, level, cells.len());
    let colour = |(pixel, cell): (&Pixel, &Cell)| match pixel.part {
        None => GROUND,
        Some((PartKind::RESERVED, _)) => absent(PartKind::RESERVED),
        Some((_, rank)) if palette == Palette::Pages => STATES[rank],
        Some((kind, _)) if !pixel.shown => absent(kind),
        Some(_) => palette.of_cell(*cell),
    };
    pixels.iter().zip(cells).map(colour).collect()
}

/// Whether a part lies at each of the first `count` cells of a level.
pub(super) fn taken(parts: &Parts, level: u32, count: usize) -> Vec<bool> {
    pixels(parts, level, count).iter().map(|pixel| pixel.part.is_some()).collect()
}

fn pixels(parts: &Parts, level: u32, count: usize) -> Vec<Pixel> {
    let mut pixels = vec![Pixel::default(); count];
    for (place, part) in parts.iter() {
        let Some(run) = parts.run(place) else { continue };
        paint(&mut pixels, parts.content_range(run), level, part);
    }
    pixels
}

fn absent(kind: PartKind) -> Colour {
    ABSENT.iter().find(|(known, _)| *known == kind).map_or(ABSENT[0].1, |(_, colour)| *colour)
}

fn paint(pixels: &mut [Pixel], content: Range<u64>, level: u32, part: &Part) {
    let mut mark = |content: Range<u64>, rank: usize, shown: bool| {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(pixels.len());
        let end = content.end.div_ceil(1 << (2 * level));
        let range = index(content.start >> (2 * level))..index(end);
        for pixel in pixels.get_mut(range).into_iter().flatten() {
            let before = pixel.part.filter(|(_, known)| rank <= *known);
            pixel.part = before.or(Some((part.kind, rank)));
            pixel.shown |= shown;
        }
    };
    if part.pages.is_empty() {
        // An entry of a directory shows what it has; of memory without states nothing is known.
        mark(content, 0, !ABSENT.iter().any(|(kind, _)| *kind == part.kind));
        return;
    }
    let mut at = content.start;
    for run in &part.pages {
        let end = at.saturating_add(run.count.saturating_mul(LEAF_BYTES as u64)).min(content.end);
        mark(at..end, rank(run.state), run.state & page::SAMPLED != 0);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundry_brick::geometry::LEAF_LEVEL;
    use foundry_brick::parts::{PAGE_BYTES, PAGE_ORDER, PageRun};

    const TEXT: Cell = [100, 0, 255, 0];

    /// A heap of three pages, one of them in memory and one in swap, on a plot of four.
    fn heap() -> Parts {
        let mut parts = Parts::new(PAGE_ORDER);
        let seen = PageRun { count: 1, state: page::RESIDENT | page::SAMPLED | page::DIRTY };
        let gone = PageRun { count: 1, state: 0 };
        let swapped = PageRun { count: 1, state: page::SWAPPED };
        let pages = vec![seen, gone, swapped];
        let part = Part { length: 3 * PAGE_BYTES, kind: PartKind::HEAP, pages, ..Part::default() };
        parts.add(part).unwrap();
        parts
    }

    #[test]
    fn what_is_there_what_is_not_and_the_ground_differ() {
        let parts = heap();
        let cells = [TEXT, [0, 255, 0, 0], [0, 255, 0, 0], [0, 255, 0, 0]];
        let seen = colours(&parts, LEAF_LEVEL, &cells, Palette::ByteClass);
        let heap = absent(PartKind::HEAP);
        assert_eq!(seen, [Palette::ByteClass.of_cell(TEXT), heap, heap, GROUND]);
        let states = colours(&parts, LEAF_LEVEL, &cells, Palette::Pages);
        assert_eq!(states, [STATES[5], STATES[0], STATES[7], GROUND]);
    }

    #[test]
    fn from_afar_the_highest_state_and_what_is_shown_win() {
        let parts = heap();
        assert_eq!(colours(&parts, LEAF_LEVEL + 1, &[TEXT], Palette::Pages), [STATES[7]]);
        let seen = colours(&parts, LEAF_LEVEL + 1, &[TEXT], Palette::ByteClass);
        assert_eq!(seen, [Palette::ByteClass.of_cell(TEXT)]);
    }

    #[test]
    fn entries_of_directories_show_what_they_have() {
        let mut parts = Parts::new(PAGE_ORDER);
        let part = Part { length: PAGE_BYTES, kind: PartKind::FILE, ..Part::default() };
        parts.add(part).unwrap();
        let seen = colours(&parts, LEAF_LEVEL, &[TEXT, TEXT], Palette::Entropy);
        assert_eq!(seen, [Palette::Entropy.of_cell(TEXT), GROUND]);
    }
}
