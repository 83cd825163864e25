//! File systems and users of a test's own.
//!
//! Knows: mount(8), unshare(1), user numbers. Must never know: what is tested there.
//! Keeps: mounts live in a namespace of their own, which ends with the process that runs the test.

use crate::support;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for a process that runs inside a stage: the directory to work in.
const STAGE: &str = "FOUNDRY_STAGE";
/// An ordinary user, with no name and no files.
const NOBODY: u32 = 65534;
/// The test that runs inside.
const INSIDE: &str = "sources::inside";

/// Where to work, for a process that a stage started.
pub(super) fn current() -> Option<PathBuf> {
    std::env::var_os(STAGE).map(PathBuf::from)
}

/// Runs `test` in `stage` as the user who owns it: in another process, where that is not this one's.
pub(super) fn as_owner(stage: &Path, test: impl FnOnce(&Path)) {
    let owner = std::fs::metadata(stage).unwrap();
    if owner.uid() == rustix::process::getuid().as_raw() {
        return test(stage);
    }
    // The link leads to this binary, wherever it lies and whoever may not go there.
    let status = Command::new("/proc/self/exe")
        .args([INSIDE, "--exact", "--nocapture"])
        .uid(owner.uid())
        .gid(owner.gid())
        .status()
        .unwrap();
    assert!(status.success(), "as user {}: {status}", owner.uid());
}

/// Shell lines that mount the file system at `mounted` and leave a directory `work` to work in.
pub(crate) fn mount(name: &str) -> &'static str {
    match name {
        "ext4" => "truncate -s 256M image; mkfs.ext4 -q image; mount -o loop image mounted",
        "xfs" => "truncate -s 320M image; mkfs.xfs -q image; mount -o loop image mounted",
        "btrfs" => "truncate -s 512M image; mkfs.btrfs -q image; mount -o loop image mounted",
        // The watched tree crosses from the top of the file system into a subvolume.
        "btrfs_subvolume" => {
            "truncate -s 512M image; mkfs.btrfs -q image; mount -o loop image mounted
             btrfs -q subvolume create mounted/work; btrfs -q subvolume create mounted/work/lower"
        }
        "tmpfs" => "mount -t tmpfs none mounted",
        // What changes first has been in the lower layer until then.
        "overlay" => {
            "mkdir upper work lower lower/work; echo lower > lower/work/lower
             mount -t overlay none mounted -o lowerdir=lower,upperdir=upper,workdir=work"
        }
        _ => panic!("no file system {name}"),
    }
}

/// Runs everything as root and as nobody on a new file system.
pub(super) fn on_file_system(name: &str) {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        println!("not asked for: FOUNDRY_LIVE is not set");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return support::skip(&format!("sources on {name}: mounting needs root"));
    }
    let dir = tempfile::Builder::new().prefix("foundry-").tempdir().unwrap();
    // Nobody has to get through.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!(
        "set -e; PATH=$PATH:/usr/sbin:/sbin; cd '{}'; mkdir mounted
         {}
         mkdir -p mounted/work/root mounted/work/nobody; chown {NOBODY}:{NOBODY} mounted/work/nobody
         for stage in root nobody; do {STAGE}=$PWD/mounted/work/$stage \"$@\"; done",
        dir.path().display(),
        mount(name),
    );
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([INSIDE, "--exact", "--nocapture"])
        .status()
        .unwrap();
    assert!(status.success(), "{name}: {status}");
}

/// Runs the test `name` of this binary as root of a user namespace of its own.
pub(super) fn in_user_namespace(name: &str, dir: &Path) {
    // A process of another user namespace may not follow links in /proc of this one.
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(STAGE, dir)
        .status()
        .unwrap();
    assert!(status.success(), "{name}: {status}");
}
