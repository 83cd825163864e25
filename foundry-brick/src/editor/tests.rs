//! Tests of the editor.

use crate::layout::RECORD_LEN;
use crate::storage::MemStorage;
use crate::{Brick, Editor, Meta, Payload, Writer};

fn meta(size: usize, payload: Payload) -> Meta {
    Meta { path: b"/opt/x/tool".to_vec(), size: size as u64, payload, ..Meta::default() }
}

fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    (0..len)
        .map(|i| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if i / 1000 % 5 == 0 { 0 } else { (seed >> 56) as u8 & 0x7f }
        })
        .collect()
}

fn assert_clean(brick: &Brick<MemStorage>) {
    assert_eq!(brick.verify(), vec![]);
}

#[test]
fn folds_and_reads_back_at_every_boundary() {
    for size in
        [0, 1, 63, 64, 65, 1023, 1024, 65_535, 65_536, 65_537, 131_072, 4_194_304, 4_194_305]
    {
        for payload in [Payload::Reference, Payload::Embedded] {
            let bytes = noise(size, 7);
            let mut editor = Editor::create(MemStorage::new(), meta(size, payload)).unwrap();
            editor.put(0, &bytes).unwrap();
            let done = editor.commit(5).unwrap();
            assert_eq!((done.generation, done.changed), (1, true));
            let brick = Brick::open(editor.into_storage()).unwrap();
            assert_eq!(brick.blake3(), Some(*blake3::hash(&bytes).as_bytes()), "size {size}");
            assert_clean(&brick);
            if payload == Payload::Embedded {
                let mut back = vec![1; size + 10];
                assert_eq!(brick.read_payload(0, &mut back).unwrap(), size);
                assert!(back[..size] == bytes);
            }
        }
    }
}

#[test]
fn zeros_that_grow_are_zeros() {
    let tile = 65_536;
    for (before, after) in [(3 * tile, 5 * tile + 64), (3 * tile + 64, 70 * tile), (tile, 9 * tile)]
    {
        for from in [0, before / tile * tile] {
            let meta = meta(before, Payload::Reference);
            let mut editor = Editor::create(MemStorage::new(), meta).unwrap();
            editor.put_hole(0, before as u64).unwrap();
            editor.commit(1).unwrap();
            let mut editor = Editor::open(editor.into_storage()).unwrap();
            editor.resize(after as u64).unwrap();
            editor.put_hole(from as u64, (after - from) as u64).unwrap();
            editor.commit(2).unwrap();
            let brick = Brick::open(editor.into_storage()).unwrap();
            assert_eq!(brick.blake3(), Some(*blake3::hash(&vec![0; after]).as_bytes()));
            assert_clean(&brick);
        }
    }
}

#[test]
fn a_small_brick_is_one_block() {
    let bytes = noise(16 << 10, 3);
    let mut editor =
        Editor::create(MemStorage::new(), meta(bytes.len(), Payload::Reference)).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.commit(5).unwrap();
    let len = editor.into_storage().bytes().len();
    assert!(len <= 4096 && 2 * RECORD_LEN < len, "{len}");
}

#[test]
fn an_edit_changes_one_tile_and_names_its_writer() {
    let mut bytes = noise(9_000_000, 1);
    let mut editor =
        Editor::create(MemStorage::new(), meta(bytes.len(), Payload::Embedded)).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.commit(5).unwrap();
    let mut editor = Editor::open(editor.into_storage()).unwrap();
    bytes[70_000] ^= 1;
    let writer = Writer { comm: b"dd".to_vec(), pid: 7, ..Writer::default() };
    editor.set_writer(70_000..70_003, writer.clone());
    editor.put(65_536, &bytes[65_536..131_072]).unwrap();
    editor.put(131_072, &bytes[131_072..196_608]).unwrap();
    let done = editor.commit(6).unwrap();
    assert_eq!(done.changed_tiles, Some(vec![1]));
    let again = editor.commit(7).unwrap();
    assert!(!again.changed);
    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_clean(&brick);
    assert_eq!(brick.blake3(), Some(*blake3::hash(&bytes).as_bytes()));
    assert_eq!(brick.writer_of(70_000).unwrap(), Some(writer.clone()));
    assert_eq!(brick.writer_of(0).unwrap(), None);
    assert_eq!(brick.writers().unwrap(), vec![(65_536..131_072, writer)]);
    assert_eq!(brick.changed_since(1).unwrap(), vec![1..2]);
    assert_eq!(brick.generations().len(), 2);
    assert_eq!(brick.generations()[0].changed_tiles[..3], [1, 1, 1]);
}

#[test]
fn a_writer_who_is_known_late_gets_what_nobody_claimed_of_the_last_change() {
    let mut bytes = noise(9_000_000, 4);
    let mut editor =
        Editor::create(MemStorage::new(), meta(bytes.len(), Payload::Reference)).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.commit(5).unwrap();
    let ours = Writer { comm: b"known".to_vec(), pid: 1, ..Writer::default() };
    let late = Writer { comm: b"late".to_vec(), pid: 2, ..Writer::default() };
    bytes[70_000] ^= 1;
    bytes[140_000] ^= 1;
    editor.set_writer(131_072..196_608, ours.clone());
    editor.put(65_536, &bytes[65_536..196_608]).unwrap();
    editor.commit(6).unwrap();
    editor.set_annotation(Some(b"an opinion".to_vec()));
    editor.commit(7).unwrap();

    let mut editor = Editor::open(editor.into_storage()).unwrap();
    editor.set_writer(0..200_000, late.clone());
    assert!(!editor.commit(8).unwrap().changed, "nobody said that it came late");
    editor.set_writer(0..200_000, late.clone());
    editor.writers_came_late();
    let done = editor.commit(9).unwrap();
    assert_eq!((done.changed, done.changed_tiles), (true, Some(vec![])));
    editor.set_writer(0..200_000, ours.clone());
    editor.writers_came_late();
    assert!(!editor.commit(10).unwrap().changed, "it is claimed already");

    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_clean(&brick);
    assert_eq!(brick.blake3(), Some(*blake3::hash(&bytes).as_bytes()));
    assert_eq!(brick.content_generation(), 2);
    let writers = brick.writers().unwrap();
    assert_eq!(writers, vec![(65_536..131_072, late), (131_072..196_608, ours)]);
}

#[test]
fn what_is_only_said_about_the_artifact_does_not_hide_what_changed_in_it() {
    let mut bytes = noise(200_000, 2);
    let about = meta(bytes.len(), Payload::Reference);
    let mut editor = Editor::create(MemStorage::new(), about.clone()).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.commit(5).unwrap();
    bytes[70_000] ^= 1;
    editor.put(65_536, &bytes[65_536..131_072]).unwrap();
    editor.commit(6).unwrap();
    editor.set_meta(Meta { mtime_ns: about.mtime_ns + 1, ..about });
    assert!(editor.commit(7).unwrap().changed);
    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_eq!((brick.generation(), brick.content_generation()), (3, 2));
    assert_eq!(brick.changed_since(brick.content_generation() - 1).unwrap(), vec![1..2]);
}
