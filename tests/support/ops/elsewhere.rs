//! Writes that come from another place: mounts, links, devices, users.
//!
//! Knows: namespaces and loop devices. Must never know: what is written.
//! Keeps: mounts and identities are a thread's own and end with it; a loop device ends with its
//! last user.

use super::{AT, Ground, Operation, bytes, range, ready, sys};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

const LEN: u64 = 100;
const END: u64 = AT + LEN;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "through_link_outside",
        about: "through another hard link, outside the tree",
        prepare: |g| {
            let path = g.outside.join("linked");
            ready(move || {
                write_to(&path, &bytes(90, LEN))?;
                Ok(range("linked", AT, END))
            })
        },
    },
    Operation {
        name: "through_new_link_outside",
        about: "through a hard link outside that was made after the watcher came",
        prepare: |g| {
            let g = g.clone();
            ready(move || {
                fs::hard_link(g.tree.join("file"), g.outside.join("later"))?;
                write_to(&g.outside.join("later"), &bytes(91, LEN))?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "through_proc",
        about: "through /proc/self/fd",
        prepare: |g| {
            let held = File::open(g.tree.join("file"))?;
            ready(move || {
                let link = format!("/proc/self/fd/{}", held.as_raw_fd());
                write_to(Path::new(&link), &bytes(92, LEN))?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "through_symlink",
        about: "through a symbolic link outside the tree",
        prepare: |g| {
            let link = g.outside.join("symlink");
            std::os::unix::fs::symlink(g.tree.join("file"), &link)?;
            ready(move || {
                write_to(&link, &bytes(93, LEN))?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "through_bind_mount",
        about: "through a bind mount of the tree",
        prepare: |g| {
            let g = g.clone();
            ready(move || {
                let mounted = mount_point(&g)?;
                in_thread(move || {
                    sys::own_mounts()?;
                    rustix::mount::mount_bind(&g.tree, &mounted)?;
                    write_to(&mounted.join("file"), &bytes(94, LEN))
                })?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "from_mount_namespace",
        about: "by a process of another mount namespace",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                in_thread(move || {
                    sys::own_mounts()?;
                    write_to(&path, &bytes(95, LEN))
                })?;
                Ok(range("file", AT, END))
            })
        },
    },
    Operation {
        name: "through_loop_device",
        about: "the file is the disk of a loop device",
        prepare: |g| {
            let file = g.open("file")?;
            // Devices have whole sectors.
            file.set_len(262_144)?;
            ready(move || {
                let device = sys::attach_loop(&file)?;
                let mut sectors = vec![0; 4096];
                sectors.copy_from_slice(&bytes(96, 4096));
                device.0.write_all_at(&sectors, 65_536)?;
                // What the device holds back reaches the file now.
                device.0.sync_all()?;
                Ok(range("file", 65_536, 69_632))
            })
        },
    },
    Operation {
        name: "by_ordinary_user",
        about: "by a user without privileges",
        prepare: |g| {
            let mut file = OpenOptions::new().append(true).open(g.tree.join("file"))?;
            ready(move || {
                in_thread(move || {
                    sys::become_nobody()?;
                    file.write_all(&bytes(97, LEN))
                })?;
                Ok(range("file", super::FILE_BYTES, super::FILE_BYTES + LEN))
            })
        },
    },
    Operation {
        name: "by_another_process",
        about: "dd(1), or what busybox has for it",
        prepare: |g| {
            let path = g.tree.join("file");
            ready(move || {
                let mut dd = std::process::Command::new("dd");
                dd.args(["bs=1", "seek=65500", "count=100", "conv=notrunc", "if=/dev/zero"]);
                let mut of = std::ffi::OsString::from("of=");
                of.push(&path);
                let out = dd.arg(of).output()?;
                if !out.status.success() {
                    return Err(io::Error::other(format!("dd: {}", out.status)));
                }
                Ok(range("file", AT, END))
            })
        },
    },
];

fn write_to(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(content, AT)
}

fn mount_point(ground: &Ground) -> io::Result<std::path::PathBuf> {
    let path = ground.outside.join("mounted");
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// Credentials and mount namespaces belong to threads: what `act` changes of them ends with it.
fn in_thread(act: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let outcome = std::thread::spawn(act).join();
    outcome.map_err(|_| io::Error::other("the thread panicked"))?
}
