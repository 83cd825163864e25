//! ELF: what the linker and the compiler did to make an attack harder.
//!
//! Knows: headers, imports. Must never know: instructions.
//! Keeps: what the file does not say is left out, not guessed.

use super::super::Fact;
use super::super::draft::Draft;
use super::{DynamicFacts, Elf};
use goblin::elf::header;
use goblin::elf::program_header as ph;

/// What a function calls when its stack was written over.
const CANARY: [&str; 3] = ["__stack_chk_fail", "__stack_chk_guard", "__stack_chk_fail_local"];

/// Facts of a file that can be loaded.
pub(super) fn describe(elf: &Elf, dynamic: &DynamicFacts, draft: &mut Draft) {
    if !matches!(elf.header.e_type, header::ET_EXEC | header::ET_DYN) {
        return;
    }
    let segment = |kind| elf.segments.iter().find(|s| s.p_type == kind);
    draft.fact("hardening.pie", Fact::Flag(elf.header.e_type == header::ET_DYN));
    // Without the header the kernel takes what the machine had before there was one.
    let nx = segment(ph::PT_GNU_STACK).is_some_and(|s| s.p_flags & ph::PF_X == 0);
    draft.fact("hardening.nx", Fact::Flag(nx));
    let relro = match (segment(ph::PT_GNU_RELRO).is_some(), dynamic.binds_now) {
        (true, true) => "full",
        (true, false) => "partial",
        (false, _) => "none",
    };
    draft.fact("hardening.relro", Fact::Text(relro.to_owned()));
    let writable_code = |s: &ph::ProgramHeader| {
        s.p_type == ph::PT_LOAD && s.p_flags & (ph::PF_W | ph::PF_X) == ph::PF_W | ph::PF_X
    };
    if elf.segments.iter().any(writable_code) {
        draft.fact("hardening.writable_code", Fact::Flag(true));
    }
    // A static program has no imports to tell by.
    if dynamic.is_dynamic {
        let canary = CANARY.iter().any(|name| draft.has_import(name));
        draft.fact("hardening.canary", Fact::Flag(canary));
        let fortified =
            draft.count_imports(|name| name.ends_with("_chk") && name.starts_with("__"));
        draft.fact("hardening.fortified", Fact::Number(fortified));
    }
}
