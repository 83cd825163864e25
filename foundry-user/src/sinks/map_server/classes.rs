//! What the cells of a file are: code, text, symbols, compressed data.
//!
//! Knows: region names and facts. Must never know: how they were found, which colour they get.

use foundry_brick::parts::{Attribute, Part, PartKind, page};
use foundry_brick::{FactValue, Facts, Region};

/// Names of the classes, by value. The map chooses colours by position; only ever append.
pub(super) const CLASSES: [&str; 19] = [
    "nothing",
    "reserved",
    "data",
    "code",
    "constants",
    "variables",
    "symbols",
    "debug information",
    "linking",
    "text",
    "packed or media",
    "gone",
    "unreadable",
    "room",
    "heap",
    "stack",
    "anonymous memory",
    "shared memory",
    "kernel",
];

pub(super) const VOID: u8 = 0;
pub(super) const RESERVED: u8 = 1;
pub(super) const DATA: u8 = 2;
const CODE: u8 = 3;
const CONSTANTS: u8 = 4;
const VARIABLES: u8 = 5;
const SYMBOLS: u8 = 6;
const DEBUG: u8 = 7;
const LINKING: u8 = 8;
const TEXT: u8 = 9;
const PACKED: u8 = 10;
pub(super) const GONE: u8 = 11;
pub(super) const UNREADABLE: u8 = 12;
/// A directory's own ground: room for what is to come.
pub(super) const ROOM: u8 = 13;
const HEAP: u8 = 14;
const STACK: u8 = 15;
const ANONYMOUS: u8 = 16;
const SHARED: u8 = 17;
const KERNEL: u8 = 18;

/// The class of a part of a process: what it is, and of files whether it may run or be written.
pub(super) fn of_part(part: &Part) -> u8 {
    let permissions = part.numbers.get(&Attribute::PERMISSIONS).copied().unwrap_or(0);
    match part.kind {
        PartKind::HEAP => HEAP,
        PartKind::STACK => STACK,
        // The stack of a thread is anonymous memory that a thread has its pointer in.
        PartKind::ANONYMOUS if part.numbers.contains_key(&Attribute::TID) => STACK,
        PartKind::ANONYMOUS => ANONYMOUS,
        PartKind::NAMED => SHARED,
        PartKind::KERNEL => KERNEL,
        PartKind::MAPPED_FILE if permissions & page::EXECUTE != 0 => CODE,
        PartKind::MAPPED_FILE if permissions & page::WRITE != 0 => VARIABLES,
        PartKind::MAPPED_FILE => CONSTANTS,
        _ => DATA,
    }
}

/// Most class changes that are kept of one file.
const MOST: usize = 512;

/// Class of each byte range of a file, as ends and classes.
pub(super) fn classify(size: u64, regions: &[Region], facts: &Facts) -> Vec<(u64, u8)> {
    let whole = whole_file(facts);
    let mut sections: Vec<(u64, u64, u8)> = regions
        .iter()
        .filter(|region| region.kind == "section" && region.start < region.end)
        .filter_map(|region| Some((region.start, region.end.min(size), section(&region.name)?)))
        .collect();
    sections.sort_unstable();
    let base = if sections.is_empty() { whole } else { LINKING };
    let mut out: Vec<(u64, u8)> = vec![];
    let mut at = 0;
    for (start, end, class) in sections.into_iter().take(MOST) {
        if start > at {
            push(&mut out, start, base);
        }
        if end > at.max(start) {
            push(&mut out, end, class);
            at = end;
        }
    }
    if at < size {
        // What follows the last section of a program: its table of sections, or an archive put behind.
        push(&mut out, size, if base == LINKING && size - at > 65_536 { DATA } else { base });
    }
    out
}

fn push(out: &mut Vec<(u64, u8)>, end: u64, class: u8) {
    match out.last_mut() {
        Some(last) if last.1 == class => last.0 = end,
        _ => out.push((end, class)),
    }
}

fn whole_file(facts: &Facts) -> u8 {
    let Some(FactValue::Text(kind)) = facts.get("kind") else { return DATA };
    match kind.as_str() {
        "text" | "script" | "log" | "header" | "key or certificate" => TEXT,
        "archive" | "package" | "compressed" | "image" | "audio" | "video" | "font" => PACKED,
        "executable" | "library" | "kernel module" | "object code" => CODE,
        _ => DATA,
    }
}

/// How sections of each class are named, without leading dots and underscores. The first match counts.
const SECTIONS: &[(&[&str], u8)] = &[
    (&["debug", "zdebug", "gnu_debug", "gdb_index", "stab"], DEBUG),
    (&["init_array", "fini_array", "ctors", "dtors"], VARIABLES),
    (&["text", "plt", "stubs", "code", "init", "fini"], CODE),
    (&["symtab", "strtab", "dynsym", "dynstr", "shstrtab", "gnu.version"], SYMBOLS),
    (&["gnu.hash", "hash", "edata", "export"], SYMBOLS),
    (&["data.rel.ro", "rodata", "eh_frame", "gcc_except", "const", "cstring"], CONSTANTS),
    (&["rdata", "rsrc", "pdata", "xdata", "literal", "unwind", "gopclntab"], CONSTANTS),
    (&["data", "tdata", "got"], VARIABLES),
    (&["rela", "rel.", "dynamic", "note", "interp", "reloc", "idata"], LINKING),
];

/// The class of a section, by the names that compilers and linkers give; none for one without bytes.
fn section(name: &str) -> Option<u8> {
    let name = name.trim_start_matches(['.', '_']).to_ascii_lowercase();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name.is_empty() || starts(&["bss", "tbss"]) {
        return None;
    }
    let known = SECTIONS.iter().find(|(prefixes, _)| starts(prefixes));
    Some(known.map_or(DATA, |(_, class)| *class))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str, start: u64, end: u64) -> Region {
        Region { name: name.into(), kind: "section".into(), start, end, address: None }
    }

    #[test]
    fn sections_cover_the_file_without_gaps_or_overlaps() {
        let regions =
            [region(".text", 100, 500), region(".rodata", 400, 700), region(".bss", 700, 9000)];
        let got = classify(1000, &regions, &Facts::new());
        assert_eq!(got, [(100, LINKING), (500, CODE), (700, CONSTANTS), (1000, LINKING)]);
    }

    #[test]
    fn a_file_without_sections_is_one_class() {
        let facts = Facts::from([("kind".to_owned(), FactValue::Text("script".into()))]);
        assert_eq!(classify(7, &[], &facts), [(7, TEXT)]);
        assert_eq!(classify(0, &[], &facts), []);
    }

    #[test]
    fn names_have_their_classes() {
        for (name, class) in [
            (".init_array", VARIABLES),
            (".init", CODE),
            ("__text", CODE),
            (".debug_info", DEBUG),
            (".data.rel.ro", CONSTANTS),
            (".data", VARIABLES),
            (".rela.dyn", LINKING),
            (".gnu.hash", SYMBOLS),
        ] {
            assert_eq!(section(name), Some(class), "{name}");
        }
        assert_eq!(section(".bss"), None);
    }
}
