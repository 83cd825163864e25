//! Parts as bytes and back.
//!
//! ```text
//! u8   version = 1
//! u8   leaf order
//! v    length of the layout, the layout (see `plots::codec`)
//! v    count of texts, then each: v length, bytes       sorted, no two equal
//! v    count of parts, then each, by plot and offset:
//!      v plot - previous plot (from 0), v offset, v length, u8 kind, v name (index of a text)
//!      u8 flags: 1 address, 2 link, 4 pages
//!      4 bytes top cell
//!      [v address] [v path (index of a text), v offset]
//!      v count of numbers, then each: u8 attribute, v number
//!      v count of texts, then each: u8 attribute, v index of a text
//!      [v count of page runs, then each: v count, u8 state]
//! ```
//!
//! Knows: the encoding. Must never know: what a name or a number means.
//! Keeps: one set of parts has one encoding; any bytes give parts that keep the rules, or an error.

use super::{Attribute, Link, PageRun, Part, PartKind, Parts, Place, Text};
use crate::plots::{PlotId, Plots, PlotsError};
use crate::varint::{self, VarintError};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u8 = 1;
const ADDRESS: u8 = 1;
const LINK: u8 = 2;
const PAGES: u8 = 4;

pub(super) const PAGES_DO_NOT_ADD_UP: &str = "runs of pages do not add up to their part";

/// What can be wrong with parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartsError {
    /// The layout refuses.
    #[error(transparent)]
    Plots(#[from] PlotsError),
    /// A part would reach beyond its plot.
    #[error("a part reaches beyond its plot")]
    Outside,
    /// Two parts would take the same cells.
    #[error("two parts take the same cells")]
    Overlap,
    /// The bytes end too early, or a number in them is not in its shortest form.
    #[error("parts: {0}")]
    Number(#[from] VarintError),
    /// Made by a later program.
    #[error("parts: version {0} is not known; read it with a newer program")]
    Version(u8),
    /// The bytes name something that cannot be.
    #[error("parts: {0}")]
    Invalid(&'static str),
}

impl Parts {
    /// The parts as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.leaf_order];
        put_bytes(&mut out, &self.plots.encode());
        let texts: BTreeSet<&[u8]> = self.parts.values().flat_map(texts_of).collect();
        varint::write(&mut out, texts.len() as u64);
        for text in &texts {
            put_bytes(&mut out, text);
        }
        let index: BTreeMap<&[u8], u64> = texts.into_iter().zip(0..).collect();
        varint::write(&mut out, self.parts.len() as u64);
        let mut previous = 0;
        for (place, part) in &self.parts {
            varint::write(&mut out, place.plot.0 - previous);
            varint::write(&mut out, place.offset);
            put_part(&mut out, part, &index);
            previous = place.plot.0;
        }
        out
    }

    /// The parts that `bytes` hold.
    ///
    /// # Errors
    /// Where the bytes are not what [`Parts::encode`] gives for some parts.
    pub fn decode(bytes: &[u8]) -> Result<Self, PartsError> {
        let rest = &mut { bytes };
        let version = varint::byte(rest)?;
        if version != VERSION {
            return Err(PartsError::Version(version));
        }
        let leaf_order = varint::byte(rest)?;
        if !(super::LEAF_ORDER_MIN..=crate::plots::MAX_ORDER).contains(&leaf_order) {
            return Err(PartsError::Invalid("its leaves are of no level"));
        }
        let plots = Plots::decode(take_bytes(rest)?)?;
        let mut parts = Self { leaf_order, plots, parts: BTreeMap::new() };
        let texts = take_texts(rest)?;
        let count = varint::read(rest)?;
        let mut plot: u64 = 0;
        for _ in 0..count {
            let step = varint::read(rest)?;
            plot = plot.checked_add(step).ok_or(PartsError::Invalid("no such plot"))?;
            let place = Place { plot: PlotId(plot), offset: varint::read(rest)? };
            let part = take_part(rest, &texts)?;
            parts.append(place, part)?;
        }
        let used: BTreeSet<PlotId> = parts.parts.keys().map(|place| place.plot).collect();
        if !rest.is_empty() || used.len() != parts.plots.iter().count() {
            return Err(PartsError::Invalid("a plot without a part, or bytes after the last"));
        }
        // Also refuses texts that no part has, and a layout that does not say how long parts are.
        if parts.encode() == bytes {
            Ok(parts)
        } else {
            Err(PartsError::Invalid("not in the one form that parts are written in"))
        }
    }

    /// Adds the next part of an encoding: after the last, and clear of it.
    fn append(&mut self, place: Place, part: Part) -> Result<(), PartsError> {
        let plot = self.plots.get(place.plot).ok_or(PlotsError::Unknown(place.plot))?;
        let end = place.offset.checked_add(part.length).filter(|end| *end <= plot.used);
        end.ok_or(PartsError::Outside)?;
        if let Some((last, before)) = self.parts.last_key_value() {
            let clear = last.plot != place.plot || last.offset + before.length <= place.offset;
            if *last >= place || !clear {
                return Err(PartsError::Overlap);
            }
        }
        self.parts.insert(place, part);
        Ok(())
    }
}

fn texts_of(part: &Part) -> impl Iterator<Item = &[u8]> {
    let link = part.link.iter().map(|link| &*link.path);
    let texts = part.texts.values().map(|text| &**text);
    std::iter::once(&*part.name).chain(link).chain(texts)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::write(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_part(out: &mut Vec<u8>, part: &Part, index: &BTreeMap<&[u8], u64>) {
    let of = |text: &[u8]| index.get(text).copied().unwrap_or_default();
    varint::write(out, part.length);
    out.push(part.kind.0);
    varint::write(out, of(&part.name));
    let flag = |present: bool, bit: u8| if present { bit } else { 0 };
    out.push(
        flag(part.address.is_some(), ADDRESS)
            | flag(part.link.is_some(), LINK)
            | flag(!part.pages.is_empty(), PAGES),
    );
    out.extend_from_slice(&part.top);
    if let Some(address) = part.address {
        varint::write(out, address);
    }
    if let Some(link) = &part.link {
        varint::write(out, of(&link.path));
        varint::write(out, link.offset);
    }
    varint::write(out, part.numbers.len() as u64);
    for (attribute, number) in &part.numbers {
        out.push(attribute.0);
        varint::write(out, *number);
    }
    varint::write(out, part.texts.len() as u64);
    for (attribute, text) in &part.texts {
        out.push(attribute.0);
        varint::write(out, of(text));
    }
    if !part.pages.is_empty() {
        varint::write(out, part.pages.len() as u64);
        for run in &part.pages {
            varint::write(out, run.count);
            out.push(run.state);
        }
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], PartsError> {
    let length = varint::read(rest)?;
    let length = usize::try_from(length).map_err(|_| VarintError::Short)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(VarintError::Short)?;
    *rest = after;
    Ok(taken)
}

fn take_texts(rest: &mut &[u8]) -> Result<Vec<Text>, PartsError> {
    let count = varint::read(rest)?;
    let mut texts: Vec<Text> = Vec::new();
    for _ in 0..count {
        texts.push(Text::from(take_bytes(rest)?));
    }
    if texts.is_sorted_by(|a, b| a < b) {
        Ok(texts)
    } else {
        Err(PartsError::Invalid("texts are not in order"))
    }
}

fn take_text(rest: &mut &[u8], texts: &[Text]) -> Result<Text, PartsError> {
    let index = usize::try_from(varint::read(rest)?).unwrap_or(usize::MAX);
    texts.get(index).cloned().ok_or(PartsError::Invalid("a text that is not there"))
}

fn take_part(rest: &mut &[u8], texts: &[Text]) -> Result<Part, PartsError> {
    let mut part = Part { length: varint::read(rest)?, ..Part::default() };
    part.kind = PartKind(varint::byte(rest)?);
    part.name = take_text(rest, texts)?;
    let flags = varint::byte(rest)?;
    for channel in &mut part.top {
        *channel = varint::byte(rest)?;
    }
    if flags & ADDRESS != 0 {
        part.address = Some(varint::read(rest)?);
    }
    if flags & LINK != 0 {
        part.link = Some(Link { path: take_text(rest, texts)?, offset: varint::read(rest)? });
    }
    for _ in 0..varint::read(rest)? {
        let attribute = Attribute(varint::byte(rest)?);
        part.numbers.insert(attribute, varint::read(rest)?);
    }
    for _ in 0..varint::read(rest)? {
        let attribute = Attribute(varint::byte(rest)?);
        part.texts.insert(attribute, take_text(rest, texts)?);
    }
    if flags & PAGES != 0 {
        part.pages = take_pages(rest)?;
        if part.pages.is_empty() || !part.pages_add_up() {
            return Err(PartsError::Invalid(PAGES_DO_NOT_ADD_UP));
        }
    }
    Ok(part)
}

/// Runs, none empty, no two neighbours alike.
fn take_pages(rest: &mut &[u8]) -> Result<Vec<PageRun>, PartsError> {
    let mut runs: Vec<PageRun> = Vec::new();
    for _ in 0..varint::read(rest)? {
        let run = PageRun { count: varint::read(rest)?, state: varint::byte(rest)? };
        if run.count == 0 || runs.last().is_some_and(|last| last.state == run.state) {
            return Err(PartsError::Invalid("runs of pages that should be one"));
        }
        runs.push(run);
    }
    Ok(runs)
}
