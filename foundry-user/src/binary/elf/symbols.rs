//! ELF symbol tables: functions and objects, and where their bytes lie.
//!
//! Knows: symbols, sections, loaded segments. Must never know: the dynamic section, notes.
//! Keeps: a symbol whose bytes are not in the file (undefined, absolute, .bss) is no region.

use super::super::Fact;
use super::super::draft::{Draft, OpenSymbol};
use super::super::source::{Source, Strings, Trouble};
use super::Elf;
use goblin::elf::header;
use goblin::elf::program_header;
use goblin::elf::section_header::{self, SectionHeader};
use goblin::elf::sym::{self, Sym};
use scroll::Pread;
use scroll::ctx::SizeWith;

/// Symbol tables that are read: a file has at most two that count.
const MAX_TABLES: usize = 4;

/// How many of each kind were seen.
#[derive(Default)]
struct Counts {
    functions: u64,
    objects: u64,
    imports: u64,
}

/// Adds the symbols of every symbol table.
pub(super) fn describe(source: &Source<'_>, elf: &Elf, draft: &mut Draft) -> Result<(), Trouble> {
    let is_table = |s: &&SectionHeader| {
        matches!(s.sh_type, section_header::SHT_SYMTAB | section_header::SHT_DYNSYM)
    };
    let has_full = elf.sections.iter().any(|s| s.sh_type == section_header::SHT_SYMTAB);
    let mut counts = Counts::default();
    for table in elf.sections.iter().filter(is_table).take(MAX_TABLES) {
        let names = match elf.sections.get(table.sh_link as usize) {
            Some(strings) => Strings::read(source, strings.sh_offset, strings.sh_size)?,
            None => Strings::default(),
        };
        // The dynamic table repeats what the full one has; it alone says what is imported.
        let counted = table.sh_type == section_header::SHT_SYMTAB || !has_full;
        let entry = Sym::size_with(&elf.ctx) as u64;
        let count = table.sh_size / entry;
        source.table(table.sh_offset, count, entry, |index, bytes| {
            if !draft.has_room() {
                draft.omit(count - index);
                return Ok(false);
            }
            let symbol: Sym = bytes.pread_with(0, elf.ctx)?;
            let is_import = symbol.st_shndx == 0 && symbol.st_name != 0;
            let name = names.get(symbol.st_name as u64);
            if is_import && says_imports(elf, table) {
                counts.imports += 1;
                draft.import(name);
            }
            if let Some(found) = region_of(elf, &symbol, name) {
                if counted {
                    match found.kind {
                        "function" => counts.functions += 1,
                        _ => counts.objects += 1,
                    }
                }
                if symbol.st_size == 0 {
                    draft.open_symbol(found);
                } else {
                    let len = (found.limit - found.start).min(symbol.st_size);
                    draft.region(found.kind, &found.name, found.start, len, found.address);
                }
            }
            Ok(true)
        })?;
    }
    draft.fact("functions", Fact::Number(counts.functions));
    draft.fact("objects", Fact::Number(counts.objects));
    draft.fact("imports", Fact::Number(counts.imports));
    Ok(())
}

/// Whether undefined symbols of this table come from elsewhere when the file is loaded.
fn says_imports(elf: &Elf, table: &SectionHeader) -> bool {
    // A kernel module has no dynamic table: the kernel links it as it is.
    table.sh_type == section_header::SHT_DYNSYM || elf.header.e_type == header::ET_REL
}

/// The symbol as a region that reaches to the end of what holds it, where it has bytes at all.
fn region_of(elf: &Elf, symbol: &Sym, name: &[u8]) -> Option<OpenSymbol> {
    let kind = match sym::st_type(symbol.st_info) {
        sym::STT_FUNC | sym::STT_GNU_IFUNC => "function",
        sym::STT_OBJECT | sym::STT_COMMON | sym::STT_TLS => "object",
        _ => return None,
    };
    if symbol.st_shndx == 0 || name.is_empty() {
        return None;
    }
    // The low bit of an ARM function's address says that it is Thumb code.
    let thumb = u64::from(elf.header.e_machine == header::EM_ARM && kind == "function");
    let value = symbol.st_value & !thumb;
    let is_tls = sym::st_type(symbol.st_info) == sym::STT_TLS;
    let (start, room) = place(elf, symbol.st_shndx, value, is_tls)?;
    let address = (elf.header.e_type != header::ET_REL && !is_tls).then_some(value);
    let limit = start.saturating_add(room);
    Some(OpenSymbol { name: name.to_vec(), kind, start, limit, address })
}

/// Where the bytes of a symbol start in the file, and how many follow in what holds them.
fn place(elf: &Elf, index: usize, value: u64, is_tls: bool) -> Option<(u64, u64)> {
    let section = elf.sections.get(index);
    if elf.header.e_type == header::ET_REL {
        return in_section(section.filter(|s| Elf::has_bytes(s))?, value);
    }
    if is_tls {
        let tls = elf.segments.iter().take(super::MAX_LOADS);
        let tls = tls.into_iter().find(|s| s.p_type == program_header::PT_TLS)?;
        let rest = tls.p_filesz.checked_sub(value).filter(|&rest| rest > 0)?;
        return Some((tls.p_offset.checked_add(value)?, rest));
    }
    if let Some(section) = section
        && let Some(into) = value.checked_sub(section.sh_addr)
        && into < section.sh_size
    {
        return if Elf::has_bytes(section) { in_section(section, into) } else { None };
    }
    elf.offset_of(value)
}

fn in_section(section: &SectionHeader, into: u64) -> Option<(u64, u64)> {
    let rest = section.sh_size.checked_sub(into).filter(|&rest| rest > 0)?;
    Some((section.sh_offset.checked_add(into)?, rest))
}
