//! Whatever the medium refuses: right bricks, or a store that has stopped and says so. Nothing that
//! was promised is lost, and after it is opened again all is right.

use super::memory::Memory;
use super::world::{Promise, Tree, World, shown};
use foundry_brick::Brick;
use std::collections::BTreeSet;

/// Something of everything.
fn live(world: &mut World) {
    for round in 0..24 {
        if world.failed {
            return;
        }
        world.mutate();
        for _ in 0..8 {
            world.turn();
        }
        if round % 5 == 4 {
            world.ask_for_sync();
        }
    }
    if !world.failed {
        world.sync();
    }
}

/// What was promised before it stopped is in the bricks as they are.
fn assert_kept(world: &World, medium: &Memory) {
    let image = medium.image();
    let promise = world.promises.last().map_or_else(Promise::new, |p| p.1.clone());
    let bricks = image.names.iter().filter(|(path, _)| path.extension().unwrap() == "brick");
    let found: BTreeSet<u64> = bricks
        .filter_map(|(_, file)| {
            let brick = Brick::open(image.files.get(file)?.clone()).unwrap();
            let ino = brick.meta().identity.ino;
            let least = promise.get(&ino).copied().unwrap_or(0);
            let content = shown(&brick);
            let known = world.truth[&ino].iter().skip(least).any(|h| Some(*h) == content);
            assert!(known, "inode {ino}");
            Some(ino)
        })
        .collect();
    assert!(promise.keys().all(|ino| found.contains(ino)), "{promise:?} {found:?}");
}

#[test]
fn each_operation_may_fail() {
    let seed = 11;
    let dir = tempfile::tempdir().unwrap();
    // One run without a failure says how many things there are to refuse.
    let medium = Memory::default();
    live(&mut World::start(seed, Tree::new(), &medium, dir.path()).unwrap().spoil(9));
    let all = medium.asked();
    let mut refused = BTreeSet::new();
    let mut stopped = 0;
    for n in 1..=all {
        let medium = Memory::default();
        medium.refuse(Some(n));
        let started = World::start(seed, Tree::new(), &medium, dir.path());
        let mut tree = Tree::new();
        if let Some(world) = started {
            let mut world = world.spoil(9);
            live(&mut world);
            assert_kept(&world, &medium);
            if world.failed {
                stopped += 1;
                // It has stopped: whatever is asked of it now, nothing is written any more.
                let len = medium.log_len();
                for _ in 0..20 {
                    world.mutate();
                    world.turn();
                }
                assert_eq!(medium.log_len(), len, "operation {n}: written after a failure");
            } else {
                world.assert_right();
            }
            tree = world.tree.clone();
        }
        refused.extend(medium.refused());
        medium.refuse(None);
        let mut again = World::start(seed + n, tree, &medium, dir.path()).unwrap();
        again.sync();
        again.assert_right();
    }
    println!("{all} operations, {stopped} of them stopped the store: {refused:?}");
    for kind in ["open", "create", "stat", "read", "write", "fsync", "rename", "remove", "syncfs"] {
        assert!(refused.contains(kind), "{kind} was never refused");
    }
    assert!(stopped * 4 > all * 3, "only {stopped} of {all} stopped the store");
}
