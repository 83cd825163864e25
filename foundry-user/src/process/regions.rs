//! Names for stretches of a process's plane: mappings, threads' stacks, functions of mapped files.
//!
//! Knows: parts, files' descriptions. Must never know: pages' contents.
//! Keeps: a region lies inside its part; a file is described once, however often it is mapped.

use super::Target;
use super::maps::{Mapping, permission_text};
use crate::binary::{self, Description};
use foundry_brick::Region;
use foundry_brick::parts::{Attribute, Part, PartKind, Parts, Place, page};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Most regions of one process; the fact `regions_omitted` counts the rest.
const MOST: usize = 1 << 18;

/// Functions of mapped files, kept from one look to the next.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    versions: BTreeMap<Version, Arc<Vec<binary::Region>>>,
    /// The version that was mapped last, by device and inode; `None` where the file could not be opened.
    mapped: BTreeMap<(u64, u64), Option<Version>>,
}

/// Device, inode, and time of change.
type Version = (u64, u64, i64, i64);

/// Most files whose functions are kept.
const MOST_FILES: usize = 4096;

impl Functions {
    /// Describes the files whose code is mapped; those that are known as they are now are not read.
    pub(super) fn learn(&mut self, target: &Target, parts: &Parts, mappings: &[Mapping]) {
        if self.versions.len() > MOST_FILES {
            *self = Self::default();
        }
        let mut asked = BTreeSet::new();
        for (_, part) in parts.iter().filter(|(_, part)| is_code(part)) {
            if !asked.insert(key(part)) {
                continue;
            }
            let version = open(target, part, mappings).map(|(file, version)| {
                let known = self.versions.entry(version);
                known.or_insert_with(|| Arc::new(describe(file).unwrap_or_default()));
                version
            });
            self.mapped.insert(key(part), version);
        }
    }

    /// Functions of the file behind `part`, which lies at `plane`, as far as it maps them and they are known.
    fn of(&self, part: &Part, plane: u64) -> Vec<Region> {
        let version = self.mapped.get(&key(part)).copied().flatten();
        let functions = version.and_then(|version| self.versions.get(&version));
        let (Some(functions), Some(link)) = (functions, &part.link) else { return Vec::new() };
        let mapped = link.offset..link.offset.saturating_add(part.length);
        let inside = |f: &&binary::Region| mapped.start <= f.start && f.start < mapped.end;
        let region = |f: &binary::Region| {
            let start = f.start - mapped.start;
            let end = f.end.clamp(f.start, mapped.end) - mapped.start;
            Region {
                name: f.name.clone(),
                kind: f.kind.clone(),
                start: plane + start,
                end: plane + end,
                address: part.address.map(|address| address + start),
            }
        };
        functions.iter().filter(inside).map(region).collect()
    }
}

fn is_code(part: &Part) -> bool {
    let permissions = part.numbers.get(&super::PERMISSIONS);
    part.kind == PartKind::MAPPED_FILE && permissions.is_some_and(|p| p & page::EXECUTE != 0)
}

/// Device and inode of a part.
fn key(part: &Part) -> (u64, u64) {
    let number = |attribute| part.numbers.get(&attribute).copied().unwrap_or(0);
    (number(Attribute::DEVICE), number(Attribute::INODE))
}

/// Regions of all parts, in the order of the plane, and how many were left out.
#[must_use]
pub fn regions(parts: &Parts, functions: &Functions) -> (Vec<Region>, u64) {
    let mut found: Vec<Region> = Vec::new();
    let mut omitted = 0;
    let mut placed: Vec<(Range<u64>, &Part)> =
        parts.iter().filter_map(|(place, part)| Some((parts.run(place)?, part))).collect();
    placed.sort_by_key(|(run, _)| run.start);
    for (run, part) in placed {
        found.push(of_part(&run, part));
        if let Some(tid) = part.numbers.get(&Attribute::TID) {
            let name = format!("stack of thread {tid}");
            found.push(Region { name, kind: "stack".to_owned(), ..of_part(&run, part) });
        }
        if is_code(part) {
            for function in functions.of(part, run.start) {
                if found.len() < MOST {
                    found.push(function);
                } else {
                    omitted += 1;
                }
            }
        }
    }
    (found, omitted)
}

fn of_part(run: &Range<u64>, part: &Part) -> Region {
    let permissions = part.numbers.get(&super::PERMISSIONS).copied().unwrap_or(0);
    let name = String::from_utf8_lossy(&part.name);
    let mut name = format!("{} {name}", permission_text(permissions)).trim_end().to_owned();
    if let Some(span) = part.numbers.get(&Attribute::SIZE) {
        name = format!("{name} {span} bytes reserved");
    }
    let kind = part.kind.name().to_owned();
    Region { name, kind, start: run.start, end: run.end, address: part.address }
}

/// Notes which parts are stacks of which threads.
pub fn mark_stacks(parts: &mut Parts, pointers: &[(u32, u64)]) {
    let mut by_address: BTreeMap<u64, Place> = BTreeMap::new();
    for (place, part) in parts.iter() {
        if let (Some(address), PartKind::ANONYMOUS | PartKind::NAMED) = (part.address, part.kind) {
            by_address.insert(address, place);
        }
    }
    for (tid, pointer) in pointers {
        let Some((address, place)) = by_address.range(..=*pointer).next_back() else { continue };
        let inside = parts.get(*place).is_some_and(|part| pointer - address < part.length);
        if inside {
            parts.update(*place, |part| {
                part.numbers.insert(Attribute::TID, (*tid).into());
            });
        }
    }
}

/// The mapped file itself where that is allowed, else what has its path and its inode now.
fn open(target: &Target, part: &Part, mappings: &[Mapping]) -> Option<(File, Version)> {
    if part.name.starts_with(b"/dev/") {
        return None;
    }
    let address = part.address?;
    let at = mappings.partition_point(|mapping| mapping.end <= address);
    let mapping = mappings.get(at)?;
    let exact = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
    let named = Path::new("root").join(OsStr::from_bytes(part.name.get(1..)?));
    let inode = part.numbers.get(&Attribute::INODE).copied();
    [Path::new(&exact), &named].into_iter().find_map(|path| {
        let file = target.file(path).ok()?;
        let m = file.metadata().ok()?;
        let version = (m.dev(), m.ino(), m.ctime(), m.ctime_nsec());
        (m.is_file() && Some(m.ino()) == inode).then_some((file, version))
    })
}

fn describe(file: File) -> Option<Vec<binary::Region>> {
    let size = file.metadata().ok()?.len();
    let Description { regions, .. } = binary::describe(&file, size).ok()?;
    Some(regions.into_iter().filter(|region| region.kind == "function").collect())
}
