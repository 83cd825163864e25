//! A small file system of a test's own, in a file.
//!
//! Knows: `mkfs`, `mount`. Must never know: what a test does on it.
//! Keeps: it is unmounted when its test ends, however it ends.

use super::{Scratch, skip};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted image.
pub(crate) struct Mount {
    pub(crate) image: PathBuf,
    dir: PathBuf,
}

impl Mount {
    /// Makes a file system of `len` bytes in `scratch` and mounts it. `None`, and said, where that
    /// cannot be done here.
    pub(crate) fn make(scratch: &Scratch, mkfs: &[&str], len: u64) -> Option<Self> {
        let (image, dir) = (scratch.file("image"), scratch.file("mount"));
        std::fs::File::create(&image).unwrap().set_len(len).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let mut made = Command::new(mkfs[0]);
        made.args(&mkfs[1..]).arg(&image);
        if !run(&mut made) {
            skip(&format!("{made:?} failed"));
            return None;
        }
        let mount = Self { image, dir };
        if mount.mount() {
            return Some(mount);
        }
        skip(&format!("a {} image cannot be mounted here", mkfs[0]));
        None
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn mount(&self) -> bool {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.dir))
    }

    pub(crate) fn unmount(&self) -> bool {
        run(Command::new("umount").arg(&self.dir))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.unmount() {
            run(Command::new("umount").arg("-l").arg(&self.dir));
        }
    }
}

/// Whether a command ends well.
pub(crate) fn run(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
