//! The `PixelRTS-Blueprint` chunk: what lies where in a picture, by name.
//!
//! Knows: the fields of Geometry OS's blueprint, version 1.0. Must never know: what reads them.
//! Keeps: ASCII, so that the chunk is valid whatever a section is called; names are values, never
//! keys; no more components than its readers accept.

use super::v2br::entropy;
use crate::curve;
use crate::meta::Region;
use serde_json::{Value, json};

pub(super) const KEYWORD: &str = "PixelRTS-Blueprint";
/// Readers refuse more than ten thousand.
const MOST_COMPONENTS: usize = 1000;
/// Longest name that is passed on, in characters.
const MOST_NAME: usize = 200;
/// From here on the format calls entropy high, in bits a byte; below the other, low.
const HIGH: f32 = 7.5;
const LOW: f32 = 2.0;

/// What a picture says of itself beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blueprint<'a> {
    /// The artifact's name.
    pub name: &'a str,
    /// Whether it is a program.
    pub executable: bool,
    /// Sections and mappings, in bytes of the payload. Segments and symbols are left out.
    pub regions: &'a [Region],
}

impl Blueprint<'_> {
    /// The chunk's text for a picture of order `order` that holds `payload`.
    pub(super) fn text(&self, order: u32, payload: &[u8]) -> String {
        let named = |region: &&Region| matches!(region.kind.as_str(), "section" | "mapping");
        let size = payload.len() as u64;
        let mut parts: Vec<&Region> = self.regions.iter().filter(named).collect();
        parts.retain(|region| region.start < region.end && region.end <= size);
        parts.sort_by_key(|region| std::cmp::Reverse(region.end - region.start));
        parts.truncate(MOST_COMPONENTS);
        parts.sort_by_key(|region| (region.start, region.end));
        let components: Vec<Value> =
            parts.iter().map(|region| component(order, payload, region)).collect();
        let memory: Vec<Value> = parts.iter().filter_map(|region| memory(region)).collect();
        let text = json!({
            "blueprint_version": "1.0",
            "system_name": short(self.name),
            "system_type": if self.executable { "program" } else { "file" },
            "architecture": "",
            "components": components,
            "memory_map": memory,
            "entry_point": null,
            "visual_overlay": {
                "grid_overlay": true,
                "color_key": "semantic",
                "legend": "",
                "highlight_boundaries": true,
                "boundary_color": [255, 255, 0, 128],
            },
        });
        format!("{KEYWORD}{}", ascii(&text.to_string()))
    }
}

fn component(order: u32, payload: &[u8], region: &Region) -> Value {
    // A pixel holds four bytes; a shared one belongs to both.
    let (first, end) = (region.start / 4, region.end.div_ceil(4));
    let place = |pixel: u64| {
        let (x, y) = curve::d2xy(order, pixel);
        json!([x, y])
    };
    let (code, writable) = (is_code(&region.name), is_writable(&region.name));
    let range = usize::try_from(region.start).ok().zip(usize::try_from(region.end).ok());
    let bytes = range.and_then(|(start, end)| payload.get(start..end)).unwrap_or_default();
    let profile = match entropy(bytes) {
        bits if HIGH < bits => "high",
        bits if bits < LOW => "low",
        _ => "medium",
    };
    json!({
        "id": short(&region.name),
        "type": if code { "executable" } else { "data" },
        "description": region.kind,
        "hilbert_range": {
            "start_index": first,
            "end_index": end,
            "pixel_start": place(first),
            "pixel_end": place(end - 1),
        },
        "entropy_profile": profile,
        "visual_hint": if code { "red_dominant" } else { "green_dominant" },
        "dependencies": [],
        "semantic_tags": [region.kind],
        "security": { "executable": code, "writable": writable, "signature": null },
    })
}

/// A line of the memory map, for what has an address.
fn memory(region: &Region) -> Option<Value> {
    region.address?;
    let permissions = match (is_code(&region.name), is_writable(&region.name)) {
        (true, _) => "rx",
        (false, true) => "rw",
        (false, false) => "r",
    };
    Some(json!({
        "region": short(&region.name),
        "permissions": permissions,
        "gpu_alignment": 256,
    }))
}

/// By the names that linkers give: a brick keeps no flags of sections.
fn is_code(name: &str) -> bool {
    [".text", ".init", ".fini", ".plt", "__text"].iter().any(|code| name.starts_with(code))
        && !name.contains("_array")
}

fn is_writable(name: &str) -> bool {
    let data = [".data", ".bss", ".tdata", ".tbss", ".got", ".dynamic", "__data"];
    (data.iter().any(|data| name.starts_with(data)) && !name.contains(".ro"))
        || name.contains("_array")
}

fn short(name: &str) -> String {
    name.chars().take(MOST_NAME).collect()
}

/// JSON without a byte above 127.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}
