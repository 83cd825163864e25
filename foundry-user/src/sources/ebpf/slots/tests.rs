//! Tests of slots and of runs of words.

use super::*;

const A: ArtifactId = ArtifactId(1);
const B: ArtifactId = ArtifactId(2);
const C: ArtifactId = ArtifactId(3);

#[test]
fn a_slot_is_not_reused_before_a_grace_period() {
    let mut slots = Slots::new(1, 0);
    assert_eq!(slots.claim([1, 1], A, false), Claimed::New(0));
    assert_eq!(slots.claim([2, 2], B, false), Claimed::Full);
    assert_eq!(slots.release(A), Released::Key([1, 1]));
    assert!(slots.get(0).is_none());
    assert_eq!(slots.claim([2, 2], B, false), Claimed::Quarantined);
    let mut cleared = Vec::new();
    let quarantined = slots.take_quarantine();
    slots.free(quarantined, |slot, _| cleared.push(slot));
    assert_eq!(cleared, [0]);
    assert_eq!(slots.claim([2, 2], B, false), Claimed::New(0));
    assert_eq!(slots.get(0).unwrap().generation, 2);
}

#[test]
fn names_of_one_inode_share_its_slot() {
    let mut slots = Slots::new(4, 0);
    assert_eq!(slots.claim([1, 1], A, false), Claimed::New(0));
    assert_eq!(slots.claim([1, 1], B, false), Claimed::Old(0));
    assert_eq!(slots.claim([1, 1], B, false), Claimed::Old(0));
    assert_eq!(slots.get(0).unwrap().owners, [A, B]);
    assert_eq!(slots.release(A), Released::Nothing);
    assert_eq!(slots.release(A), Released::Nothing);
    assert_eq!(slots.release(B), Released::Key([1, 1]));
    assert_eq!(slots.release(C), Released::Nothing);
    assert!(slots.by_artifact.is_empty());
}

#[test]
fn geometries_cover_what_they_are_for() {
    for size in [(4 << 20) + 1, 5 << 20, 1 << 30, 16 << 30, 1 << 40, u64::MAX / 4] {
        let geometry = geometry_for(size).unwrap();
        assert!(covered(geometry) >= size, "{size}: {geometry:?}");
        assert!(geometry.words <= MAX_WORDS && geometry.words.is_power_of_two());
        assert!(geometry.words >> geometry.summary_shift <= 64, "{geometry:?}");
    }
    let mut slots = Slots::new(1, 1 << 14);
    slots.claim([1, 1], A, false);
    assert_eq!(slots.grow(0, 4 << 20), None, "64 tiles have their bits in the summary");
    assert_eq!(slots.grow(0, (4 << 20) + 1).unwrap().words, 2);
    assert_eq!(slots.grow(0, 8 << 20), None, "there is headroom");
}

#[test]
fn runs_never_overlap() {
    let mut words = Words::new(64);
    let want = |n| Geometry { base: 0, words: n, bit_shift: 16, summary_shift: 0 };
    let mut held: Vec<Geometry> = Vec::new();
    for n in [16, 16, 16, 16] {
        held.push(words.allocate(want(n)).unwrap());
    }
    assert_eq!(words.allocate(want(2)), None);
    words.free(held.pop().unwrap());
    for n in [2, 4, 8, 2] {
        held.push(words.allocate(want(n)).unwrap());
    }
    assert_eq!(words.allocate(want(2)), None);
    let mut used: Vec<u32> = held.iter().flat_map(|g| g.base..g.base + g.words).collect();
    used.sort_unstable();
    assert_eq!(used, (0..64).collect::<Vec<_>>());
}
