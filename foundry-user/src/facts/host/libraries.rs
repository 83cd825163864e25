//! Which of the libraries a program needs are not there.
//!
//! Knows: where the loader looks: run paths, the directories of `ld.so.conf`, the usual ones.
//! Must never know: `LD_LIBRARY_PATH` of whoever executes it, what a library holds.
//! Keeps: only names are looked for; nothing is opened but the loader's own list.

use super::super::content::Facts;
use crate::binary::Fact;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories that every loader looks in; those of other architectures are found below them.
const USUAL: [&str; 6] = ["lib", "usr/lib", "lib64", "usr/lib64", "lib32", "usr/local/lib"];

/// Libraries that are looked for.
const MAX_NEEDED: usize = 256;

/// Adds the libraries that are missing, where any is needed.
pub(in crate::facts) fn describe(
    root: &Path,
    usual: &[PathBuf],
    program: &[u8],
    facts: &mut Facts,
) {
    // Only ELF says how it is linked.
    let is_elf = facts.contains_key("link.kind");
    let Some(Fact::List(needed)) = facts.get("link.needed").filter(|_| is_elf) else { return };
    let origin = Path::new(OsStr::from_bytes(program)).parent().unwrap_or(Path::new("/"));
    let mut places = Vec::new();
    for key in ["link.rpath", "link.runpath"] {
        if let Some(Fact::Text(paths)) = facts.get(key) {
            let origin = origin.to_string_lossy();
            let expand = |p: &str| p.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
            places.extend(paths.split(':').map(|p| below(root, Path::new(&expand(p)))));
        }
    }
    places.extend_from_slice(usual);
    let missing = |name: &&String| {
        let name = Path::new(name.as_str());
        if name.is_absolute() {
            return !below(root, name).exists();
        }
        !places.iter().any(|dir| dir.join(name).exists())
    };
    let missing: Vec<String> = needed.iter().take(MAX_NEEDED).filter(missing).cloned().collect();
    if !missing.is_empty() {
        facts.insert("link.missing".to_owned(), Fact::List(missing));
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The usual directories, those below them that bear a platform's name, and those of `ld.so.conf`.
pub(in crate::facts) fn usual(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for dir in USUAL {
        found.push(root.join(dir));
    }
    let platforms = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
    let platforms =
        platforms.filter(|e| e.file_name().as_bytes().windows(6).any(|w| w == b"-linux"));
    found.extend(platforms.map(|e| e.path()));
    let listed = std::fs::read_dir(root.join("etc/ld.so.conf.d")).into_iter().flatten().flatten();
    for file in listed {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let dirs = text.lines().map(str::trim).filter(|l| l.starts_with('/'));
        found.extend(dirs.map(|dir| below(root, Path::new(dir))));
    }
    found.sort();
    found.dedup();
    found
}
