//! Folding what changed equals folding everything.

use super::*;
use crate::parts::PartKind;
use crate::storage::MemStorage;
use crate::{Brick, Kind, Meta};
use proptest::prelude::*;

/// An entry whose cells follow from its name and version.
fn entry(name: &str, length: u64, version: u64) -> Part {
    let top = [version, length, length >> 8, length >> 16].map(|n| n.to_le_bytes()[0]);
    Part { name: name.as_bytes().into(), kind: PartKind::FILE, length, top, ..Part::default() }
}

/// Cells of an entry at any level: other ones in other places, flat beyond a while.
fn cells(part: &Part, order: u8, range: Range<u64>) -> Result<Vec<Cell>, Error> {
    let cell = |i: u64| [part.top[0], i.to_le_bytes()[0], order, part.top[1]];
    Ok(range.filter(|i| *i < 700).map(cell).collect())
}

fn meta() -> Meta {
    Meta { kind: Kind::Directory, path: b"/d".to_vec(), ..Meta::default() }
}

fn fold(directory: &mut Directory, editor: &mut Editor<MemStorage>) {
    directory.fold(editor, &mut cells).unwrap();
    editor.commit(1).unwrap();
}

fn all_cells(editor: Editor<MemStorage>) -> (Vec<Vec<Cell>>, Parts, [u8; 32]) {
    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_eq!(brick.verify(), []);
    let level = |level: crate::LevelInfo| {
        let mut out = Vec::new();
        brick.cells(level.level, 0..level.cells, &mut out).unwrap();
        out
    };
    let levels = brick.levels().into_iter().map(level).collect();
    (levels, brick.parts().unwrap().unwrap(), brick.blake3().unwrap())
}

#[derive(Clone, Debug)]
enum Op {
    Set(u8, u64),
    Remove(u8),
    Rename(u8, u8),
    Fold,
    /// Through the brick and back.
    Resume,
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0_u8..12;
    let size = (0_u32..26, any::<u64>()).prop_map(|(bits, n)| n & ((1 << bits) - 1));
    prop_oneof![
        6 => (name.clone(), size).prop_map(|(name, size)| Op::Set(name, size)),
        2 => name.clone().prop_map(Op::Remove),
        2 => (name.clone(), name).prop_map(|(from, to)| Op::Rename(from, to)),
        3 => Just(Op::Fold),
        1 => Just(Op::Resume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn folding_what_changed_equals_folding_everything(ops in prop::collection::vec(op(), 1..40)) {
        let mut directory = Directory::default();
        let mut editor = Editor::create(MemStorage::default(), meta()).unwrap();
        fold(&mut directory, &mut editor);
        for (version, op) in (1..).zip(&ops) {
            let name = |n: &u8| format!("entry {n}");
            match op {
                Op::Set(n, size) => directory.set(entry(&name(n), *size, version)).unwrap(),
                Op::Remove(n) => drop(directory.remove(name(n).as_bytes())),
                Op::Rename(a, b) => {
                    directory.rename(name(a).as_bytes(), name(b).as_bytes().into());
                }
                Op::Fold => fold(&mut directory, &mut editor),
                Op::Resume => {
                    fold(&mut directory, &mut editor);
                    let parts = Parts::decode(&directory.parts().encode()).unwrap();
                    directory = Directory::resume(parts);
                    let storage = editor.into_storage();
                    editor = Editor::open(storage).unwrap();
                }
            }
        }
        fold(&mut directory, &mut editor);
        // The same layout, folded from nothing.
        let mut fresh = Directory::resume(directory.parts().clone()).anew();
        let mut anew = Editor::create(MemStorage::default(), meta()).unwrap();
        fold(&mut fresh, &mut anew);
        prop_assert_eq!(all_cells(editor), all_cells(anew));
    }
}

#[test]
fn an_entry_shows_its_own_cells_where_it_lies() {
    let mut directory = Directory::default();
    directory.set(entry("small", 100, 7)).unwrap();
    directory.set(entry("large", 40 << 12, 9)).unwrap();
    let mut editor = Editor::create(MemStorage::default(), meta()).unwrap();
    fold(&mut directory, &mut editor);
    let parts = directory.parts();
    let leaf = |name: &str, i: u64| {
        let place = directory.by_name[name.as_bytes()];
        parts.content_range(parts.run(place).unwrap()).start / 64 + i
    };
    let brick = Brick::open(editor.into_storage()).unwrap();
    let cell = |at: u64| {
        let mut out = Vec::new();
        brick.cells(3, at..at + 1, &mut out).unwrap();
        out[0]
    };
    assert_eq!(cell(leaf("small", 0)), [7, 0, 6, 100]);
    assert_eq!(cell(leaf("large", 39)), [9, 39, 6, entry("", 40 << 12, 9).top[1]]);
    // Room to grow is empty.
    assert_eq!(cell(leaf("large", 40)), ZERO_CELL);
    let regions = brick.regions().unwrap();
    assert_eq!(regions.len(), 2);
    assert_eq!((regions[0].name.as_str(), regions[0].kind.as_str()), ("small", "file"));
}

#[test]
fn one_change_folds_the_tiles_under_its_plot_alone() {
    let mut directory = Directory::default();
    for n in 0..3000 {
        directory.set(entry(&format!("f{n}"), 4096, n)).unwrap();
    }
    let mut editor = Editor::create(MemStorage::default(), meta()).unwrap();
    fold(&mut directory, &mut editor);
    directory.set(entry("f2000", 3000, 1)).unwrap();
    let mut asked = Vec::new();
    directory
        .fold(&mut editor, &mut |part, order, range| {
            asked.push(part.name.clone());
            cells(part, order, range)
        })
        .unwrap();
    let committed = editor.commit(2).unwrap();
    assert_eq!(committed.changed_tiles.unwrap().len(), 1);
    assert!(asked.len() <= 1024, "{} entries were asked", asked.len());
    assert!(asked.iter().any(|name| **name == *b"f2000"));
}
