//! Which files some process holds in a shared writable mapping.
//!
//! Knows: `/proc/PID/maps`. Must never know: artifacts.
//! Keeps: a line of `maps` is parsed, never trusted; a process that ends meanwhile is no error.

use super::open::stat_path;
use crate::artifact::{FileIdentity, FileKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// All of them, once each. Processes that may not be looked at are left out.
#[must_use]
pub fn shared_writable_files() -> Vec<FileIdentity> {
    let mut found: BTreeMap<(Vec<u8>, u64), Option<FileIdentity>> = BTreeMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return vec![] };
    for entry in processes.flatten() {
        let name = entry.file_name();
        if !name.as_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(maps) = std::fs::read(entry.path().join("maps")) else { continue };
        for mapping in maps.split(|b| *b == b'\n').filter_map(shared_writable) {
            let key = (mapping.dev.to_vec(), mapping.ino);
            found.entry(key).or_insert_with(|| identity(&entry.path(), &mapping));
        }
    }
    let files: BTreeSet<FileIdentity> = found.into_values().flatten().collect();
    files.into_iter().collect()
}

/// One line of `maps`, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    range: &'a [u8],
    dev: &'a [u8],
    ino: u64,
    path: &'a [u8],
}

/// The mapping that a line describes, where it is shared, writable and of a file.
fn shared_writable(line: &[u8]) -> Option<Mapping<'_>> {
    let mut rest = line;
    let mut field = || {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (field, tail) = rest.split_at(end);
        rest = tail;
        field
    };
    let (range, modes, _offset, dev, ino) = (field(), field(), field(), field(), field());
    if modes.get(1) != Some(&b'w') || modes.get(3) != Some(&b's') {
        return None;
    }
    let ino = std::str::from_utf8(ino).ok()?.parse().ok().filter(|n| *n != 0)?;
    Some(Mapping { range, dev, ino, path: rest.trim_ascii_start() })
}

/// The file behind a mapping: by the kernel's own link where it may be followed, else by its path in
/// the file system as that process sees it.
fn identity(process: &Path, mapping: &Mapping<'_>) -> Option<FileIdentity> {
    let link = process.join("map_files").join(OsStr::from_bytes(mapping.range));
    let stat = stat_path(&link).or_else(|_| {
        let path = Path::new(OsStr::from_bytes(mapping.path));
        stat_path(&process.join("root").join(path.strip_prefix("/").unwrap_or(path)))
    });
    stat.ok()
        .filter(|s| s.kind == FileKind::File && s.identity.ino == mapping.ino)
        .map(|s| s.identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let line = b"7f00-7f01 rw-s 00001000 fe:00 1234   /tmp/with space (deleted)";
        let mapping = shared_writable(line).unwrap();
        assert_eq!(mapping.range, b"7f00-7f01");
        assert_eq!((mapping.dev, mapping.ino), (&b"fe:00"[..], 1234));
        assert_eq!(mapping.path, b"/tmp/with space (deleted)");
        for other in [
            &b"7f00-7f01 rw-p 00000000 fe:00 1234 /tmp/x"[..],
            b"7f00-7f01 r--s 00000000 fe:00 1234 /tmp/x",
            b"7f00-7f01 rw-s 00000000 00:01 0 /dev/zero",
            b"7f00-7f01 rw-s 00000000 00:01 99999999999999999999999",
            b"7f00",
            b"",
        ] {
            assert_eq!(shared_writable(other), None, "{}", other.escape_ascii());
        }
    }
}
