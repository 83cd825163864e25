//! An artifact's picture in a terminal: its highest levels along the Hilbert curve.
//!
//! Knows: cells, the curve, escape codes. Must never know: where the brick lies.
//! Keeps: at most [`SIDE`] columns and half as many lines.

use foundry_brick::cells::Cell;
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, curve};

/// Cells along one side.
pub(super) const SIDE: usize = 32;

/// Order of a plane whose first quadrant has [`SIDE`] cells a side. Orders are even, so that a cell
/// of the picture keeps its place when the artifact grows.
const ORDER: u32 = 6;

/// The upper half of a character cell, drawn in the foreground colour.
const UPPER_HALF: char = '\u{2580}';

type Colour = [u8; 3];

/// Lines of coloured half blocks; none for an empty artifact or one whose index cannot be read.
pub(super) fn render<S: Storage>(brick: &Brick<S>) -> Vec<String> {
    let Some(cells) = cells(brick) else { return Vec::new() };
    let mut grid = vec![None; SIDE * SIDE];
    for (i, cell) in cells.iter().enumerate() {
        let (x, y) = curve::d2xy(ORDER, i as u64);
        if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
            && let Some(place) = grid.get_mut(y * SIDE + x)
        {
            *place = Some(colour(cell));
        }
    }
    grid.chunks(2 * SIDE)
        .map(|rows| {
            let (upper, lower) = rows.split_at(SIDE);
            upper.iter().zip(lower).map(|(a, b)| pair(*a, *b)).collect::<String>() + "\u{1b}[0m"
        })
        .collect()
}

/// The cells of the lowest level that has at most as many as the picture, spread over it.
fn cells<S: Storage>(brick: &Brick<S>) -> Option<Vec<Cell>> {
    const FITS: u64 = (SIDE * SIDE) as u64;
    let level = brick.levels().into_iter().find(|l| l.cells <= FITS)?;
    let mut cells = Vec::new();
    brick.cells(level.level, 0..level.cells, &mut cells).ok()?;
    // A level with fewer cells than a quarter of the picture is drawn with larger cells.
    let mut scale = 1;
    while cells.len() * scale * 4 <= SIDE * SIDE {
        scale *= 4;
    }
    Some(cells.into_iter().flat_map(|c| std::iter::repeat_n(c, scale)).collect())
}

/// Zeros are night blue, text is green, high bytes are red, and what looks random is bright.
fn colour(cell: &Cell) -> Colour {
    let [entropy, zero, text, high] = cell.map(u32::from);
    let rest = 255_u32.saturating_sub(zero).saturating_sub(text).saturating_sub(high);
    let bright = 90 + entropy * 165 / 255;
    let mix = |per_kind: [u32; 4]| {
        let sum = zero * per_kind[0] + text * per_kind[1] + high * per_kind[2] + rest * per_kind[3];
        // Zeros have no entropy and keep their own dark colour.
        let shade = (bright * (255 - zero) + 255 * zero) / 255;
        u8::try_from((sum / 255 * shade / 255).min(255)).unwrap_or(u8::MAX)
    };
    [mix([12, 90, 250, 110]), mix([16, 220, 110, 150]), mix([48, 120, 70, 255])]
}

fn pair(upper: Option<Colour>, lower: Option<Colour>) -> String {
    let foreground = |[r, g, b]: Colour| format!("\u{1b}[38;2;{r};{g};{b}m");
    let background = |[r, g, b]: Colour| format!("\u{1b}[48;2;{r};{g};{b}m");
    match (upper, lower) {
        (None, None) => "\u{1b}[0m ".to_owned(),
        (Some(a), None) => format!("\u{1b}[0m{}{UPPER_HALF}", foreground(a)),
        (None, Some(b)) => format!("\u{1b}[0m{}\u{2584}", foreground(b)),
        (Some(a), Some(b)) => format!("{}{}{UPPER_HALF}", foreground(a), background(b)),
    }
}
