//! Parts keep their places, and their one encoding.

use super::*;
use crate::plots::PlotId;
use proptest::prelude::*;

fn part(name: &str, length: u64) -> Part {
    Part { name: name.as_bytes().into(), length, ..Part::default() }
}

fn example() -> Parts {
    let mut parts = Parts::new(PAGE_ORDER);
    let mut libc = part("/lib/libc.so.6", 3 * PAGE_BYTES);
    libc.kind = PartKind::MAPPED_FILE;
    libc.address = Some(0x7f00_0000_0000);
    libc.link = Some(Link { path: libc.name.clone(), offset: 4096 });
    libc.numbers.insert(Attribute::PERMISSIONS, page::READ | page::EXECUTE);
    libc.pages = vec![PageRun { count: 2, state: 5 }, PageRun { count: 1, state: 0 }];
    let plot = parts.open(8 * PAGE_BYTES).unwrap();
    parts.put(Place { plot, offset: 0 }, libc.clone()).unwrap();
    libc.link.as_mut().unwrap().offset = 0x5000;
    parts.put(Place { plot, offset: 5 * PAGE_BYTES }, libc).unwrap();
    let mut file = part("notes", 100);
    file.kind = PartKind::FILE;
    file.texts.insert(Attribute::PACKAGE, b"base-files"[..].into());
    file.top = [1, 2, 3, 4];
    parts.add(file).unwrap();
    parts
}

#[test]
fn parts_come_back() {
    let parts = example();
    let bytes = parts.encode();
    assert_eq!(Parts::decode(&bytes).unwrap(), parts);
    for cut in 0..bytes.len() {
        assert!(Parts::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_part_never_lies_on_another() {
    let mut parts = example();
    let before = parts.clone();
    let plot = parts.iter().next().unwrap().0.plot;
    for (offset, length) in [(0x2000, 0x1000), (0x1000, 0x1000), (0x4000, 0x2000), (0x7000, 1)] {
        let refused = parts.put(Place { plot, offset }, part("x", length));
        assert_eq!(refused, Err(PartsError::Overlap), "{offset:#x}");
    }
    let beyond = Place { plot, offset: u64::MAX };
    assert_eq!(parts.put(beyond, part("x", 1)), Err(PartsError::Outside));
    let unknown = Place { plot: PlotId(77), offset: 0 };
    assert!(matches!(parts.put(unknown, part("x", 1)), Err(PartsError::Plots(_))));
    assert_eq!(parts, before);
    parts.put(Place { plot, offset: 0x3000 }, part("x", 0x2000)).unwrap();
}

#[test]
fn the_last_part_takes_its_plot_along() {
    let mut parts = example();
    let places: Vec<Place> = parts.iter().map(|(place, _)| place).collect();
    let run = parts.plot(places[0].plot).unwrap().run();
    parts.remove(places[0]).unwrap();
    assert_eq!(parts.plots().tombstones().count(), 0);
    parts.remove(places[1]).unwrap();
    assert_eq!(parts.plots().tombstones().collect::<Vec<_>>(), [run]);
    assert_eq!(parts.remove(places[1]), None);
}

#[test]
fn growth_beyond_the_plot_moves_that_part_alone() {
    let mut parts = Parts::new(PAGE_ORDER);
    let small = parts.add(part("small", PAGE_BYTES)).unwrap();
    let large = parts.add(part("large", 9 * PAGE_BYTES)).unwrap();
    let at = parts.run(large).unwrap();
    assert!(matches!(parts.resize(small, 4 * PAGE_BYTES), Ok(Resized::InPlace)));
    assert!(matches!(parts.resize(small, 5 * PAGE_BYTES), Ok(Resized::Moved { .. })));
    assert_eq!(parts.run(large), Some(at));
    assert_eq!(parts.run(small).unwrap().end - parts.run(small).unwrap().start, 5 * PAGE_BYTES);
    assert_eq!(parts.at(parts.run(small).unwrap().start).unwrap().1.name[..], b"small"[..]);
}

#[test]
fn leaves_are_64_bytes_of_content() {
    let mut parts = Parts::new(PAGE_ORDER);
    parts.add(part("one", 1)).unwrap();
    let place = parts.add(part("two", 20 * PAGE_BYTES)).unwrap();
    let run = parts.run(place).unwrap();
    assert_eq!(parts.content_range(run.clone()), run.start / 64..run.end / 64);
    assert_eq!(parts.content_size(), parts.plots().end() / 64);
    parts.set_leaf_order(8);
    assert_eq!(parts.content_range(0x1000..0x1001), 0..64);
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_or_whole(
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = example().encode();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(read) = Parts::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

/// A composite of two plots, folded.
fn folded(parts: &Parts, cells: &[(Place, Cell)]) -> crate::Editor<crate::storage::MemStorage> {
    let meta = crate::Meta {
        kind: crate::Kind::Process,
        size: parts.content_size(),
        ..crate::Meta::default()
    };
    let size = parts.content_size();
    let mut editor = crate::Editor::create(crate::storage::MemStorage::default(), meta).unwrap();
    editor.put_hole(0, size).unwrap();
    for (tile, leaves) in tiles(parts, cells) {
        editor.put_cells(tile * 1024, &leaves).unwrap();
    }
    editor.set_parts(parts);
    assert!(editor.commit(1).unwrap().changed);
    editor
}

/// The tiles that hold these leaves.
fn tiles(parts: &Parts, cells: &[(Place, Cell)]) -> BTreeMap<u64, Vec<Cell>> {
    let mut tiles = BTreeMap::new();
    for (place, cell) in cells {
        for leaf in parts.content_range(parts.run(*place).unwrap()).step_by(64) {
            let (leaf, leaves) = (leaf / 64, parts.content_size() / 64);
            let n = usize::try_from((leaves - leaf / 1024 * 1024).min(1024)).unwrap();
            let tile = tiles.entry(leaf / 1024).or_insert_with(|| vec![crate::cells::ZERO_CELL; n]);
            tile[usize::try_from(leaf % 1024).unwrap()] = *cell;
        }
    }
    tiles
}

#[test]
fn leaves_of_parts_are_in_the_brick_where_their_plots_are() {
    let mut parts = Parts::new(PAGE_ORDER);
    let small = parts.add(part("small", PAGE_BYTES)).unwrap();
    let large = parts.add(part("large", 3000 * PAGE_BYTES)).unwrap();
    let mut editor = folded(&parts, &[(small, [9, 8, 7, 6]), (large, [100, 50, 200, 0])]);
    // Nothing that differs is no generation.
    editor.set_parts(&parts);
    assert!(!editor.commit(2).unwrap().changed);
    for (tile, leaves) in tiles(&parts, &[(small, [1, 8, 7, 6])]) {
        let first = parts.content_range(parts.run(large).unwrap()).start / 64;
        assert!((tile + 1) * 1024 <= first, "the parts share no tile");
        editor.put_cells(tile * 1024, &leaves).unwrap();
    }
    let committed = editor.commit(3).unwrap();
    assert_eq!((committed.generation, committed.changed_tiles), (2, Some(vec![0])));
    let brick = crate::Brick::open(editor.into_storage()).unwrap();
    assert_eq!(brick.verify(), []);
    assert_eq!(brick.parts().unwrap(), Some(parts.clone()));
    let mut cells = Vec::new();
    brick.cells(3, 0..2, &mut cells).unwrap();
    assert_eq!(cells, [[1, 8, 7, 6], crate::cells::ZERO_CELL]);
    let run = parts.run(large).unwrap();
    let level = 6 + 5;
    cells.clear();
    brick
        .cells(3 + 5, run.start >> (2 * level)..(run.start >> (2 * level)) + 3, &mut cells)
        .unwrap();
    let whole = 3000 - 2 * 1024;
    let mean = |channel: u64, empty: u64| (channel * whole + empty * (1024 - whole)) / 1024;
    assert_eq!(cells[..2], [[100, 50, 200, 0]; 2]);
    for (channel, (full, empty)) in cells[2].iter().zip([(100, 0), (50, 255), (200, 0), (0, 0)]) {
        assert!(u64::from(*channel).abs_diff(mean(full, empty)) <= 5, "{:?}", cells[2]);
    }
}
