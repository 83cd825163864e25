//! ELF: who made the file, with what, and as part of which package; what a kernel module says.
//!
//! Knows: notes, `.comment`, `.modinfo`. Must never know: the symbols.
//! Keeps: texts of the file are bounded, and their number too.

use super::super::Fact;
use super::super::draft::Draft;
use super::super::source::{Source, Trouble, until_nul};
use super::{Elf, MAX_SMALL};
use goblin::elf::note::{NT_GNU_BUILD_ID, Note, NoteDataIterator};
use goblin::elf::program_header;
use goblin::elf::section_header::{self, SectionHeader};
use scroll::Pread;
use std::collections::BTreeSet;

/// `NT_GNU_PROPERTY_TYPE_0`.
const NT_PROPERTIES: u32 = 5;

/// A note with a package's name and version, as systemd defines it.
const NT_PACKAGE: u32 = 0xcafe_1a7e;

/// What Go's linker writes.
const NT_GO_BUILD_ID: u32 = 4;

/// Bits of `GNU_PROPERTY_X86_FEATURE_1_AND` and `GNU_PROPERTY_AARCH64_FEATURE_1_AND`.
const FEATURES: &[(u32, u32, &str)] = &[
    (0xc000_0002, 1, "ibt"),
    (0xc000_0002, 2, "shstk"),
    (0xc000_0000, 1, "bti"),
    (0xc000_0000, 2, "pac"),
];

/// Sections that the summary names.
const MAX_SUMMARY: usize = 48;

/// Values of one name of `.modinfo` that are kept.
const MAX_VALUES: usize = 256;

/// What ends a signed kernel module.
const SIGNED: &[u8] = b"~Module signature appended~\n";

/// Names of `.modinfo` that have one value.
const ONE: &[(&str, &str)] = &[
    ("license", "module.licence"),
    ("vermagic", "module.vermagic"),
    ("name", "module.name"),
    ("description", "module.description"),
    ("version", "module.version"),
    ("srcversion", "module.srcversion"),
    ("retpoline", "module.retpoline"),
    ("intree", "module.intree"),
];

/// Names of `.modinfo` that have several.
const MANY: &[(&str, &str)] = &[
    ("alias", "module.aliases"),
    ("author", "module.authors"),
    ("depends", "module.depends"),
    ("firmware", "module.firmware"),
    ("import_ns", "module.namespaces"),
    ("parm", "module.parameters"),
    ("softdep", "module.softdep"),
];

/// Everything but the notes.
pub(super) fn describe(source: &Source<'_>, elf: &Elf, draft: &mut Draft) -> Result<(), Trouble> {
    summary(elf, draft);
    let named = |name: &[u8]| elf.sections.iter().find(|s| elf.section_name(s) == name);
    let mut makers = BTreeSet::new();
    if let Some(section) = named(b".comment") {
        let bytes = source.window(section.sh_offset, section.sh_size.min(MAX_SMALL))?;
        let texts = bytes.split(|&b| b == 0).filter(|t| !t.is_empty()).take(16);
        makers.extend(texts.filter_map(|t| draft.name(t)));
    }
    let has = |start: &[u8]| elf.sections.iter().any(|s| elf.section_name(s).starts_with(start));
    let language = if has(b".go.buildinfo") || has(b".gopclntab") {
        Some("go")
    } else if makers.iter().any(|m| m.starts_with("rustc")) {
        Some("rust")
    } else if draft.count_imports(|name| name.starts_with("_ZN") || name.starts_with("_ZS")) > 0 {
        Some("c++")
    } else {
        let is_c = |m: &String| m.starts_with("GCC") || m.contains("clang");
        makers.iter().any(is_c).then_some("c")
    };
    if let Some(section) = named(b".go.buildinfo") {
        let bytes = source.window(section.sh_offset, section.sh_size.min(256))?;
        // Since Go 1.18 the version stands in the section: a length, then the text.
        if let Some(text) = bytes.get(33..).filter(|_| bytes.starts_with(b"\xff Go buildinf:")) {
            let len = bytes.get(32).map_or(0, |&n| usize::from(n)).min(text.len());
            makers.extend(draft.name(&text[..len]));
        }
    }
    if let Some(language) = language {
        draft.fact("language", Fact::Text(language.to_owned()));
    }
    if !makers.is_empty() {
        draft.fact("compiler", Fact::List(makers.into_iter().collect()));
    }
    match named(b".modinfo") {
        Some(section) if named(b".gnu.linkonce.this_module").is_some() => {
            module(source, section, draft)
        }
        _ => Ok(()),
    }
}

/// Name, size and flags of the first sections.
fn summary(elf: &Elf, draft: &mut Draft) {
    let mut lines = Vec::new();
    for section in elf.sections.iter().skip(1).take(MAX_SUMMARY) {
        let flags = u32::try_from(section.sh_flags).unwrap_or(0);
        let flag = |bit, letter: &'static str| if flags & bit == 0 { "" } else { letter };
        let name = String::from_utf8_lossy(elf.section_name(section)).into_owned();
        let flags = [
            flag(section_header::SHF_ALLOC, "a"),
            flag(section_header::SHF_WRITE, "w"),
            flag(section_header::SHF_EXECINSTR, "x"),
        ]
        .concat();
        let line = format!("{name} {} {flags}", section.sh_size);
        lines.extend(draft.name(line.trim_end().as_bytes()));
    }
    if !lines.is_empty() {
        draft.fact("section_summary", Fact::List(lines));
    }
}

/// What a kernel module says of itself, and whether somebody signed it.
fn module(source: &Source<'_>, section: &SectionHeader, draft: &mut Draft) -> Result<(), Trouble> {
    let bytes = source.window(section.sh_offset, section.sh_size.min(MAX_SMALL))?;
    let mut many: Vec<Vec<String>> = vec![Vec::new(); MANY.len()];
    for text in bytes.split(|&b| b == 0) {
        let Some(equals) = text.iter().position(|&b| b == b'=') else { continue };
        let (name, value) = (&text[..equals], &text[equals + 1..]);
        if let Some((_, fact)) = ONE.iter().find(|(known, _)| known.as_bytes() == name) {
            draft.text(fact, &value[..value.len().min(1024)]);
        }
        if let Some(i) = MANY.iter().position(|(known, _)| known.as_bytes() == name)
            && many[i].len() < MAX_VALUES
        {
            many[i].extend(draft.name(value));
        }
    }
    for ((_, fact), values) in MANY.iter().zip(many) {
        if !values.is_empty() {
            draft.fact(fact, Fact::List(values));
        }
    }
    let at = source.size().saturating_sub(SIGNED.len() as u64);
    let signed = source.window(at, SIGNED.len() as u64)? == SIGNED;
    draft.fact("module.signed", Fact::Flag(signed));
    draft.fact("kind", Fact::Text("kernel module".to_owned()));
    Ok(())
}

/// Build id, package, hardware features.
pub(super) fn notes(source: &Source<'_>, elf: &Elf, draft: &mut Draft) -> Result<(), Trouble> {
    let in_segments = elf.segments.iter().filter(|s| s.p_type == program_header::PT_NOTE);
    let in_sections = elf.sections.iter().filter(|s| s.sh_type == section_header::SHT_NOTE);
    let places = in_segments
        .map(|s| (s.p_offset, s.p_filesz, s.p_align))
        .chain(in_sections.map(|s| (s.sh_offset, s.sh_size, s.sh_addralign)));
    let mut features = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // A core dump's notes hold whole register sets, and the tables may name the same place often.
    for (offset, len, align) in places.take(64) {
        if !seen.insert(offset) {
            continue;
        }
        let data = source.window(offset, len.min(MAX_SMALL))?;
        let align = if align == 8 { 8 } else { 4 };
        let notes =
            NoteDataIterator { data: &data, size: data.len(), offset: 0, ctx: (align, elf.ctx) };
        for note in notes.map_while(Result::ok).take(4096) {
            note_facts(elf, &note, draft, &mut features);
        }
    }
    if !features.is_empty() {
        let features = features.into_iter().map(str::to_owned).collect();
        draft.fact("hardening.control_flow", Fact::List(features));
    }
    Ok(())
}

fn note_facts(
    elf: &Elf,
    note: &Note<'_>,
    draft: &mut Draft,
    features: &mut BTreeSet<&'static str>,
) {
    match (note.name, note.n_type) {
        ("GNU", NT_GNU_BUILD_ID) => {
            let hex = note.desc.iter().take(64).map(|b| format!("{b:02x}")).collect();
            draft.fact("build_id", Fact::Text(hex));
        }
        ("GNU", NT_PROPERTIES) => properties(elf, note.desc, features),
        ("FDO", NT_PACKAGE) => {
            let text = until_nul(note.desc);
            draft.text("package.note", &text[..text.len().min(1024)]);
        }
        ("Go", NT_GO_BUILD_ID) => {
            draft.text("go_build_id", &note.desc[..note.desc.len().min(256)]);
        }
        _ => {}
    }
}

/// Properties are a type, a length and the bytes, each padded to the size of an address.
fn properties(elf: &Elf, desc: &[u8], features: &mut BTreeSet<&'static str>) {
    let pad = if elf.ctx.is_big() { 8 } else { 4 };
    let mut at = 0;
    while let (Ok(kind), Ok(len)) =
        (desc.pread_with::<u32>(at, elf.ctx.le), desc.pread_with::<u32>(at + 4, elf.ctx.le))
    {
        if let Ok(bits) = desc.pread_with::<u32>(at + 8, elf.ctx.le) {
            let set = FEATURES.iter().filter(|f| f.0 == kind && bits & f.1 != 0);
            features.extend(set.map(|f| f.2));
        }
        let Ok(len) = usize::try_from(len) else { return };
        let Some(next) = len.checked_next_multiple_of(pad).and_then(|n| at.checked_add(8 + n))
        else {
            return;
        };
        at = next;
    }
}
