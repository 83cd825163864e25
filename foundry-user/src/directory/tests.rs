//! Faces and totals.

use super::*;
use crate::artifact::FileIdentity;
use foundry_brick::storage::MemStorage;
use foundry_brick::{Editor, Meta};

fn stat(size: u64) -> Stat {
    Stat {
        identity: FileIdentity { dev: 1, ino: 7, btime_ns: 3 },
        kind: FileKind::File,
        size,
        blocks: 0,
        mode: 0o640,
        uid: 1,
        gid: 2,
        nlink: 1,
        mtime_ns: -5,
        ctime_ns: 0,
    }
}

#[test]
fn a_face_is_what_the_brick_shows_and_small() {
    for size in [1_u64, 63, 1024, 4096, 4097, 65_536, 262_144, 262_145, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|i| ((i * i) >> 9).to_le_bytes()[0]).collect();
        let meta = Meta { size, ..Meta::default() };
        let mut editor = Editor::create(MemStorage::default(), meta).unwrap();
        editor.put(0, &bytes).unwrap();
        editor.commit(1).unwrap();
        let brick = Brick::open(editor.into_storage()).unwrap();
        let face = Face::of_brick(&brick).unwrap();
        let mut leaves = Vec::new();
        cells::leaves(&bytes, &mut leaves);
        assert_eq!(face, Face::of_leaves(size, &leaves), "{size}");
        assert!(face.cells.len() <= 64, "{size}: {}", face.cells.len());
        let mut top = Vec::new();
        brick.cells(top_level(size), 0..1, &mut top).unwrap();
        assert_eq!(face.top, top.first().copied().unwrap_or(ZERO_CELL), "{size}");
    }
}

#[test]
fn a_total_does_not_depend_on_the_order() {
    let entry = |name: &str, size, top: Cell| Entry {
        name: name.into(),
        stat: Some(stat(size)),
        body: Body::File(Some(Face::new(1, vec![top]))),
    };
    let entries = [entry("a", 0, [9; 4]), entry("b", 5000, [200; 4]), entry("c", 4096, [7; 4])];
    let sum = |order: &[usize]| {
        let mut total = Total::default();
        order.iter().for_each(|i| entries[*i].add_to(&mut total));
        total
    };
    let total = sum(&[0, 1, 2]);
    assert_eq!(total, sum(&[2, 1, 0]));
    assert_eq!(total.room, 4 * 4096);
    assert_eq!(total.top(), [104; 4]);
    let mut above = Total::default();
    above.add_all(&total);
    above.add_all(&Total::default());
    assert_eq!(above.room, 5 * 4096);
}

#[test]
fn a_finer_picture_repeats_and_a_coarser_one_averages() {
    let cells: Vec<Cell> = (0..16).map(|i| [i, 0, 0, 0]).collect();
    let face = Face::new(16 << 12, cells);
    assert_eq!(face.level, 6);
    assert_eq!(face.at(6, 3..5), [[3, 0, 0, 0], [4, 0, 0, 0]]);
    assert_eq!(face.at(5, 7..9), [[1, 0, 0, 0], [2, 0, 0, 0]]);
    assert_eq!(face.at(7, 0..2), [[2, 0, 0, 0], [6, 0, 0, 0]]);
    assert_eq!(face.at(30, 0..1), [face.top]);
}

#[test]
fn what_cannot_be_read_says_so() {
    let entry = Entry { name: b"x".to_vec(), stat: Some(stat(9)), body: Body::File(None) };
    let part = entry.part();
    assert_eq!(part.numbers[&Attribute::UNREADABLE], 1);
    assert_eq!(part.numbers[&Attribute::MTIME], (-5_i64).cast_unsigned());
    assert_eq!((part.numbers[&Attribute::MODE], part.length), (0o640, 9));
}
