//! Any sequence of operations keeps what `plots.rs` promises.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Add(u64),
    /// A part, by its place in the list of live ones, and its new size.
    Resize(usize, u64),
    Remove(usize),
    Epoch,
    /// Through bytes and back.
    Replay,
}

fn size() -> impl Strategy<Value = u64> {
    (0_u32..34, any::<u64>()).prop_map(|(bits, value)| value & ((1 << bits) - 1))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => size().prop_map(Op::Add),
        4 => (any::<usize>(), size()).prop_map(|(part, size)| Op::Resize(part, size)),
        3 => any::<usize>().prop_map(Op::Remove),
        1 => Just(Op::Epoch),
        1 => Just(Op::Replay),
    ]
}

fn pick(plots: &Plots, index: usize) -> Option<PlotId> {
    let ids: Vec<PlotId> = plots.iter().map(|(id, _)| id).collect();
    (!ids.is_empty()).then(|| ids[index % ids.len()])
}

/// Alignment, room, and that no cell has two owners.
fn check(plots: &Plots) {
    let mut runs: Vec<Range<u64>> = plots.tombstones().collect();
    for (_, plot) in plots.iter() {
        assert_eq!(plot.start % plot.capacity(), 0, "{plot:?} is not aligned");
        assert!(plot.used <= plot.capacity(), "{plot:?} is too small");
        runs.push(plot.run());
    }
    let free = plots.free.iter().enumerate().flat_map(|(order, starts)| {
        let length = cells(u8::try_from(order).unwrap());
        starts.iter().map(move |start| *start..start + length)
    });
    runs.extend(free);
    runs.sort_by_key(|run| run.start);
    assert_eq!(runs.first().map(|run| run.start), Some(0));
    assert_eq!(runs.last().map(|run| run.end), Some(cells(plots.order())));
    for pair in runs.windows(2) {
        assert_eq!(pair[0].end, pair[1].start, "{:?} and {:?}", pair[0], pair[1]);
    }
    assert_eq!(plots.order() % 2, 0);
}

fn places(plots: &Plots) -> BTreeMap<PlotId, (u64, u8)> {
    plots.iter().map(|(id, plot)| (id, (plot.start, plot.order))).collect()
}

/// Carries `op` out and says which plots it may have moved or removed.
fn apply(plots: &mut Plots, op: &Op) -> Vec<PlotId> {
    match op {
        Op::Add(used) => {
            plots.add(*used).unwrap();
            Vec::new()
        }
        Op::Resize(index, used) => {
            let Some(id) = pick(plots, *index) else { return Vec::new() };
            let before = plots.get(id).unwrap();
            match plots.resize(id, *used).unwrap() {
                Resized::InPlace => {
                    assert!(*used <= before.capacity());
                    Vec::new()
                }
                Resized::Moved { from, to } => {
                    assert!(*used > before.capacity());
                    assert_eq!((from, to), (before.run(), plots.get(id).unwrap().run()));
                    vec![id]
                }
            }
        }
        Op::Remove(index) => {
            let Some(id) = pick(plots, *index) else { return Vec::new() };
            let run = plots.remove(id).unwrap();
            assert!(plots.tombstones().any(|t| t == run));
            vec![id]
        }
        Op::Epoch => {
            let moved = plots.next_epoch();
            assert!(!plots.is_wasteful(), "a new epoch ends waste");
            assert_eq!(plots.tombstones().count(), 0);
            moved.iter().map(|m| m.plot).collect()
        }
        Op::Replay => {
            let bytes = plots.encode();
            let again = Plots::decode(&bytes).unwrap();
            assert_eq!(&again, plots);
            *plots = again;
            Vec::new()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_moves_but_what_is_named(ops in prop::collection::vec(op(), 1..120)) {
        let mut plots = Plots::new(6);
        // Runs that were somebody's in this epoch: nobody else may have them.
        let mut owners: BTreeMap<u64, (u64, PlotId)> = BTreeMap::new();
        for op in &ops {
            let before = places(&plots);
            let excused = apply(&mut plots, op);
            check(&plots);
            let after = places(&plots);
            for (id, place) in before.iter().filter(|(id, _)| !excused.contains(id)) {
                prop_assert_eq!(after.get(id), Some(place), "{:?} moved {:?}", op, id);
            }
            if matches!(op, Op::Epoch) {
                owners.clear();
            }
            for (id, plot) in plots.iter() {
                let run = plot.run();
                for (start, (end, owner)) in &owners {
                    let apart = run.end <= *start || *end <= run.start;
                    prop_assert!(apart || *owner == id, "{:?} lies where {:?} was", id, owner);
                }
                owners.insert(run.start, (run.end, id));
            }
        }
    }

    #[test]
    fn one_sequence_gives_one_layout(ops in prop::collection::vec(op(), 1..120)) {
        let (mut a, mut b) = (Plots::new(6), Plots::new(6));
        for op in &ops {
            apply(&mut a, op);
            // The second goes through bytes after every step.
            apply(&mut b, op);
            b = Plots::decode(&b.encode()).unwrap();
        }
        prop_assert_eq!(a.encode(), b.encode());
        prop_assert_eq!(a, b);
    }

    #[test]
    fn adding_alone_wastes_little(sizes in prop::collection::vec(size(), 1..200)) {
        let mut plots = Plots::new(0);
        for used in sizes {
            plots.add(used.max(1)).unwrap();
            let area: u64 = plots.iter().map(|(_, p)| p.capacity()).sum();
            let used: u64 = plots.iter().map(|(_, p)| p.used).sum();
            prop_assert!(area * 2 > plots.end(), "{} of {} cells are plots", area, plots.end());
            prop_assert!(used * 9 >= area * 2, "{} of {} cells are parts", used, area);
            prop_assert!(!plots.is_wasteful());
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_whole(
        ops in prop::collection::vec(op(), 1..30),
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in any::<usize>(),
    ) {
        let mut plots = Plots::new(6);
        ops.iter().for_each(|op| { apply(&mut plots, op); });
        let mut bytes = plots.encode();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if cut % 3 == 0 {
            bytes.truncate(cut % (bytes.len() + 1));
        }
        if let Ok(read) = Plots::decode(&bytes) {
            check(&read);
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_whole(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(read) = Plots::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

#[test]
fn a_larger_plane_leaves_the_smaller_where_it_was() {
    let mut plots = Plots::new(0);
    let first = plots.add(1).unwrap();
    assert_eq!(plots.order(), 0);
    let large = plots.add(1 << 40).unwrap();
    assert_eq!(plots.get(first).unwrap().run(), 0..1);
    assert_eq!(plots.get(large).unwrap().start % (1 << 42), 0);
    assert_eq!(plots.order(), 22);
    check(&plots);
}

#[test]
fn what_fits_no_plane_changes_nothing() {
    let mut plots = Plots::new(6);
    let part = plots.add(5000).unwrap();
    let before = plots.encode();
    assert_eq!(plots.add(1 << 60), Err(PlotsError::Full { wanted: (1 << 60) + (1 << 57) }));
    assert!(matches!(plots.resize(part, u64::MAX), Err(PlotsError::Full { .. })));
    assert_eq!(plots.remove(PlotId(9)), Err(PlotsError::Unknown(PlotId(9))));
    assert_eq!(plots.encode(), before);
}

#[test]
fn a_number_of_plots_is_no_reason_to_allocate() {
    let mut bytes = vec![1, 6, 6, 0, 0, 0];
    crate::varint::write(&mut bytes, u64::MAX);
    bytes.push(0);
    assert!(Plots::decode(&bytes).is_err());
}
