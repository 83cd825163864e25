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
        assert!(face.cells().len() <= 64, "{size}: {}", face.cells().len());
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

/// The brick of a directory with these entries.
fn folded(path: &[u8], entries: &[Entry]) -> (Brick<MemStorage>, Directory) {
    let mut editor = Editor::create(MemStorage::default(), meta(path, None)).unwrap();
    let mut shown = Directory::default();
    fold(&mut editor, &mut shown, entries).unwrap();
    editor.commit(1).unwrap();
    (Brick::open(editor.into_storage()).unwrap(), shown)
}

fn file(name: &str, size: u64, top: Cell) -> Entry {
    let body = Body::File(Some(Face::new(size, vec![top])));
    Entry { name: name.into(), stat: Some(stat(size)), body }
}

fn cell(brick: &Brick<MemStorage>, level: u32, at: u64) -> Cell {
    let mut found = Vec::new();
    brick.cells(level, at..at + 1, &mut found).unwrap();
    found[0]
}

/// Wherever the picture of a directory is in the one above, it is what the directory's own brick shows there.
#[test]
fn a_directory_is_drawn_from_its_own_brick() {
    let sizes = [5, 60_000, 4096, 300_000, 9000, 1, 70_000];
    for (files, least_scale) in [(1_u64, 0), (7, 0), (40, 0), (3000, 1)] {
        let name = |i: u64| format!("f{i:04}");
        let size = |i: u64| if least_scale == 0 { sizes[(i % 7) as usize] } else { 16_300 };
        let colour = |i: u64| [i.to_le_bytes()[0], (i >> 4).to_le_bytes()[0], 7, 200];
        let inside: Vec<Entry> = (0..files).map(|i| file(&name(i), size(i), colour(i))).collect();
        let (child, layout) = folded(b"/d/c", &inside);
        let mut total = Total::default();
        inside.iter().for_each(|entry| entry.add_to(&mut total));
        let face = Face::of_plane(&child, layout.parts()).unwrap();
        assert!(face.cells().len() <= 64 && !face.cells().is_empty());
        let below = Below { total, entries: files, face: Some(face.clone()) };
        let entry = Entry { name: b"c".to_vec(), stat: None, body: Body::Directory(below) };
        let (above, shown) = folded(b"/d", &[file("large", 3 << 20, [1; 4]), entry]);
        let (place, part) = shown.parts().iter().find(|(_, part)| *part.name == *b"c").unwrap();
        let scale = u32::try_from(part.numbers[&Attribute::SCALE]).unwrap();
        assert_eq!(part.length, layout.extent().div_ceil(1 << (2 * scale)));
        let run = shown.parts().run(place).unwrap();
        let leaf = u32::from(shown.parts().leaf_order());
        let own = u32::from(layout.parts().leaf_order());
        for at in run.start >> (2 * leaf)..run.end.div_ceil(1 << (2 * leaf)) {
            // The byte of the child's plane at which this leaf begins.
            let byte = (at - (run.start >> (2 * leaf))) << (2 * (leaf + scale));
            let level = face.level.max(leaf + scale);
            let expected = cell(&child, level - own + 3, byte >> (2 * level));
            assert_eq!(cell(&above, 3, at), expected, "{files} files, leaf {at}");
        }
    }
}

/// However much room its plots leave, a directory takes about as much as what is below it.
#[test]
fn a_directory_takes_as_much_as_what_is_below_it() {
    for room in [4096_u64, 12_288, 1 << 20, 5 << 30] {
        for extent in (0..40).map(|i| room.saturating_add(room * i * i / 3)) {
            let mut total = Total::default();
            total.add(room, [1; 4]);
            let face = Some(Face::new(extent, vec![[1; 4]]));
            let body = Body::Directory(Below { total, entries: 1, face });
            let part = Entry { name: b"d".to_vec(), stat: None, body }.part();
            assert!(part.length <= 2 * room.max(4096), "{extent} for {room}");
            assert!(part.numbers[&Attribute::SCALE] == 0 || room < 2 * part.length);
        }
    }
}

#[test]
fn what_cannot_be_read_says_so() {
    let entry = Entry { name: b"x".to_vec(), stat: Some(stat(9)), body: Body::File(None) };
    let part = entry.part();
    assert_eq!(part.numbers[&Attribute::UNREADABLE], 1);
    assert_eq!(part.numbers[&Attribute::MTIME], (-5_i64).cast_unsigned());
    assert_eq!((part.numbers[&Attribute::MODE], part.length), (0o640, 9));
}

/// The package is what the file's brick says.
#[test]
fn an_entry_says_with_which_package_it_came() {
    let facts =
        |name: &str| Facts::from([("package.name".to_owned(), FactValue::Text(name.into()))]);
    let mut editor = Editor::create(MemStorage::default(), Meta::default()).unwrap();
    editor.set_facts(&facts("coreutils"));
    editor.commit(1).unwrap();
    let brick = Brick::open(editor.into_storage()).unwrap();
    let face = Face::of_brick(&brick).unwrap();
    assert_ne!(face, Face::new(0, vec![]));
    let entry = Entry { name: b"ls".to_vec(), stat: None, body: Body::File(Some(face)) };
    let (above, _) = folded(b"/d", &[entry]);
    let parts = above.parts().unwrap().unwrap();
    let said = parts.iter().next().unwrap().1.texts[&Attribute::PACKAGE].clone();
    assert_eq!(*said, *b"coreutils");
}
