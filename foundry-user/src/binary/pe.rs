//! PE: headers, sections, imports, exports, build id.
//!
//! Knows: the PE layout, through goblin's structures. Must never know: other formats.
//! Keeps: one table at a time, in bounded windows; goblin's whole-file parsers, which allocate by
//! counts from the file, are not used.

mod symbols;

use super::Fact;
use super::draft::Draft;
use super::source::{Source, Trouble, until_nul};
use goblin::pe::data_directories::DataDirectory;
use goblin::pe::header::{self, CoffHeader};
use goblin::pe::import::{ImportDirectoryEntry, SIZEOF_IMPORT_DIRECTORY_ENTRY};
use goblin::pe::optional_header::OptionalHeader;
use goblin::pe::section_table::{IMAGE_SCN_MEM_EXECUTE, SIZEOF_SECTION_TABLE, SectionTable};
use goblin::pe::{characteristic, subsystem};
use scroll::{LE, Pread};

/// Size of the COFF header behind the four bytes of the signature.
const COFF_HEADER: u64 = 20;

/// Where the DOS header keeps the offset of the PE signature.
const PE_POINTER: u64 = 0x3c;

/// Libraries, debug entries and the like that are looked at.
const MAX_ENTRIES: u64 = 4096;

/// Sections that addresses are looked up in; Windows loads at most 96.
const MAX_SECTIONS: usize = 512;

/// Longest library name or path that is read.
const MAX_STRING: u64 = 4096;

/// `RSDS`: a CodeView record with a GUID.
const CODEVIEW_GUID: &[u8] = b"RSDS";

/// `IMAGE_DEBUG_TYPE_CODEVIEW`.
const DEBUG_CODEVIEW: u32 = 2;

/// Bytes of a debug directory entry.
const DEBUG_ENTRY: u64 = 28;

/// The file's tables, as far as they could be read.
struct Pe {
    coff: CoffHeader,
    optional: Option<OptionalHeader>,
    sections: Vec<SectionTable>,
    image_base: u64,
    headers_size: u64,
}

/// Describes a PE file.
pub(super) fn describe(source: &Source<'_>, draft: &mut Draft) -> Result<(), Trouble> {
    let pointer: u32 = source.window(PE_POINTER, 4)?.as_slice().pread_with(0, LE)?;
    let coff_at = u64::from(pointer) + 4;
    let coff: CoffHeader = source.window(coff_at, COFF_HEADER)?.as_slice().pread_with(0, LE)?;
    let optional_at = coff_at + COFF_HEADER;
    let optional_len = u64::from(coff.size_of_optional_header);
    let optional = source.window(optional_at, optional_len)?.as_slice().pread_with(0, LE).ok();
    let sections_at = optional_at + optional_len;
    let mut sections = Vec::new();
    let count = u64::from(coff.number_of_sections);
    source.table(sections_at, count, SIZEOF_SECTION_TABLE as u64, |_, bytes| {
        sections.push(section_header(bytes)?);
        Ok(true)
    })?;
    let windows = optional.as_ref().map(|o: &OptionalHeader| &o.windows_fields);
    let image_base = windows.map_or(0, |w| w.image_base);
    let headers_size = windows.map_or(0, |w| u64::from(w.size_of_headers));
    let pe = Pe { coff, optional, sections, image_base, headers_size };

    facts(&pe, draft);
    let coff_symbols = symbols::CoffSymbols::read(source, &pe)?;
    let table_end = sections_at + pe.sections.len() as u64 * SIZEOF_SECTION_TABLE as u64;
    regions(source, &pe, &coff_symbols, table_end, draft);
    imports(source, &pe, draft)?;
    build_id(source, &pe, draft)?;
    symbols::describe(source, &pe, &coff_symbols, draft)?;
    if pe.optional.is_none() {
        return Err(Trouble::Malformed("the optional header cannot be read"));
    }
    Ok(())
}

/// One section header. goblin's own function refuses a file for one strange name.
fn section_header(bytes: &[u8]) -> Result<SectionTable, Trouble> {
    let number = |at: usize| bytes.pread_with::<u32>(at, LE);
    let mut section = SectionTable {
        virtual_size: number(8)?,
        virtual_address: number(12)?,
        size_of_raw_data: number(16)?,
        pointer_to_raw_data: number(20)?,
        pointer_to_relocations: number(24)?,
        characteristics: number(36)?,
        ..SectionTable::default()
    };
    section.name.copy_from_slice(&bytes[..8]);
    Ok(section)
}

impl Pe {
    fn directory(&self, which: fn(&OptionalHeader) -> Option<DataDirectory>) -> Option<Place> {
        let directory = which(self.optional.as_ref()?)?;
        let (offset, rest) = self.offset_of(directory.virtual_address)?;
        Some(Place { offset, len: u64::from(directory.size).min(rest) })
    }

    /// The section that holds a relative virtual address.
    fn section_at(&self, rva: u32) -> Option<&SectionTable> {
        self.sections.iter().take(MAX_SECTIONS).find(|s| {
            rva.checked_sub(s.virtual_address)
                .is_some_and(|into| into < s.virtual_size.max(s.size_of_raw_data))
        })
    }

    /// The place in the file of a relative virtual address, and how many bytes follow it there.
    fn offset_of(&self, rva: u32) -> Option<(u64, u64)> {
        let Some(section) = self.section_at(rva) else {
            let rest = self.headers_size.checked_sub(u64::from(rva)).filter(|&rest| rest > 0)?;
            return Some((u64::from(rva), rest));
        };
        let into = rva - section.virtual_address;
        let rest = section.size_of_raw_data.checked_sub(into).filter(|&rest| rest > 0)?;
        Some((u64::from(section.pointer_to_raw_data) + u64::from(into), u64::from(rest)))
    }

    fn is_code(section: &SectionTable) -> bool {
        section.characteristics & IMAGE_SCN_MEM_EXECUTE != 0
    }

    fn string(&self, source: &Source<'_>, rva: u32) -> Result<Vec<u8>, Trouble> {
        let Some((offset, rest)) = self.offset_of(rva) else { return Ok(Vec::new()) };
        Ok(until_nul(&source.window(offset, rest.min(MAX_STRING))?).to_vec())
    }
}

/// Where a table lies in the file.
struct Place {
    offset: u64,
    len: u64,
}

fn facts(pe: &Pe, draft: &mut Draft) {
    let machine = header::machine_to_str(pe.coff.machine).to_lowercase();
    draft.fact("machine", Fact::Text(machine));
    draft.fact("endian", Fact::Text("little".to_owned()));
    draft.fact("sections", Fact::Number(pe.sections.len() as u64));
    let has = |bit| pe.coff.characteristics & bit != 0;
    let what = if has(characteristic::IMAGE_FILE_DLL) {
        "shared library"
    } else if has(characteristic::IMAGE_FILE_EXECUTABLE_IMAGE) {
        "executable"
    } else {
        "relocatable object"
    };
    draft.fact("type", Fact::Text(what.to_owned()));
    draft.fact("stripped", Fact::Flag(pe.coff.number_of_symbol_table == 0));
    let Some(optional) = &pe.optional else { return };
    let is_64 = optional.standard_fields.magic == goblin::pe::optional_header::MAGIC_64;
    draft.fact("class", Fact::Number(if is_64 { 64 } else { 32 }));
    let entry = optional.standard_fields.address_of_entry_point;
    if entry != 0 {
        draft.fact("entry", Fact::Number(pe.image_base.saturating_add(u64::from(entry))));
    }
    let system = match optional.windows_fields.subsystem {
        subsystem::IMAGE_SUBSYSTEM_NATIVE => "native",
        subsystem::IMAGE_SUBSYSTEM_WINDOWS_GUI => "windows graphical",
        subsystem::IMAGE_SUBSYSTEM_WINDOWS_CUI => "windows console",
        subsystem::IMAGE_SUBSYSTEM_EFI_APPLICATION => "efi application",
        subsystem::IMAGE_SUBSYSTEM_EFI_BOOT_SERVICE_DRIVER => "efi boot service driver",
        subsystem::IMAGE_SUBSYSTEM_EFI_RUNTIME_DRIVER => "efi runtime driver",
        _ => "other",
    };
    draft.fact("subsystem", Fact::Text(system.to_owned()));
}

fn regions(
    source: &Source<'_>,
    pe: &Pe,
    coff: &symbols::CoffSymbols,
    table_end: u64,
    draft: &mut Draft,
) {
    let headers = if pe.headers_size == 0 { table_end } else { pe.headers_size };
    draft.region("header", b"PE headers", 0, headers, None);
    let mut end = headers;
    for section in &pe.sections {
        let name = coff.section_name(section);
        let start = u64::from(section.pointer_to_raw_data);
        let len = u64::from(section.size_of_raw_data);
        let address = pe.image_base.saturating_add(u64::from(section.virtual_address));
        if start != 0 {
            draft.region("section", name, start, len, Some(address));
            end = end.max(start.saturating_add(len));
        }
    }
    // The certificate table is the one directory whose address is an offset in the file.
    let certificates =
        pe.optional.as_ref().and_then(|o| o.data_directories.get_certificate_table());
    if let Some(table) = certificates {
        let (start, len) = (u64::from(table.virtual_address), u64::from(table.size));
        draft.region("header", b"certificates", start, len, None);
    }
    if let Some((start, len)) = coff.place() {
        draft.region("header", b"COFF symbols", start, len, None);
        end = end.max(start.saturating_add(len));
    }
    draft.region("overlay", b"overlay", end, source.size().saturating_sub(end), None);
}

fn imports(source: &Source<'_>, pe: &Pe, draft: &mut Draft) -> Result<(), Trouble> {
    let table = pe.directory(|o| o.data_directories.get_import_table().copied());
    let Some(place) = table else { return Ok(()) };
    let entry = SIZEOF_IMPORT_DIRECTORY_ENTRY as u64;
    let mut names = Vec::new();
    // The directory's length is not to be relied on: the table ends with an entry of zeros.
    let count = (place.len / entry).clamp(MAX_ENTRIES / 16, MAX_ENTRIES);
    source.table(place.offset, count, entry, |_, bytes| {
        let one: ImportDirectoryEntry = bytes.pread_with(0, LE)?;
        if one.is_null() || one.name_rva == 0 {
            return Ok(false);
        }
        names.push(one.name_rva);
        Ok(true)
    })?;
    let mut needed = Vec::new();
    for rva in names {
        let name = pe.string(source, rva)?;
        needed.extend(draft.name(&name));
    }
    if !needed.is_empty() {
        draft.fact("needed", Fact::List(needed));
    }
    Ok(())
}

fn build_id(source: &Source<'_>, pe: &Pe, draft: &mut Draft) -> Result<(), Trouble> {
    let table = pe.directory(|o| o.data_directories.get_debug_table().copied());
    let Some(place) = table else { return Ok(()) };
    let mut record = None;
    source.table(
        place.offset,
        (place.len / DEBUG_ENTRY).min(MAX_ENTRIES),
        DEBUG_ENTRY,
        |_, b| {
            let kind: u32 = b.pread_with(12, LE)?;
            let len: u32 = b.pread_with(16, LE)?;
            let offset: u32 = b.pread_with(24, LE)?;
            if kind == DEBUG_CODEVIEW {
                record = Some((u64::from(offset), u64::from(len)));
            }
            Ok(record.is_none())
        },
    )?;
    let Some((offset, len)) = record else { return Ok(()) };
    let bytes = source.window(offset, len.min(MAX_STRING))?;
    if bytes.len() < 24 || !bytes.starts_with(CODEVIEW_GUID) {
        return Ok(());
    }
    // Symbol servers write the GUID's first three parts as numbers, then the age.
    let slice = bytes.as_slice();
    let (a, b, c): (u32, u16, u16) =
        (slice.pread_with(4, LE)?, slice.pread_with(8, LE)?, slice.pread_with(10, LE)?);
    let tail: String = bytes[12..20].iter().map(|b| format!("{b:02X}")).collect();
    let age: u32 = slice.pread_with(20, LE)?;
    draft.fact("build_id", Fact::Text(format!("{a:08X}{b:04X}{c:04X}{tail}{age:X}")));
    draft.text("pdb", until_nul(&bytes[24..]));
    Ok(())
}
