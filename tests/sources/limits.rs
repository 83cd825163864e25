//! What happens when the kernel's limits are reached.
//!
//! Knows: sysctls, a watcher. Must never know: how a source asks.

use super::stage;
use super::watcher::{Told, Watcher};
use crate::support;
use foundry_user::artifact::{ArtifactId, FileKind};
use foundry_user::event::{Event, LossKind};
use foundry_user::sources::fanotify::{Fanotify, Options};
use foundry_user::sources::inotify::Inotify;
use foundry_user::sources::{Source, backends};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

/// More events than the queues of ordinary users hold.
fn flood(dir: &Path) {
    let limit = |name| {
        let text = fs::read_to_string(format!("/proc/sys/fs/{name}/max_queued_events")).unwrap();
        text.trim().parse::<usize>().unwrap()
    };
    let n = limit("fanotify").max(limit("inotify")) + 100;
    for i in 0..n {
        File::create(dir.join(i.to_string())).unwrap();
    }
}

/// A queue that overflows asks for a sweep, says so, and goes on.
fn overflow(source: Box<dyn Source>, dir: &Path) {
    let tree = dir.join(source.name());
    fs::create_dir(&tree).unwrap();
    let mut watcher = Watcher::new(source, &tree);
    flood(&tree);
    let told = watcher.drain();
    assert!(told.contains(&Told::Sweep) && told.contains(&Told::Lost));
    assert!(watcher.source.counters().lost[&LossKind::Queue] > 0);
    File::create(tree.join("after")).unwrap();
    let told = watcher.drain();
    assert!(told.contains(&Told::Entry("after".into())), "{told:?}");
    assert!(!told.contains(&Told::Sweep));
}

#[test]
fn a_full_queue_asks_for_a_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { unlimited_queue: false, skip_own: false, ..Options::default() };
    overflow(Box::new(Fanotify::open(options).unwrap()), dir.path());
    overflow(Box::new(Inotify::open(false).unwrap()), dir.path());
}

#[test]
fn a_queue_without_limit_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let source = Fanotify::open(Options { skip_own: false, ..Options::default() }).unwrap();
    if !source.privileged() {
        return support::skip("fanotify queues without limit: they need root");
    }
    let mut watcher = Watcher::new(Box::new(source), dir.path());
    flood(dir.path());
    let told = watcher.drain();
    assert!(!told.contains(&Told::Sweep));
    assert_eq!(told.len(), fs::read_dir(dir.path()).unwrap().count());
}

/// Run in a user namespace of its own, whose limits are its own, too.
#[test]
fn limits_that_are_reached_are_named() {
    let Some(dir) = stage::current() else {
        let dir = tempfile::tempdir().unwrap();
        return stage::in_user_namespace(
            "sources::limits::limits_that_are_reached_are_named",
            dir.path(),
        );
    };
    let tracked = |source: &dyn Source| {
        (1..100).find_map(|i| {
            let path = dir.join(format!("d{i}"));
            fs::create_dir_all(&path).unwrap();
            let open = File::open(&path).unwrap();
            source.tracker().track(open.as_fd(), ArtifactId(i), FileKind::Directory, 0).err()
        })
    };
    fs::write("/proc/sys/user/max_inotify_watches", "10").unwrap();
    fs::write("/proc/sys/user/max_fanotify_marks", "10").unwrap();
    let fanotify = Fanotify::open(Options::default()).unwrap();
    let text = tracked(&fanotify).unwrap().to_string();
    assert!(text.contains("fs.fanotify.max_user_marks"), "{text}");
    drop(fanotify);
    let inotify = Inotify::open(false).unwrap();
    let text = tracked(&inotify).unwrap().to_string();
    assert!(text.contains("fs.inotify.max_user_watches"), "{text}");
    drop(inotify);

    // Together they take twice as many, and each is heard.
    let mut both = backends::fanotify(Options { skip_own: false, ..Options::default() }).unwrap();
    assert!(tracked(&*both).is_some());
    for i in [1, 15] {
        File::create(dir.join(format!("d{i}/new"))).unwrap();
        let mut out = Vec::new();
        both.drain(&mut out).unwrap();
        let heard = out.iter().any(
            |event| matches!(event, Event::Entry { dir, name, .. } if dir.0 == i && name == b"new"),
        );
        assert!(heard, "{i}: {out:?}");
    }

    fs::write("/proc/sys/user/max_fanotify_groups", "0").unwrap();
    let text = Fanotify::open(Options::default()).unwrap_err().to_string();
    assert!(text.contains("fs.fanotify.max_user_groups"), "{text}");
    // The next best takes its place.
    assert_eq!(backends::fanotify(Options::default()).unwrap().name(), "inotify");
    fs::write("/proc/sys/user/max_inotify_instances", "0").unwrap();
    let text = Inotify::open(false).unwrap_err().to_string();
    assert!(text.contains("fs.inotify.max_user_instances"), "{text}");
    assert!(backends::fanotify(Options::default()).is_err());
}
