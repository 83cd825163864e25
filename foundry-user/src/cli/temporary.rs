//! A file that is not under its name yet.
//!
//! Knows: names, renaming. Must never know: what is written.
//! Keeps: under the final name there is the old file or the whole new one; nothing stays behind.

use crate::error::CommandError;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Removed where it never gets its name.
pub(super) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A name beside `output`, on the same file system.
    pub(super) fn beside(output: &Path) -> Result<Self, CommandError> {
        if output.is_dir() {
            let what = "is a directory; name a file".to_owned();
            return Err(CommandError::Invalid { path: output.to_owned(), what });
        }
        let Some(name) = output.file_name() else {
            return Err(CommandError::Usage(format!(
                "--output {} names no file",
                output.display()
            )));
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", std::process::id()));
        let path = output.with_file_name(hidden);
        // What an earlier process of this number left behind is nobody's.
        drop(fs::remove_file(&path));
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it under its name.
    pub(super) fn keep(self, output: &Path) -> Result<(), CommandError> {
        fs::rename(&self.path, output).map_err(|e| CommandError::io("write", output, e))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone after a rename, which is the usual case.
        drop(fs::remove_file(&self.path));
    }
}

/// Refuses an output that is one of the files that are read.
pub(super) fn refuse_sources(output: &Path, sources: &[&Path]) -> Result<(), CommandError> {
    let Ok(existing) = fs::canonicalize(output) else { return Ok(()) };
    if sources.iter().any(|s| fs::canonicalize(s).is_ok_and(|s| s == existing)) {
        let what = "--output names the file that is read; choose another name";
        return Err(CommandError::Usage(what.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_taken_at_once_or_never() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        let kept = Temporary::beside(&output).unwrap();
        fs::write(kept.path(), "new").unwrap();
        assert!(!output.exists());
        kept.keep(&output).unwrap();
        assert_eq!(fs::read(&output).unwrap(), b"new");
        let dropped = Temporary::beside(&output).unwrap();
        fs::write(dropped.path(), "half").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(Temporary::beside(dir.path()).is_err());
        assert!(refuse_sources(&output, &[dir.path(), &output]).is_err());
        assert!(refuse_sources(&output, &[dir.path()]).is_ok());
    }
}
