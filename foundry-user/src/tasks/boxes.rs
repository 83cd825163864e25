//! The boxes of an OpenSpec change: which there are, and ticking one.
//!
//! Knows: the lines that OpenSpec takes for tasks. Must never know: what a step does.
//! Keeps: a tick changes one byte of the file, and only if everything else is as it was read; what
//! people write there is theirs.

use super::confined::Dir;
use super::lease;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// Longest list that is read.
pub(super) const MOST: u64 = 4 << 20;

/// One line with a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TickBox {
    /// The number in front of its text (`1.2`), if there is one.
    pub(super) id: Option<String>,
    /// Its text.
    pub(super) text: String,
    /// Whether it is ticked.
    pub(super) done: bool,
    /// The byte that the mark is, or would be; `None` where there is no room for one.
    pub(super) mark: Option<usize>,
}

/// Every line of `text` that OpenSpec 1.13 counts as a task, in order:
/// `^\s*(?:[-*+]|\d{1,9}[.)])\s*\[(?:\s*([^\]\s]?)\s*\](?![([])|\s+\])\s*(.*)`
/// Lines in code blocks count, nested ones too; only `x` and `X` are done.
#[must_use]
pub(super) fn boxes(text: &str) -> Vec<TickBox> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        if let Some(mut one) = parse(line) {
            one.mark = one.mark.map(|at| start + at);
            found.push(one);
        }
        start += line.len() + 1;
    }
    found
}

fn parse(line: &str) -> Option<TickBox> {
    let skip = |at: usize| at + line[at..].len() - line[at..].trim_start().len();
    let at = bullet(line, skip(0))?;
    let open = skip(at);
    if !line[open..].starts_with('[') {
        return None;
    }
    let inside = open + 1;
    let at = skip(inside);
    let rest = &line[at..];
    let mark = rest.chars().next().filter(|c| *c != ']' && !c.is_whitespace());
    let close = skip(at + mark.map_or(0, char::len_utf8));
    if !line[close..].starts_with(']') {
        return None;
    }
    let after = &line[close + 1..];
    // A link is no box, unless it has nothing but space for its text.
    let is_blank = mark.is_none() && inside < close;
    if after.starts_with(['(', '[']) && !is_blank {
        return None;
    }
    let text = after.trim();
    let room = match mark {
        Some(c) => c.is_ascii().then_some(at),
        None => line[inside..close].starts_with(' ').then_some(inside),
    };
    Some(TickBox {
        id: number(text),
        text: text.to_owned(),
        done: matches!(mark, Some('x' | 'X')),
        mark: room,
    })
}

/// Where the text after a bullet or a number begins.
fn bullet(line: &str, at: usize) -> Option<usize> {
    let rest = &line[at..];
    if rest.starts_with(['-', '*', '+']) {
        return Some(at + 1);
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let is_numbered = (1..=9).contains(&digits) && rest[digits..].starts_with(['.', ')']);
    is_numbered.then_some(at + digits + 1)
}

/// The number that a text begins with: `1.2` of `1.2 Fold it`, and of `1.2. Fold it`.
fn number(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?.trim_end_matches(['.', ':', ')']);
    let is_number = !word.is_empty()
        && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    is_number.then(|| word.to_owned())
}

/// How an attempt to tick ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ticked {
    /// The box is ticked, and was not before.
    Now,
    /// Somebody ticked it already.
    Already,
    /// Somebody is writing the file: try again.
    Busy,
    /// There is no such box, or no room for a mark in it.
    NoBox,
}

/// Ticks the box `id` of the list called `name`.
///
/// # Errors
/// As `open(2)`, `write(2)`, `rename(2)`.
pub(super) fn tick(dir: &Dir, name: &str, id: &str) -> io::Result<Ticked> {
    let file = dir.file(OsStr::new(name), true)?;
    // Nobody else can open the file while it is leased; whoever had it open before refuses it.
    let leased = match lease::take(&file) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Ticked::Busy),
        // Not our file, or a file system without leases.
        Err(_) => false,
    };
    let meta = file.metadata()?;
    let len = usize::try_from(meta.len().min(MOST)).unwrap_or(0);
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(Ticked::NoBox) };
    let Some(one) = boxes(text).into_iter().find(|one| one.id.as_deref() == Some(id)) else {
        return Ok(Ticked::NoBox);
    };
    if one.done {
        return Ok(Ticked::Already);
    }
    let Some(at) = one.mark else { return Ok(Ticked::NoBox) };
    if leased {
        file.write_all_at(b"x", at as u64)?;
        file.sync_data()?;
        drop(file);
    } else {
        bytes[at] = b'x';
        if !replace(dir, name, &bytes, &meta)? {
            return Ok(Ticked::Busy);
        }
    }
    // An editor that puts a new file in the old one's place may have done so meanwhile.
    let now = dir.read(name, MOST)?.map(|text| text.bytes).unwrap_or_default();
    let is_there = std::str::from_utf8(&now)
        .is_ok_and(|text| boxes(text).iter().any(|one| one.id.as_deref() == Some(id) && one.done));
    Ok(if is_there { Ticked::Now } else { Ticked::Busy })
}

/// Puts a whole file in the place of the one that was read, if that is still what is there.
fn replace(dir: &Dir, name: &str, bytes: &[u8], was: &std::fs::Metadata) -> io::Result<bool> {
    let half = dir.begin(OsStr::new(name))?;
    std::fs::write(dir.place(&half), bytes)?;
    let file = dir.file(&half, true)?;
    file.set_permissions(was.permissions())?;
    // Only root may give a file away; its own files are the user's already.
    drop(std::os::unix::fs::fchown(&file, Some(was.uid()), Some(was.gid())));
    file.sync_all()?;
    let now = dir.file(OsStr::new(name), false)?.metadata()?;
    let what =
        |m: &std::fs::Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec(), m.ctime_nsec());
    if what(&now) != what(was) {
        dir.remove(&half)?;
        return Ok(false);
    }
    dir.finish(&half, OsStr::new(name))?;
    Ok(true)
}

#[cfg(test)]
mod tests;
