//! Bytes from outside are parsed, never trusted (invariant 8).

use crate::exercise::ask_everything;
use crate::support::{Random, TILE, content, meta};
use foundry_brick::layout::{self, RECORD_LEN, Record, SUPERBLOCK_LEN, Superblock};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, FactValue, Payload, Region, Writer, hash};

/// A brick with something of everything in it, and three generations.
fn specimen(size: usize, payload: Payload) -> Vec<u8> {
    let mut bytes = content(size, 11);
    let mut editor = Editor::create(MemStorage::new(), meta(size, payload)).unwrap();
    editor.put(0, &bytes).unwrap();
    let region = Region {
        name: "main".into(),
        kind: "function".into(),
        start: 1,
        end: 9,
        address: Some(4096),
    };
    editor.set_regions(&[region]);
    let list = FactValue::List(vec!["libc.so.6".into()]);
    editor.set_facts(
        &[("needed".to_owned(), list), ("stripped".to_owned(), FactValue::Flag(true))].into(),
    );
    editor.set_annotation(Some(b"a note".to_vec()));
    editor.commit(1).unwrap();
    if size != 0 {
        bytes[size / 2] ^= 0xff;
        editor.put(0, &bytes).unwrap();
        editor.set_writer(
            0..size as u64,
            Writer { comm: b"dd".to_vec(), pid: 4, ..Writer::default() },
        );
    }
    editor.set_annotation(Some(b"another note".to_vec()));
    editor.commit(2).unwrap();
    editor.set_annotation(Some(b"a third note".to_vec()));
    editor.commit(3).unwrap();
    editor.into_storage().into_bytes()
}

#[test]
fn every_byte_is_covered_by_a_checksum() {
    for payload in [Payload::Reference, Payload::Embedded] {
        let good = specimen(3000, payload);
        assert_eq!(Brick::open(MemStorage::from(good.clone())).unwrap().verify(), vec![]);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            let found = Brick::open(MemStorage::from(bad)).map(|brick| brick.verify());
            assert!(found.is_err() || found.is_ok_and(|problems| !problems.is_empty()), "at {at}");
        }
    }
}

#[test]
fn every_prefix_is_an_error_or_an_older_generation() {
    let good = specimen(5000, Payload::Reference);
    for len in 0..good.len() {
        if let Ok(brick) = Brick::open(MemStorage::from(good[..len].to_vec())) {
            assert!(brick.generation() < 3, "cut at {len}");
        }
    }
}

#[test]
fn mutations_never_panic() {
    let mut random = Random::new(1);
    let mut opened = 0;
    for (size, payload) in [
        (0, Payload::Reference),
        (3000, Payload::Embedded),
        (3 * TILE + 5, Payload::Reference),
        (66 * TILE, Payload::Reference),
    ] {
        let good = specimen(size, payload);
        let rounds = if size < TILE { 1500 } else { 150 };
        for _ in 0..rounds {
            let mut bad = good.clone();
            for _ in 0..=random.below(4) {
                let reach = 1 << (6 + random.below(18));
                let at = random.below(bad.len().min(reach));
                bad[at] = random.byte();
            }
            opened += u32::from(ask_everything(&bad));
        }
    }
    assert!(100 < opened, "the mutations hardly ever leave a brick that opens: {opened}");
}

/// Writes `record` where `bytes` has its newest one, all checksums right.
fn forge(bytes: &mut [u8], superblock: &Superblock, mut record: Record) {
    let (from, to) = (record.segment_start, record.record_offset);
    let segment = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
    if let Some(segment) = bytes.get(segment) {
        record.segment_checksum = hash::checksum(segment);
    }
    record.head_len = 0;
    let encoded = record.encode();
    let copy = usize::try_from(to).unwrap();
    if copy + RECORD_LEN <= bytes.len() {
        bytes[copy..copy + RECORD_LEN].copy_from_slice(&encoded);
    }
    for slot in 0..2 {
        let at = usize::try_from(superblock.slot(slot)).unwrap();
        bytes[at..at + RECORD_LEN].copy_from_slice(&encoded);
    }
}

#[test]
fn forged_records_with_right_checksums_never_panic() {
    let mut random = Random::new(2);
    let mut opened = 0;
    for size in [3000, 3 * TILE + 5, 66 * TILE] {
        let good = specimen(size, Payload::Embedded);
        let superblock = Superblock::parse(&good).unwrap();
        let brick = Brick::open(MemStorage::from(good.clone())).unwrap();
        for _ in 0..600 {
            let mut record = brick.record().clone();
            let interesting = [0, 1, 8, 511, 65_536, good.len() as u64, 1 << 32, 1 << 62, u64::MAX];
            let value = interesting[random.below(9)].wrapping_add(random.next() % 3);
            match random.below(12) {
                0 => {
                    (record.size, record.height) =
                        (value, foundry_brick::geometry::height(value.min(1 << 62)))
                }
                1 => record.height = u32::from(random.byte() % 12),
                2 => record.root.offset = value,
                3 => record.root.length = u32::try_from(value % (1 << 32)).unwrap(),
                4 => record.root.flags = u32::from(random.byte() % 4),
                5 => record.root.writer = value,
                6 => record.meta.length = value,
                7 => record.regions.offset = value,
                8 => record.facts = record.meta,
                9 => record.previous_offset = value,
                10 => record.live_len = value,
                _ => record.durable_len = value,
            }
            let mut bad = good.clone();
            forge(&mut bad, &superblock, record);
            opened += u32::from(ask_everything(&bad));
        }
    }
    assert!(300 < opened, "forged records hardly ever open: {opened}");
}

#[test]
fn forged_nodes_with_right_checksums_never_panic() {
    let mut random = Random::new(3);
    for size in [3000, 3 * TILE + 5] {
        let good = specimen(size, Payload::Embedded);
        let superblock = Superblock::parse(&good).unwrap();
        let brick = Brick::open(MemStorage::from(good.clone())).unwrap();
        let root = brick.record().root;
        let at = usize::try_from(root.offset).unwrap();
        for _ in 0..600 {
            let mut bad = good.clone();
            let node = &mut bad[at..at + root.length as usize];
            for _ in 0..=random.below(3) {
                let head = 32 + layout::ENTRY_LEN * 4;
                let i = random.below(node.len().min(head));
                node[i] = if random.below(2) == 0 { random.byte() } else { 0 };
            }
            let mut record = brick.record().clone();
            record.root.checksum = hash::checksum(node);
            forge(&mut bad, &superblock, record);
            ask_everything(&bad);
        }
    }
}

#[test]
fn overlapping_blobs_are_reported() {
    let good = specimen(3000, Payload::Reference);
    let superblock = Superblock::parse(&good).unwrap();
    let brick = Brick::open(MemStorage::from(good.clone())).unwrap();
    let mut record = brick.record().clone();
    record.annotation = record.meta;
    let mut bad = good.clone();
    forge(&mut bad, &superblock, record);
    let problems = Brick::open(MemStorage::from(bad)).unwrap().verify();
    assert!(problems.iter().any(|problem| problem.what.contains("overlap")), "{problems:?}");
}

#[test]
fn features_of_later_versions_are_kept_out_as_they_ask() {
    let good = specimen(3000, Payload::Reference);
    let with = |change: fn(&mut Superblock)| {
        let mut superblock = Superblock::parse(&good).unwrap();
        change(&mut superblock);
        let mut bytes = good.clone();
        bytes[..SUPERBLOCK_LEN].copy_from_slice(&superblock.encode());
        let reads = Brick::open(MemStorage::from(bytes.clone())).is_ok();
        (reads, Editor::open(MemStorage::from(bytes)).is_ok())
    };
    assert_eq!(with(|s| s.compat = 1), (true, true));
    assert_eq!(with(|s| s.ro_compat = 1 << 63), (true, false));
    assert_eq!(with(|s| s.incompat = 1), (false, false));
}

#[test]
fn a_generation_that_no_other_can_follow_is_refused() {
    let good = specimen(3000, Payload::Reference);
    let superblock = Superblock::parse(&good).unwrap();
    let brick = Brick::open(MemStorage::from(good.clone())).unwrap();
    for (generation, opens) in [(i64::MAX as u64, true), (1 << 63, false), (u64::MAX, false)] {
        let mut bytes = good.clone();
        forge(&mut bytes, &superblock, Record { generation, ..brick.record().clone() });
        assert_eq!(ask_everything(&bytes), opens, "{generation}");
    }
}

#[test]
fn a_blob_that_ends_above_its_record_is_refused() {
    let good = specimen(3000, Payload::Reference);
    let superblock = Superblock::parse(&good).unwrap();
    let brick = Brick::open(MemStorage::from(good.clone())).unwrap();
    let end = brick.record().record_offset;
    let of: [fn(&mut Record) -> &mut layout::Pointer; 5] = [
        |record| &mut record.meta,
        |record| &mut record.regions,
        |record| &mut record.facts,
        |record| &mut record.annotation,
        |record| &mut record.parts,
    ];
    for blob in of {
        for (offset, length) in [(end, 1), (8, end - 7), (1, u64::MAX), (0, u64::MAX / 2)] {
            let mut record = brick.record().clone();
            (blob(&mut record).offset, blob(&mut record).length) = (offset, length);
            let mut bytes = good.clone();
            forge(&mut bytes, &superblock, record);
            assert!(!ask_everything(&bytes), "{offset} + {length}");
        }
    }
}
