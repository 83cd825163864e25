//! Trees that somebody made to do harm: names, links, things that are no files.
//!
//! Knows: what Linux lets anybody make. Must never know: how the daemon guards itself.

use super::start;
use crate::support::{Scratch, act, brick, regular_files};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, makedev};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Names that are no text, look like something else, or do something to a terminal.
const NAMES: [&[u8]; 6] = [
    b"\xff\xfe\x80",
    b"new\nline",
    b"esc\x1b]0;title\x07\x1b[31m",
    b"-rf",
    b"\"q\\\"",
    &[b'n'; 255],
];

/// Directories below one another, until the path is longer than the kernel takes.
fn deep(tree: &Path) -> (OwnedFd, PathBuf) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = rustix::fs::open(tree, flags, Mode::empty()).unwrap();
    let mut path = tree.to_path_buf();
    for i in 0..25 {
        let name = format!("{i:0200}");
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, flags, Mode::empty()).unwrap();
        path.push(name);
    }
    (at, path)
}

fn write_at(dir: &OwnedFd, name: &str, bytes: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let file = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR).unwrap();
    File::from(file).write_all(bytes).unwrap();
}

/// Files of any name have bricks; what is no file is let alone; nothing that is printed has a byte that
/// a terminal obeys.
pub(super) fn whatever_lies_in_a_tree(backend: &str) {
    let scratch = Scratch::new();
    let secret = scratch.file("secret");
    fs::write(&secret, "nobody is to read this").unwrap();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let tree = scratch.tree();
    let at = |name: &[u8]| tree.join(OsStr::from_bytes(name));
    for (i, name) in NAMES.iter().enumerate() {
        act::write(&at(name), &vec![b'x'; 1000 + i]).unwrap();
    }
    let (bottom, deep_path) = deep(&tree);
    write_at(&bottom, "bottom", b"first");
    let mode = Mode::RUSR | Mode::WUSR;
    for (name, kind, device) in [
        ("fifo", FileType::Fifo, 0),
        ("socket", FileType::Socket, 0),
        ("zero", FileType::CharacterDevice, makedev(1, 5)),
    ] {
        rustix::fs::mknodat(CWD, tree.join(name), kind, mode, device).unwrap();
    }
    for (name, to) in
        [("out", secret.as_path()), ("up", Path::new("..")), ("self", Path::new("self"))]
    {
        std::os::unix::fs::symlink(to, tree.join(name)).unwrap();
    }
    daemon.sync();
    write_at(&bottom, "bottom", b"second, deep down");
    daemon.sync();
    daemon.verify_all();

    for (i, name) in NAMES.iter().enumerate() {
        let found = brick::inspect(&scratch.store(), &at(name)).expect("every file has a brick");
        assert_eq!(found.size(), 1000 + i as u64);
        let text = brick::ask("inspect", &scratch.store(), &at(name), &[]).ok().out;
        let harmless = |c: char| c == '\n' || !c.is_control();
        assert!(text.chars().all(harmless), "{text:?}");
        assert_eq!(text.lines().next().unwrap().matches("line").count(), usize::from(i == 1));
    }
    let found =
        brick::inspect(&scratch.store(), &deep_path.join("bottom")).expect("deep down, too");
    assert_eq!(found.size(), 17);
    for name in ["fifo", "socket", "zero", "out", "up", "self"] {
        let found = brick::inspect(&scratch.store(), &tree.join(name));
        assert!(found.is_none(), "{name} is no file: {found:?}");
    }
    let bricks = regular_files(&scratch.store().join("bricks")).len();
    assert!((NAMES.len() + 1..=NAMES.len() + 28).contains(&bricks), "{bricks} bricks");
    let said = daemon.log();
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
}

/// While a directory and a link to another place change places all the time, nothing of that place
/// gets into a brick, and nothing is written there.
pub(super) fn a_directory_becomes_a_link_and_back(backend: &str) {
    let scratch = Scratch::new();
    let (tree, outside) = (scratch.tree(), scratch.file("outside"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(tree.join("dir")).unwrap();
    for i in 0..20 {
        fs::write(tree.join(format!("dir/{i}")), "inside").unwrap();
        fs::write(outside.join(i.to_string()), "the secret outside").unwrap();
    }
    std::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
    let before = fs::metadata(&outside).unwrap().modified().unwrap();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (stop, tree) = (Arc::clone(&stop), tree.clone());
        move || {
            let mut swaps = 0_u32;
            while !stop.load(Ordering::Relaxed) || swaps % 2 == 1 {
                let (a, b) = (tree.join("dir"), tree.join("link"));
                rustix::fs::renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    for round in 0..10 {
        for name in ["dir", "link"] {
            // One of the two is the real one, whichever it is by now.
            let path = tree.join(name).join("changed");
            let real = fs::symlink_metadata(tree.join(name)).is_ok_and(|stat| stat.is_dir());
            let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
            if real && let Ok(dir) = rustix::fs::open(tree.join(name), flags, Mode::empty()) {
                write_at(&dir, "changed", format!("{round} in {}", path.display()).as_bytes());
            }
        }
        daemon.sync();
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapping.join().unwrap();
    assert!(swaps > 10, "{swaps}");
    daemon.sync();
    daemon.verify_all();
    let secret = blake3::hash(b"the secret outside").to_hex().to_string();
    for i in 0..20 {
        let found = brick::inspect(&scratch.store(), &tree.join(format!("dir/{i}"))).unwrap();
        assert_ne!(found.blake3(), secret);
        assert!(brick::inspect(&scratch.store(), &tree.join(format!("link/{i}"))).is_none());
        assert!(brick::inspect(&scratch.store(), &outside.join(i.to_string())).is_none());
    }
    assert_eq!(fs::metadata(&outside).unwrap().modified().unwrap(), before);
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    assert!(rustix::fs::statat(CWD, tree.join("dir"), flags).is_ok());
}
