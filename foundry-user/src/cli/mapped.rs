//! A `.brick` file that is only read, mapped into memory.
//!
//! Knows: one open file. Must never know: what is in it.
//! Keeps: read-only; offsets outside the file are errors.

use crate::error::CommandError;
use foundry_brick::storage::Storage;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// A mapped file.
#[derive(Debug)]
pub(super) struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps the file at `path`.
    pub(super) fn open(path: &Path) -> std::result::Result<Self, CommandError> {
        let file = File::open(path).map_err(|e| CommandError::io("open", path, e))?;
        let kind = file.metadata().map_err(|e| CommandError::io("open", path, e))?.file_type();
        if !kind.is_file() {
            let what = "is not a .brick file: it is not a regular file".to_owned();
            return Err(CommandError::Invalid { path: path.to_owned(), what });
        }
        // SAFETY: bricks are appended to and replaced by rename, never changed in place below the
        // length that a committed root names, and never made shorter; what is read is checked
        // against checksums before it is used.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Self).map_err(|e| CommandError::io("map", path, e))
    }
}

impl Storage for MappedFile {
    fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buf.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(self.0.get(start..end).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::from(ErrorKind::ReadOnlyFilesystem))
    }

    fn set_len(&mut self, _: u64) -> Result<()> {
        Err(Error::from(ErrorKind::ReadOnlyFilesystem))
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}
