//! PixelRTS version 2: a square RGBA picture, four payload bytes per pixel along the curve, and a
//! `PixelRTS` text chunk that says how many and hashes them.
//!
//! Readers of this format execute code that they find under certain keys of that chunk, or, where
//! there is no such chunk, in the alpha bytes of the first row. So the chunk is always written,
//! and nothing in it comes from the payload but its length and its hash. Names of sections stand in
//! the chunk of the blueprint, which nobody executes.

use super::blueprint::{self, Blueprint};
use super::{MAX_PAYLOAD, TOO_LARGE, hex, sha256};
use crate::curve;
use crate::error::Error;

const KEYWORD: &str = "PixelRTS";
/// Deflate cannot say more than this many bytes with one.
const MAX_RATIO: usize = 1032;

/// A PixelRTS picture, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rts {
    /// Order of the curve.
    pub order: u32,
    /// The bytes, cut to the length that the metadata gives; all of the picture's where it gives none.
    pub payload: Vec<u8>,
    /// The metadata as JSON, as it stands in the file: data, never to be acted on.
    pub metadata: Option<String>,
    /// Whether the payload has the hash that the metadata gives; `None` where it gives none.
    pub hash_matches: Option<bool>,
}

/// Writes `payload` as a PixelRTS version 2 picture of the newer dialect, with a chunk that names
/// its parts where there is a blueprint.
///
/// # Errors
/// Where it is too large for one picture.
pub fn rts_png(payload: &[u8], blueprint: Option<&Blueprint<'_>>) -> Result<Vec<u8>, Error> {
    if MAX_PAYLOAD < payload.len() {
        return Err(TOO_LARGE);
    }
    let order = order(payload.len());
    let side = 1_u32 << order;
    let mut padded = payload.to_vec();
    padded.resize(payload.len().next_multiple_of(4), 0);
    let mut raster = vec![0; 4 << (2 * order)];
    curve::unfold(order, 4, &padded, &mut raster);
    let hash = hex(&sha256(payload));
    let size = payload.len();
    let metadata = format!(
        "{KEYWORD}{{\"format\":\"PixelRTS-2.0\",\"format_version\":2,\"grid_size\":{side},\
         \"encoding\":{{\"type\":\"RGBA-dense\",\"bytes_per_pixel\":4,\
         \"mapping\":\"Hilbert space-filling curve\"}},\
         \"offsets\":{{\"main\":{{\"start\":0,\"end\":{size},\"size\":{size},\"sha256\":\"{hash}\"}}}},\
         \"hashes\":{{\"main\":\"{hash}\"}},\"encoding_mode\":\"RGBA-dense\",\
         \"data_hash\":\"{hash}\",\"data_size\":{size}}}"
    );
    let mut texts = vec![(KEYWORD, metadata)];
    texts.extend(blueprint.map(|plan| (blueprint::KEYWORD, plan.text(order, payload))));
    super::png::encode(side, side, &raster, &texts)
}

/// The order of the picture for `len` bytes, as the format's own writer chooses it.
fn order(len: usize) -> u32 {
    let pixels = len.next_multiple_of(64) / 4;
    (0..=MAX_PAYLOAD.ilog2() / 2).find(|order| pixels <= 1 << (2 * order)).unwrap_or_default()
}

/// Reads a PixelRTS version 2 picture of either dialect, or a bare one without metadata.
///
/// # Errors
/// Where it is not a square RGBA picture of 2^n, or its metadata is not what the format says.
pub fn read_rts_png(bytes: &[u8]) -> Result<Rts, Error> {
    let bad = |what| Err(Error::Foreign { format: "PixelRTS", what });
    let fail = |err: png::DecodingError| Error::Png(err.to_string());
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().map_err(fail)?;
    let info = reader.info();
    let side = info.width;
    if info.height != side || !side.is_power_of_two() {
        return bad("the picture is not a square of 2^order");
    }
    if (info.color_type, info.bit_depth) != (png::ColorType::Rgba, png::BitDepth::Eight) {
        return bad("the pixels are not 8-bit RGBA");
    }
    let text = info.uncompressed_latin1_text.iter().find(|chunk| chunk.keyword == KEYWORD);
    let metadata = text.map(|chunk| chunk.text.trim_start_matches(KEYWORD).to_owned());
    let order = side.ilog2();
    let len = reader.output_buffer_size().unwrap_or(usize::MAX);
    if MAX_PAYLOAD < len || bytes.len().saturating_mul(MAX_RATIO) < len {
        return bad("the picture claims more pixels than its bytes can hold");
    }
    let mut raster = vec![0; len];
    reader.next_frame(&mut raster).map_err(fail)?;
    let mut payload = Vec::with_capacity(len);
    for d in 0..1_u64 << (2 * order) {
        let (x, y) = curve::d2xy(order, d);
        let at = 4 * (y as usize * side as usize + x as usize);
        payload.extend_from_slice(raster.get(at..at + 4).unwrap_or_default());
    }
    let Some(metadata) = metadata else {
        return Ok(Rts { order, payload, metadata: None, hash_matches: None });
    };
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&metadata) else {
        return bad("the metadata is not JSON");
    };
    if let Some(size) = json["data_size"].as_u64().and_then(|size| usize::try_from(size).ok()) {
        if payload.len() < size {
            return bad("the metadata claims more bytes than the picture holds");
        }
        payload.truncate(size);
    }
    let hash_matches = json["data_hash"].as_str().map(|hash| hash == hex(&sha256(&payload)));
    Ok(Rts { order, payload, metadata: Some(metadata), hash_matches })
}
