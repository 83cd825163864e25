//! Superblock, root record, pointer: what opens a brick.

use super::fields::{Field, Put, Take, field, total};
use super::node::{ENTRY_LEN, Entry};
use crate::error::{Error, corrupt};
use crate::geometry::{self, FANOUT_SHIFT, LEAF_LEVEL, TILE_SHIFT};
use crate::hash::{Checksum, Hash, checksum};

/// First bytes of every brick.
pub const SUPERBLOCK_MAGIC: [u8; 4] = *b"V2BR";
/// First bytes of every root record.
pub const RECORD_MAGIC: [u8; 8] = *b"V2BRROOT";
/// First bytes of every writer blob.
pub const WRITER_MAGIC: [u8; 4] = *b"WRIT";
/// Version of the container.
pub const VERSION: u32 = 2;
/// Length of a root slot that holds the root record alone.
pub const SMALL_SLOT_LEN: u32 = 512;
/// Length of the longest root slot that is written: superblock and two slots are 16 KiB.
pub const LARGE_SLOT_LEN: u32 = 7936;
/// Levels whose changed tiles a root record counts, from level 0.
pub const CHANGED_LEVELS: usize = 20;
/// Record flag: the hash of the content is known.
pub const BLAKE3_KNOWN: u32 = 1;

const CURVE_HILBERT: u8 = 1;
const CHECKSUM_LEN: usize = size_of::<Checksum>();

/// The superblock.
pub const SUPERBLOCK: &[Field] = &[
    field("magic", 4),
    field("version", 4),
    field("compat", 8),
    field("ro_compat", 8),
    field("incompat", 8),
    field("epoch", 16),
    field("slot_len", 4),
    field("data_start", 4),
    field("curve", 1),
    field("tile_shift", 1),
    field("leaf_level", 1),
    field("fanout_shift", 1),
    field("payload", 4),
    field("reserved", 432),
    field("checksum", CHECKSUM_LEN),
];
/// Its length.
pub const SUPERBLOCK_LEN: usize = total(SUPERBLOCK);
const _: () = assert!(SUPERBLOCK_LEN == 512);

/// A pointer to a checksummed blob; all zero where there is none.
pub const POINTER: &[Field] =
    &[field("offset", 8), field("length", 8), field("checksum", CHECKSUM_LEN)];
/// Its length.
pub const POINTER_LEN: usize = total(POINTER);

/// The root record.
pub const RECORD: &[Field] = &[
    field("magic", 8),
    field("generation", 8),
    field("at_ns", 8),
    field("epoch", 16),
    field("size", 8),
    field("segment_start", 8),
    field("record_offset", 8),
    field("durable_len", 8),
    field("live_len", 8),
    field("blake3", 32),
    field("flags", 4),
    field("height", 4),
    field("root", ENTRY_LEN),
    field("meta", POINTER_LEN),
    field("regions", POINTER_LEN),
    field("facts", POINTER_LEN),
    field("annotation", POINTER_LEN),
    field("parts", POINTER_LEN),
    field("previous_offset", 8),
    field("previous_generation", 8),
    field("segment_checksum", CHECKSUM_LEN),
    field("head_len", 8),
    field("head_checksum", CHECKSUM_LEN),
    field("changed_tiles", 4 * CHANGED_LEVELS),
    field("checksum", CHECKSUM_LEN),
];
/// Its length.
pub const RECORD_LEN: usize = total(RECORD);
const _: () = assert!(RECORD_LEN == 512);

/// What precedes an encoded writer.
pub const WRITER_HEADER: &[Field] =
    &[field("magic", 4), field("length", 4), field("checksum", CHECKSUM_LEN)];
/// Its length.
pub const WRITER_HEADER_LEN: usize = total(WRITER_HEADER);

/// The highest number a generation may have: nobody commits so often, and a next one can be counted.
pub const MAX_GENERATION: u64 = i64::MAX as u64;

/// Written once, when the first generation is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Features a reader and a writer may ignore.
    pub compat: u64,
    /// Features a reader may ignore.
    pub ro_compat: u64,
    /// Features nobody may ignore.
    pub incompat: u64,
    /// The life of this file between compactions.
    pub epoch: [u8; 16],
    /// Bytes of each root slot.
    pub slot_len: u32,
    /// First byte after the slots.
    pub data_start: u32,
    /// Whether level 0 is in the brick.
    pub embedded: bool,
}

impl Superblock {
    /// A superblock with slots of `slot_len` bytes.
    #[must_use]
    pub fn new(epoch: [u8; 16], slot_len: u32, embedded: bool) -> Self {
        let data_start = 512 + 2 * slot_len;
        Self { compat: 0, ro_compat: 0, incompat: 0, epoch, slot_len, data_start, embedded }
    }

    /// Where slot 0 or 1 begins.
    #[must_use]
    pub fn slot(&self, slot: u8) -> u64 {
        SUPERBLOCK_LEN as u64 + u64::from(slot & 1) * u64::from(self.slot_len)
    }

    /// Its bytes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "small constants")]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUPERBLOCK_LEN);
        let mut put = Put::new(SUPERBLOCK, &mut out);
        put.field("magic", &SUPERBLOCK_MAGIC);
        put.u32("version", VERSION);
        put.u64("compat", self.compat);
        put.u64("ro_compat", self.ro_compat);
        put.u64("incompat", self.incompat);
        put.field("epoch", &self.epoch);
        put.u32("slot_len", self.slot_len);
        put.u32("data_start", self.data_start);
        put.field("curve", &[CURVE_HILBERT]);
        put.field("tile_shift", &[TILE_SHIFT as u8]);
        put.field("leaf_level", &[LEAF_LEVEL as u8]);
        put.field("fanout_shift", &[FANOUT_SHIFT as u8]);
        put.u32("payload", u32::from(self.embedded));
        put.field("reserved", &[0; 432]);
        let sum = checksum(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where it is not the superblock of a brick that this program can read.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut take = Take::new(SUPERBLOCK, bytes).ok_or(Error::NotABrick)?;
        if take.field::<4>("magic") != SUPERBLOCK_MAGIC {
            return Err(Error::NotABrick);
        }
        let version = take.u32("version");
        if version < VERSION {
            return Err(Error::NotABrick);
        }
        if version != VERSION {
            return Err(Error::Version(version));
        }
        let (compat, ro_compat) = (take.u64("compat"), take.u64("ro_compat"));
        let incompat = take.u64("incompat");
        let epoch = take.field("epoch");
        let (slot_len, data_start) = (take.u32("slot_len"), take.u32("data_start"));
        let shape = [
            take.field::<1>("curve")[0],
            take.field::<1>("tile_shift")[0],
            take.field::<1>("leaf_level")[0],
            take.field::<1>("fanout_shift")[0],
        ];
        let payload = take.u32("payload");
        let body = SUPERBLOCK_LEN - CHECKSUM_LEN;
        if checksum(&bytes[..body]) != bytes[body..SUPERBLOCK_LEN] {
            return Err(corrupt("superblock checksum", 0));
        }
        if incompat != 0 {
            return Err(Error::Features(incompat));
        }
        let shape = shape.map(u32::from);
        if shape != [u32::from(CURVE_HILBERT), TILE_SHIFT, LEAF_LEVEL, FANOUT_SHIFT] || payload > 1
        {
            return Err(corrupt("superblock names a shape this version does not have", 0));
        }
        if !(SMALL_SLOT_LEN..=1 << 20).contains(&slot_len) || data_start != 512 + 2 * slot_len {
            return Err(corrupt("superblock places the slots wrongly", 0));
        }
        let embedded = payload == 1;
        Ok(Self { compat, ro_compat, incompat, epoch, slot_len, data_start, embedded })
    }
}

/// Where a blob is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    /// First byte, 0 where there is none.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// Of those bytes.
    pub checksum: Checksum,
}

impl Pointer {
    /// Whether there is a blob.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.offset != 0
    }

    /// Whether the blob, if there is one, lies below `end`.
    fn ends_by(&self, end: u64) -> bool {
        self.offset.checked_add(self.length).is_some_and(|to| to <= end)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(POINTER_LEN);
        let mut put = Put::new(POINTER, &mut out);
        put.u64("offset", self.offset);
        put.u64("length", self.length);
        put.field("checksum", &self.checksum);
        out
    }

    fn parse(bytes: [u8; POINTER_LEN]) -> Self {
        Take::new(POINTER, &bytes).map_or_else(Self::default, |mut take| Self {
            offset: take.u64("offset"),
            length: take.u64("length"),
            checksum: take.field("checksum"),
        })
    }
}

/// One generation: everything hangs from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the generation, from 1.
    pub generation: u64,
    /// When it was committed.
    pub at_ns: i64,
    /// The epoch of the file it lies in.
    pub epoch: [u8; 16],
    /// Bytes of content.
    pub size: u64,
    /// First byte this commit appended.
    pub segment_start: u64,
    /// Where this record's copy lies, behind the segment; the generation ends behind the copy.
    pub record_offset: u64,
    /// Bytes below this had been synced before the slot was written.
    pub durable_len: u64,
    /// Estimate of the bytes this generation needs.
    pub live_len: u64,
    /// Hash of the content.
    pub blake3: Option<Hash>,
    /// Height of the index.
    pub height: u32,
    /// The index node at that height.
    pub root: Entry,
    /// Encoded `Meta`.
    pub meta: Pointer,
    /// Encoded regions.
    pub regions: Pointer,
    /// Encoded facts.
    pub facts: Pointer,
    /// The annotation's bytes.
    pub annotation: Pointer,
    /// Encoded parts of a composite.
    pub parts: Pointer,
    /// The record of the generation before, 0 where this file has none.
    pub previous_offset: u64,
    /// Its generation.
    pub previous_generation: u64,
    /// Of `[segment_start, record_offset)`.
    pub segment_checksum: Checksum,
    /// Bytes behind the record in its slot.
    pub head_len: u64,
    /// Of those bytes.
    pub head_checksum: Checksum,
    /// Changed tiles of each level.
    pub changed_tiles: [u32; CHANGED_LEVELS],
}

impl Record {
    /// First byte after this generation.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.record_offset.saturating_add(RECORD_LEN as u64)
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_LEN);
        let mut put = Put::new(RECORD, &mut out);
        put.field("magic", &RECORD_MAGIC);
        put.u64("generation", self.generation);
        put.field("at_ns", &self.at_ns.to_le_bytes());
        put.field("epoch", &self.epoch);
        put.u64("size", self.size);
        put.u64("segment_start", self.segment_start);
        put.u64("record_offset", self.record_offset);
        put.u64("durable_len", self.durable_len);
        put.u64("live_len", self.live_len);
        put.field("blake3", &self.blake3.unwrap_or_default());
        put.u32("flags", if self.blake3.is_some() { BLAKE3_KNOWN } else { 0 });
        put.u32("height", self.height);
        put.field("root", &self.root.encode());
        put.field("meta", &self.meta.encode());
        put.field("regions", &self.regions.encode());
        put.field("facts", &self.facts.encode());
        put.field("annotation", &self.annotation.encode());
        put.field("parts", &self.parts.encode());
        put.u64("previous_offset", self.previous_offset);
        put.u64("previous_generation", self.previous_generation);
        put.field("segment_checksum", &self.segment_checksum);
        put.u64("head_len", self.head_len);
        put.field("head_checksum", &self.head_checksum);
        let changed: Vec<u8> = self.changed_tiles.iter().flat_map(|n| n.to_le_bytes()).collect();
        put.field("changed_tiles", &changed);
        let sum = checksum(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads the record that lies at `at`.
    ///
    /// # Errors
    /// Where the bytes are not a record of `epoch`.
    pub fn parse(bytes: &[u8], at: u64, superblock: &Superblock) -> Result<Self, Error> {
        let mut take = Take::new(RECORD, bytes).ok_or(corrupt("record is cut", at))?;
        let body = RECORD_LEN - CHECKSUM_LEN;
        if take.field::<8>("magic") != RECORD_MAGIC
            || checksum(&bytes[..body]) != bytes[body..RECORD_LEN]
        {
            return Err(corrupt("root record checksum", at));
        }
        let mut record = Self {
            generation: take.u64("generation"),
            at_ns: i64::from_le_bytes(take.field("at_ns")),
            epoch: take.field("epoch"),
            size: take.u64("size"),
            segment_start: take.u64("segment_start"),
            record_offset: take.u64("record_offset"),
            durable_len: take.u64("durable_len"),
            live_len: take.u64("live_len"),
            blake3: Some(take.field("blake3")),
            height: 0,
            root: Entry::default(),
            meta: Pointer::default(),
            regions: Pointer::default(),
            facts: Pointer::default(),
            annotation: Pointer::default(),
            parts: Pointer::default(),
            previous_offset: 0,
            previous_generation: 0,
            segment_checksum: Checksum::default(),
            head_len: 0,
            head_checksum: Checksum::default(),
            changed_tiles: [0; CHANGED_LEVELS],
        };
        if take.u32("flags") & BLAKE3_KNOWN == 0 {
            record.blake3 = None;
        }
        record.height = take.u32("height");
        record.root = Entry::parse(&take.field("root"));
        record.meta = Pointer::parse(take.field("meta"));
        record.regions = Pointer::parse(take.field("regions"));
        record.facts = Pointer::parse(take.field("facts"));
        record.annotation = Pointer::parse(take.field("annotation"));
        record.parts = Pointer::parse(take.field("parts"));
        record.previous_offset = take.u64("previous_offset");
        record.previous_generation = take.u64("previous_generation");
        record.segment_checksum = take.field("segment_checksum");
        record.head_len = take.u64("head_len");
        record.head_checksum = take.field("head_checksum");
        let changed: [u8; 4 * CHANGED_LEVELS] = take.field("changed_tiles");
        for (n, bytes) in record.changed_tiles.iter_mut().zip(changed.as_chunks().0) {
            *n = u32::from_le_bytes(*bytes);
        }
        record.judge(at, superblock)
    }

    /// What a checksum cannot say: that the numbers fit each other.
    fn judge(self, at: u64, superblock: &Superblock) -> Result<Self, Error> {
        let Self { meta, regions, facts, annotation, parts, .. } = &self;
        let blobs = [meta, regions, facts, annotation, parts];
        let fits = self.epoch == superblock.epoch
            && (1..=MAX_GENERATION).contains(&self.generation)
            && u64::from(superblock.data_start) <= self.segment_start
            && self.segment_start <= self.record_offset
            && self.record_offset <= geometry::MAX_SIZE
            && self.durable_len <= self.record_offset
            && self.size <= geometry::MAX_SIZE
            && self.height == geometry::height(self.size)
            && self.previous_offset < self.segment_start
            && self.previous_generation < self.generation
            && self.head_len <= u64::from(superblock.slot_len).saturating_sub(RECORD_LEN as u64)
            && blobs.iter().all(|blob| blob.ends_by(self.record_offset));
        if fits { Ok(self) } else { Err(corrupt("root record contradicts itself", at)) }
    }
}
