//! Which files some process holds in a shared writable mapping, and which are the disk of a loop device:
//! bytes of both change without a system call that names them.
//!
//! Knows: `/proc/PID/maps`, `/sys/block`. Must never know: artifacts.
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
    let mut files: BTreeSet<FileIdentity> = found.into_values().flatten().collect();
    files.extend(disks(Path::new("/sys/block")));
    files.into_iter().collect()
}

/// The files behind loop devices that may be written to.
fn disks(devices: &Path) -> Vec<FileIdentity> {
    let listed = std::fs::read_dir(devices).into_iter().flatten().flatten();
    let disk = |device: &Path| {
        let path = std::fs::read(device.join("loop/backing_file")).ok()?;
        let read_only = std::fs::read(device.join("ro")).ok()?.starts_with(b"1");
        let path = Path::new(OsStr::from_bytes(path.strip_suffix(b"\n").unwrap_or(&path)));
        let stat = stat_path(path).ok()?;
        (stat.kind == FileKind::File && !read_only).then_some(stat.identity)
    };
    listed.filter_map(|device| disk(&device.path())).collect()
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
    fn the_disks_of_devices_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("with\nnewline");
        std::fs::write(&file, b"x").unwrap();
        let device = |name: &str, read_only: &str, path: &[u8]| {
            let device = dir.path().join("block").join(name);
            std::fs::create_dir_all(device.join("loop")).unwrap();
            std::fs::write(device.join("ro"), read_only).unwrap();
            std::fs::write(device.join("loop/backing_file"), path).unwrap();
        };
        let line = [file.as_os_str().as_bytes(), b"\n"].concat();
        device("loop0", "1\n", &line);
        device("loop1", "0\n", b"/nowhere (deleted)\n");
        device("loop2", "0\n", dir.path().as_os_str().as_bytes());
        std::fs::create_dir_all(dir.path().join("block/vda")).unwrap();
        assert_eq!(disks(&dir.path().join("block")), []);
        device("loop3", "0\n", &line);
        let found = stat_path(&file).unwrap().identity;
        assert_eq!(disks(&dir.path().join("block")), [found]);
        assert_eq!(disks(&dir.path().join("none")), []);
    }

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
