//! Writing only what the last generation needs into another storage.
//!
//! Keeps: the content, its hashes and who wrote it; earlier generations are left behind, and the
//! epoch is another one, because offsets mean something else.

use super::log::Log;
use super::{Editor, commit};
use crate::brick::{View, read_blob, read_bytes};
use crate::codec;
use crate::error::Error;
use crate::geometry::{FANOUT_SHIFT, tile_len};
use crate::hash::checksum;
use crate::layout::{ENTRY_ZERO, Entry, Pointer, RECORD_LEN, Record, Superblock};
use crate::storage::Storage;
use std::collections::BTreeMap;

impl<S: Storage> Editor<S> {
    /// Writes the last committed generation, alone, into the empty storage `to`, and syncs it.
    /// Its number stays; its epoch is a new one.
    ///
    /// # Errors
    /// Where nothing was committed yet, the brick is corrupt, or a storage fails.
    pub fn compact_into<T: Storage>(&self, to: T) -> Result<(), Error> {
        let base = self.base.as_ref().ok_or(Error::NoGeneration)?;
        let from = self.superblock.ok_or(Error::NoGeneration)?;
        let mut seed = from.epoch.to_vec();
        seed.extend_from_slice(&base.record.generation.to_le_bytes());
        let meta_len = super::index(base.record.meta.length);
        let slot_len = super::slot_len(meta_len, base.record.size);
        let superblock = Superblock::new(checksum(&seed), slot_len, from.embedded);
        let view = View { storage: &self.storage, record: &base.record };
        let log = Log::new(u64::from(superblock.data_start));
        let mut copy = Copy {
            view,
            to,
            log,
            embedded: from.embedded,
            writers: BTreeMap::new(),
            root: Vec::new(),
        };
        let record = copy.record(&superblock)?;
        let meta = codec::encode_meta(&base.meta);
        let head = commit::head(&superblock, &record, meta, &copy.root);
        copy.finish(record, &head, &superblock)
    }
}

struct Copy<'a, S, T> {
    view: View<'a, S>,
    to: T,
    log: Log,
    embedded: bool,
    /// Where each writer blob went.
    writers: BTreeMap<u64, u64>,
    /// The node written last: in the end the root.
    root: Vec<u8>,
}

impl<S: Storage, T: Storage> Copy<'_, S, T> {
    fn record(&mut self, superblock: &Superblock) -> Result<Record, Error> {
        let old = self.view.record;
        let root = if old.size == 0 { old.root } else { self.node(&old.root, old.height, 0)? };
        let mut blobs = [old.meta, old.regions, old.facts, old.annotation, old.parts];
        for at in &mut blobs {
            *at = self.blob(at)?;
        }
        let [meta, regions, facts, annotation, parts] = blobs;
        let segment_start = u64::from(superblock.data_start);
        Ok(Record {
            epoch: superblock.epoch,
            segment_start,
            root,
            meta,
            regions,
            facts,
            annotation,
            parts,
            previous_offset: 0,
            previous_generation: 0,
            ..old.clone()
        })
    }

    fn finish(
        mut self,
        mut record: Record,
        head: &[u8],
        superblock: &Superblock,
    ) -> Result<(), Error> {
        let at = self.log.flushed();
        let (record_offset, segment_checksum, tail) = self.log.seal();
        record.record_offset = record_offset;
        record.durable_len = record_offset;
        record.segment_checksum = segment_checksum;
        record.live_len = record_offset + RECORD_LEN as u64;
        record.head_len = head.len() as u64;
        record.head_checksum = if head.is_empty() { [0; 16] } else { checksum(head) };
        let bytes = record.encode();
        let slot = commit::slot_bytes(bytes.clone(), head, superblock);
        self.to.write_at(0, &superblock.encode())?;
        self.to.write_at(at, &tail)?;
        self.to.write_at(record_offset, &bytes)?;
        self.to.write_at(superblock.slot(0), &slot)?;
        self.to.sync()?;
        Ok(())
    }

    fn blob(&mut self, at: &Pointer) -> Result<Pointer, Error> {
        if !at.exists() {
            return Ok(*at);
        }
        let bytes = read_blob(self.view.storage, at, self.view.record.end())?;
        self.log.blob(&mut self.to, &bytes)
    }

    fn node(&mut self, entry: &Entry, height: u32, number: u64) -> Result<Entry, Error> {
        let mut copy = Entry { writer: self.writer(entry.writer)?, ..*entry };
        if entry.flags & ENTRY_ZERO != 0 {
            return Ok(copy);
        }
        let mut node = self.view.node(entry, height, number)?;
        if height == 0 && self.embedded {
            let len = tile_len(self.view.record.size, number);
            let end = self.view.record.end();
            let bytes = read_bytes(self.view.storage, node.payload, len, end)?;
            node.payload = self.log.append(&mut self.to, &bytes)?;
        }
        for (child, entry) in (number << FANOUT_SHIFT..).zip(&mut node.entries) {
            *entry = self.node(entry, height - 1, child)?;
        }
        self.root = node.encode();
        let blob = self.log.blob(&mut self.to, &self.root)?;
        copy.offset = blob.offset;
        copy.checksum = blob.checksum;
        Ok(copy)
    }

    fn writer(&mut self, at: u64) -> Result<u64, Error> {
        if at == 0 {
            return Ok(0);
        }
        if let Some(copy) = self.writers.get(&at) {
            return Ok(*copy);
        }
        let writer = self.view.writer_at(at)?;
        let copy = self.log.append(&mut self.to, &commit::writer_blob(&writer))?;
        self.writers.insert(at, copy);
        Ok(copy)
    }
}
