//! Names in tracked directories: the fentry backend reports them itself.

use crate::support::live;
use foundry_user::artifact::ArtifactId;
use foundry_user::event::Event;
use foundry_user::sources::ebpf::{Backend, Limits};
use std::path::Path;
use std::process::Command;

fn run(program: &str, args: &[&str], dir: &Path) {
    let status = Command::new(program).args(args).current_dir(dir).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

fn names(events: &[Event], of: ArtifactId) -> Vec<String> {
    let mut names: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            Event::Entry { dir, name, .. } if *dir == of => {
                Some(String::from_utf8_lossy(name).into_owned())
            }
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn every_way_to_change_a_directory() {
    let Some(mut live) = live(&Limits::default()) else { return };
    if live.backend != Backend::Fentry {
        println!("skipped: names come from fanotify beside the tracepoint backend");
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    std::fs::create_dir(dir.join("sub")).unwrap();
    let top = live.track(dir);
    let sub = live.track(&dir.join("sub"));
    // Program, arguments, names reported in the upper directory, names in the lower one.
    type Case =
        (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
    let cases: &[Case] = &[
        ("touch", &["created"], &["created"], &[]),
        ("mkdir", &["dir"], &["dir"], &[]),
        ("ln", &["-s", "to", "symlink"], &["symlink"], &[]),
        ("ln", &["created", "hard"], &["hard"], &[]),
        ("mkfifo", &["fifo"], &["fifo"], &[]),
        ("mv", &["created", "renamed"], &["created", "renamed"], &[]),
        ("mv", &["renamed", "sub/moved"], &["renamed"], &["moved"]),
        ("touch", &["over"], &["over"], &[]),
        ("mv", &["-f", "sub/moved", "over"], &["over"], &["moved"]),
        ("rm", &["hard"], &["hard"], &[]),
        ("rmdir", &["dir"], &["dir"], &[]),
    ];
    for (program, args, in_top, in_sub) in cases {
        live.drain();
        run(program, args, dir);
        let events = live.drain();
        for name in *in_top {
            let seen = names(&events, top);
            assert!(seen.iter().any(|n| n == name), "{program} {args:?}: {seen:?}");
        }
        for name in *in_sub {
            let seen = names(&events, sub);
            assert!(seen.iter().any(|n| n == name), "{program} {args:?}: {seen:?}");
        }
    }
}

#[test]
fn names_that_do_not_fit_make_the_directory_listed_again() {
    let limits =
        Limits { artifacts: 64, words: 16, bell_bytes: 4096, life_bytes: 4096, watched: 1 };
    let Some(mut live) = live(&limits) else { return };
    if live.backend != Backend::Fentry {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let top = live.track(temp.path());
    live.drain();
    let many: Vec<String> = (0..100).map(|nth| format!("name{nth}")).collect();
    run("touch", &many.iter().map(String::as_str).collect::<Vec<_>>(), temp.path());
    let events = live.drain();
    let listed = events.iter().any(|e| matches!(e, Event::Relist { dir, .. } if *dir == top));
    assert!(listed && names(&events, top).len() < 100, "{events:?}");
}
