//! Mach-O symbols: the symbol table, and where it was stripped the table of function starts.
//!
//! Knows: symbols, sections. Must never know: load commands.
//! Keeps: Mach-O symbols have no size: each reaches to the next one or to its section's end.

use super::super::Fact;
use super::super::draft::{Draft, OpenSymbol};
use super::super::source::{Source, Strings, Trouble};
use super::{Commands, Section};
use goblin::container::Ctx;
use goblin::mach::constants::{S_ATTR_PURE_INSTRUCTIONS, S_ATTR_SOME_INSTRUCTIONS};
use goblin::mach::symbols::{N_SECT, Nlist};
use scroll::Pread;
use scroll::ctx::SizeWith;
use std::collections::BTreeSet;

/// Bytes of function starts that are looked at.
const MAX_STARTS: u64 = 8 << 20;

/// Sections that addresses are looked up in; a symbol can name 255.
const MAX_SECTIONS: usize = 255;

/// Adds functions and objects.
pub(super) fn describe(
    source: &Source<'_>,
    commands: &Commands,
    ctx: Ctx,
    draft: &mut Draft,
) -> Result<(), Trouble> {
    let mut named = BTreeSet::new();
    let mut objects = 0;
    let mut locals = 0;
    if let Some(table) = &commands.symtab {
        let strings = Strings::read(source, u64::from(table.stroff), u64::from(table.strsize))?;
        let (offset, count) = (u64::from(table.symoff), u64::from(table.nsyms));
        source.table(offset, count, Nlist::size_with(&ctx) as u64, |_, bytes| {
            let symbol: Nlist = bytes.pread_with(0, ctx)?;
            let name = strings.get(symbol.n_strx as u64);
            let Some((section, is_code)) = holder(commands, &symbol) else { return Ok(true) };
            locals += u64::from(!symbol.is_global());
            let kind = if is_code { "function" } else { "object" };
            if let Some(found) = open(source, section, symbol.n_value, kind, name.to_vec()) {
                if is_code {
                    named.insert(symbol.n_value);
                } else {
                    objects += 1;
                }
                draft.open_symbol(found);
            }
            Ok(draft.has_room())
        })?;
    }
    let starts = function_starts(source, commands)?;
    for address in starts.iter().filter(|a| !named.contains(a)) {
        let holder = commands.sections.iter().take(MAX_SECTIONS).find(|s| holds(s, *address));
        let name = format!("sub_{address:x}").into_bytes();
        if let Some(found) = holder.and_then(|s| open(source, s, *address, "function", name)) {
            draft.open_symbol(found);
        }
    }
    let functions = named.len() + starts.difference(&named).count();
    draft.fact("functions", Fact::Number(functions as u64));
    draft.fact("objects", Fact::Number(objects));
    // strip leaves what the dynamic linker needs: global symbols.
    draft.fact("stripped", Fact::Flag(locals == 0));
    Ok(())
}

/// The section a symbol is defined in, and whether that holds code.
fn holder<'a>(commands: &'a Commands, symbol: &Nlist) -> Option<(&'a Section, bool)> {
    if symbol.is_stab() || symbol.get_type() != N_SECT {
        return None;
    }
    let section = commands.sections.get(symbol.n_sect.checked_sub(1)?)?;
    let is_code = section.flags & (S_ATTR_PURE_INSTRUCTIONS | S_ATTR_SOME_INSTRUCTIONS) != 0;
    Some((section, is_code))
}

fn holds(section: &Section, address: u64) -> bool {
    address.checked_sub(section.address).is_some_and(|into| into < section.size)
}

fn open(
    source: &Source<'_>,
    section: &Section,
    address: u64,
    kind: &'static str,
    name: Vec<u8>,
) -> Option<OpenSymbol> {
    if name.is_empty() || !holds(section, address) {
        return None;
    }
    let start = source.base().checked_add(section.offset)?;
    let limit = start.saturating_add(section.size);
    let start = start.checked_add(address - section.address)?;
    Some(OpenSymbol { name, kind, start, limit, address: Some(address) })
}

/// The addresses of all functions, from a list of distances in LEB128.
fn function_starts(source: &Source<'_>, commands: &Commands) -> Result<BTreeSet<u64>, Trouble> {
    let mut starts = BTreeSet::new();
    let (Some((offset, len)), Some(text)) = (commands.function_starts, commands.text_address)
    else {
        return Ok(starts);
    };
    let bytes = source.window(offset, len.min(MAX_STARTS))?;
    let mut address = text;
    let mut distance: u64 = 0;
    let mut shift = 0;
    for byte in bytes {
        if shift < u64::BITS {
            distance |= u64::from(byte & 0x7f) << shift;
        }
        shift += 7;
        if byte & 0x80 != 0 {
            continue;
        }
        if distance == 0 || starts.len() >= super::super::MAX_REGIONS {
            break;
        }
        address = address.saturating_add(distance);
        starts.insert(address);
        (distance, shift) = (0, 0);
    }
    Ok(starts)
}
