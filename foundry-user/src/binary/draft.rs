//! A description in the making: clips, caps, sorts.
//!
//! Knows: regions and facts. Must never know: formats.
//! Keeps: every region lies inside the file and holds at least a byte; the number of regions and
//! the bytes of all names are bounded by the file's size.

use super::{Description, Fact, MAX_REGIONS, Region};

/// Bytes of one name that are kept.
pub(super) const MAX_NAME: usize = 4096;

/// Bytes that all names together may take beyond the file's own size: names can share their bytes
/// in the file, and a small file may name the same long string very often.
const NAMES_BEYOND_SIZE: u64 = 64 << 10;

/// Bytes that all names together may take however large the file.
const MAX_NAMES: u64 = 32 << 20;

/// Entries of a list fact.
const MAX_LIST: usize = 4096;

/// Names of imports that are kept, to be judged by.
const MAX_IMPORTS: usize = 1 << 16;

/// A symbol whose end is not written down: it reaches to the next one, or to `limit`.
pub(super) struct OpenSymbol {
    pub(super) name: Vec<u8>,
    pub(super) kind: &'static str,
    pub(super) start: u64,
    pub(super) limit: u64,
    pub(super) address: Option<u64>,
}

/// See the file's head.
pub(super) struct Draft {
    size: u64,
    regions: Vec<Region>,
    open: Vec<OpenSymbol>,
    facts: std::collections::BTreeMap<String, Fact>,
    names_left: u64,
    omitted: u64,
    prefix: String,
    imports: std::collections::BTreeSet<String>,
}

impl Draft {
    /// Nothing yet, about a file of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            regions: Vec::new(),
            open: Vec::new(),
            facts: std::collections::BTreeMap::new(),
            names_left: size.saturating_add(NAMES_BEYOND_SIZE).min(MAX_NAMES),
            omitted: 0,
            prefix: String::new(),
            imports: std::collections::BTreeSet::new(),
        }
    }

    /// From now on facts are about this part: their names get `prefix` and a dot.
    pub(super) fn set_prefix(&mut self, prefix: &str) {
        self.prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
    }

    /// A fact. The last word on a name counts.
    pub(super) fn fact(&mut self, name: &str, mut value: Fact) {
        if let Fact::List(list) = &mut value {
            list.truncate(MAX_LIST);
        }
        self.facts.insert(format!("{}{name}", self.prefix), value);
    }

    /// A fact of text from the file, where there is any.
    pub(super) fn text(&mut self, name: &str, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.fact(name, Fact::Text(String::from_utf8_lossy(bytes).into_owned()));
        }
    }

    /// A name that the file takes from elsewhere.
    pub(super) fn import(&mut self, name: &[u8]) {
        if self.imports.len() < MAX_IMPORTS
            && let Some(name) = self.name(name)
        {
            self.imports.insert(name);
        }
    }

    /// Whether the file takes this name from elsewhere.
    pub(super) fn has_import(&self, name: &str) -> bool {
        self.imports.contains(name)
    }

    /// How many of the imports are so.
    pub(super) fn count_imports(&self, is_so: impl Fn(&str) -> bool) -> u64 {
        self.imports.iter().filter(|name| is_so(name)).count() as u64
    }

    /// A name as text, where the bytes of all names still allow it.
    pub(super) fn name(&mut self, bytes: &[u8]) -> Option<String> {
        let bytes = &bytes[..bytes.len().min(MAX_NAME)];
        if bytes.is_empty() || self.names_left < bytes.len() as u64 {
            return None;
        }
        self.names_left -= bytes.len() as u64;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Whether another region or symbol would be kept.
    pub(super) fn has_room(&self) -> bool {
        self.regions.len() + self.open.len() < MAX_REGIONS
    }

    /// Counts `n` regions that are not looked at.
    pub(super) fn omit(&mut self, n: u64) {
        self.omitted = self.omitted.saturating_add(n);
    }

    /// One region of `len` bytes from `start`; what lies outside the file is cut off.
    pub(super) fn region(
        &mut self,
        kind: &'static str,
        name: &[u8],
        start: u64,
        len: u64,
        address: Option<u64>,
    ) {
        let end = start.saturating_add(len).min(self.size);
        if start >= end {
            return;
        }
        let name = &name[..name.len().min(MAX_NAME)];
        if !self.has_room() || self.names_left < name.len() as u64 {
            self.omit(1);
            return;
        }
        self.names_left -= name.len() as u64;
        self.regions.push(Region {
            name: String::from_utf8_lossy(name).into_owned(),
            kind: kind.to_owned(),
            start,
            end,
            address,
        });
    }

    /// A symbol without a size; it gets one when all are known.
    pub(super) fn open_symbol(&mut self, symbol: OpenSymbol) {
        if symbol.start >= symbol.limit.min(self.size) {
            return;
        }
        let held = symbol.name.len().min(MAX_NAME) as u64;
        if !self.has_room() || self.names_left < held {
            self.omit(1);
            return;
        }
        self.names_left -= held;
        self.open.push(symbol);
    }

    /// Ends every open symbol where the next symbol of any kind starts, or at its limit.
    fn close_symbols(&mut self) {
        let mut starts: Vec<u64> = self.open.iter().map(|s| s.start).collect();
        starts.extend(
            self.regions
                .iter()
                .filter(|r| matches!(r.kind.as_str(), "function" | "object"))
                .map(|r| r.start),
        );
        starts.sort_unstable();
        for symbol in std::mem::take(&mut self.open) {
            let next = starts.partition_point(|&s| s <= symbol.start);
            let end = starts.get(next).copied().unwrap_or(symbol.limit).min(symbol.limit);
            // The room and the names of open symbols were counted when they came.
            self.names_left = self.names_left.saturating_add(symbol.name.len() as u64);
            let len = end - symbol.start;
            self.region(symbol.kind, &symbol.name, symbol.start, len, symbol.address);
        }
    }

    /// The description.
    pub(super) fn finish(mut self, format: &str) -> Description {
        self.prefix.clear();
        self.close_symbols();
        self.regions.sort_by(|a, b| {
            let key = |r: &Region| (r.start, std::cmp::Reverse(r.end), rank(&r.kind));
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        self.regions.dedup();
        if self.omitted > 0 {
            self.fact("regions_omitted", Fact::Number(self.omitted));
        }
        Description {
            format: format.to_owned(),
            regions: self.regions,
            facts: self.facts,
            imports: self.imports,
        }
    }
}

/// What encloses comes before what it encloses where both cover the same bytes.
fn rank(kind: &str) -> u8 {
    match kind {
        "architecture" => 0,
        "header" => 1,
        "segment" => 2,
        "section" => 3,
        "function" => 4,
        _ => 5,
    }
}
