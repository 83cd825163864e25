//! PE functions and objects: the COFF symbol table, the exports, and the table of unwind ranges.
//!
//! Knows: three tables that name or bound functions. Must never know: imports, build ids.
//! Keeps: a function known by name and by range is one region; one that has only a range is named
//! `sub_` and its address, as disassemblers do.

use super::super::Fact;
use super::super::draft::{Draft, OpenSymbol};
use super::super::source::{Source, Strings, Trouble, until_nul};
use super::Pe;
use goblin::pe::export::{ExportDirectoryTable, SIZEOF_EXPORT_DIRECTORY_TABLE};
use goblin::pe::header::COFF_MACHINE_X86_64;
use goblin::pe::section_table::SectionTable;
use goblin::pe::symbol::{
    COFF_SYMBOL_SIZE, IMAGE_SYM_CLASS_EXTERNAL, IMAGE_SYM_CLASS_STATIC, Symbol,
};
use scroll::{LE, Pread};
use std::collections::{BTreeMap, BTreeSet};

/// Exports, unwind ranges and symbols that are looked at.
const MAX_SYMBOLS: u64 = super::super::MAX_REGIONS as u64;

/// Bytes of an x86-64 unwind table entry: begin, end, unwind information.
const UNWIND_ENTRY: u64 = 12;

/// The COFF symbol table and its strings.
pub(super) struct CoffSymbols {
    offset: u64,
    count: u64,
    strings: Strings,
    strings_len: u64,
}

impl CoffSymbols {
    /// Finds the table, empty where there is none.
    pub(super) fn read(source: &Source<'_>, pe: &Pe) -> Result<Self, Trouble> {
        let offset = u64::from(pe.coff.pointer_to_symbol_table);
        let entry = COFF_SYMBOL_SIZE as u64;
        let count = if offset == 0 { 0 } else { u64::from(pe.coff.number_of_symbol_table) };
        let count = count.min(source.size().saturating_sub(offset) / entry);
        let strings_at = offset + count * entry;
        let mut strings_len = 0;
        if offset != 0 {
            let len = source.window(strings_at, 4)?.as_slice().pread_with::<u32>(0, LE);
            strings_len = u64::from(len.unwrap_or(0));
        }
        // Offsets into the strings count from their length field.
        let strings = Strings::read(source, strings_at, strings_len)?;
        Ok(Self { offset, count, strings, strings_len })
    }

    /// Where symbols and strings lie, where there are any.
    pub(super) fn place(&self) -> Option<(u64, u64)> {
        let len = self.count * COFF_SYMBOL_SIZE as u64 + self.strings_len;
        (self.offset != 0 && len > 0).then_some((self.offset, len))
    }

    /// A section's name, from the string table where it is long.
    pub(super) fn section_name<'a>(&'a self, section: &'a SectionTable) -> &'a [u8] {
        let short = until_nul(&section.name);
        match section.name_offset() {
            Ok(Some(offset)) => match self.strings.get(offset as u64) {
                [] => short,
                long => long,
            },
            _ => short,
        }
    }

    /// A symbol's name: in place, or where the first four bytes are zero at an offset into the
    /// strings. (goblin's accessor subtracts from an offset it has not looked at.)
    fn name<'a>(&'a self, field: &'a [u8; 8]) -> &'a [u8] {
        match field {
            [0, 0, 0, 0, offset @ ..] => self.strings.get(u64::from(u32::from_le_bytes(*offset))),
            _ => until_nul(field),
        }
    }
}

/// Where a function's name stands; the bytes are fetched when its region is made, because a small
/// file may name one long string very often.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NameAt {
    Coff([u8; 8]),
    Export(u32),
}

/// Adds functions and objects from all three tables.
pub(super) fn describe(
    source: &Source<'_>,
    pe: &Pe,
    coff: &CoffSymbols,
    draft: &mut Draft,
) -> Result<(), Trouble> {
    let ranges = unwind_ranges(source, pe)?;
    let mut named: BTreeSet<(u32, NameAt)> = BTreeSet::new();
    let objects = coff_symbols(source, pe, coff, &mut named, draft)?;
    let exports = exports(source, pe, &mut named, draft)?;
    let starts: BTreeSet<u32> = named.iter().map(|(rva, _)| *rva).collect();
    let functions = starts.len() + ranges.keys().filter(|rva| !starts.contains(rva)).count();
    for (rva, name) in &named {
        let (rva, name) = match name {
            NameAt::Coff(field) => (*rva, coff.name(field)),
            NameAt::Export(at) => (*rva, exports.strings.get(*at)),
        };
        let Some((start, rest)) = pe.offset_of(rva) else { continue };
        let address = Some(pe.image_base.saturating_add(u64::from(rva)));
        match ranges.get(&rva) {
            Some(end) => draft.region("function", name, start, u64::from(end - rva), address),
            None => draft.open_symbol(OpenSymbol {
                name: name.to_vec(),
                kind: "function",
                start,
                limit: start.saturating_add(rest),
                address,
            }),
        }
    }
    for (rva, end) in ranges.iter().filter(|(rva, _)| !starts.contains(rva)) {
        let Some((start, rest)) = pe.offset_of(*rva) else { continue };
        let address = pe.image_base.saturating_add(u64::from(*rva));
        let name = format!("sub_{address:x}");
        let len = u64::from(end - rva).min(rest);
        draft.region("function", name.as_bytes(), start, len, Some(address));
    }
    draft.fact("functions", Fact::Number(functions as u64));
    draft.fact("objects", Fact::Number(objects));
    draft.fact("exports", Fact::Number(exports.count));
    Ok(())
}

/// Start and end of every function with unwind information, by relative virtual address.
fn unwind_ranges(source: &Source<'_>, pe: &Pe) -> Result<BTreeMap<u32, u32>, Trouble> {
    let mut ranges = BTreeMap::new();
    if pe.coff.machine != COFF_MACHINE_X86_64 {
        return Ok(ranges);
    }
    let table = pe.directory(|o| o.data_directories.get_exception_table().copied());
    let Some(place) = table else { return Ok(ranges) };
    let count = (place.len / UNWIND_ENTRY).min(MAX_SYMBOLS);
    source.table(place.offset, count, UNWIND_ENTRY, |_, bytes| {
        let (begin, end): (u32, u32) = (bytes.pread_with(0, LE)?, bytes.pread_with(4, LE)?);
        if begin < end {
            ranges.insert(begin, end);
        }
        Ok(true)
    })?;
    Ok(ranges)
}

/// Puts functions into `named` and objects into the draft; the number of objects.
fn coff_symbols(
    source: &Source<'_>,
    pe: &Pe,
    coff: &CoffSymbols,
    named: &mut BTreeSet<(u32, NameAt)>,
    draft: &mut Draft,
) -> Result<u64, Trouble> {
    let mut objects = 0;
    let mut skip = 0;
    let count = coff.count.min(MAX_SYMBOLS);
    source.table(coff.offset, count, COFF_SYMBOL_SIZE as u64, |_, bytes| {
        if skip > 0 {
            skip -= 1;
            return Ok(true);
        }
        let symbol: Symbol = bytes.pread_with(0, LE)?;
        skip = symbol.number_of_aux_symbols;
        let Some((section, is_function)) = holder(pe, &symbol) else { return Ok(true) };
        let name = coff.name(&symbol.name);
        if name.is_empty() || symbol.value >= section.size_of_raw_data {
            return Ok(true);
        }
        let Some(rva) = section.virtual_address.checked_add(symbol.value) else { return Ok(true) };
        if is_function {
            named.insert((rva, NameAt::Coff(symbol.name)));
            return Ok(true);
        }
        objects += 1;
        let start = u64::from(section.pointer_to_raw_data) + u64::from(symbol.value);
        draft.open_symbol(OpenSymbol {
            name: name.to_vec(),
            kind: "object",
            start,
            limit: u64::from(section.pointer_to_raw_data) + u64::from(section.size_of_raw_data),
            address: Some(pe.image_base.saturating_add(u64::from(rva))),
        });
        Ok(true)
    })?;
    Ok(objects)
}

/// The section a symbol lies in, and whether it is a function; `None` for section symbols, file
/// names, undefined and absolute ones.
fn holder<'a>(pe: &'a Pe, symbol: &Symbol) -> Option<(&'a SectionTable, bool)> {
    let index = usize::try_from(symbol.section_number).ok()?.checked_sub(1)?;
    let section = pe.sections.get(index)?;
    let is_function = symbol.derived_type() == 2 && Pe::is_code(section);
    let is_external = symbol.storage_class == IMAGE_SYM_CLASS_EXTERNAL;
    let is_static = symbol.storage_class == IMAGE_SYM_CLASS_STATIC;
    // A static symbol with auxiliary records and no type names the section itself.
    let is_section = is_static && symbol.number_of_aux_symbols > 0 && symbol.typ == 0;
    ((is_external || is_static && !is_section) && (is_function || !Pe::is_code(section)))
        .then_some((section, is_function))
}

/// Puts exported functions into `named`.
fn exports(
    source: &Source<'_>,
    pe: &Pe,
    named: &mut BTreeSet<(u32, NameAt)>,
    draft: &mut Draft,
) -> Result<Exports, Trouble> {
    let table = pe.directory(|o| o.data_directories.get_export_table().copied());
    let Some(place) = table else { return Ok(Exports::default()) };
    let header = source.window(place.offset, SIZEOF_EXPORT_DIRECTORY_TABLE as u64)?;
    let header = ExportDirectoryTable::parse(&header, 0)?;
    draft.text("soname", &pe.string(source, header.name_rva)?);
    let names = u64::from(header.number_of_name_pointers).min(MAX_SYMBOLS);
    let entries = u64::from(header.address_table_entries).min(MAX_SYMBOLS);
    let numbers = |rva: u32, count: u64, width: u64| -> Result<Vec<u8>, Trouble> {
        let Some((offset, rest)) = pe.offset_of(rva) else { return Ok(Vec::new()) };
        Ok(source.window(offset, rest.min(count * width))?)
    };
    let addresses = numbers(header.export_address_table_rva, entries, 4)?;
    let pointers = numbers(header.name_pointer_rva, names, 4)?;
    let ordinals = numbers(header.ordinal_table_rva, names, 2)?;
    let strings = ExportStrings::read(source, pe, &pointers)?;
    let mut count = 0;
    for (pointer, ordinal) in pointers.chunks_exact(4).zip(ordinals.chunks_exact(2)) {
        let (name_rva, ordinal): (u32, u16) =
            (pointer.pread_with(0, LE)?, ordinal.pread_with(0, LE)?);
        let Ok(rva) = addresses.pread_with::<u32>(usize::from(ordinal) * 4, LE) else { continue };
        let Some(section) = pe.section_at(rva) else { continue };
        count += 1;
        if Pe::is_code(section) {
            named.insert((rva, NameAt::Export(name_rva)));
        }
    }
    Ok(Exports { count, strings })
}

/// How many exports there are, and their names.
#[derive(Default)]
struct Exports {
    count: u64,
    strings: ExportStrings,
}

/// The exported names: linkers put them side by side, so one window holds them all.
#[derive(Default)]
struct ExportStrings {
    first_rva: u32,
    strings: Strings,
}

impl ExportStrings {
    fn read(source: &Source<'_>, pe: &Pe, pointers: &[u8]) -> Result<Self, Trouble> {
        let rvas = || pointers.chunks_exact(4).filter_map(|p| p.pread_with::<u32>(0, LE).ok());
        let first_rva = rvas().min().unwrap_or(0);
        let last = rvas().max().unwrap_or(0);
        let strings = match pe.offset_of(first_rva) {
            Some((offset, rest)) => {
                let len = u64::from(last - first_rva) + super::MAX_STRING;
                Strings::read(source, offset, len.min(rest))?
            }
            None => Strings::default(),
        };
        Ok(Self { first_rva, strings })
    }

    fn get(&self, rva: u32) -> &[u8] {
        rva.checked_sub(self.first_rva).map_or(&[], |at| self.strings.get(u64::from(at)))
    }
}
