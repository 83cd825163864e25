//! Names that come, go and change places; and files whose names did.
//!
//! Knows: paths. Must never know: bytes beyond what it writes itself.

use super::{AT, Change, Operation, bytes, entries, keeping, range, ready};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};

const LEN: u64 = 100;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create",
        about: "a new file with content",
        prepare: |g| {
            let path = g.tree.join("new");
            ready(move || {
                fs::write(path, bytes(80, LEN))?;
                Ok(entries(&["new"]))
            })
        },
    },
    Operation {
        name: "mkdir_deep",
        about: "mkdir -p, and a file at the bottom",
        prepare: |g| {
            let path = g.tree.join("a/b/c/d/e");
            ready(move || {
                fs::create_dir_all(&path)?;
                fs::write(path.join("file"), bytes(81, LEN))?;
                Ok(entries(&["a", "a/b/c/d/e/file"]))
            })
        },
    },
    Operation {
        name: "rename",
        about: "within a directory",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::rename(tree.join("file"), tree.join("new"))?;
                Ok(entries(&["file", "new"]))
            })
        },
    },
    Operation {
        name: "rename_to_directory",
        about: "to another directory of the tree",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::rename(tree.join("file"), tree.join("dir/new"))?;
                Ok(entries(&["dir/new", "file"]))
            })
        },
    },
    Operation {
        name: "rename_over",
        about: "over another file",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::rename(tree.join("file"), tree.join("other"))?;
                Ok(entries(&["file", "other"]))
            })
        },
    },
    Operation {
        name: "rename_out",
        about: "out of the tree",
        prepare: |g| {
            let g = g.clone();
            ready(move || {
                fs::rename(g.tree.join("file"), g.outside.join("gone"))?;
                Ok(entries(&["file"]))
            })
        },
    },
    Operation {
        name: "rename_in",
        about: "into the tree",
        prepare: |g| {
            let g = g.clone();
            ready(move || {
                fs::rename(g.outside.join("file"), g.tree.join("new"))?;
                Ok(entries(&["new"]))
            })
        },
    },
    Operation {
        name: "rename_directory",
        about: "a directory with what is in it",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::rename(tree.join("dir"), tree.join("new"))?;
                Ok(entries(&["dir", "dir/file", "new", "new/file"]))
            })
        },
    },
    Operation {
        name: "write_after_rename",
        about: "through a descriptor older than the file's name",
        prepare: |g| {
            let (tree, file) = (g.tree.clone(), g.open("file")?);
            keeping(move || {
                fs::rename(tree.join("file"), tree.join("dir/new"))?;
                file.write_all_at(&bytes(82, LEN), AT)?;
                Ok((entries(&["dir/new", "file"]), file))
            })
        },
    },
    Operation {
        name: "exchange",
        about: "RENAME_EXCHANGE",
        prepare: |g| {
            let (one, other) = (g.tree.join("file"), g.tree.join("dir/file"));
            ready(move || {
                renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
                Ok(entries(&["dir/file", "file"]))
            })
        },
    },
    Operation {
        name: "replace_by_editor",
        about: "the old file is renamed away, the new one gets its name",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::rename(tree.join("file"), tree.join("file~"))?;
                fs::write(tree.join("file"), bytes(83, 1000))?;
                fs::remove_file(tree.join("file~"))?;
                Ok(entries(&["file"]))
            })
        },
    },
    Operation {
        name: "replace_by_package_manager",
        about: "the new file is synced, then renamed over the old one",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::hard_link(tree.join("file"), tree.join("file.dpkg-tmp"))?;
                let mut new = fs::File::create(tree.join("file.dpkg-new"))?;
                new.write_all(&bytes(84, 400_000))?;
                new.sync_all()?;
                fs::rename(tree.join("file.dpkg-new"), tree.join("file"))?;
                fs::remove_file(tree.join("file.dpkg-tmp"))?;
                Ok(entries(&["file"]))
            })
        },
    },
    Operation {
        name: "link",
        about: "a second name",
        prepare: |g| {
            let tree = g.tree.clone();
            ready(move || {
                fs::hard_link(tree.join("file"), tree.join("dir/new"))?;
                Ok(entries(&["dir/new"]))
            })
        },
    },
    Operation {
        name: "write_through_new_link",
        about: "a second name inside the tree, and a write through it",
        prepare: |g| {
            let (tree, file) = (g.tree.clone(), g.tree.join("dir/new"));
            ready(move || {
                fs::hard_link(tree.join("file"), &file)?;
                fs::OpenOptions::new()
                    .write(true)
                    .open(&file)?
                    .write_all_at(&bytes(85, LEN), AT)?;
                let mut changes = entries(&["dir/new"]);
                changes.extend(range("file", AT, AT + LEN));
                Ok(changes)
            })
        },
    },
    Operation {
        name: "symlink",
        about: "a symbolic link out of the tree",
        prepare: |g| {
            let path = g.tree.join("new");
            ready(move || {
                symlink("/etc/passwd", path)?;
                Ok(entries(&["new"]))
            })
        },
    },
    Operation {
        name: "unlink",
        about: "the last name goes",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                fs::remove_file(path)?;
                Ok(entries(&["file"]))
            })
        },
    },
    Operation {
        name: "unlink_while_open",
        about: "the name goes, the file is written on",
        prepare: |g| {
            let (path, file) = (g.tree.join("file"), g.open("file")?);
            keeping(move || {
                fs::remove_file(path)?;
                file.write_all_at(&bytes(86, LEN), AT)?;
                Ok((entries(&["file"]), file))
            })
        },
    },
    Operation {
        name: "write_to_unlinked_but_linked_elsewhere",
        about: "its name here is gone, another one in the tree is not",
        prepare: |g| {
            let (tree, file) = (g.tree.clone(), g.open("file")?);
            fs::hard_link(tree.join("file"), tree.join("dir/kept"))?;
            keeping(move || {
                fs::remove_file(tree.join("file"))?;
                file.write_all_at(&bytes(87, LEN), AT)?;
                let mut changes = entries(&["file"]);
                changes.push(Change::Bytes("dir/kept".into(), vec![(AT, AT + LEN)]));
                Ok((changes, file))
            })
        },
    },
    Operation {
        name: "remove_tree",
        about: "a directory with what is in it",
        prepare: |g| {
            let path = g.tree.join("dir");
            ready(move || {
                fs::remove_dir_all(path)?;
                Ok(entries(&["dir", "dir/file"]))
            })
        },
    },
];
