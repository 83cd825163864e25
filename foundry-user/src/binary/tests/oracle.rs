//! The same files through the `object` crate: sections, symbols, build id, entry, libraries.

use super::*;
use object::read::{Object, ObjectSection, ObjectSymbol};
use object::{ObjectKind, SymbolKind};
use std::collections::{BTreeMap, BTreeSet};

/// Start and end of a region.
type Place = (u64, u64);

fn regions<'a>(got: &'a Description, kinds: &[&str]) -> BTreeMap<Place, BTreeSet<&'a str>> {
    let mut by_place: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
    for region in got.regions.iter().filter(|r| kinds.contains(&r.kind.as_str())) {
        by_place.entry((region.start, region.end)).or_default().insert(&region.name);
    }
    by_place
}

/// Compares one file; how many symbols were compared.
fn compare(bytes: &[u8], what: &str) -> Option<usize> {
    let file = object::File::parse(bytes).ok()?;
    let got = described(bytes);
    check_invariants(&got, bytes.len() as u64, what);
    assert!(!got.facts.contains_key("malformed"), "{what}: {:?}", got.facts);
    compare_sections(&file, &got, bytes.len() as u64, what);
    if let Ok(Some(id)) = file.build_id() {
        let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text(&got, "build_id"), hex, "{what}");
    }
    if file.entry() != 0 && !matches!(file.kind(), ObjectKind::Relocatable) {
        // The other crate gives the entry of a Mach-O file as it stands there: an offset.
        let text = got.regions.iter().find(|r| r.kind == "segment" && r.name == "__TEXT");
        let base = text.and_then(|r| r.address).unwrap_or(0);
        assert_eq!(got.facts["entry"], Fact::Number(base + file.entry()), "{what}");
    }
    if file.format() == object::BinaryFormat::Pe
        && let Ok(imports) = file.imports()
    {
        // An entry that the other crate cannot follow is no library to compare.
        let libraries: BTreeSet<String> =
            imports.flatten().map(|i| String::from_utf8_lossy(i.library()).into_owned()).collect();
        let needed = match got.facts.get("needed") {
            Some(Fact::List(list)) => list.iter().cloned().collect(),
            _ => BTreeSet::new(),
        };
        assert!(libraries.is_subset(&needed), "{what}: {libraries:?} against {needed:?}");
    }
    Some(compare_symbols(&file, &got, bytes.len() as u64, what))
}

fn compare_sections(file: &object::File<'_>, got: &Description, size: u64, what: &str) {
    let ours = regions(got, &["section"]);
    for section in file.sections() {
        let Some((start, len)) = section.file_range() else { continue };
        let end = (start + len).min(size);
        if start >= end {
            continue;
        }
        let mut name = String::from_utf8_lossy(section.name_bytes().unwrap()).into_owned();
        if let Ok(Some(segment)) = section.segment_name() {
            name = format!("{segment},{name}");
        }
        // A PE section's raw size counts; the other crate cuts it at the virtual size.
        let found = if file.format() == object::BinaryFormat::Pe {
            ours.iter().any(|(p, names)| p.0 == start && names.contains(name.as_str()))
        } else {
            ours.get(&(start, end)).is_some_and(|names| names.contains(name.as_str()))
        };
        assert!(found, "{what}: section {name} at {start}..{end} is missing in {ours:?}");
    }
}

fn compare_symbols(file: &object::File<'_>, got: &Description, size: u64, what: &str) -> usize {
    let ours = regions(got, &["function", "object"]);
    let starts: BTreeMap<u64, BTreeSet<&str>> =
        ours.iter().fold(BTreeMap::new(), |mut acc, (place, names)| {
            acc.entry(place.0).or_default().extend(names);
            acc
        });
    let mut compared = 0;
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        let wanted = match symbol.kind() {
            SymbolKind::Text | SymbolKind::Data => true,
            SymbolKind::Tls => file.format() == object::BinaryFormat::Elf,
            _ => false,
        };
        let Some(section) = symbol.section_index().filter(|_| wanted && symbol.is_definition())
        else {
            continue;
        };
        let Ok(section) = file.section_by_index(section) else { continue };
        let Some((offset, len)) = section.file_range() else { continue };
        // Without a type, a COFF symbol in code is a label or the section's own name.
        let is_label = file.format() == object::BinaryFormat::Pe
            && symbol.kind() == SymbolKind::Data
            && section.kind() == object::SectionKind::Text;
        if is_label {
            continue;
        }
        let address = if symbol.kind() == SymbolKind::Tls { continue } else { symbol.address() };
        let arm = file.architecture() == object::Architecture::Arm;
        let address = if arm && symbol.kind() == SymbolKind::Text { address & !1 } else { address };
        let Some(into) = address.checked_sub(section.address()).filter(|&into| into < len) else {
            continue;
        };
        let start = offset + into;
        let name = String::from_utf8_lossy(symbol.name_bytes().unwrap()).into_owned();
        if start >= size || name.is_empty() {
            continue;
        }
        // Zero-sized symbols get an end of our choice; sized ones end where the table says.
        let found = if symbol.size() == 0 || file.format() != object::BinaryFormat::Elf {
            starts.get(&start).is_some_and(|names| names.contains(name.as_str()))
        } else {
            let end = (start + symbol.size()).min(offset + len).min(size);
            ours.get(&(start, end)).is_some_and(|names| names.contains(name.as_str()))
        };
        assert!(found, "{what}: {:?} {name} at {start}, size {}", symbol.kind(), symbol.size());
        compared += 1;
    }
    compared
}

#[test]
fn real_programs_are_read_as_another_crate_reads_them() {
    let mut files = 0;
    let mut symbols = 0;
    for path in samples::files(160) {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        if let Some(n) = compare(&bytes, &path.display().to_string()) {
            files += 1;
            symbols += n;
        }
    }
    println!("{files} files, {symbols} symbols agree");
    assert!(files >= 20 && symbols >= 1000, "{files} files and {symbols} symbols are too few");
}

#[test]
fn objects_of_every_format_are_read_as_another_crate_reads_them() {
    for (name, bytes) in samples::objects() {
        let Some(symbols) = compare(&bytes, &name) else { panic!("{name} cannot be parsed") };
        assert!(symbols >= 4, "{name}: {symbols} symbols");
    }
}

#[test]
fn a_pe_library_has_exports_unwind_ranges_and_imports() {
    let bytes = samples::pe();
    compare(&bytes, "pe").expect("the sample is a PE file");
    let got = described(&bytes);
    assert_eq!(text(&got, "type"), "shared library");
    assert_eq!(text(&got, "soname"), "lib.dll");
    assert_eq!(got.facts["needed"], Fact::List(vec!["kernel32.dll".to_owned()]));
    let functions: Vec<(&str, u64)> = got
        .regions
        .iter()
        .filter(|r| r.kind == "function")
        .map(|r| (r.name.as_str(), r.end - r.start))
        .collect();
    let nameless = format!("sub_{:x}", 0x1_4000_1020_u64);
    // `first` ends where its unwind range does, `second` at the end of the section.
    assert_eq!(functions[0], ("first", 0x20));
    assert_eq!(functions[1], (nameless.as_str(), 0x30));
    assert_eq!(functions[2].0, "second");
}

#[test]
fn each_member_of_a_fat_file_is_an_architecture() {
    let objects = samples::objects();
    let member = |name: &str| &objects.iter().find(|o| o.0 == name).unwrap().1;
    let (intel, arm) = (member("MachO X86_64"), member("MachO Aarch64"));
    let bytes = samples::fat(&[(0x0100_0007, 3, intel), (0x0100_000c, 0, arm)]);
    let got = described(&bytes);
    check_invariants(&got, bytes.len() as u64, "fat");
    assert_eq!(got.format, "macho-fat");
    let names = vec!["x86_64".to_owned(), "arm64".to_owned()];
    assert_eq!(got.facts["architectures"], Fact::List(names));
    assert_eq!(text(&got, "arm64.machine"), "arm64");
    for (name, thin, at) in [("x86_64", intel, 4096), ("arm64", arm, 0)] {
        let whole = got.regions.iter().find(|r| r.kind == "architecture" && r.name == name);
        let whole = whole.expect(name);
        assert!(at == 0 || whole.start == at, "{whole:?}");
        for region in described(thin).regions {
            let moved = Region {
                start: region.start + whole.start,
                end: region.end + whole.start,
                ..region
            };
            assert!(got.regions.contains(&moved), "{name}: {moved:?} in {:?}", got.regions);
        }
    }
}
