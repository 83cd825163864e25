//! Where in a store the brick of an artifact lies.
//!
//! Knows: names of artifacts (paths, or `pid:N`). Must never know: what a brick holds.
//! Keeps: a name has one place; no two bricks of one directory are looked up by more than a hash.

use std::io;
use std::path::{Path, PathBuf};

/// Directory of the bricks inside a store.
pub(super) const BRICKS: &str = "bricks";

/// What the name of a brick's file ends with.
pub(super) const BRICK: &str = "brick";

/// What the name of a file ends with that is a brick only when it is whole.
pub(super) const UNFINISHED: &str = "tmp";

/// Hexadecimal digits of the name's hash that make the file name.
const DIGITS: usize = 20;

/// The `.brick` file of the artifact called `name` (its path as bytes, or `pid:N`) in `store`.
#[must_use]
pub fn brick_path(store: &Path, name: &[u8]) -> PathBuf {
    let hash = blake3::hash(name).to_hex();
    let digits = &hash[..DIGITS];
    store.join(BRICKS).join(&digits[..2]).join(format!("{digits}.brick"))
}

/// Every `.brick` file of `store`, in one order. A store without bricks has none.
///
/// # Errors
/// Where a directory cannot be listed.
pub fn bricks(store: &Path) -> io::Result<Vec<PathBuf>> {
    files(store, BRICK)
}

/// Every file among the bricks of `store` whose name ends with `extension`, in one order.
pub(super) fn files(store: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let top = match std::fs::read_dir(store.join(BRICKS)) {
        Ok(top) => top,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(e),
    };
    for directory in top {
        let directory = directory?;
        if !directory.file_type()?.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(directory.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where the brick that will be at `place` is written before it is whole.
#[must_use]
pub(crate) fn unfinished(place: &Path) -> PathBuf {
    place.with_extension(UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_is_found_where_it_was_put() {
        let store = tempfile::tempdir().unwrap();
        assert_eq!(bricks(store.path()).unwrap(), Vec::<PathBuf>::new());
        let mut put: Vec<PathBuf> =
            [&b"/opt/a"[..], b"/opt/b", b"pid:7"].map(|n| brick_path(store.path(), n)).to_vec();
        for path in &put {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
            std::fs::write(path.with_extension("tmp"), "").unwrap();
        }
        put.sort();
        assert_eq!(bricks(store.path()).unwrap(), put);
        assert_eq!(put[0].file_stem().unwrap().len(), DIGITS);
    }
}
