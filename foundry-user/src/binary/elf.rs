//! ELF: headers, segments, sections, and the facts of the dynamic section and the notes.
//!
//! Knows: the ELF layout, through goblin's structures. Must never know: other formats.
//! Keeps: one table at a time, in bounded windows; a count is believed as far as the file reaches.

mod hardening;
mod origin;
mod symbols;

use super::Fact;
use super::draft::Draft;
use super::source::{Source, Strings, Trouble, until_nul};
use goblin::container::Ctx;
use goblin::elf::dynamic::{self, Dyn};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::{self, ProgramHeader};
use goblin::elf::section_header::{self, SectionHeader};
use scroll::Pread;
use scroll::ctx::SizeWith;

/// Largest note section, dynamic section or name that is looked at.
const MAX_SMALL: u64 = 1 << 20;

/// Sections and segments that are looked at; a file with more is described in part.
const MAX_HEADERS: u64 = 1 << 17;

/// `e_phnum` where the count does not fit.
const PN_XNUM: u16 = 0xffff;

/// Loaded segments that symbols are looked up in.
const MAX_LOADS: usize = 64;

/// The file's tables, as far as they could be read.
struct Elf {
    header: Header,
    ctx: Ctx,
    segments: Vec<ProgramHeader>,
    /// The loaded segments, of a file that has more of them than any program the first ones: every
    /// symbol may ask all of them.
    loads: Vec<ProgramHeader>,
    sections: Vec<SectionHeader>,
    names: Strings,
}

/// What the dynamic section says.
#[derive(Default)]
struct DynamicFacts {
    is_dynamic: bool,
    binds_now: bool,
    is_pie: bool,
    has_soname: bool,
}

/// Describes an ELF file.
pub(super) fn describe(source: &Source<'_>, draft: &mut Draft) -> Result<(), Trouble> {
    let header: Header = source.window(0, 64)?.as_slice().pread(0)?;
    let ctx = Ctx::new(header.container()?, header.endianness()?);
    machine_facts(&header, ctx, draft);
    let elf = read_tables(source, header, ctx)?;
    header_regions(&elf, draft);
    segment_regions(&elf, draft);
    section_regions(&elf, draft);
    let dynamic = dynamic_facts(source, &elf, draft)?;
    interpreter(source, &elf, draft)?;
    type_fact(&elf, &dynamic, draft);
    origin::notes(source, &elf, draft)?;
    symbols::describe(source, &elf, draft)?;
    hardening::describe(&elf, &dynamic, draft);
    origin::describe(source, &elf, draft)
}

fn machine_facts(header: &Header, ctx: Ctx, draft: &mut Draft) {
    draft.fact("class", Fact::Number(if ctx.is_big() { 64 } else { 32 }));
    let endian = if ctx.is_little_endian() { "little" } else { "big" };
    draft.fact("endian", Fact::Text(endian.to_owned()));
    let machine = header::machine_to_str(header.e_machine).to_lowercase();
    draft.fact("machine", Fact::Text(machine));
    if header.e_entry != 0 {
        draft.fact("entry", Fact::Number(header.e_entry));
    }
}

fn read_tables(source: &Source<'_>, header: Header, ctx: Ctx) -> Result<Elf, Trouble> {
    let section_size = SectionHeader::size_with(&ctx) as u64;
    // Counts that do not fit their 16-bit fields stand in the first section header.
    let first: Option<SectionHeader> = if header.e_shoff == 0 {
        None
    } else {
        source.window(header.e_shoff, section_size)?.as_slice().pread_with(0, ctx).ok()
    };
    let n_segments = match (header.e_phnum, &first) {
        (PN_XNUM, Some(first)) => u64::from(first.sh_info),
        (n, _) => u64::from(n),
    };
    let n_sections = match (header.e_shnum, &first) {
        (_, None) => 0,
        (0, Some(first)) => first.sh_size,
        (n, Some(_)) => u64::from(n),
    };
    let names_index = match (u32::from(header.e_shstrndx), &first) {
        (section_header::SHN_XINDEX, Some(first)) => first.sh_link,
        (index, _) => index,
    };
    let mut segments: Vec<ProgramHeader> = Vec::new();
    if header.e_phoff != 0 && n_segments > 0 {
        let entry = u64::from(header.e_phentsize);
        source.table(header.e_phoff, n_segments.min(MAX_HEADERS), entry, |_, bytes| {
            segments.push(bytes.pread_with(0, ctx)?);
            Ok(true)
        })?;
    }
    let mut sections: Vec<SectionHeader> = Vec::new();
    if n_sections > 0 {
        let entry = u64::from(header.e_shentsize);
        source.table(header.e_shoff, n_sections.min(MAX_HEADERS), entry, |_, bytes| {
            sections.push(bytes.pread_with(0, ctx)?);
            Ok(true)
        })?;
    }
    let names = match sections.get(names_index as usize) {
        Some(s) if names_index != 0 => Strings::read(source, s.sh_offset, s.sh_size)?,
        _ => Strings::default(),
    };
    let is_load = |s: &&ProgramHeader| s.p_type == program_header::PT_LOAD;
    let loads = segments.iter().filter(is_load).take(MAX_LOADS).cloned().collect();
    Ok(Elf { header, ctx, segments, loads, sections, names })
}

impl Elf {
    fn section_name(&self, section: &SectionHeader) -> &[u8] {
        self.names.get(section.sh_name as u64)
    }

    /// The place in the file of an address in memory, and how many bytes follow it there.
    fn offset_of(&self, address: u64) -> Option<(u64, u64)> {
        self.loads.iter().find_map(|s| {
            let into = address.checked_sub(s.p_vaddr)?;
            let rest = s.p_filesz.checked_sub(into).filter(|&rest| rest > 0)?;
            Some((s.p_offset.checked_add(into)?, rest))
        })
    }

    fn has_bytes(section: &SectionHeader) -> bool {
        !matches!(section.sh_type, section_header::SHT_NOBITS | section_header::SHT_NULL)
    }
}

fn header_regions(elf: &Elf, draft: &mut Draft) {
    let header = &elf.header;
    draft.region("header", b"ELF header", 0, u64::from(header.e_ehsize), None);
    let segments = elf.segments.len() as u64 * u64::from(header.e_phentsize);
    draft.region("header", b"program headers", header.e_phoff, segments, None);
    let sections = elf.sections.len() as u64 * u64::from(header.e_shentsize);
    draft.region("header", b"section headers", header.e_shoff, sections, None);
}

fn segment_regions(elf: &Elf, draft: &mut Draft) {
    draft.fact("segments", Fact::Number(elf.segments.len() as u64));
    for segment in &elf.segments {
        let kind = program_header::pt_to_str(segment.p_type);
        let flag = |bit, letter| if segment.p_flags & bit == 0 { '-' } else { letter };
        let name = format!(
            "{} {}{}{}",
            kind.strip_prefix("PT_").unwrap_or(kind),
            flag(program_header::PF_R, 'r'),
            flag(program_header::PF_W, 'w'),
            flag(program_header::PF_X, 'x'),
        );
        let (start, len) = (segment.p_offset, segment.p_filesz);
        draft.region("segment", name.as_bytes(), start, len, Some(segment.p_vaddr));
    }
}

fn section_regions(elf: &Elf, draft: &mut Draft) {
    // The first entry is the null section of every table.
    draft.fact("sections", Fact::Number((elf.sections.len() as u64).saturating_sub(1)));
    let mut has_symbols = false;
    let mut has_debug = false;
    for section in elf.sections.iter().skip(1) {
        let name = elf.section_name(section);
        has_symbols |= section.sh_type == section_header::SHT_SYMTAB;
        has_debug |= name == b".debug_info" || name == b".zdebug_info";
        if Elf::has_bytes(section) {
            let address = Some(section.sh_addr).filter(|&a| a != 0);
            draft.region("section", name, section.sh_offset, section.sh_size, address);
        }
    }
    draft.fact("stripped", Fact::Flag(!has_symbols));
    draft.fact("debug_info", Fact::Flag(has_debug));
}

fn dynamic_facts(
    source: &Source<'_>,
    elf: &Elf,
    draft: &mut Draft,
) -> Result<DynamicFacts, Trouble> {
    let mut facts = DynamicFacts::default();
    let segment = elf.segments.iter().find(|s| s.p_type == program_header::PT_DYNAMIC);
    let Some(segment) = segment else { return Ok(facts) };
    facts.is_dynamic = true;
    let entry = Dyn::size_with(&elf.ctx) as u64;
    let mut entries = Vec::new();
    source.table(
        segment.p_offset,
        segment.p_filesz.min(MAX_SMALL) / entry,
        entry,
        |_, bytes| {
            let one: Dyn = bytes.pread_with(0, elf.ctx)?;
            let more = one.d_tag != dynamic::DT_NULL;
            entries.push(one);
            Ok(more)
        },
    )?;
    let value = |tag| entries.iter().find(|e| e.d_tag == tag).map(|e| e.d_val);
    let names = match value(dynamic::DT_STRTAB).and_then(|address| elf.offset_of(address)) {
        Some((offset, rest)) => {
            let len = value(dynamic::DT_STRSZ).unwrap_or(rest).min(rest);
            Strings::read(source, offset, len)?
        }
        None => Strings::default(),
    };
    facts.is_pie = value(dynamic::DT_FLAGS_1).is_some_and(|f| f & dynamic::DF_1_PIE != 0);
    let flag = |tag, bit| value(tag).is_some_and(|flags| flags & bit != 0);
    facts.binds_now = value(dynamic::DT_BIND_NOW).is_some()
        || flag(dynamic::DT_FLAGS, dynamic::DF_BIND_NOW)
        || flag(dynamic::DT_FLAGS_1, dynamic::DF_1_NOW);
    facts.has_soname = value(dynamic::DT_SONAME).is_some();
    let mut needed = Vec::new();
    for one in &entries {
        let name = names.get(one.d_val);
        match one.d_tag {
            dynamic::DT_NEEDED => needed.extend(draft.name(name)),
            dynamic::DT_SONAME => draft.text("soname", name),
            dynamic::DT_RPATH => draft.text("rpath", name),
            dynamic::DT_RUNPATH => draft.text("runpath", name),
            _ => {}
        }
    }
    if !needed.is_empty() {
        draft.fact("needed", Fact::List(needed));
    }
    Ok(facts)
}

fn interpreter(source: &Source<'_>, elf: &Elf, draft: &mut Draft) -> Result<(), Trouble> {
    if let Some(s) = elf.segments.iter().find(|s| s.p_type == program_header::PT_INTERP) {
        let bytes = source.window(s.p_offset, s.p_filesz.min(MAX_SMALL))?;
        draft.text("interpreter", until_nul(&bytes));
    }
    Ok(())
}

fn type_fact(elf: &Elf, dynamic: &DynamicFacts, draft: &mut Draft) {
    let has_interpreter = elf.segments.iter().any(|s| s.p_type == program_header::PT_INTERP);
    // A program that is also a library (libc.so.6 can be run) has a soname and no PIE flag.
    let is_program = dynamic.is_pie || has_interpreter && !dynamic.has_soname;
    let what = match elf.header.e_type {
        header::ET_EXEC => "executable",
        header::ET_DYN if is_program => "position-independent executable",
        header::ET_DYN => "shared library",
        header::ET_REL => "relocatable object",
        header::ET_CORE => "core dump",
        _ => "unknown",
    };
    draft.fact("type", Fact::Text(what.to_owned()));
    if matches!(elf.header.e_type, header::ET_EXEC | header::ET_DYN) {
        let linkage =
            if has_interpreter || dynamic.is_dynamic && !is_program { "dynamic" } else { "static" };
        draft.fact("linkage", Fact::Text(linkage.to_owned()));
    }
}
