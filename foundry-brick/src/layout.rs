//! The bytes of FORMAT.md: superblock, root record, index entry, node.
//!
//! Each structure is a table of fields; the code writes and reads through the tables, and
//! `tests/format.rs` compares them with FORMAT.md. All integers are little-endian.
//!
//! Knows: bytes. Must never know: storage, what cells mean.
//! Keeps: parsing is total: any bytes give a value or an error.

mod fields;
mod node;
mod record;

pub use fields::Field;
pub use node::{
    ALONE_LEN, ENTRY, ENTRY_LEN, Entry, NODE, NODE_HEADER_LEN, NODE_MAGIC, NODE_MAX_LEN, Node,
};
pub use record::{
    BLAKE3_KNOWN, CHANGED_LEVELS, LARGE_SLOT_LEN, MAX_GENERATION, POINTER, POINTER_LEN, Pointer,
    RECORD, RECORD_LEN, RECORD_MAGIC, Record, SMALL_SLOT_LEN, SUPERBLOCK, SUPERBLOCK_LEN,
    SUPERBLOCK_MAGIC, Superblock, VERSION, WRITER_HEADER, WRITER_HEADER_LEN, WRITER_MAGIC,
};

/// Blobs begin at multiples of this.
pub const ALIGN: u64 = 8;

/// Entry flag: every byte below is zero; nothing is stored for it.
pub const ENTRY_ZERO: u32 = 1;
/// Entry flag: `cv` is known.
pub const ENTRY_HASHED: u32 = 2;

/// `offset` rounded up to [`ALIGN`].
#[must_use]
pub const fn align(offset: u64) -> u64 {
    offset.next_multiple_of(ALIGN)
}
