//! An initramfs: an archive in the `newc` format of cpio.
//!
//! Knows: the format, as the kernel's documentation gives it. Must never know: what is archived.

use std::collections::BTreeSet;

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// An archive in memory.
pub(super) struct Archive {
    bytes: Vec<u8>,
    /// Names that are in it, so that each is there once, and its directories before it.
    names: BTreeSet<String>,
}

impl Archive {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), names: BTreeSet::new() }
    }

    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.directories(name);
        self.entry(name, REGULAR | mode, content);
    }

    pub(super) fn link(&mut self, name: &str, target: &str) {
        self.directories(name);
        self.entry(name, SYMLINK | 0o777, target.as_bytes());
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn directories(&mut self, name: &str) {
        for (at, _) in name.match_indices('/') {
            self.entry(&name[..at], DIRECTORY | 0o755, &[]);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        if !self.names.insert(name.to_owned()) {
            return;
        }
        let inode = self.names.len();
        let (size, name_size) = (content.len(), name.len() + 1);
        // Magic, inode, mode, user, group, links, time, size, four device numbers, name size, sum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}",
            0, 1
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        let len = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(len, 0);
    }
}
