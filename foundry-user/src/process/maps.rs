//! The mappings of a process: asked one by one where the kernel answers, else read as text.
//!
//! The text is parsed here and not by a package: a program chooses the names of its mappings, and those
//! need not be UTF-8 nor keep any form.
//!
//! Knows: `PROCMAP_QUERY`, the text of `maps` and `smaps`. Must never know: plots, bricks.
//! Keeps: mappings ascend and do not overlap; a line that is not understood is an error, never a panic.

use super::sys;
use foundry_brick::parts::page;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::Arc;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// `READ`, `WRITE`, `EXECUTE`, `SHARED` of [`page`].
    pub permissions: u64,
    /// Its first byte in the file.
    pub offset: u64,
    /// Device of the file.
    pub device: (u32, u32),
    /// Inode of the file; 0 where there is none.
    pub inode: u64,
    /// As the kernel names it; empty for nameless memory.
    pub name: Arc<[u8]>,
    /// Whether anything of it is in memory or in swap; `None` where that was not asked.
    pub populated: Option<bool>,
}

impl Mapping {
    /// Permissions as `maps` shows them.
    #[must_use]
    pub fn permission_text(&self) -> String {
        permission_text(self.permissions)
    }
}

/// Permissions as `maps` shows them.
#[must_use]
pub fn permission_text(bits: u64) -> String {
    let letter = |bit, yes, no| if bits & bit != 0 { yes } else { no };
    [
        letter(page::READ, 'r', '-'),
        letter(page::WRITE, 'w', '-'),
        letter(page::EXECUTE, 'x', '-'),
        letter(page::SHARED, 's', 'p'),
    ]
    .into_iter()
    .collect()
}

/// Longest name the kernel gives, with its NUL and room for ` (deleted)`.
const NAME_MAX: usize = 4096 + 16;

/// All mappings of the process whose `maps` this is, by `PROCMAP_QUERY`.
///
/// # Errors
/// `ENOTTY` where the kernel does not know the call; what else it says otherwise.
pub fn query(maps: &impl AsFd) -> io::Result<Vec<Mapping>> {
    let mut found: Vec<Mapping> = Vec::new();
    let mut name = vec![0; NAME_MAX];
    let mut at = 0;
    while let Some(query) = sys::procmap_query(maps.as_fd(), at, &mut name)? {
        // A layout that changes between two calls must not lead back.
        if query.end <= at || query.start < at && !found.is_empty() {
            break;
        }
        let length = (query.name_size as usize).saturating_sub(1).min(name.len());
        let name = &name[..length];
        let same = found.last().filter(|last| *last.name == *name).map(|last| last.name.clone());
        found.push(Mapping {
            start: query.start,
            end: query.end,
            permissions: query.flags & 0xf,
            offset: query.offset,
            device: (query.dev_major, query.dev_minor),
            inode: query.inode,
            name: same.unwrap_or_else(|| name.into()),
            populated: None,
        });
        at = query.end;
    }
    Ok(found)
}

/// All mappings in a text of `maps` or `smaps`; of the latter also whether anything is populated.
///
/// # Errors
/// Where the text cannot be read, or is neither.
pub fn parse(text: impl Read) -> io::Result<Vec<Mapping>> {
    let mut found: Vec<Mapping> = Vec::new();
    let mut reader = BufReader::with_capacity(1 << 16, text);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some((key, kib)) = detail(text) {
            let counted = key == b"Rss" || key == b"Swap";
            if let Some(last) = found.last_mut().filter(|_| counted) {
                last.populated = Some(last.populated == Some(true) || kib > 0);
            }
        } else if let Some(mapping) = headline(text) {
            if found.last().is_some_and(|last| mapping.start < last.end) {
                // The layout changed under the reader: what was read stands.
                continue;
            }
            // The gate page of old system calls is the kernel's, the same in every process.
            if *mapping.name != *b"[vsyscall]" {
                found.push(mapping);
            }
        } else if !text.starts_with(b"VmFlags") {
            let shown = String::from_utf8_lossy(text);
            return Err(io::Error::other(format!("not a line of a mapping: {shown:?}")));
        }
    }
}

/// `Rss:    123 kB` and its like.
fn detail(line: &[u8]) -> Option<(&[u8], u64)> {
    let colon = line.iter().position(|b| *b == b':')?;
    let (key, rest) = line.split_at(colon);
    if !key.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_') {
        return None;
    }
    let number = std::str::from_utf8(&rest[1..]).ok()?.trim();
    Some((key, number.strip_suffix(" kB").unwrap_or(number).trim().parse().ok()?))
}

/// `start-end perms offset major:minor inode   name`.
fn headline(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let mut word = || {
        let (word, after) = split_at(rest, b' ').unwrap_or((rest, &[]));
        rest = after;
        word
    };
    let (addresses, permissions, offset, device, inode) = (word(), word(), word(), word(), word());
    let (start, end) = split_at(addresses, b'-')?;
    let (start, end) = (hex(start)?, hex(end)?);
    let (major, minor) = split_at(device, b':')?;
    let &[r, w, x, s] = permissions else { return None };
    let bit = |letter: u8, on: u8, bit: u64| if letter == on { bit } else { 0 };
    let name = &rest[rest.iter().position(|b| *b != b' ').unwrap_or(rest.len())..];
    (start < end).then_some(())?;
    Some(Mapping {
        start,
        end,
        permissions: bit(r, b'r', page::READ)
            | bit(w, b'w', page::WRITE)
            | bit(x, b'x', page::EXECUTE)
            | bit(s, b's', page::SHARED),
        offset: hex(offset)?,
        device: (u32::try_from(hex(major)?).ok()?, u32::try_from(hex(minor)?).ok()?),
        inode: std::str::from_utf8(inode).ok()?.parse().ok()?,
        name: unescape(name).into(),
        populated: None,
    })
}

fn split_at(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The text shows a newline in a name as `\012`, and nothing else in another form.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            out.push(b'\n');
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}
