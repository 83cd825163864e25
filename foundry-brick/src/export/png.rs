//! A picture of an artifact for people: its bytes or its cells along the curve, through a palette.

use super::palette::Palette;
use super::{MAX_ORDER, TOO_LARGE};
use crate::cells::{self, Cell};
use crate::curve;
use crate::error::Error;
use crate::geometry::{self, LEAF_BYTES, LEAF_LEVEL};

/// What is drawn: one pixel for each.
#[derive(Clone, Copy, Debug)]
pub enum Picture<'a> {
    /// The artifact's bytes (level 0).
    Bytes(&'a [u8]),
    /// The cells of one level.
    Cells(&'a [Cell]),
    /// Colours along the curve, chosen elsewhere: no palette is asked.
    Colours(&'a [[u8; 4]]),
}

/// The level at which an artifact of `size` bytes is a picture of at most 2^`order` pixels a side:
/// 0 for its bytes, else a stored level (levels 1 and 2 are not stored).
#[must_use]
pub fn picture_level(size: u64, order: u32) -> u32 {
    let fits = |level: &u32| geometry::cells(size, *level) <= 1 << (2 * order.min(31));
    if fits(&0) { 0 } else { (LEAF_LEVEL..=32).find(fits).unwrap_or(32) }
}

/// Draws `picture` through `palette` and encodes it. The picture is cut to the places in use;
/// places past the end are transparent.
///
/// # Errors
/// Where it is too large, or the palette needs bytes and only cells are given.
pub fn png(picture: Picture<'_>, palette: Palette) -> Result<Vec<u8>, Error> {
    if palette == Palette::Pages && !matches!(picture, Picture::Colours(_)) {
        return Err(Error::Usage(
            "the pages palette draws the memory of processes, and this is none: ask for another",
        ));
    }
    let colours: Vec<[u8; 4]> = match picture {
        Picture::Cells(cells) => {
            if palette == Palette::Magnitude {
                return Err(Error::Usage(
                    "the magnitude palette draws bytes, and this picture is made of cells: \
                     ask for a smaller part or another palette",
                ));
            }
            cells.iter().map(|cell| palette.of_cell(*cell)).collect()
        }
        Picture::Colours(colours) => colours.to_vec(),
        Picture::Bytes(bytes) if palette.needs_leaves() => {
            let mut leaves = Vec::with_capacity(bytes.len().div_ceil(LEAF_BYTES));
            cells::leaves(bytes, &mut leaves);
            (0..bytes.len()).map(|i| palette.of_cell(leaves[i / LEAF_BYTES])).collect()
        }
        Picture::Bytes(bytes) => bytes.iter().map(|byte| palette.of_byte(*byte)).collect(),
    };
    if 1 << (2 * MAX_ORDER) < colours.len() {
        return Err(TOO_LARGE);
    }
    draw(&colours)
}

fn draw(colours: &[[u8; 4]]) -> Result<Vec<u8>, Error> {
    let fits = |order: &u32| colours.len() <= 1 << (2 * order);
    let order = (0..=MAX_ORDER).step_by(2).find(fits).unwrap_or(MAX_ORDER);
    let (width, height) = extent(order, colours.len() as u64);
    let mut raster = vec![0; 4 * width as usize * height as usize];
    for (d, colour) in (0..).zip(colours) {
        let (x, y) = curve::d2xy(order, d);
        let at = 4 * (y as usize * width as usize + x as usize);
        raster[at..at + 4].copy_from_slice(colour);
    }
    encode(width, height, &raster, &[])
}

/// Width and height of the places of the first `n` indices.
fn extent(order: u32, n: u64) -> (u32, u32) {
    let (mut width, mut height) = (1, 1);
    let (mut d, mut block) = (0, order);
    // Whole aligned blocks first: each is a square, so its corner and its side say it all.
    while d < n {
        while n - d < 1 << (2 * block) || d & ((1 << (2 * block)) - 1) != 0 {
            block -= 1;
        }
        let (x, y) = curve::d2xy(order, d);
        let side = 1_u32 << block;
        width = width.max((x & !(side - 1)) + side);
        height = height.max((y & !(side - 1)) + side);
        d += 1 << (2 * block);
        block = order;
    }
    (width, height)
}

/// Encodes RGBA pixels, with text chunks.
pub(super) fn encode(
    width: u32,
    height: u32,
    raster: &[u8],
    texts: &[(&str, String)],
) -> Result<Vec<u8>, Error> {
    let fail = |err: png::EncodingError| Error::Png(err.to_string());
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    for (keyword, text) in texts {
        encoder.add_text_chunk((*keyword).to_owned(), text.clone()).map_err(fail)?;
    }
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(raster).map_err(fail)?;
    writer.finish().map_err(fail)?;
    Ok(out)
}
