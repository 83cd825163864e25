//! The sources without BPF on the running kernel: file systems, users, ways to change a tree.
//!
//! Knows: sources as the daemon uses them, system calls. Must never know: the pipeline, bricks.
//! Keeps: what happened before a drain is handed over by it; no test waits for anything else.
//!
//! A test that needs a file system or a user of its own starts this binary again, in a mount
//! namespace that takes the mounts with it however the test ends. `FOUNDRY_LIVE=1` asks for these.

mod limits;
mod operations;
mod race;
pub(crate) mod stage;
mod watcher;

use crate::support;
use foundry_user::sources::fanotify::{Fanotify, Marks, Options};
use foundry_user::sources::inotify::Inotify;
use foundry_user::sources::{Source, backends};
use std::path::Path;
use watcher::Watcher;

/// The sources under test, with events of this process: it is who changes the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As the backend: what fanotify refuses, inotify gets.
    Fanotify,
    FanotifyWholeFileSystem,
    Inotify,
}

const KINDS: [Kind; 3] = [Kind::Fanotify, Kind::FanotifyWholeFileSystem, Kind::Inotify];

impl Kind {
    fn open(self) -> Box<dyn Source> {
        let options = Options { skip_own: false, ..Options::default() };
        match self {
            Self::Fanotify => backends::fanotify(options).unwrap(),
            Self::FanotifyWholeFileSystem => {
                let options = Options { marks: Marks::FileSystem, ..options };
                backends::fanotify(options).unwrap()
            }
            Self::Inotify => Box::new(Inotify::open(false).unwrap()),
        }
    }
}

/// Everything that must hold in an empty directory `base`, whoever runs it.
fn everything(base: &Path) {
    for kind in KINDS {
        println!("{kind:?} in {} as uid {}", base.display(), rustix::process::getuid().as_raw());
        let dir = base.join(format!("{kind:?}"));
        operations::every_operation_is_told(kind, &dir);
        race::names_made_during_tracking_are_found(kind, &dir);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// Where the tests were built, as whoever runs them; and the part that runs inside a stage.
#[test]
fn inside() {
    match stage::current() {
        Some(base) => stage::as_owner(&base, everything),
        None => everything(support::Scratch::new().tree().as_path()),
    }
}

macro_rules! on_file_systems {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            stage::on_file_system(stringify!($name));
        }
    )* };
}

on_file_systems! { ext4 xfs btrfs btrfs_subvolume tmpfs overlay }

#[test]
fn own_events_are_left_out_and_others_are_named() {
    let scratch = support::Scratch::new();
    let source = Fanotify::open(Options::default()).unwrap();
    let privileged = source.privileged();
    let mut watcher = Watcher::new(Box::new(source), &scratch.tree());
    std::fs::write(scratch.tree().join("own"), "1").unwrap();
    assert!(watcher.drain().is_empty());
    assert!(watcher.source.counters().other["own_events"] > 0);

    // A shell that is still there when its events are read.
    let mut shell = std::process::Command::new("sh")
        .args(["-c", "echo 1 > other; read line"])
        .current_dir(scratch.tree())
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    watcher.wait();
    let actors = watcher.actors();
    drop(shell.stdin.take());
    assert!(shell.wait().is_ok());
    if privileged {
        let actor = actors.first().unwrap();
        assert_eq!((actor.pid, actor.comm.as_slice()), (shell.id(), b"sh".as_slice()));
        assert!(actor.exe.is_some() && actor.exe_ino != 0);
    } else {
        assert_eq!(actors, []);
    }
}
