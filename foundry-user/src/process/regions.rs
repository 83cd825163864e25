//! Names for stretches of a process's plane: mappings, threads' stacks, functions of mapped files.
//!
//! Knows: parts, files' descriptions. Must never know: pages' contents.
//! Keeps: a region lies inside its part; a file is described once, however often it is mapped.

use super::Target;
use super::maps::{Mapping, permission_text};
use crate::binary::{self, Description};
use foundry_brick::Region;
use foundry_brick::parts::{Attribute, Part, PartKind, Parts, Place, page};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Most regions of one process; the fact `regions_omitted` counts the rest.
const MOST: usize = 1 << 18;

/// Functions of mapped files, kept from one look to the next: by device, inode, and time of change.
#[derive(Debug, Default)]
pub struct Functions(BTreeMap<Version, Vec<binary::Region>>);

type Version = (u64, u64, i64, i64);

/// Most files whose functions are kept.
const MOST_FILES: usize = 4096;

/// Regions of all parts, in the order of the plane, and how many were left out.
#[must_use]
pub fn regions(
    target: &Target,
    parts: &Parts,
    mappings: &[Mapping],
    functions: &mut Functions,
) -> (Vec<Region>, u64) {
    let mut found: Vec<Region> = Vec::new();
    if functions.0.len() > MOST_FILES {
        functions.0.clear();
    }
    let mut files = Files { target, mappings, known: BTreeMap::new(), functions };
    let mut omitted = 0;
    let mut placed: Vec<(Range<u64>, Place, &Part)> =
        parts.iter().filter_map(|(place, part)| Some((parts.run(place)?, place, part))).collect();
    placed.sort_by_key(|(run, ..)| run.start);
    for (run, _, part) in placed {
        found.push(of_part(&run, part));
        if let Some(tid) = part.numbers.get(&Attribute::TID) {
            let name = format!("stack of thread {tid}");
            found.push(Region { name, kind: "stack".to_owned(), ..of_part(&run, part) });
        }
        let executable =
            part.numbers.get(&super::PERMISSIONS).is_some_and(|p| p & page::EXECUTE != 0);
        if executable && part.kind == PartKind::MAPPED_FILE {
            for function in files.functions(part, run.start) {
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

/// Mapped files, described when first needed.
struct Files<'a> {
    target: &'a Target,
    mappings: &'a [Mapping],
    /// Which version of a file is mapped; `None` where it cannot be opened.
    known: BTreeMap<(u64, u64), Option<Version>>,
    functions: &'a mut Functions,
}

impl Files<'_> {
    /// Functions of the file behind `part`, which lies at `plane`, as far as it maps them.
    fn functions(&mut self, part: &Part, plane: u64) -> Vec<Region> {
        let number = |attribute| part.numbers.get(&attribute).copied().unwrap_or(0);
        let key = (number(Attribute::DEVICE), number(Attribute::INODE));
        let version = match self.known.get(&key) {
            Some(version) => *version,
            None => {
                let version = self.describe(part);
                self.known.insert(key, version);
                version
            }
        };
        let functions = version.and_then(|version| self.functions.0.get(&version));
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

    /// Which version of its file a part maps; its functions are known then.
    fn describe(&mut self, part: &Part) -> Option<Version> {
        let (file, version) = self.open(part)?;
        let known = self.functions.0.entry(version);
        known.or_insert_with(|| describe(file).unwrap_or_default());
        Some(version)
    }

    /// The mapped file itself where that is allowed, else what has its path and its inode now.
    fn open(&self, part: &Part) -> Option<(File, Version)> {
        if part.name.starts_with(b"/dev/") {
            return None;
        }
        let address = part.address?;
        let at = self.mappings.partition_point(|mapping| mapping.end <= address);
        let mapping = self.mappings.get(at)?;
        let exact = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
        let named = Path::new("root").join(OsStr::from_bytes(part.name.get(1..)?));
        let inode = part.numbers.get(&Attribute::INODE).copied();
        [Path::new(&exact), &named].into_iter().find_map(|path| {
            let file = self.target.file(path).ok()?;
            let m = file.metadata().ok()?;
            let version = (m.dev(), m.ino(), m.ctime(), m.ctime_nsec());
            (m.is_file() && Some(m.ino()) == inode).then_some((file, version))
        })
    }
}

fn describe(file: File) -> Option<Vec<binary::Region>> {
    let size = file.metadata().ok()?.len();
    let Description { regions, .. } = binary::describe(&file, size).ok()?;
    Some(regions.into_iter().filter(|region| region.kind == "function").collect())
}
