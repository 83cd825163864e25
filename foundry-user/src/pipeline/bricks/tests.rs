//! What is known of how much of a brick is durable, answer by answer.

use super::*;
use crate::artifact::FileIdentity;

fn recalled() -> Brick {
    Brick { stored: true, ..Brick::default() }
}

const fn flushes(begun: u64, done: u64) -> Flushes {
    Flushes { begun, done }
}

#[test]
fn a_flush_makes_durable_what_was_asked_for_before_it() {
    let mut brick = Brick::default();
    assert_eq!(brick.durable(flushes(0, 0)), Durable::Nothing);
    let (durable, before) = brick.change(flushes(0, 0), 1);
    assert_eq!(durable, Durable::Nothing);
    brick.changed(1, true, before);
    assert_eq!(brick.durable(flushes(0, 0)), Durable::Nothing);
    assert_eq!(brick.durable(flushes(1, 0)), Durable::Soon);
    assert_eq!(brick.durable(flushes(1, 1)), Durable::Newest);
    let (durable, before) = brick.change(flushes(1, 1), 2);
    assert_eq!(durable, Durable::Newest);
    brick.changed(2, true, before);
    assert_eq!(brick.durable(flushes(1, 1)), Durable::Older);
}

#[test]
fn a_change_that_came_to_nothing_changes_nothing_known() {
    let mut brick = recalled();
    let (_, before) = brick.change(flushes(3, 3), 1);
    brick.changed(1, false, before);
    assert!(brick.is_recalled());
    assert_eq!(brick.durable(flushes(3, 3)), Durable::Newest);
}

#[test]
fn before_the_answer_nobody_knows_which_generation_is_the_durable_one() {
    let now = flushes(0, 0);
    let mut brick = recalled();
    let (durable, first) = brick.change(now, 1);
    assert_eq!(durable, Durable::Newest);
    // It may have come to nothing: then it is the last generation that must stay.
    let (durable, second) = brick.change(now, 2);
    assert_eq!(durable, Durable::Soon);
    brick.changed(1, false, first);
    assert_eq!(brick.durable(now), Durable::Soon);
    // Not the second either: of the first, nothing is known to this day.
    brick.changed(2, false, second);
    assert_eq!(brick.durable(now), Durable::Soon);
    let (_, third) = brick.change(now, 3);
    brick.changed(3, true, third);
    assert_eq!(brick.durable(now), Durable::Older);
}

#[test]
fn a_brick_that_moves_over_a_promised_one_keeps_the_promise() {
    let now = flushes(1, 1);
    let mut bricks = Bricks::default();
    bricks.take(b"/a", ArtifactId(1));
    bricks.take(b"/b", ArtifactId(2));
    let (durable, before) = bricks.get_mut(b"/b").unwrap().change(flushes(0, 0), 1);
    bricks.get_mut(b"/b").unwrap().changed(1, true, before);
    assert_eq!(durable, Durable::Nothing);
    let over = bricks.get(b"/b").unwrap().durable(now);
    assert_eq!(over, Durable::Newest);
    // One that was never written leaves what is there, with all that is known of it.
    bricks.rename(b"/a", b"/b");
    assert_eq!(bricks.get(b"/b").unwrap().durable(now), Durable::Newest);
    bricks.take(b"/c", ArtifactId(3));
    bricks.get_mut(b"/c").unwrap().change(now, 2);
    bricks.rename(b"/c", b"/b");
    bricks.get_mut(b"/b").unwrap().moved(now, over);
    assert_eq!(bricks.get(b"/b").unwrap().durable(now), Durable::Older);
}

#[test]
fn what_was_forgotten_and_comes_again_is_not_taken_for_durable() {
    let identity = FileIdentity { dev: 1, ino: 2, btime_ns: 3 };
    let state = FoldedState { identity, size: 0, mtime_ns: 0, ctime_ns: 0, at: UnixNs(9) };
    let head = || BrickHead { path: b"/w/a".to_vec(), state, face: None, directory: false };
    let orphan = Orphan { seq: 1, since: MonotonicNs(0) };
    let (now, mut bricks) = (flushes(4, 4), Bricks::default());
    bricks.recalled(head(), false, orphan);
    assert_eq!(bricks.get(b"/w/a").unwrap().durable(now), Durable::Newest);
    bricks.forget_beneath(b"/w");
    // The store may have been at work on it when it was asked what it has.
    bricks.recalled(head(), false, orphan);
    let brick = bricks.get_mut(b"/w/a").unwrap();
    assert_eq!(brick.change(now, 1).0, Durable::Soon);
    brick.changed(1, true, Known::default());
    assert_eq!(brick.durable(flushes(5, 5)), Durable::Newest);
}
