//! Programs for the tests: what this machine has, and small ones made here for the formats it lacks.

use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};
use std::path::{Path, PathBuf};

/// Larger files only make the tests slow: they hold more of the same.
const MAX_SIZE: u64 = 24 << 20;

/// Up to `limit` regular files directly in `/usr/bin` and `/usr/lib/x86_64-linux-gnu` and the like,
/// spread evenly, and everything the environment names.
pub(super) fn files(limit: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in ["/usr/bin", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"] {
        collect(Path::new(dir), 1, &mut found);
    }
    found.sort();
    let step = (found.len() / limit).max(1);
    let mut picked: Vec<PathBuf> = found.into_iter().step_by(step).collect();
    if let Ok(more) = std::env::var("FOUNDRY_BINARY_CORPUS") {
        for path in more.split(':').filter(|p| !p.is_empty()) {
            collect(Path::new(path), 8, &mut picked);
        }
    }
    picked
}

fn collect(path: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return };
    if meta.is_file() && (1..=MAX_SIZE).contains(&meta.len()) {
        found.push(path.to_owned());
    }
    if meta.is_dir() && depth > 0 {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), depth - 1, found);
        }
    }
}

/// Relocatable ELF and Mach-O objects, 32 and 64 bits, both byte orders.
pub(super) fn objects() -> Vec<(String, Vec<u8>)> {
    use Architecture::{Aarch64, Arm, I386, PowerPc64, X86_64};
    use BinaryFormat::{Elf, MachO};
    use Endianness::{Big, Little};
    let mut made = Vec::new();
    for (format, architecture, endian) in [
        (Elf, X86_64, Little),
        (Elf, I386, Little),
        (Elf, PowerPc64, Big),
        (Elf, Arm, Little),
        (MachO, X86_64, Little),
        (MachO, Aarch64, Little),
        (MachO, I386, Little),
    ] {
        let name = format!("{format:?} {architecture:?}");
        made.push((name, object(format, architecture, endian)));
    }
    made
}

fn object(format: BinaryFormat, architecture: Architecture, endian: Endianness) -> Vec<u8> {
    let mut object = Object::new(format, architecture, endian);
    for (section, kind, names) in [
        (StandardSection::Text, SymbolKind::Text, ["alpha", "a_function_with_a_long_name"]),
        (StandardSection::Data, SymbolKind::Data, ["delta", "an_object_with_a_long_name"]),
    ] {
        let section = object.section_id(section);
        for (i, name) in names.iter().enumerate() {
            let body = vec![u8::try_from(i).unwrap() + 1; 24];
            let offset = object.append_section_data(section, &body, 8);
            object.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: offset,
                size: 24,
                kind,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Section(section),
                flags: SymbolFlags::None,
            });
        }
    }
    object.write().unwrap()
}

/// A fat Mach-O file of the given members, each at a multiple of 4 KiB.
pub(super) fn fat(members: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xca, 0xfe, 0xba, 0xbe];
    out.extend(u32::try_from(members.len()).unwrap().to_be_bytes());
    let mut at = 4096_u32;
    for (cpu, sub, bytes) in members {
        let len = u32::try_from(bytes.len()).unwrap();
        for field in [*cpu, *sub, at, len, 12] {
            out.extend(field.to_be_bytes());
        }
        at += len.next_multiple_of(4096);
    }
    for (_, _, bytes) in members {
        out.resize(out.len().next_multiple_of(4096), 0);
        out.extend_from_slice(bytes);
    }
    out
}

/// A PE program of one code section with an export table, two unwind ranges and one import.
pub(super) fn pe() -> Vec<u8> {
    use object::pe as p;
    let mut out = Vec::new();
    let mut writer = object::write::pe::Writer::new(true, 0x1000, 0x200, &mut out);
    writer.reserve_dos_header_and_stub();
    writer.reserve_nt_headers(16);
    writer.reserve_section_headers(4);
    let text = writer.reserve_text_section(0x80);
    let (exports, export_rva) = directory(&mut writer, text.virtual_address, export_table);
    writer.set_data_directory(p::IMAGE_DIRECTORY_ENTRY_EXPORT, export_rva, len32(&exports));
    let (imports, import_rva) = directory(&mut writer, 0, import_table);
    writer.set_data_directory(p::IMAGE_DIRECTORY_ENTRY_IMPORT, import_rva, len32(&imports));
    let unwind: Vec<u8> = [0, 0x20, 0, 0x20, 0x50, 0]
        .iter()
        .enumerate()
        .flat_map(|(i, at)| if i % 3 == 2 { 0 } else { text.virtual_address + at }.to_le_bytes())
        .collect();
    let pdata = writer.reserve_pdata_section(len32(&unwind));
    writer.write_dos_header_and_stub().unwrap();
    writer.write_nt_headers(object::write::pe::NtHeaders {
        machine: p::IMAGE_FILE_MACHINE_AMD64,
        time_date_stamp: 0,
        characteristics: p::IMAGE_FILE_EXECUTABLE_IMAGE | p::IMAGE_FILE_DLL,
        major_linker_version: 1,
        minor_linker_version: 0,
        address_of_entry_point: text.virtual_address,
        image_base: 0x1_4000_0000,
        major_operating_system_version: 6,
        minor_operating_system_version: 0,
        major_image_version: 0,
        minor_image_version: 0,
        major_subsystem_version: 6,
        minor_subsystem_version: 0,
        subsystem: p::IMAGE_SUBSYSTEM_WINDOWS_CUI,
        dll_characteristics: p::DllFlags(0),
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    });
    writer.write_section_headers();
    writer.write_section(text.file_offset, &[0xc3; 0x80]);
    writer.write_section(file_offset(export_rva, &text), &exports);
    writer.write_section(file_offset(import_rva, &text), &imports);
    writer.write_section(pdata.file_offset, &unwind);
    drop(writer);
    out
}

fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

/// Sections of this writer follow each other in the file as in memory, by their own alignments.
fn file_offset(rva: u32, text: &object::write::pe::SectionRange) -> u32 {
    text.file_offset + (rva - text.virtual_address) / 0x1000 * 0x200
}

/// Reserves a data section for what `make` builds once the section's address is known.
fn directory(
    writer: &mut object::write::pe::Writer<'_>,
    of: u32,
    make: fn(u32, u32) -> Vec<u8>,
) -> (Vec<u8>, u32) {
    let len = len32(&make(0, of));
    let range = writer.reserve_rdata_section(len);
    (make(range.virtual_address, of), range.virtual_address)
}

fn export_table(at: u32, text: u32) -> Vec<u8> {
    let names = ["lib.dll", "first", "second"];
    let (addresses, pointers, ordinals, strings) = (at + 40, at + 48, at + 56, at + 60);
    let name_rva = |i: usize| {
        strings + u32::try_from(names[..i].iter().map(|n| n.len() + 1).sum::<usize>()).unwrap()
    };
    let mut out = Vec::new();
    for field in [0, 0, 0, name_rva(0), 1, 2, 2, addresses, pointers, ordinals] {
        out.extend(u32::to_le_bytes(field));
    }
    for field in [text, text + 0x60, name_rva(1), name_rva(2), 0x0001_0000] {
        out.extend(field.to_le_bytes());
    }
    for name in names {
        out.extend(name.as_bytes());
        out.push(0);
    }
    out
}

fn import_table(at: u32, _: u32) -> Vec<u8> {
    let (lookup, name) = (at + 40, at + 56);
    let mut out = Vec::new();
    for field in [lookup, 0, 0, name, lookup, 0, 0, 0, 0, 0] {
        out.extend(u32::to_le_bytes(field));
    }
    // One import by ordinal: the high bit of a 64-bit entry.
    out.extend((1_u64 << 63 | 7).to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend(b"kernel32.dll\0");
    out
}
