//! Each way to change a tree, and what a source must tell of it.
//!
//! Knows: system calls, paths. Must never know: how a source comes to know.
//! Keeps: what must be told is told by one drain right after the system call; what is untracked is not.

use super::Kind;
use super::watcher::{Told, Watcher};
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// `tree` is watched, `outside` is not; both lie on the same file system. In both: `file`, `other`,
/// `dir/file`. `tree/linked` and `outside/linked` are one file.
struct Places<'a> {
    tree: &'a Path,
    outside: &'a Path,
}

type Change = fn(&Places<'_>) -> io::Result<()>;

/// A name, the change, entries and content that must be told, by path in `tree`.
type Operation = (&'static str, Change, &'static [&'static str], &'static [&'static str]);

const ENTRIES: &[Operation] = &[
    ("create", |p| File::create(p.tree.join("new")).map(drop), &["new"], &[]),
    ("create deeper", |p| File::create(p.tree.join("dir/new")).map(drop), &["dir/new"], &[]),
    ("mkdir", |p| fs::create_dir(p.tree.join("new")), &["new"], &[]),
    ("unlink", |p| fs::remove_file(p.tree.join("file")), &["file"], &[]),
    ("rmdir", |p| fs::remove_dir(p.tree.join("empty")), &["empty"], &[]),
    ("symlink", |p| symlink("nowhere", p.tree.join("new")), &["new"], &[]),
    ("link", |p| fs::hard_link(p.tree.join("file"), p.tree.join("dir/new")), &["dir/new"], &[]),
    (
        "link from outside",
        |p| fs::hard_link(p.outside.join("file"), p.tree.join("new")),
        &["new"],
        &[],
    ),
    ("rename", |p| fs::rename(p.tree.join("file"), p.tree.join("new")), &["file", "new"], &[]),
    (
        "rename to another directory",
        |p| fs::rename(p.tree.join("file"), p.tree.join("dir/new")),
        &["file", "dir/new"],
        &[],
    ),
    ("rename out", |p| fs::rename(p.tree.join("file"), p.outside.join("new")), &["file"], &[]),
    ("rename in", |p| fs::rename(p.outside.join("file"), p.tree.join("new")), &["new"], &[]),
    (
        "rename over",
        |p| fs::rename(p.tree.join("file"), p.tree.join("other")),
        &["file", "other"],
        &[],
    ),
    (
        "rename a directory",
        |p| fs::rename(p.tree.join("dir"), p.tree.join("new")),
        &["dir", "new"],
        &[],
    ),
    (
        "move a directory in",
        |p| fs::rename(p.outside.join("dir"), p.tree.join("new")),
        &["new"],
        &[],
    ),
    (
        "exchange",
        |p| exchange(&p.tree.join("file"), &p.tree.join("dir/file")),
        &["file", "dir/file"],
        &[],
    ),
    (
        "exchange with outside",
        |p| exchange(&p.tree.join("file"), &p.outside.join("file")),
        &["file"],
        &[],
    ),
    (
        "replace",
        |p| {
            fs::write(p.tree.join("file.new"), "replaced")?;
            fs::rename(p.tree.join("file.new"), p.tree.join("file"))
        },
        &["file"],
        &[],
    ),
    ("link an unnamed file", link_unnamed, &["new"], &[]),
    ("odd names", odd_names, &["line\nfeed", "with space"], &[]),
];

const CONTENT: &[Operation] = &[
    ("write", |p| write(p, "file", |f| f.write_all(b"bytes")), &[], &["file"]),
    ("append", |p| append(&p.tree.join("dir/file")), &[], &["dir/file"]),
    ("shorten", |p| write(p, "file", |f| f.set_len(1)), &[], &["file"]),
    ("lengthen", |p| write(p, "file", |f| f.set_len(100_000)), &[], &["file"]),
    ("truncate on open", |p| File::create(p.tree.join("file")).map(drop), &[], &["file"]),
    ("fallocate", |p| write(p, "file", |f| allocate(f, FallocateFlags::empty())), &[], &["file"]),
    ("copy_file_range", copy_range, &[], &["file"]),
    ("sendfile", send_file, &[], &["file"]),
    ("splice", splice, &[], &["file"]),
    ("through a name outside", |p| append(&p.outside.join("linked")), &[], &["linked"]),
    ("through an open file that moved out", write_after_move, &["file"], &["file"]),
];

/// Changes outside the tree that are nothing to tell.
const UNTRACKED: &[Change] = &[
    |p| File::create(p.outside.join("new")).map(drop),
    |p| append(&p.outside.join("file")),
    |p| fs::create_dir(p.outside.join("new")),
    |p| fs::rename(p.outside.join("file"), p.outside.join("new")),
    |p| fs::remove_dir_all(p.outside.join("dir")),
];

/// Each operation on a tree of its own.
pub(super) fn every_operation_is_told(kind: Kind, base: &Path) {
    for (name, change, entries, content) in ENTRIES.iter().chain(CONTENT) {
        let told = match told_of(kind, base, *change) {
            Ok(told) => told,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                println!("not here: {name}: {error}");
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        let entries = entries.iter().map(|path| Told::Entry(path.into()));
        let content = content.iter().map(|path| Told::Content(path.into()));
        for expected in entries.chain(content) {
            assert!(told.contains(&expected), "{name}: {expected:?} is not in {told:?}");
        }
        let excess = told.iter().any(|told| matches!(told, Told::Sweep | Told::Lost));
        assert!(!excess, "{name}: {told:?}");
    }
    for (number, change) in UNTRACKED.iter().enumerate() {
        let told = told_of(kind, base, *change).unwrap();
        assert!(told.is_empty(), "untracked {number}: {told:?}");
    }
    attributes_are_told(kind, base);
    the_root_itself_is_told(kind, base);
    if kind == Kind::FanotifyWholeFileSystem {
        names_made_later_outside_are_seen_where_the_file_system_is_marked(base);
    }
}

/// Makes the places, watches the tree, makes the change, and drains once.
fn told_of(
    kind: Kind,
    base: &Path,
    change: Change,
) -> io::Result<std::collections::BTreeSet<Told>> {
    let (tree, outside) = (base.join("tree"), base.join("outside"));
    for place in [&tree, &outside] {
        fs::create_dir_all(place.join("dir"))?;
        fs::create_dir(place.join("empty"))?;
        for file in ["file", "other", "dir/file"] {
            fs::write(place.join(file), [b'a'; 5000])?;
        }
    }
    fs::write(tree.join("linked"), "linked")?;
    fs::hard_link(tree.join("linked"), outside.join("linked"))?;
    let mut watcher = Watcher::new(kind.open(), &tree);
    let before = watcher.drain();
    assert!(before.is_empty(), "{before:?}");
    let outcome = change(&Places { tree: &tree, outside: &outside });
    let told = watcher.drain();
    fs::remove_dir_all(base)?;
    outcome.map(|()| told)
}

fn attributes_are_told(kind: Kind, base: &Path) {
    let of_file: Change =
        |p| fs::set_permissions(p.tree.join("file"), fs::Permissions::from_mode(0o700));
    let told = told_of(kind, base, of_file).unwrap();
    assert!(told.contains(&Told::Meta("file".into())), "{told:?}");
    let of_dir: Change =
        |p| fs::set_permissions(p.tree.join("dir"), fs::Permissions::from_mode(0o700));
    let told = told_of(kind, base, of_dir).unwrap();
    let either = [Told::Meta("dir".into()), Told::Entry("dir".into())];
    assert!(either.iter().any(|wanted| told.contains(wanted)), "{told:?}");
}

/// Nobody watches the directory above the root, so the root has to tell.
fn the_root_itself_is_told(kind: Kind, base: &Path) {
    let root = Told::Relist("".into());
    let moved: Change = |p| fs::rename(p.tree, p.outside.join("tree"));
    assert!(told_of(kind, base, moved).unwrap().contains(&root));
    let removed: Change = |p| fs::remove_dir_all(p.tree);
    let told = told_of(kind, base, removed).unwrap();
    assert!(told.contains(&root), "{told:?}");
}

/// A mark on the file system sees through every name; where it is refused, directories are marked.
fn names_made_later_outside_are_seen_where_the_file_system_is_marked(base: &Path) {
    let change: Change = |p| {
        fs::hard_link(p.tree.join("file"), p.outside.join("later"))?;
        append(&p.outside.join("later"))
    };
    let told = told_of(Kind::FanotifyWholeFileSystem, base, change).unwrap();
    let seen = told.contains(&Told::Content("file".into()));
    let kind = rustix::fs::statfs(base.parent().unwrap()).unwrap().f_type;
    let overlay = kind == 0x794c_7630;
    let subvolume = base.ancestors().any(|dir| dir.join("lower").is_dir());
    let expected = rustix::process::geteuid().is_root() && !overlay && !subvolume;
    assert!(seen || !expected, "{told:?}");
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

fn write(
    places: &Places<'_>,
    name: &str,
    change: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    change(&mut OpenOptions::new().write(true).open(places.tree.join(name))?)
}

fn append(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).open(path)?.write_all(b"appended")
}

fn allocate(file: &mut File, flags: FallocateFlags) -> io::Result<()> {
    Ok(rustix::fs::fallocate(&*file, flags, 0, 200_000)?)
}

fn link_unnamed(p: &Places<'_>) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    let unnamed = rustix::fs::open(p.tree, OFlags::TMPFILE | OFlags::RDWR, mode)?;
    rustix::io::write(&unnamed, b"had no name")?;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&unnamed));
    Ok(rustix::fs::linkat(CWD, link, CWD, p.tree.join("new"), AtFlags::SYMLINK_FOLLOW)?)
}

/// The longest name, and one that is not text, are checked for arriving at all.
fn odd_names(p: &Places<'_>) -> io::Result<()> {
    File::create(p.tree.join("line\nfeed"))?;
    File::create(p.tree.join("with space"))?;
    File::create(p.tree.join("x".repeat(255)))?;
    File::create(p.tree.join(OsStr::from_bytes(b"not \xff text")))?;
    Ok(())
}

fn copy_range(p: &Places<'_>) -> io::Result<()> {
    let from = File::open(p.outside.join("other"))?;
    write(p, "file", |to| {
        let n = rustix::fs::copy_file_range(&from, Some(&mut 0), &*to, Some(&mut 100), 1000)?;
        assert_eq!(n, 1000);
        Ok(())
    })
}

fn send_file(p: &Places<'_>) -> io::Result<()> {
    let from = File::open(p.outside.join("other"))?;
    write(p, "file", |to| {
        assert_eq!(rustix::fs::sendfile(&*to, &from, None, 1000)?, 1000);
        Ok(())
    })
}

fn splice(p: &Places<'_>) -> io::Result<()> {
    let (reader, writer) = rustix::pipe::pipe()?;
    rustix::io::write(&writer, b"through a pipe")?;
    write(p, "file", |to| {
        let flags = rustix::pipe::SpliceFlags::empty();
        let n = rustix::pipe::splice(&reader, None, &*to, None, 14, flags)?;
        assert_eq!(n, 14);
        Ok(())
    })
}

/// The write comes after the name has left the tree; the file is tracked until somebody has looked.
fn write_after_move(p: &Places<'_>) -> io::Result<()> {
    write(p, "file", |file| {
        file.write_all(b"before")?;
        fs::rename(p.tree.join("file"), p.outside.join("moved"))?;
        file.write_all(b"after")
    })
}
