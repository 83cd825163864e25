//! What overflows is said, and repaired.

use crate::support::{act, covered, live, ranges};
use foundry_user::event::{Event, LossKind};
use foundry_user::sources::Source;
use foundry_user::sources::ebpf::Limits;

fn tiny() -> Limits {
    Limits { artifacts: 64, words: 16, bell_bytes: 4096, life_bytes: 4096, watched: 1 }
}

#[test]
fn a_full_ring_loses_no_change() {
    let Some(mut live) = live(&tiny()) else { return };
    let dir = tempfile::tempdir().unwrap();
    // More files than a ring of one page has records, all written before anybody reads it.
    let files: Vec<_> = (0..60)
        .map(|nth| {
            let path = dir.path().join(nth.to_string());
            std::fs::write(&path, [0; 4096]).unwrap();
            let artifact = live.track(&path);
            (path, artifact)
        })
        .collect();
    live.drain();
    for (path, _) in &files {
        act("pwrite", path, &[1000, 96]);
    }
    let events = live.drain();
    for (path, artifact) in &files {
        let seen = ranges(&events, *artifact);
        assert!(covered(&seen, 1000, 1096), "{}: {seen:?}", path.display());
    }
    let lost = events.iter().any(|e| matches!(e, Event::Lost { kind: LossKind::Doorbell, .. }));
    assert!(lost, "the ring of one page was not full: {:?}", live.source.counters());
}

#[test]
fn a_long_change_of_a_big_file_makes_it_whole_and_a_short_one_does_not() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big");
    std::fs::File::create(&path).unwrap().set_len(8 << 30).unwrap();
    let artifact = live.track(&path);
    live.drain();
    act("pwrite", &path, &[5 << 30, 4096]);
    assert_eq!(ranges(&live.drain(), artifact), [(5 << 30, (5 << 30) + 65_536)]);
    act("flood", &path, &[0, 1 << 26, 100]);
    let seen = ranges(&live.drain(), artifact);
    let expected: Vec<_> = (0..100).map(|n| (n << 26, (n << 26) + 65_536)).collect();
    assert_eq!(seen, expected);
    act("punch", &path, &[0, 4 << 30]);
    assert_eq!(ranges(&live.drain(), artifact), [(0, u64::MAX)]);
    assert!(live.source.counters().lost.contains_key(&LossKind::Range));
}

#[test]
fn a_file_that_outgrows_its_bits_keeps_what_was_dirty() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("growing");
    std::fs::write(&path, [0; 100]).unwrap();
    let artifact = live.track(&path);
    live.drain();
    act("pwrite", &path, &[10, 10]);
    act("pwrite", &path, &[100 << 20, 10]);
    // The reader finds it has grown and tracks it again with its size.
    let file = std::fs::File::open(&path).unwrap();
    let tracker = live.source.tracker();
    let kind = foundry_user::artifact::FileKind::File;
    let fd = std::os::fd::AsFd::as_fd(&file);
    tracker.track(fd, artifact, kind, 100 << 20).unwrap();
    let seen = ranges(&live.drain(), artifact);
    assert!(covered(&seen, 10, 20) && covered(&seen, 100 << 20, (100 << 20) + 10), "{seen:?}");
    act("pwrite", &path, &[50 << 20, 10]);
    let seen = ranges(&live.drain(), artifact);
    assert_eq!(seen, [(50 << 20, (50 << 20) + 65_536)]);
}

#[test]
fn more_inodes_than_slots_is_an_error_until_some_are_let_go() {
    let Some(mut live) = live(&Limits { artifacts: 4, ..tiny() }) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = |nth: u32| {
        let path = dir.path().join(nth.to_string());
        std::fs::write(&path, b"x").unwrap();
        path
    };
    let first = live.track(&file(0));
    for nth in 1..4 {
        live.track(&file(nth));
    }
    let fifth = std::fs::File::open(file(4)).unwrap();
    let tracker = live.source.tracker();
    let track = |id| {
        let fd = std::os::fd::AsFd::as_fd(&fifth);
        let id = foundry_user::artifact::ArtifactId(id);
        tracker.track(fd, id, foundry_user::artifact::FileKind::File, 1)
    };
    assert!(track(99).is_err());
    assert_eq!(live.source.counters().lost.get(&LossKind::Inode), Some(&1));
    tracker.untrack(first);
    track(100).unwrap();
    live.drain();
    act("pwrite", &file(4), &[0, 1]);
    let events = live.drain();
    assert!(covered(&ranges(&events, foundry_user::artifact::ArtifactId(100)), 0, 1), "{events:?}");
    act("pwrite", &dir.path().join("0"), &[0, 1]);
    let dirty = |event: &Event| matches!(event, Event::Dirty { .. });
    assert!(!live.drain().iter().any(dirty), "an artifact that was let go is silent");
}
