//! Mach-O, thin and fat: architectures, segments, sections, symbols, libraries, UUID.
//!
//! Knows: the Mach-O layout, through goblin's structures. Must never know: other formats.
//! Keeps: load commands are read from one bounded window; a fat file's members are clipped to it.

mod symbols;

use super::Fact;
use super::draft::Draft;
use super::source::{Source, Trouble, until_nul};
use goblin::container::Ctx;
use goblin::mach::constants::cputype::get_arch_name_from_types;
use goblin::mach::fat::{FatArch, SIZEOF_FAT_ARCH};
use goblin::mach::header::{self, Header};
use goblin::mach::load_command::{
    CommandVariant, LoadCommand, SIZEOF_SECTION_32, SIZEOF_SECTION_64, SIZEOF_SEGMENT_COMMAND_32,
    SIZEOF_SEGMENT_COMMAND_64, Section32, Section64, SegmentCommand32, SegmentCommand64,
    SymtabCommand,
};
use scroll::ctx::SizeWith;
use scroll::{BE, Pread};

/// Members of a fat file that are described; Apple ships at most a handful.
const MAX_ARCHITECTURES: u32 = 32;

/// Bytes of load commands that are looked at.
const MAX_COMMANDS: u64 = 4 << 20;

/// Load commands that are looked at.
const MAX_COMMAND_COUNT: usize = 1 << 16;

/// Bytes of a `fat_arch_64`.
const SIZEOF_FAT_ARCH_64: u64 = 32;

/// Magic of a fat file with 64-bit offsets, as its four bytes.
const FAT_MAGIC_64: [u8; 4] = [0xca, 0xfe, 0xba, 0xbf];

/// A section, whatever its width.
struct Section {
    name: Vec<u8>,
    address: u64,
    size: u64,
    offset: u64,
    flags: u32,
}

/// What the load commands said.
struct Commands {
    sections: Vec<Section>,
    symtab: Option<SymtabCommand>,
    function_starts: Option<(u64, u64)>,
    text_address: Option<u64>,
    entry_offset: Option<u64>,
    needed: Vec<String>,
    segments: u64,
}

/// Describes a fat file: each member is an architecture with regions and facts of its own.
pub(super) fn describe_fat(source: &Source<'_>, draft: &mut Draft) -> Result<(), Trouble> {
    let head = source.window(0, 8)?;
    let is_wide = head.starts_with(&FAT_MAGIC_64);
    let count = head.as_slice().pread_with::<u32>(4, BE)?.min(MAX_ARCHITECTURES);
    let entry = if is_wide { SIZEOF_FAT_ARCH_64 } else { SIZEOF_FAT_ARCH as u64 };
    let mut members = Vec::new();
    source.table(8, u64::from(count), entry, |_, bytes| {
        if is_wide {
            let kinds = (bytes.pread_with(0, BE)?, bytes.pread_with(4, BE)?);
            members.push((kinds, bytes.pread_with(8, BE)?, bytes.pread_with(16, BE)?));
        } else {
            let one = FatArch::parse(bytes, 0)?;
            let place = (u64::from(one.offset), u64::from(one.size));
            members.push(((one.cputype, one.cpusubtype), place.0, place.1));
        }
        Ok(true)
    })?;
    draft.region("header", b"fat header", 0, 8 + members.len() as u64 * entry, None);
    let mut names = Vec::new();
    let mut trouble = Ok(());
    for ((cpu, sub), offset, len) in members {
        let name = architecture(cpu, sub);
        draft.region("architecture", name.as_bytes(), offset, len, None);
        draft.set_prefix(&name);
        // A damaged member does not hide the others.
        match describe(&source.member(offset, len), draft) {
            Err(Trouble::Io(e)) => return Err(Trouble::Io(e)),
            Err(malformed) => trouble = Err(malformed),
            Ok(()) => {}
        }
        draft.set_prefix("");
        names.push(name);
    }
    draft.fact("architectures", Fact::List(names));
    trouble
}

/// Describes a thin file, or one member of a fat one.
pub(super) fn describe(source: &Source<'_>, draft: &mut Draft) -> Result<(), Trouble> {
    let head = source.window(0, header::SIZEOF_HEADER_64 as u64)?;
    let (_, ctx) = goblin::mach::parse_magic_and_ctx(&head, 0)?;
    let Some(ctx) = ctx else { return Err(Trouble::Malformed("a member is no Mach-O file")) };
    let header: Header = head.as_slice().pread_with(0, ctx)?;
    header_facts(&header, ctx, draft);
    let header_len = Header::size_with(&ctx) as u64;
    let commands_len = u64::from(header.sizeofcmds);
    let base = source.base();
    draft.region("header", b"Mach-O header", base, header_len, None);
    draft.region("header", b"load commands", base + header_len, commands_len, None);
    let bytes = source.window(header_len, commands_len.min(MAX_COMMANDS))?;
    let (commands, read) = load_commands(&bytes, &header, ctx, base, draft);
    command_facts(&commands, draft);
    symbols::describe(source, &commands, ctx, draft)?;
    read
}

fn architecture(cpu: u32, sub: u32) -> String {
    let sub = sub & !goblin::mach::constants::cputype::CPU_SUBTYPE_MASK;
    get_arch_name_from_types(cpu, sub)
        .map_or_else(|| format!("cpu {cpu:#x}/{sub:#x}"), |name| name.to_lowercase())
}

fn header_facts(header: &Header, ctx: Ctx, draft: &mut Draft) {
    draft.fact("machine", Fact::Text(architecture(header.cputype, header.cpusubtype)));
    draft.fact("class", Fact::Number(if ctx.is_big() { 64 } else { 32 }));
    let endian = if ctx.is_little_endian() { "little" } else { "big" };
    draft.fact("endian", Fact::Text(endian.to_owned()));
    let what = match header.filetype {
        header::MH_EXECUTE if header.flags & header::MH_PIE != 0 => {
            "position-independent executable"
        }
        header::MH_EXECUTE => "executable",
        header::MH_DYLIB | header::MH_DYLIB_STUB => "shared library",
        header::MH_BUNDLE => "bundle",
        header::MH_OBJECT => "relocatable object",
        header::MH_CORE => "core dump",
        header::MH_DYLINKER => "dynamic linker",
        header::MH_DSYM => "debug symbols",
        header::MH_KEXT_BUNDLE => "kernel extension",
        _ => "unknown",
    };
    draft.fact("type", Fact::Text(what.to_owned()));
}

/// Reads the load commands as far as they go.
fn load_commands(
    bytes: &[u8],
    header: &Header,
    ctx: Ctx,
    base: u64,
    draft: &mut Draft,
) -> (Commands, Result<(), Trouble>) {
    let mut found = Commands {
        sections: Vec::new(),
        symtab: None,
        function_starts: None,
        text_address: None,
        entry_offset: None,
        needed: Vec::new(),
        segments: 0,
    };
    let mut at = 0;
    for _ in 0..header.ncmds.min(MAX_COMMAND_COUNT) {
        let start = at;
        let Ok(command) = LoadCommand::parse(bytes, &mut at, ctx.le) else {
            return (found, Err(Trouble::Malformed("a load command cannot be read")));
        };
        if at < start + 8 || at > bytes.len() {
            return (found, Err(Trouble::Malformed("a load command has no proper size")));
        }
        one_command(&command.command, &bytes[start..at], ctx, base, draft, &mut found);
    }
    (found, Ok(()))
}

fn one_command(
    command: &CommandVariant,
    bytes: &[u8],
    ctx: Ctx,
    base: u64,
    draft: &mut Draft,
    found: &mut Commands,
) {
    // A string of a load command stands behind its fixed part, at an offset it names.
    let string = |at: u32| until_nul(bytes.get(at as usize..).unwrap_or_default());
    match command {
        CommandVariant::Segment32(s) => segment32(s, bytes, ctx, base, draft, found),
        CommandVariant::Segment64(s) => segment64(s, bytes, ctx, base, draft, found),
        CommandVariant::Symtab(s) => found.symtab = Some(*s),
        CommandVariant::FunctionStarts(s) => {
            found.function_starts = Some((u64::from(s.dataoff), u64::from(s.datasize)));
        }
        CommandVariant::CodeSignature(s) => {
            let (start, len) = (base + u64::from(s.dataoff), u64::from(s.datasize));
            draft.region("header", b"code signature", start, len, None);
        }
        CommandVariant::Uuid(s) => {
            let hex = s.uuid.iter().map(|b| format!("{b:02x}")).collect();
            draft.fact("build_id", Fact::Text(hex));
        }
        CommandVariant::LoadDylib(d)
        | CommandVariant::LoadWeakDylib(d)
        | CommandVariant::ReexportDylib(d)
        | CommandVariant::LazyLoadDylib(d)
        | CommandVariant::LoadUpwardDylib(d) => {
            found.needed.extend(draft.name(string(d.dylib.name)));
        }
        CommandVariant::IdDylib(d) => draft.text("soname", string(d.dylib.name)),
        CommandVariant::LoadDylinker(d) => draft.text("interpreter", string(d.name)),
        CommandVariant::Rpath(r) => draft.text("rpath", string(r.path)),
        CommandVariant::Main(m) => found.entry_offset = Some(m.entryoff),
        _ => {}
    }
}

fn segment32(
    s: &SegmentCommand32,
    bytes: &[u8],
    ctx: Ctx,
    base: u64,
    draft: &mut Draft,
    found: &mut Commands,
) {
    let place = (u64::from(s.fileoff), u64::from(s.filesize), u64::from(s.vmaddr));
    segment(&s.segname, place, base, draft, found);
    let table = bytes.get(SIZEOF_SEGMENT_COMMAND_32..).unwrap_or_default();
    for one in table.chunks_exact(SIZEOF_SECTION_32).take(s.nsects as usize) {
        if let Ok(section) = one.pread_with::<Section32>(0, ctx.le) {
            let (address, size) = (u64::from(section.addr), u64::from(section.size));
            let offset = u64::from(section.offset);
            let names = (&section.segname, &section.sectname);
            add_section(names, (address, size, offset), section.flags, base, draft, found);
        }
    }
}

fn segment64(
    s: &SegmentCommand64,
    bytes: &[u8],
    ctx: Ctx,
    base: u64,
    draft: &mut Draft,
    found: &mut Commands,
) {
    segment(&s.segname, (s.fileoff, s.filesize, s.vmaddr), base, draft, found);
    let table = bytes.get(SIZEOF_SEGMENT_COMMAND_64..).unwrap_or_default();
    for one in table.chunks_exact(SIZEOF_SECTION_64).take(s.nsects as usize) {
        if let Ok(section) = one.pread_with::<Section64>(0, ctx.le) {
            let place = (section.addr, section.size, u64::from(section.offset));
            let names = (&section.segname, &section.sectname);
            add_section(names, place, section.flags, base, draft, found);
        }
    }
}

fn segment(
    name: &[u8; 16],
    (offset, len, address): (u64, u64, u64),
    base: u64,
    draft: &mut Draft,
    found: &mut Commands,
) {
    let name = until_nul(name);
    found.segments += 1;
    if name == b"__TEXT" {
        found.text_address = Some(address);
    }
    let start = base.saturating_add(offset);
    draft.region("segment", name, start, len, Some(address));
}

fn add_section(
    (segment, section): (&[u8; 16], &[u8; 16]),
    (address, size, offset): (u64, u64, u64),
    flags: u32,
    base: u64,
    draft: &mut Draft,
    found: &mut Commands,
) {
    let name = [until_nul(segment), b",", until_nul(section)].concat();
    let has_bytes = offset != 0 && !is_zero_fill(flags);
    if has_bytes {
        draft.region("section", &name, base.saturating_add(offset), size, Some(address));
    }
    let size = if has_bytes { size } else { 0 };
    found.sections.push(Section { name, address, size, offset, flags });
}

/// Whether a section of this type has no bytes in the file.
fn is_zero_fill(flags: u32) -> bool {
    use goblin::mach::constants::{
        S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL, S_ZEROFILL, SECTION_TYPE,
    };
    matches!(flags & SECTION_TYPE, S_ZEROFILL | S_GB_ZEROFILL | S_THREAD_LOCAL_ZEROFILL)
}

fn command_facts(commands: &Commands, draft: &mut Draft) {
    draft.fact("segments", Fact::Number(commands.segments));
    draft.fact("sections", Fact::Number(commands.sections.len() as u64));
    let has_debug = commands.sections.iter().any(|s| s.name.ends_with(b",__debug_info"));
    draft.fact("debug_info", Fact::Flag(has_debug));
    if let Some(offset) = commands.entry_offset {
        let text = commands.text_address.unwrap_or(0);
        draft.fact("entry", Fact::Number(text.saturating_add(offset)));
    }
    if !commands.needed.is_empty() {
        draft.fact("needed", Fact::List(commands.needed.clone()));
    }
}
