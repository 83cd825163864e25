//! What differs, drawn where it lies.
//!
//! Knows: ranges of content, colours. Must never know: how differences were found.
//! Keeps: unchanged places keep their picture in grey; the four colours differ in lightness too.

use super::Found;
use crate::cli::brick_file::BrickFile;
use crate::cli::composite;
use crate::error::CommandError;
use foundry_brick::export::{Palette, Picture, picture_level, png};
use foundry_brick::geometry::{LEAF_LEVEL, cells};
use std::ops::Range;

/// Binary logarithm of the longest side in pixels.
const SIDE: u32 = 10;

type Colour = [u8; 4];

const CHANGED: Colour = [240, 228, 66, 255];
const ADDED: Colour = [0, 158, 115, 255];
const REMOVED: Colour = [213, 94, 0, 255];
/// Where no part lies on either side.
const GROUND: Colour = [0, 0, 0, 0];

/// The picture as a PNG.
pub(super) fn draw(a: &BrickFile, b: &BrickFile, found: &Found) -> Result<Vec<u8>, CommandError> {
    let corrupt = |e| CommandError::brick(&b.path, e);
    let size = a.brick.meta().size.max(b.brick.meta().size);
    let level = picture_level(size, SIDE).max(LEAF_LEVEL);
    let mut known = Vec::new();
    b.brick.cells(level, 0..cells(size, level), &mut known).map_err(corrupt)?;
    let grey = |[entropy, zero, ..]: &[u8; 4]| {
        let light = 24 + entropy / 3 + (255 - zero) / 8;
        [light, light, light, 255]
    };
    let mut colours: Vec<Colour> = known.iter().map(grey).collect();
    colours.resize(usize::try_from(cells(size, level)).unwrap_or(0), [24, 24, 24, 255]);
    for span in &found.ranges {
        paint(&mut colours, level, span.start..span.end, CHANGED);
    }
    if let (Some(of_a), Some(of_b)) =
        (a.brick.parts().map_err(corrupt)?, b.brick.parts().map_err(corrupt)?)
    {
        let count = colours.len();
        let taken = [&of_a, &of_b].map(|parts| composite::taken(parts, level, count));
        for (nth, colour) in colours.iter_mut().enumerate() {
            if taken.iter().all(|side| !side[nth]) {
                *colour = GROUND;
            }
        }
        let mut paint = |range: Range<u64>, colour| paint(&mut colours, level, range, colour);
        for part in &found.parts.parts_removed {
            paint(of_a.content_range(part.start..part.end), REMOVED);
        }
        for part in &found.parts.parts_added {
            paint(of_b.content_range(part.start..part.end), ADDED);
        }
        for run in found.parts.parts_changed.iter().flat_map(super::parts::PartChanged::runs) {
            paint(of_b.content_range(run), CHANGED);
        }
    }
    png(Picture::Colours(&colours), Palette::Entropy).map_err(corrupt)
}

/// Gives a range of the content a colour.
fn paint(colours: &mut [Colour], level: u32, range: Range<u64>, colour: Colour) {
    let shift = 2 * level;
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(colours.len());
    let range = index(range.start >> shift)..index(range.end.div_ceil(1 << shift));
    if let Some(pixels) = colours.get_mut(range) {
        pixels.fill(colour);
    }
}
