//! Colours for bytes and cells, chosen so that people who do not tell red from green see the same.
//!
//! Classes use the colours of Okabe and Ito; ramps follow cividis, whose lightness grows evenly.

use crate::cells::{Cell, is_printable};

/// What a pixel's colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// Zero, printable text, other low bytes, high bytes, 0xff; cells mix them by their shares.
    ByteClass,
    /// The entropy of the 64 bytes around.
    Entropy,
    /// The value of the byte.
    Magnitude,
    /// A cell's channels as they are: red = entropy, green = printable, blue = high.
    Channels,
    /// Share of zero bytes.
    Zero,
    /// Share of printable text.
    Printable,
    /// Share of bytes above 127.
    High,
    /// The states of a process's pages: whoever draws them knows the colours.
    Pages,
}

const BLACK: [u8; 3] = [0, 0, 0];
const WHITE: [u8; 3] = [255, 255, 255];
const SKY_BLUE: [u8; 3] = [86, 180, 233];
const BLUISH_GREEN: [u8; 3] = [0, 158, 115];
const VERMILION: [u8; 3] = [213, 94, 0];

/// Anchors of the ramp, evenly spaced.
const RAMP: [[u8; 3]; 10] = [
    [0, 34, 78],
    [18, 53, 112],
    [59, 73, 108],
    [87, 93, 109],
    [112, 113, 115],
    [138, 134, 120],
    [165, 156, 116],
    [195, 179, 105],
    [225, 204, 85],
    [254, 232, 56],
];

impl Palette {
    /// The palette of that name, as the command line spells it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, palette)| *palette)
    }

    /// Every palette and its name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("byte-class", Self::ByteClass),
        ("entropy", Self::Entropy),
        ("magnitude", Self::Magnitude),
        ("channels", Self::Channels),
        ("zero", Self::Zero),
        ("printable", Self::Printable),
        ("high", Self::High),
        ("pages", Self::Pages),
    ];

    /// Whether a byte's colour is that of its leaf.
    pub(super) fn needs_leaves(self) -> bool {
        !matches!(self, Self::ByteClass | Self::Magnitude)
    }

    /// The colour of a byte by itself.
    pub(super) fn of_byte(self, byte: u8) -> [u8; 4] {
        opaque(match (self, byte) {
            (Self::Magnitude, _) => ramp(byte),
            (_, 0) => BLACK,
            (_, 0xff) => WHITE,
            (_, byte) if is_printable(byte) => SKY_BLUE,
            (_, 0x80..) => VERMILION,
            _ => BLUISH_GREEN,
        })
    }

    /// The colour of a cell.
    #[must_use]
    pub fn of_cell(self, [entropy, zero, printable, high]: Cell) -> [u8; 4] {
        opaque(match self {
            Self::ByteClass => mix(zero, printable, high),
            Self::Entropy | Self::Magnitude | Self::Pages => ramp(entropy),
            Self::Channels => [entropy, printable, high],
            Self::Zero => ramp(zero),
            Self::Printable => ramp(printable),
            Self::High => ramp(high),
        })
    }
}

fn opaque([red, green, blue]: [u8; 3]) -> [u8; 4] {
    [red, green, blue, u8::MAX]
}

/// The classes' colours by their shares.
fn mix(zero: u8, printable: u8, high: u8) -> [u8; 3] {
    let shares = [zero, printable, high].map(u32::from);
    // Means are rounded channel by channel, so three shares may add up to a little over 255.
    let other = 255_u32.saturating_sub(shares.iter().sum());
    let total = shares.iter().sum::<u32>() + other;
    let weighted =
        [(BLACK, shares[0]), (SKY_BLUE, shares[1]), (VERMILION, shares[2]), (BLUISH_GREEN, other)];
    std::array::from_fn(|i| {
        let sum: u32 = weighted.iter().map(|(colour, share)| u32::from(colour[i]) * share).sum();
        u8::try_from((sum + total / 2) / total).unwrap_or(u8::MAX)
    })
}

fn ramp(value: u8) -> [u8; 3] {
    let steps = RAMP.len() - 1;
    let place = usize::from(value) * steps;
    let (i, rest) = (place / 255, place % 255);
    let (a, b) = (RAMP[i], RAMP[(i + 1).min(steps)]);
    std::array::from_fn(|c| {
        let sum = usize::from(a[c]) * (255 - rest) + usize::from(b[c]) * rest;
        u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
    })
}
