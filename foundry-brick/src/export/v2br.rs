//! V2BR version 1: a 132-byte header and a square RGBA texture, one payload byte per pixel along
//! the curve, in all four of red, green, blue (alpha is opaque).
//!
//! Two things the format leaves open are decided here: the 48-byte hash field is the SHA-256 of
//! the payload and 16 zero bytes; and the order is even unless another is asked for, so that a byte lies
//! where Foundry's map has it.

use super::{MAX_ORDER, MAX_PAYLOAD, TOO_LARGE, sha256};
use crate::curve::{self, Raster};
use crate::error::Error;

/// Length of the header.
pub const V2BR_HEADER_LEN: usize = 132;
const MAGIC: [u8; 4] = *b"V2BR";
const VERSION: u32 = 1;
const EXECUTABLE: u32 = 1 << 2;
const ENCRYPTED: u32 = 1 << 3;
const UTF8_TEXT: u32 = 1 << 4;
/// Bits per byte from which content is called encrypted (by the format's own flag: of high entropy).
const HIGH_ENTROPY: f32 = 7.9;

/// A version 1 brick, read.
#[derive(Clone, Debug, PartialEq)]
pub struct V2br {
    /// Order of the curve: the texture is 2^order squared.
    pub order: u32,
    /// Entropy in bits per byte, as the header says.
    pub entropy: f32,
    /// The header's flags.
    pub flags: u32,
    /// The bytes.
    pub payload: Vec<u8>,
    /// Whether the hash field begins with the payload's SHA-256. No known reader checks it, and
    /// what other writers put there is not known, so a difference is not an error.
    pub hash_matches: bool,
}

/// Writes `payload` as a version 1 brick.
///
/// # Errors
/// Where it is larger than the format's readers can hold.
pub fn v2br_v1(payload: &[u8], executable: bool) -> Result<Vec<u8>, Error> {
    v2br_v1_at(payload, executable, None)
}

/// The same, with a texture of 2^`order` squared where one is asked for; larger where the payload does
/// not fit.
///
/// # Errors
/// As [`v2br_v1`].
pub fn v2br_v1_at(payload: &[u8], executable: bool, order: Option<u32>) -> Result<Vec<u8>, Error> {
    if MAX_PAYLOAD < payload.len() {
        return Err(TOO_LARGE);
    }
    let fits = |order: &u32| payload.len() <= 1 << (2 * order);
    let order = match order {
        None => (0..=MAX_ORDER).step_by(2).find(fits),
        Some(wanted) => (wanted..=MAX_ORDER).find(fits),
    };
    let order = order.unwrap_or(MAX_ORDER);
    let side = 1_u32 << order;
    let entropy = entropy(payload);
    let text = !payload.is_empty() && std::str::from_utf8(payload).is_ok();
    let flags = if executable { EXECUTABLE } else { 0 }
        | if HIGH_ENTROPY <= entropy { ENCRYPTED } else { 0 }
        | if text { UTF8_TEXT } else { 0 };
    let cells = 1_usize << (2 * order);
    let mut out = Vec::with_capacity(V2BR_HEADER_LEN + 4 * cells);
    out.extend_from_slice(&MAGIC);
    for n in [VERSION, side, side, order] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&entropy.to_le_bytes());
    out.extend_from_slice(&sha256(payload));
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&[0; 40]);
    let mut raster = Raster::new(cells)?;
    curve::unfold(order, 1, payload, &mut raster);
    out.extend(raster.iter().flat_map(|&byte| [byte, byte, byte, u8::MAX]));
    Ok(out)
}

/// Reads a version 1 brick. Bytes after the texture are ignored, as its other readers do.
///
/// # Errors
/// Where it is not one.
pub fn read_v2br_v1(bytes: &[u8]) -> Result<V2br, Error> {
    let bad = |what| Err(Error::Foreign { format: "V2BR version 1", what });
    let Some((header, texture)) = bytes.split_first_chunk::<V2BR_HEADER_LEN>() else {
        return bad("it is shorter than its header");
    };
    if header[..4] != MAGIC {
        return bad("it does not begin with V2BR");
    }
    if word(header, 4) != VERSION {
        return bad("its version is not 1");
    }
    let (width, height, order) = (word(header, 8), word(header, 12), word(header, 16));
    if MAX_ORDER + 1 < order || width != height || width != 1 << order {
        return bad("its texture is not a square of 2^order");
    }
    let cells = 1_usize << (2 * order);
    let size = u64::from(word(header, 20)) | u64::from(word(header, 24)) << 32;
    let (Some(texture), true) = (texture.get(..4 * cells), size <= cells as u64) else {
        return bad("it is shorter than its texture, or its payload longer");
    };
    let payload: Vec<u8> = (0..size)
        .map(|d| {
            let (x, y) = curve::d2xy(order, d);
            texture[4 * (y as usize * width as usize + x as usize)]
        })
        .collect();
    let entropy = f32::from_bits(word(header, 36));
    let hash_matches = header[40..72] == sha256(&payload);
    Ok(V2br { order, entropy, flags: word(header, 88), payload, hash_matches })
}

fn word(header: &[u8; V2BR_HEADER_LEN], at: usize) -> u32 {
    header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Shannon entropy in bits per byte.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
#[expect(clippy::cast_possible_truncation, reason = "the field is an f32")]
pub(super) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0_u64; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let total = bytes.len() as f64;
    let share = |count: &u64| *count as f64 / total;
    let sum: f64 =
        counts.iter().filter(|count| **count != 0).map(|c| share(c) * share(c).log2()).sum();
    if bytes.is_empty() { 0.0 } else { -sum as f32 }
}
