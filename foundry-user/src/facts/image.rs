//! Images: how large they are.
//!
//! Knows: the first fields of image formats. Must never know: pixels.
//! Keeps: a size that is not in sight is left out.

use super::content::Facts;
use crate::binary::Fact;
use crate::binary::source::Source;
use std::io;

/// Bytes of a JPEG in which the frame's header is looked for: profiles and thumbnails come before it.
const JPEG: u64 = 256 << 10;

/// Adds width and height.
pub(super) fn describe(source: &Source<'_>, format: &str, facts: &mut Facts) -> io::Result<()> {
    let head = source.window(0, if format == "jpeg" { JPEG } else { 64 })?;
    let le =
        |at: usize| Some(u64::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let le4 =
        |at: usize| Some(u64::from(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?)));
    let be4 =
        |at: usize| Some(u64::from(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?)));
    let size = match format {
        "png" => be4(16).zip(be4(20)),
        "gif" => le(6).zip(le(8)),
        "bmp" => le4(18).zip(le4(22)),
        "qoi" => be4(4).zip(be4(8)),
        "psd" => be4(18).zip(be4(14)),
        // A size of 256 does not fit its byte.
        "ico" => head.get(6).zip(head.get(7)).map(|(&w, &h)| (side(w), side(h))),
        "webp" => webp(&head),
        "jpeg" => jpeg(&head),
        _ => None,
    };
    if let Some((width, height)) = size.filter(|(w, h)| *w > 0 && *h > 0) {
        facts.insert("image.width".to_owned(), Fact::Number(width));
        facts.insert("image.height".to_owned(), Fact::Number(height));
    }
    Ok(())
}

fn side(byte: u8) -> u64 {
    if byte == 0 { 256 } else { u64::from(byte) }
}

/// The first start-of-frame segment.
fn jpeg(head: &[u8]) -> Option<(u64, u64)> {
    let be =
        |at: usize| Some(u64::from(u16::from_be_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let mut at = 2;
    loop {
        let (&mark, &kind) = (head.get(at)?, head.get(at + 1)?);
        if mark != 0xff {
            return None;
        }
        match kind {
            0xff => at += 1,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return be(at + 7).zip(be(at + 5));
            }
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => at += 2 + usize::try_from(be(at + 2)?).ok()?.max(2),
        }
    }
}

fn webp(head: &[u8]) -> Option<(u64, u64)> {
    let byte = |at: usize| head.get(at).map(|&b| u64::from(b));
    let three = |at| Some(byte(at)? | byte(at + 1)? << 8 | byte(at + 2)? << 16);
    match head.get(12..16)? {
        b"VP8X" => Some((three(24)? + 1, three(27)? + 1)),
        b"VP8 " => {
            Some(((byte(26)? | byte(27)? << 8) & 0x3fff, (byte(28)? | byte(29)? << 8) & 0x3fff))
        }
        b"VP8L" => {
            let bits = three(21)? | byte(24)? << 24;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}
