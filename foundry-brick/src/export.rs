//! Other programs' formats: out and back.
//!
//! Knows: the formats of Geometry OS (V2BR version 1, PixelRTS version 2) and PNG.
//! Must never know: the container version 2, where bytes come from.
//! Keeps: what is written reads back to the same bytes; what is read is judged first: no panic, no
//! allocation beyond what the input's length justifies, nothing in it is ever executed.

mod blueprint;
mod palette;
mod png;
mod rts_png;
mod v2br;

pub use blueprint::Blueprint;
pub use palette::Palette;
pub use png::{Picture, picture_level, png};
pub use rts_png::{Rts, read_rts_png, rts_png};
pub use v2br::{V2BR_HEADER_LEN, V2br, read_v2br_v1, v2br_v1, v2br_v1_at};

use crate::error::Error;

/// The largest payload that is laid out as one picture: 4^14 bytes, beyond which the readers that
/// these formats were made for overflow.
pub const MAX_PAYLOAD: usize = 1 << (2 * MAX_ORDER);
const MAX_ORDER: u32 = 14;

const TOO_LARGE: Error =
    Error::Usage("this format holds at most 256 MiB in one picture: export a region instead");

/// SHA-256, as these formats want it.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
