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
