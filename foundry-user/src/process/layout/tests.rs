//! Any life of an address space leaves every pixel that it does not touch where it was.

use super::*;
use foundry_brick::parts::{PAGE_BYTES, PAGE_ORDER, page};
use proptest::prelude::*;

fn mapping(start: u64, pages: u64, name: &str, inode: u64) -> Mapping {
    Mapping {
        start: start * PAGE_BYTES,
        end: (start + pages) * PAGE_BYTES,
        permissions: page::READ,
        offset: 0,
        device: (8, 1),
        inode,
        name: name.as_bytes().into(),
        populated: None,
    }
}

/// Where each mapped page lies, with what is mapped there.
fn pixels(parts: &Parts) -> BTreeMap<u64, (u64, PlotId)> {
    let mut pixels = BTreeMap::new();
    for (place, part) in parts.iter() {
        let (run, address) = (parts.run(place).unwrap(), part.address.unwrap());
        for offset in (0..part.length).step_by(4096) {
            let other = pixels.insert(address + offset, (run.start + offset, place.plot));
            assert_eq!(other, None, "one page in two places");
        }
    }
    pixels
}

/// The parts show exactly the mappings.
fn covers(parts: &Parts, mappings: &[Mapping]) {
    let mut shown: Vec<_> = parts.iter().map(|(_, part)| part).collect();
    shown.sort_by_key(|part| part.address);
    let mut shown = shown.into_iter().peekable();
    for mapping in mappings {
        let mut at = mapping.start;
        while at < mapping.end {
            let part = shown.next().expect("a mapping has a part for each of its bytes");
            assert_eq!((part.address, &part.name), (Some(at), &mapping.name));
            assert_eq!(part.numbers[&Attribute::PERMISSIONS], mapping.permissions);
            at += part.length;
        }
        assert_eq!(at, mapping.end);
    }
    assert!(shown.next().is_none());
    assert_eq!(&Parts::decode(&parts.encode()).unwrap(), parts);
}

#[test]
fn a_library_is_one_square_and_stays_it() {
    let mut parts = Parts::new(PAGE_ORDER);
    let mut maps = vec![
        mapping(0x10, 3, "/lib/a.so", 7),
        mapping(0x13, 5, "/lib/a.so", 7),
        mapping(0x18, 1, "/lib/a.so", 7),
        mapping(0x19, 2, "", 0),
    ];
    assert!(lay_out(&mut parts, &maps).unwrap().is_empty());
    covers(&parts, &maps);
    assert_eq!(parts.plots().iter().count(), 2);
    let before = pixels(&parts);
    // mprotect of a page in the middle splits a mapping, the file is unlinked, the memory below joins.
    maps[1] = mapping(0x13, 2, "/lib/a.so (deleted)", 7);
    maps.insert(2, mapping(0x15, 1, "/lib/a.so (deleted)", 7));
    maps[2].permissions = page::READ | page::WRITE;
    maps.insert(3, mapping(0x16, 2, "/lib/a.so (deleted)", 7));
    assert!(lay_out(&mut parts, &maps).unwrap().is_empty());
    covers(&parts, &maps);
    assert_eq!(pixels(&parts), before);
}

#[test]
fn what_outgrows_its_plot_moves_alone() {
    let mut parts = Parts::new(PAGE_ORDER);
    let mut maps = vec![
        mapping(0x10, 2, "[heap]", 0),
        mapping(0x100, 9, "/lib/a.so", 7),
        mapping(0x200, 3, "[stack]", 0),
    ];
    lay_out(&mut parts, &maps).unwrap();
    let before = pixels(&parts);
    maps[0] = mapping(0x10, 3, "[heap]", 0);
    maps[2] = mapping(0x1ff, 4, "[stack]", 0);
    assert!(lay_out(&mut parts, &maps).unwrap().is_empty(), "there was room");
    let grown = pixels(&parts);
    assert!(before.iter().all(|(page, place)| grown.get(page) == Some(place)));
    maps[0] = mapping(0x10, 60, "[heap]", 0);
    let moved = lay_out(&mut parts, &maps).unwrap();
    assert_eq!(moved.len(), 1);
    covers(&parts, &maps);
    let after = pixels(&parts);
    for (page, place) in &grown {
        let heap = *page < 0x100 * PAGE_BYTES;
        assert_eq!(after.get(page) == Some(place), !heap, "page {page:#x}");
    }
}

#[test]
fn another_file_at_the_same_address_is_another_part() {
    let mut parts = Parts::new(PAGE_ORDER);
    lay_out(&mut parts, &[mapping(0x10, 4, "/lib/a.so", 7)]).unwrap();
    let before = pixels(&parts);
    lay_out(&mut parts, &[mapping(0x10, 4, "/lib/b.so", 8)]).unwrap();
    let after = pixels(&parts);
    assert!(before.values().all(|place| after.values().all(|other| place.0 != other.0)));
}

#[derive(Clone, Debug)]
enum Op {
    Map { start: u64, pages: u64, object: u64, permissions: u64 },
    Unmap { start: u64, pages: u64 },
    Protect { start: u64, pages: u64, permissions: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let (start, pages) = (0_u64..256, 1_u64..40);
    prop_oneof![
        3 => (start.clone(), pages.clone(), 0_u64..5, 1_u64..4).prop_map(
            |(start, pages, object, permissions)| Op::Map { start, pages, object, permissions }),
        2 => (start.clone(), pages.clone()).prop_map(|(start, pages)| Op::Unmap { start, pages }),
        2 => (start, pages, 1_u64..4).prop_map(
            |(start, pages, permissions)| Op::Protect { start, pages, permissions }),
    ]
}

/// An address space as the kernel keeps it: object and permissions by page, neighbours joined.
#[derive(Default)]
struct Space(BTreeMap<u64, (u64, u64)>);

impl Space {
    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Map { start, pages, object, permissions } => {
                self.0.extend((start..start + pages).map(|page| (page, (object, permissions))));
            }
            Op::Unmap { start, pages } => self.0.retain(|p, _| !(start..start + pages).contains(p)),
            Op::Protect { start, pages, permissions } => {
                self.0.range_mut(start..start + pages).for_each(|(_, page)| page.1 = permissions);
            }
        }
    }

    fn mappings(&self) -> Vec<Mapping> {
        let mut maps: Vec<Mapping> = Vec::new();
        for (page, (object, permissions)) in &self.0 {
            let name =
                ["", "", "[heap]", "/lib/a.so", "/lib/b.so"][usize::try_from(*object).unwrap()];
            let inode = if name.starts_with('/') { *object } else { 0 };
            let mut next = mapping(*page, 1, name, inode);
            next.permissions = *permissions;
            next.offset = if inode == 0 { 0 } else { page * PAGE_BYTES };
            match maps.last_mut() {
                Some(last)
                    if last.end == next.start
                        && (&last.name, last.permissions) == (&next.name, *permissions) =>
                {
                    last.end = next.end;
                }
                _ => maps.push(next),
            }
        }
        maps
    }
}

proptest! {
    #[test]
    fn nothing_moves_but_what_is_named(ops in prop::collection::vec(op(), 1..60)) {
        let (mut parts, mut space) = (Parts::new(PAGE_ORDER), Space::default());
        let mut objects: BTreeMap<u64, u64> = BTreeMap::new();
        for op in &ops {
            space.apply(op);
            let before = pixels(&parts);
            let moved = lay_out(&mut parts, &space.mappings()).unwrap();
            covers(&parts, &space.mappings());
            let after = pixels(&parts);
            let mut now: BTreeMap<u64, u64> = BTreeMap::new();
            for (page, (object, _)) in &space.0 {
                // Objects 0 and 1 are both nameless memory.
                now.insert(page * PAGE_BYTES, (*object).max(1));
            }
            for (page, (place, plot)) in &before {
                let same = objects.get(page) == now.get(page);
                if same && !moved.contains(plot) {
                    prop_assert_eq!(after.get(page), Some(&(*place, *plot)), "{:?}", op);
                }
            }
            objects = now;
        }
    }
}

#[test]
fn what_is_only_reserved_takes_a_page_and_says_its_size() {
    let reserved = |start, pages| Mapping { permissions: 0, ..mapping(start, pages, "", 0) };
    let mut parts = Parts::new(PAGE_ORDER);
    let maps = [
        mapping(0x10, 3, "/lib/a.so", 7),
        reserved(0x1000, 1 << 22),
        mapping(0x1000 + (1 << 22), 5, "", 0),
        reserved(0x1005 + (1 << 22), 1 << 20),
        reserved(0x900_0000, 3),
    ];
    lay_out(&mut parts, &maps).unwrap();
    assert!(parts.plots().end() < 64 * PAGE_BYTES, "{}", parts.plots().end());
    let of = |start: u64| {
        let mut all = parts.iter().map(|(_, part)| part);
        all.find(|part| part.address == Some(start * PAGE_BYTES)).unwrap()
    };
    for (start, pages) in [(0x1000, 1_u64 << 22), (0x1005 + (1 << 22), 1 << 20)] {
        let part = of(start);
        assert_eq!((part.kind, part.length), (PartKind::RESERVED, PAGE_BYTES));
        assert_eq!(part.numbers[&Attribute::SIZE], pages * PAGE_BYTES);
    }
    // A guard is too small to be folded.
    assert_eq!((of(0x900_0000).kind, of(0x900_0000).length), (PartKind::ANONYMOUS, 3 * PAGE_BYTES));
    // What is taken into use gets a plot of its own; nothing else moves.
    let before = pixels(&parts);
    let mut maps = maps.to_vec();
    maps[2].end += 64 * PAGE_BYTES;
    maps[3].start += 64 * PAGE_BYTES;
    lay_out(&mut parts, &maps).unwrap();
    let after = pixels(&parts);
    for (page, pixel) in before.iter().filter(|(page, _)| **page < (0x1000 + (1 << 22)) * 4096) {
        assert_eq!(after.get(page), Some(pixel));
    }
    assert_eq!(&Parts::decode(&parts.encode()).unwrap(), &parts);
}
