//! Where a brick's bytes lie, as far as this crate knows: a numbered run of bytes.
//!
//! Knows: offsets. Must never know: files, paths. What may be assumed of the medium behind a
//! storage stands in FORMAT.md, "Assumptions about the medium".

use crate::geometry::index;
use std::io::{Error, ErrorKind, Result};

/// A growable run of bytes.
pub trait Storage {
    /// Number of bytes.
    ///
    /// # Errors
    /// As the medium fails.
    fn len(&self) -> Result<u64>;

    /// Whether it holds no byte.
    ///
    /// # Errors
    /// As the medium fails.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` where there are fewer bytes; else as the medium fails.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `bytes` at `offset`, growing the storage (with zeros) where needed.
    ///
    /// # Errors
    /// As the medium fails.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Cuts or grows (with zeros).
    ///
    /// # Errors
    /// As the medium fails.
    fn set_len(&mut self, len: u64) -> Result<()>;

    /// Returns when everything written so far survives a power cut.
    ///
    /// # Errors
    /// As the medium fails.
    fn sync(&mut self) -> Result<()>;
}

/// What leads to a storage is one.
macro_rules! through {
    ($($pointer:ty),*) => { $(
        impl<S: Storage + ?Sized> Storage for $pointer {
            fn len(&self) -> Result<u64> {
                (**self).len()
            }
            fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
                (**self).read_at(offset, buf)
            }
            fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
                (**self).write_at(offset, bytes)
            }
            fn set_len(&mut self, len: u64) -> Result<()> {
                (**self).set_len(len)
            }
            fn sync(&mut self) -> Result<()> {
                (**self).sync()
            }
        }
    )* };
}

through!(&mut S, Box<S>);

/// A storage in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemStorage(Vec<u8>);

impl MemStorage {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for MemStorage {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Storage for MemStorage {
    fn len(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64);
        let from = end.and_then(|end| self.0.get(index(offset)..index(end)));
        buf.copy_from_slice(from.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset
            .checked_add(bytes.len() as u64)
            .ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        if self.0.len() < index(end) {
            self.0.resize(index(end), 0);
        }
        self.0[index(offset)..index(end)].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> Result<()> {
        self.0.resize(index(len), 0);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }
}
