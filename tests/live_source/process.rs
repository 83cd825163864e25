//! Who did it, and mappings.

use crate::support::{act, live, ranges};
use foundry_user::event::{Actor, Event};
use foundry_user::sources::Source;
use foundry_user::sources::ebpf::Limits;
use std::io::Write;
use std::process::Command;

fn dd(path: &std::path::Path, seek: u64) {
    let status = Command::new("dd")
        .arg(format!("of={}", path.display()))
        .arg(format!("seek={seek}"))
        .args(["if=/dev/zero", "bs=65536", "count=1", "conv=notrunc", "status=none"])
        .status();
    assert!(status.unwrap().success());
}

fn writers(events: &[Event]) -> Vec<(Actor, Vec<(u64, u64)>)> {
    let one = |event: &Event| match event {
        Event::Dirty { artifact, actor: Some(actor), .. } => {
            Some((actor.clone(), ranges(std::slice::from_ref(event), *artifact)))
        }
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

#[test]
fn the_writer_is_named_even_when_it_is_gone_and_each_has_its_own_tiles() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![0; 1 << 20]).unwrap();
    live.track(file.path());
    live.drain();
    dd(file.path(), 1);
    act("pwrite", file.path(), &[5 << 16, 65_536]);
    dd(file.path(), 9);
    let seen = writers(&live.drain());
    let tiles: Vec<_> = seen.iter().map(|(_, ranges)| ranges.clone()).collect();
    assert_eq!(tiles, [1u64, 5, 9].map(|n| vec![(n << 16, (n + 1) << 16)]), "{seen:?}");
    let (first, _) = &seen[0];
    assert_eq!((first.comm.as_slice(), first.uid), (&b"dd"[..], 0));
    let exe = String::from_utf8(first.exe.clone().expect("the program's path")).unwrap();
    assert!(exe.ends_with("/dd") || exe.contains("busybox") || exe.contains("coreutils"), "{exe}");
    assert_ne!(first.exe_ino, 0);
    assert_ne!(first.pid, std::process::id());
}

#[test]
fn programs_that_start_are_events() {
    let Some(mut live) = live(&Limits::default()) else { return };
    live.drain();
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    let events = live.drain();
    let started = events.iter().find_map(|event| match event {
        Event::Exec { actor, .. } if actor.pid == pid => Some(actor),
        _ => None,
    });
    assert_eq!(started.expect("an exec event").comm, b"true");
    assert!(events.iter().any(|e| matches!(e, Event::Exit { actor, .. } if actor.pid == pid)));
}

#[test]
fn our_own_changes_are_silent() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let artifact = live.track(file.path());
    live.drain();
    file.write_all(b"own").unwrap();
    file.as_file().set_len(1).unwrap();
    assert_eq!(ranges(&live.drain(), artifact), []);
    assert!(live.source.counters().other["own changes ignored"] > 0);
}

#[test]
fn a_shared_writable_mapping_is_an_event_and_one_that_was_there_before_is_too() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8192).unwrap();
    let artifact = live.track(file.path());
    live.drain();
    act("mmap", file.path(), &[0, 10]);
    let mapped = |artifact, events: &[Event]| {
        events.iter().any(|event| {
            matches!(event, Event::Mmap { artifact: of, shared_writable: true, .. } if *of == artifact)
        })
    };
    assert!(mapped(artifact, &live.drain()));
    let older = tempfile::NamedTempFile::new().unwrap();
    older.as_file().set_len(8192).unwrap();
    // SAFETY: nobody cuts the file meanwhile.
    let map = unsafe { memmap2::MmapMut::map_mut(older.as_file()) }.unwrap();
    let artifact = live.track(older.path());
    assert!(mapped(artifact, &live.drain()), "the mapping is found when the file is tracked");
    let again = std::fs::File::open(older.path()).unwrap();
    let tracker = live.source.tracker();
    let kind = foundry_user::artifact::FileKind::File;
    tracker.track(std::os::fd::AsFd::as_fd(&again), artifact, kind, 8192).unwrap();
    // The event asks for a read, and a read tracks again: told each time, that would never end.
    assert!(!mapped(artifact, &live.drain()), "it is told once");
    drop(map);
}

#[test]
fn names_of_one_inode_are_one_file() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&a, b"x").unwrap();
    std::fs::hard_link(&a, &b).unwrap();
    let first = live.track(&a);
    let second = live.track(&b);
    live.drain();
    act("pwrite", &b, &[0, 1]);
    let events = live.drain();
    assert!(!ranges(&events, first).is_empty() && !ranges(&events, second).is_empty());
}

#[test]
fn attributes_are_events_and_change_no_bytes() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let artifact = live.track(file.path());
    live.drain();
    let status = Command::new("chmod").arg("640").arg(file.path()).status().unwrap();
    assert!(status.success());
    let events = live.drain();
    let said =
        events.iter().any(|e| matches!(e, Event::Meta { artifact: of, .. } if *of == artifact));
    // Without a word from the kernel it is whoever watches names that tells of it.
    assert_eq!(said, live.touches_are_told(), "{events:?}");
    assert!(ranges(&events, artifact).is_empty(), "{events:?}");
}
