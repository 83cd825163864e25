//! Everything a brick says of itself, checked against everything else it says.
//!
//! Every byte up to the end of the newest generation is in the superblock, a slot, a segment or a
//! root record, and each of those has a checksum; the index is walked besides, because bytes that
//! are as they were written can still be wrong together.

use super::open::{Trust, check_segment, judge, read_record};
use super::tree::{View, read_blob, read_bytes};
use crate::cells::{self, Cell, ZERO_CELL};
use crate::codec;
use crate::error::{Error, corrupt};
use crate::geometry::{
    CHILD_CELLS, FANOUT_SHIFT, NODE_CELLS, index, node_cells, span, tile_len, tiles,
};
use crate::hash::{self, Hash, Merges};
use crate::layout::{Entry, Node, Pointer, RECORD_LEN, Record, Superblock};
use crate::parts::Parts;
use crate::storage::Storage;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub what: String,
    /// Offset in the file.
    pub at: u64,
}

/// See [`crate::Brick::verify`].
pub(super) fn verify<S: Storage>(
    storage: &S,
    superblock: &Superblock,
    record: &Record,
) -> Vec<Problem> {
    let view = View { storage, record };
    let mut found = Found { problems: Vec::new(), extents: Vec::new() };
    slots(storage, superblock, &mut found);
    generations(storage, superblock, record, &mut found);
    blobs(view, &mut found);
    index_tree(view, superblock.embedded, &mut found);
    found.overlaps();
    found.problems
}

struct Found {
    problems: Vec<Problem>,
    extents: Vec<(u64, u64)>,
}

impl Found {
    fn problem(&mut self, what: impl Into<String>, at: u64) {
        self.problems.push(Problem { what: what.into(), at });
    }

    fn error(&mut self, err: &Error, at: u64) {
        match err {
            Error::Corrupt { what, at } => self.problem(*what, *at),
            other => self.problem(other.to_string(), at),
        }
    }

    /// Two blobs of one generation never share bytes.
    fn overlaps(&mut self) {
        self.extents.sort_unstable();
        let extents = std::mem::take(&mut self.extents);
        for pair in extents.windows(2) {
            if let [(a, len), (b, _)] = pair
                && *b < a + len
            {
                self.problem("two blobs overlap", *b);
            }
        }
    }
}

/// Both slots count, or were never written. One that does not was damaged, or torn by a crash in
/// the middle of a commit; the next commit takes its place.
fn slots<S: Storage>(storage: &S, superblock: &Superblock, found: &mut Found) {
    for slot in 0..2 {
        let at = superblock.slot(slot);
        let mut bytes = vec![0; superblock.slot_len as usize];
        if let Err(err) = storage.read_at(at, &mut bytes) {
            found.error(&err.into(), at);
        } else if bytes.iter().any(|byte| *byte != 0)
            && let Err(err) = slot_counts(storage, superblock, at, &bytes)
        {
            found.problem(format!("root slot {slot} does not count: {err}"), at);
        }
    }
}

fn slot_counts<S: Storage>(
    storage: &S,
    superblock: &Superblock,
    at: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    let Some((head, rest)) = bytes.split_first_chunk::<RECORD_LEN>() else {
        return Err(corrupt("slot is cut", at));
    };
    let record = Record::parse(head, at, superblock)?;
    judge(storage, superblock, (at, &record), head, Trust::Nothing)?;
    if rest.iter().skip(index(record.head_len)).any(|byte| *byte != 0) {
        return Err(corrupt("bytes behind the head of a slot", at));
    }
    Ok(())
}

fn generations<S: Storage>(s: &S, superblock: &Superblock, record: &Record, found: &mut Found) {
    let mut record = record.clone();
    loop {
        if let Err(err) = check_segment(s, &record) {
            found.error(&err, record.segment_start);
        }
        if record.previous_offset == 0 {
            if record.segment_start != u64::from(superblock.data_start) {
                found.problem("bytes before the first segment", record.segment_start);
            }
            return;
        }
        match read_record(s, superblock, &record) {
            Ok(previous) => record = previous,
            Err(err) => return found.error(&err, record.previous_offset),
        }
    }
}

type Decode = fn(&[u8], u64) -> Result<(), Error>;

fn blobs<S: Storage>(view: View<'_, S>, found: &mut Found) {
    let record = view.record;
    let mut check = |at: &Pointer, decode: Decode| {
        if !at.exists() {
            return;
        }
        let result = read_blob(view.storage, at, record.end());
        match result.and_then(|bytes| decode(&bytes, at.offset)) {
            Ok(()) => found.extents.push((at.offset, at.length)),
            Err(err) => found.error(&err, at.offset),
        }
    };
    check(&record.meta, |bytes, at| codec::decode_meta(bytes, at).map(drop));
    check(&record.regions, |bytes, at| codec::decode_regions(bytes, at).map(drop));
    check(&record.facts, |bytes, at| codec::decode_facts(bytes, at).map(drop));
    check(&record.annotation, |_, _| Ok(()));
    check(&record.parts, |bytes, at| {
        let wrong = |_| corrupt("parts contradict themselves", at);
        Parts::decode(bytes).map(drop).map_err(wrong)
    });
}

fn index_tree<S: Storage>(view: View<'_, S>, embedded: bool, found: &mut Found) {
    let record = view.record;
    if record.size == 0 {
        if record.blake3 != Some(*blake3::hash(&[]).as_bytes()) {
            found.problem("hash of an empty artifact", record.record_offset);
        }
        return;
    }
    let mut walker = Walker { view, embedded, found, writers: Vec::new(), whole: None };
    let top = walker.node(&record.root, record.height, 0);
    let mut writers = std::mem::take(&mut walker.writers);
    let whole = walker.whole;
    if top.is_some() && whole.is_some() && record.blake3 != whole {
        found.problem("hash of the content is not that of its tiles", record.record_offset);
    }
    writers.sort_unstable();
    writers.dedup();
    for at in writers {
        if let Err(err) = view.writer_at(at) {
            found.error(&err, at);
        }
    }
}

struct Walker<'a, 'f, S> {
    view: View<'a, S>,
    embedded: bool,
    found: &'f mut Found,
    writers: Vec<u64>,
    /// The hash of the whole content, once the root was seen.
    whole: Option<Hash>,
}

impl<S: Storage> Walker<'_, '_, S> {
    /// Checks a subtree and gives the cells above its own; `None` where it could not be read
    /// (which is reported then).
    fn node(&mut self, entry: &Entry, height: u32, node: u64) -> Option<Vec<Cell>> {
        if entry.writer != 0 {
            self.writers.push(entry.writer);
        }
        if entry.is_zero() {
            return Some(self.zeros(entry, height, node));
        }
        let read = self.view.node(entry, height, node);
        let read = match read {
            Ok(read) => read,
            Err(err) => {
                self.found.error(&err, entry.offset);
                return None;
            }
        };
        self.found.extents.push((entry.offset, u64::from(entry.length)));
        self.levels(&read, entry.offset);
        if height == 0 {
            self.tile(&read, entry);
        } else {
            self.children(&read, entry);
        }
        let mut cells = Vec::new();
        cells::parents(&read.cells[2], &mut cells);
        Some(cells)
    }

    fn zeros(&mut self, entry: &Entry, height: u32, node: u64) -> Vec<Cell> {
        let size = self.view.record.size;
        let first = node << (FANOUT_SHIFT * height);
        let n = span(height).min(tiles(size) - first);
        let is_root = height == self.view.record.height;
        if let Some(hash) = entry.hash() {
            if hash::zeros(size, first, n).as_ref() != Some(hash) {
                self.found.problem("hash of a run of zeros", entry.offset);
            }
            if is_root {
                self.whole = hash::zeros_root(size);
            }
        }
        let cells = node_cells(size, height, node)[2].div_ceil(4);
        vec![ZERO_CELL; cells]
    }

    /// The middle and highest level of a node follow from its lowest.
    fn levels(&mut self, node: &Node, at: u64) {
        for i in 0..2 {
            let mut above = Vec::with_capacity(NODE_CELLS[i + 1]);
            cells::parents(&node.cells[i], &mut above);
            if above != node.cells[i + 1] {
                self.found.problem("cells are not the means of those below", at);
            }
        }
    }

    fn tile(&mut self, node: &Node, entry: &Entry) {
        let record = self.view.record;
        let len = tile_len(record.size, node.node);
        if record.height == 0 {
            self.whole = node.alone;
        }
        if !self.embedded {
            return;
        }
        match read_bytes(self.view.storage, node.payload, len, record.end()) {
            Ok(bytes) => {
                self.found.extents.push((node.payload, len));
                let (cv, whole) = hash::tile(node.node, &bytes);
                if entry.hash() != Some(&cv) {
                    self.found.problem("embedded bytes have another hash", node.payload);
                }
                let mut leaves = Vec::with_capacity(NODE_CELLS[0]);
                cells::leaves(&bytes, &mut leaves);
                if leaves != node.cells[0] {
                    self.found.problem("embedded bytes have other cells", node.payload);
                }
                if node.node == 0 && node.alone != whole {
                    self.found.problem("tile 0 has another hash by itself", entry.offset);
                }
            }
            Err(err) => self.found.error(&err, node.payload),
        }
    }

    fn children(&mut self, node: &Node, entry: &Entry) {
        for (i, child) in node.entries.iter().enumerate() {
            let number = (node.node << FANOUT_SHIFT) + i as u64;
            let Some(below) = self.node(child, node.height - 1, number) else { continue };
            let from = i * CHILD_CELLS;
            if node.cells[0].get(from..from + below.len()) != Some(&below[..]) {
                self.found.problem("cells are not the means of a child's", entry.offset);
            }
        }
        let hashes: Option<Vec<Hash>> = node.entries.iter().map(|e| e.hash().copied()).collect();
        let Some(hashes) = hashes else {
            if entry.hash().is_some() {
                self.found.problem("a node is hashed before its children are", entry.offset);
            }
            return;
        };
        let Some(merges) = Merges::new(hashes) else { return };
        if entry.hash() != Some(&merges.node()) {
            self.found.problem("hash of a node is not that of its children", entry.offset);
        }
        if node.height == self.view.record.height {
            self.whole = merges.root();
        }
    }
}
