//! Archives: how many members, and the first names.
//!
//! Knows: directories of archives. Must never know: what is compressed in them.
//! Keeps: nothing is unpacked; a bounded number of headers is read, and a cut says so.

use super::content::Facts;
use crate::binary::Fact;
use crate::binary::source::Source;
use std::io;

/// Members that are counted; headers lie apart, so each costs a read.
const MAX_MEMBERS: u64 = 4096;

/// Names that are kept.
const MAX_NAMES: usize = 40;

/// Bytes of a ZIP's central directory that are read.
const MAX_DIRECTORY: u64 = 4 << 20;

/// Bytes at a ZIP's end in which its last record lies: the record and the longest comment.
const ZIP_END: u64 = 22 + 65_535;

/// Bytes of a name that are kept.
const MAX_NAME: usize = 200;

/// What was found.
#[derive(Default)]
struct Members {
    count: u64,
    names: Vec<String>,
    bytes: u64,
    cut: bool,
}

impl Members {
    fn add(&mut self, name: &[u8], size: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.names.len() < MAX_NAMES {
            self.names
                .push(String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]).into_owned());
        }
    }
}

/// Adds what an archive's own tables say.
pub(super) fn describe(source: &Source<'_>, format: &str, facts: &mut Facts) -> io::Result<()> {
    let members = match format {
        "tar" => tar(source)?,
        "zip" => zip(source)?,
        "ar" | "deb" => ar(source)?,
        "cpio" => cpio(source)?,
        "gzip" => return gzip(source, facts),
        _ => return Ok(()),
    };
    facts.insert("archive.members".to_owned(), Fact::Number(members.count));
    facts.insert("archive.unpacked_bytes".to_owned(), Fact::Number(members.bytes));
    if !members.names.is_empty() {
        facts.insert("archive.names".to_owned(), Fact::List(members.names));
    }
    if members.cut {
        facts.insert("archive.cut".to_owned(), Fact::Flag(true));
    }
    Ok(())
}

/// A number in the digits of `radix`, as old archives write them; blanks and NULs end it.
fn digits(field: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, radix).ok() }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

fn tar(source: &Source<'_>) -> io::Result<Members> {
    let mut found = Members::default();
    let mut at = 0;
    loop {
        let header = source.window(at, 512)?;
        if header.len() < 512 || header.iter().all(|&b| b == 0) {
            return Ok(found);
        }
        if found.count == MAX_MEMBERS {
            found.cut = true;
            return Ok(found);
        }
        // The high bit says that the size is binary: larger than eight octal digits say.
        let size = if header[124] & 0x80 == 0 {
            digits(&header[124..136], 8)
        } else {
            header[128..136].try_into().ok().map(u64::from_be_bytes)
        };
        let Some(size) = size.filter(|_| header[257..262] == *b"ustar") else {
            found.cut = true;
            return Ok(found);
        };
        // Long names and extended headers are members of their own that nobody means.
        if !matches!(header[156], b'x' | b'g' | b'L' | b'K') {
            found.add(until_nul(&header[..100]), size);
        }
        let Some(next) = size.checked_next_multiple_of(512).and_then(|n| at.checked_add(512 + n))
        else {
            found.cut = true;
            return Ok(found);
        };
        at = next;
    }
}

fn zip(source: &Source<'_>) -> io::Result<Members> {
    let mut found = Members { cut: true, ..Members::default() };
    let tail_at = source.size().saturating_sub(ZIP_END);
    let tail = source.window(tail_at, ZIP_END)?;
    let Some(end) = memchr::memmem::rfind(&tail, b"PK\x05\x06") else { return Ok(found) };
    let number = |at: usize| -> Option<u64> {
        Some(u64::from(u32::from_le_bytes(tail.get(end + at..end + at + 4)?.try_into().ok()?)))
    };
    let (Some(len), Some(offset)) = (number(12), number(16)) else { return Ok(found) };
    let directory = source.window(offset, len.min(MAX_DIRECTORY))?;
    let mut rest = directory.as_slice();
    while let Some((name, size, next)) = zip_entry(rest) {
        found.add(name, size);
        rest = next;
    }
    found.cut = !rest.is_empty() || len > MAX_DIRECTORY;
    Ok(found)
}

/// Name, size, and what follows one entry of the central directory.
fn zip_entry(bytes: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let two =
        |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let size = u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?);
    let (name, extra, comment) = (two(28)?, two(30)?, two(32)?);
    let is_entry = bytes.starts_with(b"PK\x01\x02");
    let next = bytes.get(46 + name + extra + comment..).filter(|_| is_entry)?;
    Some((bytes.get(46..46 + name)?, u64::from(size), next))
}

fn ar(source: &Source<'_>) -> io::Result<Members> {
    let mut found = Members::default();
    let mut at: u64 = 8;
    loop {
        let header = source.window(at, 60)?;
        if header.len() < 60 {
            return Ok(found);
        }
        let size = digits(&header[48..58], 10).filter(|_| header[58..] == *b"`\n");
        let Some(size) = size.filter(|_| found.count < MAX_MEMBERS) else {
            found.cut = true;
            return Ok(found);
        };
        let name = header[..16].trim_ascii_end();
        // The symbol index and the table of long names are no members.
        if !matches!(name, b"/" | b"//" | b"/SYM64/") {
            found.add(name.strip_suffix(b"/").unwrap_or(name), size);
        }
        at = at.saturating_add(60).saturating_add(size).saturating_add(size % 2);
    }
}

/// The format with six-digit magic that Linux uses; the older ones are counted as cut.
fn cpio(source: &Source<'_>) -> io::Result<Members> {
    let mut found = Members::default();
    let mut at: u64 = 0;
    loop {
        let header = source.window(at, 110)?;
        let field = |i: usize| digits(header.get(6 + 8 * i..14 + 8 * i)?, 16);
        let (Some(size), Some(len)) = (field(6), field(11)) else {
            found.cut = true;
            return Ok(found);
        };
        let is_header = header.starts_with(b"070701") || header.starts_with(b"070702");
        if !is_header || found.count == MAX_MEMBERS {
            found.cut = true;
            return Ok(found);
        }
        let name = source.window(at + 110, len.min(MAX_NAME as u64 + 1))?;
        let name = until_nul(&name);
        if name == b"TRAILER!!!" {
            return Ok(found);
        }
        found.add(name, size);
        let body = at.saturating_add(110 + len).next_multiple_of(4);
        at = body.saturating_add(size).next_multiple_of(4);
    }
}

/// The name and the time that the header keeps, and the size that the last bytes tell.
fn gzip(source: &Source<'_>, facts: &mut Facts) -> io::Result<()> {
    const HAS_EXTRA: u8 = 4;
    const HAS_NAME: u8 = 8;
    let head = source.window(0, 512)?;
    if head.get(3).is_some_and(|flags| flags & (HAS_EXTRA | HAS_NAME) == HAS_NAME)
        && let Some(name) = head.get(10..).map(until_nul).filter(|name| !name.is_empty())
    {
        let name = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]).into_owned();
        facts.insert("archive.names".to_owned(), Fact::List(vec![name]));
    }
    let tail = source.window(source.size().saturating_sub(4), 4)?;
    if let Ok(size) = <[u8; 4]>::try_from(tail.as_slice()) {
        // Modulo 4 GiB, and of the last member only: what `gzip -l` says.
        let size = u64::from(u32::from_le_bytes(size));
        facts.insert("archive.unpacked_bytes".to_owned(), Fact::Number(size));
    }
    Ok(())
}
