//! Nothing meets, nothing moves, nothing is forgotten.

use super::*;
use proptest::prelude::*;

fn check(layout: &Layout) {
    let mut last = 0;
    for id in layout.leaves.values() {
        let run = layout.nodes[*id as usize].run().unwrap();
        assert!(run.start >= last, "two leaves meet at {}", run.start);
        last = run.end;
    }
    for (id, node) in (0_u32..).zip(&layout.nodes) {
        if let Some(run) = node.run() {
            let size = node.size.min(cells(MOST_ORDER));
            assert!(size <= run.len());
            assert_eq!(run.start % leaf_grain(node.kind, size), 0, "node {id} is between steps");
            let parent = layout.node(node.parent).unwrap();
            assert!(parent.runs.iter().any(|own| own.start <= run.start && run.end <= own.end));
        }
        assert_eq!(layout.find(&layout.path(id)), Some(id));
    }
}

fn places(layout: &Layout) -> BTreeMap<Vec<u8>, Vec<Run>> {
    (0..u32::try_from(layout.len()).unwrap())
        .map(|id| (layout.path(id), layout.node(id).unwrap().runs.clone()))
        .collect()
}

fn file(name: &str, size: u64) -> Tree {
    Tree { name: name.into(), kind: NodeKind::File, size, children: vec![] }
}

fn sample() -> Tree {
    let many = (0..300).map(|i| file(&format!("f{i}"), 1 << (i % 21))).collect();
    let many = Tree { name: b"many".to_vec(), kind: NodeKind::Directory, size: 0, children: many };
    Tree {
        name: b"opt".to_vec(),
        kind: NodeKind::Directory,
        size: 0,
        children: vec![file("a", 5), many, file("b", 3_000_000), file("c", 0)],
    }
}

#[test]
fn a_packed_tree_wastes_little() {
    let mut layout = Layout::new();
    layout.place_tree(b"", sample());
    check(&layout);
    let run = layout.node(layout.find(b"/opt").unwrap()).unwrap().runs[0];
    let used: u64 = layout.leaves.values().map(|id| layout.node(*id).unwrap().size.max(4096)).sum();
    assert!(used * 10 > run.len() * 7, "{used} of {}", run.len());
}

/// Each directory's room counts its own files alone: else it would be most of a deep world.
#[test]
fn a_deep_tree_wastes_no_more_than_a_flat_one() {
    let mut tree = sample();
    for depth in 0..12 {
        let children = vec![tree, file("beside", 70_000 + depth)];
        let name = format!("d{depth}").into_bytes();
        tree = Tree { name, kind: NodeKind::Directory, size: 0, children };
    }
    let mut layout = Layout::new();
    layout.place_tree(b"", tree);
    check(&layout);
    let used: u64 = layout.leaves.values().map(|id| layout.node(*id).unwrap().size.max(4096)).sum();
    assert!(used * 10 > layout.end() * 6, "{used} of {}", layout.end());
}

/// Roots below one directory come one by one, and it grows with each.
#[test]
fn trees_that_come_one_by_one_lie_close() {
    let mut layout = Layout::new();
    let mut used = 0;
    for i in 0..6_u64 {
        let children =
            (0..20).map(|n| file(&format!("f{n}"), 9_000_000 + i * n * 100_000)).collect();
        let name = format!("root{i}").into_bytes();
        let tree = Tree { name, kind: NodeKind::Directory, size: 0, children };
        used += tree.children.iter().map(|child| child.size).sum::<u64>();
        layout.place_tree(b"/usr/lib", tree);
    }
    check(&layout);
    assert!(used * 10 > layout.end() * 7, "{used} of {}", layout.end());
}

/// A file that begins at no multiple of its square is next to its neighbour, and a new one in a large
/// directory does not make the world half as large again.
#[test]
fn a_small_thing_moves_no_horizon() {
    let mut layout = Layout::new();
    layout.place_tree(b"", sample());
    let before = layout.end();
    for i in 0..40 {
        layout.place(format!("/opt/many/new-{i}").as_bytes(), NodeKind::File, 4000);
    }
    check(&layout);
    assert!(layout.end() < before + before / 16, "{} after {before}", layout.end());
}

#[test]
fn what_comes_back_finds_its_place() {
    let mut layout = Layout::new();
    layout.place_tree(b"", sample());
    let before = layout.node(layout.find(b"/opt/a").unwrap()).unwrap().runs.clone();
    layout.remove(b"/opt/a").unwrap();
    layout.place(b"/opt/new", NodeKind::File, 100);
    let again = layout.place(b"/opt/a", NodeKind::File, 4000);
    assert_eq!(layout.node(again.node).unwrap().runs, before);
    check(&layout);
}

#[test]
fn a_name_goes_with_its_place_unless_the_new_name_has_one() {
    let mut layout = Layout::new();
    layout.place_tree(b"", sample());
    let a = layout.find(b"/opt/a").unwrap();
    assert_eq!(layout.rename(b"/opt/a", b"/opt/z").unwrap().node, a);
    assert_eq!(layout.find(b"/opt/z"), Some(a));
    assert_eq!(layout.rename(b"/opt/z", b"/opt/b"), None);
    assert_eq!(layout.rename(b"/opt/z", b"/elsewhere/z"), None);
    check(&layout);
}

#[test]
fn damage_to_a_saved_layout_is_an_error() {
    let mut layout = Layout::new();
    layout.place_tree(b"", sample());
    let good = layout.save().unwrap();
    assert_eq!(places(&Layout::restore(&good).unwrap()), places(&layout));
    for cut in [0, 7, 8, 39, 40, good.len() - 1] {
        assert!(Layout::restore(&good[..cut]).is_err(), "cut at {cut}");
    }
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        assert!(Layout::restore(&bad).is_err(), "flipped at {at}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Place(u8, u8, u64),
    Remove(u8, u8),
    Rename(u8, u8, u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..4_u8, 0..12_u8, 0..5_000_000_u64).prop_map(|(d, f, s)| Op::Place(d, f, s)),
        (0..4_u8, 0..12_u8).prop_map(|(d, f)| Op::Remove(d, f)),
        (0..4_u8, 0..12_u8, 0..12_u8).prop_map(|(d, f, g)| Op::Rename(d, f, g)),
    ]
}

fn name(dir: u8, file: u8) -> Vec<u8> {
    format!("/w/{}d{dir}/f{file}", if dir > 1 { "deep/" } else { "" }).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_moves_but_what_outgrew_its_run(ops in prop::collection::vec(op(), 1..80)) {
        let mut layout = Layout::new();
        for op in ops {
            let before: Vec<_> = layout.nodes.iter().map(|node| node.runs.clone()).collect();
            let moved = match op {
                Op::Place(d, f, size) => Some(layout.place(&name(d, f), NodeKind::File, size).node),
                Op::Remove(d, f) => layout.remove(&name(d, f)).map(|_| ROOT),
                Op::Rename(d, f, g) => layout.rename(&name(d, f), &name(d, g)).map(|_| ROOT),
            };
            for (id, runs) in (0_u32..).zip(before) {
                let now = &layout.nodes[id as usize].runs;
                if Some(id) != moved || layout.nodes[id as usize].kind == NodeKind::Directory {
                    prop_assert!(now.starts_with(&runs), "node {} moved", id);
                }
            }
            check(&layout);
        }
        let restored = Layout::restore(&layout.save().unwrap()).unwrap();
        check(&restored);
        for (path, runs) in places(&restored) {
            prop_assert_eq!(&layout.node(layout.find(&path).unwrap()).unwrap().runs, &runs);
        }
    }
}
