//! A brick's bytes in a file.
//!
//! Knows: one open file. Must never know: what is in it, who else has it open.
//! Keeps: reads and writes carry their offset, so that one file can be shared.

use foundry_brick::storage::Storage;
use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Bricks say as much as their artifacts do: nobody else reads them.
const MODE: u32 = 0o600;

/// A storage in a file.
#[derive(Debug)]
pub struct FileStorage(File);

impl FileStorage {
    /// Opens an existing file for reading and writing. A symbolic link is refused.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map(Self)
    }

    /// Makes a file that was not there, mode 0600.
    ///
    /// # Errors
    /// As `open(2)` with `O_EXCL`.
    pub fn create(path: &Path) -> Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path).map(Self)
    }

    /// Opens an existing file for reading only. A symbolic link is refused.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open_to_read(path: &Path) -> Result<Self> {
        let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
        OpenOptions::new().read(true).custom_flags(flags).open(path).map(Self)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Storage for FileStorage {
    fn len(&self) -> Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }

    fn sync(&mut self) -> Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn bytes_come_back_and_the_end_is_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut storage = FileStorage::create(&path).unwrap();
        storage.write_at(4, b"abcd").unwrap();
        storage.sync().unwrap();
        assert_eq!(storage.len().unwrap(), 8);
        let mut buf = [1; 8];
        storage.read_at(0, &mut buf).unwrap();
        assert_eq!(&buf, b"\0\0\0\0abcd");
        let beyond = storage.read_at(1, &mut buf).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
        storage.set_len(2).unwrap();
        assert_eq!(FileStorage::open(&path).unwrap().len().unwrap(), 2);
        assert_eq!(FileStorage::create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let mode = std::os::unix::fs::MetadataExt::mode(&storage.file().metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::fs::write(dir.path().join("target"), "x").unwrap();
        std::os::unix::fs::symlink("target", &link).unwrap();
        assert!(FileStorage::open(&link).is_err());
    }
}
