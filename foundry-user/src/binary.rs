//! What a file says of itself: regions and first facts.
//!
//! ELF, PE and Mach-O are read table by table through bounded windows, so that a huge file costs what
//! its headers cost; everything else is named by its content.
//!
//! Knows: file formats. Must never know: where the bytes came from, the store.
//! Keeps: any bytes give a description; never a panic, never an allocation beyond the input, at most
//! [`MAX_REGIONS`] regions, every region inside the file.

mod draft;
mod elf;
mod macho;
mod pe;
mod sniff;
pub(crate) mod source;

#[cfg(test)]
mod tests;

use draft::Draft;
use serde::{Deserialize, Serialize};
use source::{Budget, Source, Trouble};
use std::io;

/// Regions one description holds at most; what was left out is counted in the fact `regions_omitted`.
pub const MAX_REGIONS: usize = 1 << 18;

/// A named byte range of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Name as the file gives it, lossily UTF-8.
    pub name: String,
    /// `header`, `architecture`, `segment`, `section`, `function`, `object`, `overlay`, ...
    pub kind: String,
    /// First byte in the file.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// Address in memory, where it has one.
    pub address: Option<u64>,
}

/// Regions and facts of one artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `elf`, `pe`, `macho`, or what the first bytes suggest.
    pub format: String,
    /// By start, then longest first.
    pub regions: Vec<Region>,
    /// Facts by name; keys are sorted so that a description has one encoding.
    pub facts: std::collections::BTreeMap<String, Fact>,
    /// Names that it takes from elsewhere: to judge by, not to keep.
    #[serde(skip)]
    pub imports: std::collections::BTreeSet<String>,
}

/// A fact's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// Text.
    Text(String),
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Several texts.
    List(Vec<String>),
}

impl Description {
    /// As a brick keeps it; the format is a fact among the others there.
    #[must_use]
    pub fn into_brick(self) -> (Vec<foundry_brick::Region>, foundry_brick::Facts) {
        use foundry_brick::FactValue;
        let region = |r: Region| foundry_brick::Region {
            name: r.name,
            kind: r.kind,
            start: r.start,
            end: r.end,
            address: r.address,
        };
        let value = |fact| match fact {
            Fact::Text(text) => FactValue::Text(text),
            Fact::Number(n) => FactValue::Number(n),
            Fact::Flag(flag) => FactValue::Flag(flag),
            Fact::List(list) => FactValue::List(list),
        };
        let mut facts: foundry_brick::Facts =
            self.facts.into_iter().map(|(name, fact)| (name, value(fact))).collect();
        facts.insert("format".to_owned(), FactValue::Text(self.format));
        (self.regions.into_iter().map(region).collect(), facts)
    }
}

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Reads into `buf` from `offset`; fewer bytes than asked for only at the end, 0 after it.
    ///
    /// # Errors
    /// Whatever the medium says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).map_or(self.len(), |o| o.min(self.len()));
        let n = buf.len().min(self.len() - from);
        buf[..n].copy_from_slice(&self[from..from + n]);
        Ok(n)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }
}

impl ReadAt for std::fs::File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset.saturating_add(done as u64);
            match std::os::unix::fs::FileExt::read_at(self, &mut buf[done..], at) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}

/// Describes `size` bytes. A file that breaks its format's rules is described as far as it goes;
/// the fact `malformed` says where that was.
///
/// # Errors
/// Only where `bytes` cannot be read.
pub fn describe(bytes: &dyn ReadAt, size: u64) -> io::Result<Description> {
    describe_within(&Source::new(bytes, size, &Budget::new()))
}

/// Describes what `source` holds, within what it may still read.
pub(crate) fn describe_within(source: &Source<'_>) -> io::Result<Description> {
    let size = source.size();
    let mut draft = Draft::new(size);
    let head = source.window(0, sniff::HEAD)?;
    let sniffed = sniff::sniff(&head, size);
    draft.fact("kind", Fact::Text(sniffed.kind.to_owned()));
    for (name, fact) in sniffed.facts {
        draft.fact(name, fact);
    }
    let parsed = match sniffed.format {
        "elf" => elf::describe(source, &mut draft),
        "pe" => pe::describe(source, &mut draft),
        "macho" => macho::describe(source, &mut draft),
        "macho-fat" => macho::describe_fat(source, &mut draft),
        _ => Ok(()),
    };
    match parsed {
        Ok(()) => {}
        Err(Trouble::Malformed(what)) => draft.fact("malformed", Fact::Text(what.to_owned())),
        Err(Trouble::Io(e)) => return Err(e),
    }
    if source.is_spent() {
        draft.fact("described_in_part", Fact::Flag(true));
    }
    Ok(draft.finish(sniffed.format))
}
