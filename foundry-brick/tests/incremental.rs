//! Re-folding what is dirty equals folding everything (invariant 2), for any sequence of edits.

use crate::support::{TILE, content, fold, levels, meta};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, Payload};
use proptest::prelude::*;

/// What happens to an artifact between two commits, or to its editor.
#[derive(Clone, Debug)]
enum Op {
    Write {
        at: usize,
        len: usize,
        seed: u64,
    },
    Zero {
        at: usize,
        len: usize,
    },
    Resize {
        size: usize,
    },
    /// Give the editor tiles that did not change.
    Repeat {
        tile: usize,
    },
    Commit {
        reopen: bool,
        durable: bool,
        compact: bool,
    },
}

const MAX: usize = 70 * TILE;

/// Sizes near the places where the index changes shape are as likely as all others.
fn size() -> impl Strategy<Value = usize> {
    let edges =
        vec![0, 1, 63, 64, 65, TILE - 1, TILE, TILE + 1, 2 * TILE, 64 * TILE, 64 * TILE + 1];
    prop_oneof![prop::sample::select(edges), 0..MAX]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..MAX, 1..3 * TILE, any::<u64>())
            .prop_map(|(at, len, seed)| Op::Write { at, len, seed }),
        2 => (0..MAX, 1..40 * TILE).prop_map(|(at, len)| Op::Zero { at, len }),
        2 => size().prop_map(|size| Op::Resize { size }),
        1 => (0..MAX / TILE).prop_map(|tile| Op::Repeat { tile }),
        3 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(reopen, durable, compact)| Op::Commit { reopen, durable, compact }),
    ]
}

/// The artifact, the tiles that changed since the last commit, and its brick.
struct Subject {
    bytes: Vec<u8>,
    dirty: std::collections::BTreeSet<usize>,
    editor: Option<Editor<MemStorage>>,
    at: i64,
}

impl Subject {
    fn new(bytes: Vec<u8>, payload: Payload) -> Self {
        let editor = Editor::create(MemStorage::new(), meta(bytes.len(), payload)).unwrap();
        let dirty = (0..bytes.len().div_ceil(TILE)).collect();
        Self { bytes, dirty, editor: Some(editor), at: 0 }
    }

    fn editor(&mut self) -> &mut Editor<MemStorage> {
        self.editor.as_mut().unwrap()
    }

    fn apply(&mut self, op: &Op) {
        let len = self.bytes.len();
        match *op {
            Op::Write { at, len: n, seed } if at < len => {
                let end = (at + n).min(len);
                self.bytes[at..end].copy_from_slice(&content(end - at, seed));
                self.dirty.extend(at / TILE..=(end - 1) / TILE);
            }
            Op::Zero { at, len: n } if at < len => {
                let end = (at + n).min(len);
                self.bytes[at..end].fill(0);
                self.dirty.extend(at / TILE..=(end - 1) / TILE);
            }
            Op::Resize { size } => {
                self.bytes.resize(size, 0x41);
                let (low, high) = (len.min(size), len.max(size));
                self.dirty.extend(low / TILE..high.div_ceil(TILE));
                self.editor().resize(size as u64).unwrap();
            }
            Op::Repeat { tile } if tile * TILE < len => {
                self.dirty.insert(tile);
            }
            Op::Commit { reopen, durable, compact } => self.commit(reopen, durable, compact),
            _ => {}
        }
    }

    /// Puts what is dirty: runs of zero tiles as holes, the rest as bytes.
    fn put(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        let Self { bytes, editor, .. } = self;
        let editor = editor.as_mut().unwrap();
        for tile in dirty.into_iter().filter(|tile| tile * TILE < bytes.len()) {
            let part = &bytes[tile * TILE..bytes.len().min((tile + 1) * TILE)];
            if part.iter().all(|byte| *byte == 0) && tile % 2 == 0 {
                editor.put_hole((tile * TILE) as u64, part.len() as u64).unwrap();
            } else {
                editor.put((tile * TILE) as u64, part).unwrap();
            }
        }
    }

    fn commit(&mut self, reopen: bool, durable: bool, compact: bool) {
        self.put();
        self.at += 1;
        let at = self.at;
        self.editor().commit(at).unwrap();
        if durable {
            self.editor().assume_durable();
        }
        if compact {
            let mut to = MemStorage::new();
            self.editor().compact_into(&mut to).unwrap();
            self.editor = Some(Editor::open(to).unwrap());
        } else if reopen {
            let storage = self.editor.take().unwrap().into_storage();
            self.editor = Some(Editor::open(storage).unwrap());
        }
    }
}

/// Everything a reader can ask is the same, however the content came about.
fn assert_same(brick: &Brick<MemStorage>, whole: &Brick<MemStorage>, bytes: &[u8]) {
    assert_eq!(brick.verify(), vec![]);
    assert_eq!(brick.blake3(), Some(*blake3::hash(bytes).as_bytes()));
    assert_eq!(brick.levels(), whole.levels());
    assert!(levels(brick) == levels(whole), "cells differ");
    for tile in 0..bytes.len().div_ceil(TILE) as u64 {
        assert_eq!(brick.tile_hash(tile).unwrap(), whole.tile_hash(tile).unwrap(), "tile {tile}");
    }
    if brick.meta().payload == Payload::Embedded {
        let mut back = vec![0x55; bytes.len()];
        assert_eq!(brick.read_payload(0, &mut back).unwrap(), bytes.len());
        assert!(back == bytes, "payload differs");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_edits_equals_folding_at_once(
        start in size(),
        seed in any::<u64>(),
        embedded in any::<bool>(),
        ops in prop::collection::vec(op(), 1..14),
    ) {
        let payload = if embedded { Payload::Embedded } else { Payload::Reference };
        let mut subject = Subject::new(content(start, seed), payload);
        for op in &ops {
            subject.apply(op);
        }
        subject.commit(true, false, false);
        let brick = Brick::open(subject.editor.take().unwrap().into_storage()).unwrap();
        assert_same(&brick, &fold(&subject.bytes, payload), &subject.bytes);
    }
}

#[test]
fn a_shrink_to_exactly_one_tile_needs_no_bytes() {
    let bytes = content(3 * TILE, 9);
    let mut editor =
        Editor::create(MemStorage::new(), meta(bytes.len(), Payload::Reference)).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.commit(1).unwrap();
    editor.resize(TILE as u64).unwrap();
    editor.commit(2).unwrap();
    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_same(&brick, &fold(&bytes[..TILE], Payload::Reference), &bytes[..TILE]);
}

#[test]
fn a_tile_that_was_never_put_is_named() {
    let bytes = content(5 * TILE, 2);
    let mut editor =
        Editor::create(MemStorage::new(), meta(bytes.len(), Payload::Reference)).unwrap();
    for tile in [0, 1, 3, 4] {
        editor.put((tile * TILE) as u64, &bytes[tile * TILE..(tile + 1) * TILE]).unwrap();
    }
    let missing = editor.commit(1).unwrap_err();
    assert!(matches!(missing, foundry_brick::Error::MissingTile { tile: 2 }), "{missing}");
    editor.put((2 * TILE) as u64, &bytes[2 * TILE..3 * TILE]).unwrap();
    editor.commit(1).unwrap();
}

#[test]
fn a_huge_hole_is_cheap_and_its_hash_pending() {
    let size = 1_u64 << 40;
    let mut editor = Editor::create(MemStorage::new(), meta(0, Payload::Reference)).unwrap();
    editor.resize(size).unwrap();
    editor.put_hole(0, size).unwrap();
    editor.commit(1).unwrap();
    let tile = content(TILE, 4);
    editor.put(1 << 39, &tile).unwrap();
    let done = editor.commit(2).unwrap();
    assert_eq!(done.changed_tiles, Some(vec![1 << 23]));
    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_eq!((brick.blake3(), brick.verify()), (None, vec![]));
    assert_eq!(
        brick.tile_hash(1 << 23).unwrap(),
        Some(foundry_brick::hash::tile(1 << 23, &tile).0)
    );
    let top = brick.levels().pop().unwrap();
    assert_eq!((top.level, top.cells), (20, 1));
    let mut cells = Vec::new();
    brick.cells(3, (1 << 33) - 2..(1 << 33) + 1, &mut cells).unwrap();
    assert_eq!(cells[..2], [[0, 255, 0, 0]; 2]);
    assert_eq!(cells[2], levels(&fold(&tile, Payload::Reference))[0][0]);
    assert!(brick.into_storage().bytes().len() < 100_000);
}

#[test]
fn generations_stay_readable_until_compaction() {
    let mut bytes = content(3 * TILE, 5);
    let mut editor =
        Editor::create(MemStorage::new(), meta(bytes.len(), Payload::Embedded)).unwrap();
    let mut wanted = Vec::new();
    for generation in 1..=5_u8 {
        bytes[TILE + 9] = generation;
        editor.put(0, &bytes).unwrap();
        assert_eq!(editor.commit(i64::from(generation)).unwrap().generation, u64::from(generation));
        wanted.push(bytes.clone());
    }
    let mut compacted = MemStorage::new();
    editor.compact_into(&mut compacted).unwrap();
    let storage = editor.into_storage();
    for (number, want) in (1..).zip(&wanted) {
        let brick = Brick::open_generation(storage.clone(), number).unwrap();
        assert_eq!(brick.blake3(), Some(*blake3::hash(want).as_bytes()));
        let mut back = vec![0; want.len()];
        brick.read_payload(0, &mut back).unwrap();
        assert!(back == *want, "generation {number}");
    }
    let brick = Brick::open(storage).unwrap();
    assert_eq!(brick.changed_since(1).unwrap(), vec![1..2]);
    let after = Brick::open(compacted.clone()).unwrap();
    assert_eq!((after.generation(), after.generations().len(), after.verify()), (5, 1, vec![]));
    assert_ne!(after.epoch(), brick.epoch());
    assert!(Brick::open_generation(compacted, 4).is_err());
}
