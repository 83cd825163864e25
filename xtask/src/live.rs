//! The tests that load probes into the running kernel, on every backend and file system it has.
//!
//! Knows: root, mounts, which test names belong to which backend. Must never know: what a test does.
//! Keeps: mounts live in a mount namespace of their own and end with the stage.

use crate::stage::Tally;
use crate::{place, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// File systems and how an image of each is made; memory and overlay need none.
const FILE_SYSTEMS: [(&str, &str); 5] = [
    ("ext4", "mkfs.ext4 -q -F"),
    ("xfs", "mkfs.xfs -q -f"),
    ("btrfs", "mkfs.btrfs -q -f"),
    ("tmpfs", ""),
    ("overlay", ""),
];

/// Bytes of an image: btrfs wants more than 109 MiB, xfs more than 300 MiB.
const IMAGE_BYTES: u64 = 768 << 20;

pub(crate) fn stages(tally: &mut Tally, skips: &Path) {
    if tools::as_root("true").is_none() {
        let why = "they need root; run this as root, or allow sudo without a password";
        tally.skip("live tests", why);
        return;
    }
    let tests = match build("integration", "dev") {
        Ok(tests) => tests,
        Err(why) => return tally.fail("live tests", &why),
    };
    let backends: Vec<&str> = ["fentry", "tracepoint", "fanotify"]
        .into_iter()
        .filter(|backend| match refusal(backend) {
            None => true,
            Some(why) => {
                println!("\n== backend {backend} is not for this kernel: {}", why.trim());
                false
            }
        })
        .collect();
    if !backends.iter().any(|backend| ["fentry", "tracepoint"].contains(backend)) {
        tally.skip("live tests of the probes", "this kernel loads neither backend (see above)");
    }
    let mut filters: Vec<String> =
        backends.iter().map(|backend| format!("live::{backend}::")).collect();
    filters.extend(backends.iter().map(|backend| format!("coverage::{backend}::")));
    // These mount what they need by themselves.
    filters.push("sources::".to_owned());
    // A user without privileges, whatever backend they get.
    filters.push("live::guard::".to_owned());
    filters.push("live::medium::".to_owned());
    filters.push("live::pins::".to_owned());
    filters.push("live::unit::".to_owned());
    let Some(mut here) = tools::as_root("env") else { return };
    here.arg("FOUNDRY_LIVE=1").arg(variable("FOUNDRY_SKIPS", skips)).arg(&tests).args(&filters);
    tally.stage("live tests", 20, &mut here);

    // What differs from one file system to the next is how the probes see it.
    let probes = backends.iter().find(|backend| **backend != "fanotify");
    let Some(filter) = probes.map(|backend| format!("live::{backend}::")) else { return };
    for (name, make) in FILE_SYSTEMS {
        on_file_system(tally, name, make, &tests, &filter, skips);
    }
}

/// Builds the program and the tests of one target with a profile, and says where they are.
pub(crate) fn build(target: &str, profile: &str) -> Result<PathBuf, String> {
    built(place::cargo(), target, profile)
}

/// The same with a cargo that has been told for which processor.
pub(crate) fn built(mut cargo: Command, target: &str, profile: &str) -> Result<PathBuf, String> {
    let built = cargo
        .args(["test", "--locked", "--package", "foundry-user", "--test", target])
        .args(["--no-run", "--message-format=json", "--profile", profile])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !built.status.success() {
        return Err("they do not build".into());
    }
    let text = String::from_utf8_lossy(&built.stdout);
    text.lines()
        .filter(|line| line.contains("\"kind\":[\"test\"]"))
        .find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
        .map(PathBuf::from)
        .ok_or_else(|| "cargo named no test binary".into())
}

/// Why the daemon does not start on `backend`: `None` where it runs for a while.
fn refusal(backend: &str) -> Option<String> {
    let dir = place::target_dir().join(format!("foundry-try-{backend}"));
    let watched = dir.join("watched");
    if let Err(error) = fs::create_dir_all(&watched) {
        return Some(format!("{}: {error}", watched.display()));
    }
    let tried = tools::as_root("timeout")?
        .args(["--signal=INT", "--kill-after=10", "3"])
        .arg(place::target_dir().join("debug/foundry-user"))
        .arg("--watch")
        .arg(&watched)
        .arg("--store")
        .arg(dir.join("store"))
        .args(["--backend", backend])
        .stdin(Stdio::null())
        .output();
    match tried {
        // 3: the environment does not allow it. Everything else is for the tests to judge.
        Ok(out) if out.status.code() == Some(3) => {
            Some(String::from_utf8_lossy(&out.stderr).into_owned())
        }
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// The tests again, working on a file system of this kind.
fn on_file_system(
    tally: &mut Tally,
    name: &str,
    make: &str,
    tests: &Path,
    filter: &str,
    skips: &Path,
) {
    let stage = format!("live tests on {name}");
    if !fs::read_to_string("/proc/filesystems").is_ok_and(|known| {
        known.lines().any(|line| line.split_whitespace().next_back() == Some(name))
    }) {
        println!("\n== {stage}: this kernel has no {name}");
        return;
    }
    let dir = place::target_dir().join(format!("foundry-fs-{name}"));
    let mount = match name {
        "tmpfs" => "mount -t tmpfs none mounted".to_owned(),
        // Upper and lower must lie on a file system that overlay accepts: the one of the build.
        "overlay" => "mkdir -p lower upper work && mount -t overlay none mounted \
                      -o lowerdir=lower,upperdir=upper,workdir=work"
            .to_owned(),
        _ => format!(
            "truncate -s {IMAGE_BYTES} image && {make} image && mount -o loop image mounted"
        ),
    };
    // The namespace takes the mount with it when the last process leaves.
    let script = format!(
        "set -e; PATH=$PATH:/usr/sbin:/sbin; rm -rf {0}; mkdir -p {0}/mounted; cd {0}; {mount}; \
         status=0; \"$@\" || status=$?; cd /; umount {0}/mounted; rm -rf {0}; exit $status",
        quoted(&dir)
    );
    let Some(mut command) = tools::as_root("unshare") else { return };
    command
        .args(["--mount", "--propagation", "private", "--", "sh", "-c", &script, "sh", "env"])
        .arg("FOUNDRY_LIVE=1")
        .arg(variable("FOUNDRY_SKIPS", skips))
        .arg(variable("FOUNDRY_TEST_DIR", &dir.join("mounted")))
        .arg(tests)
        .arg(filter)
        // Memory lies on no file system.
        .args(["--skip", "::memory_step_by_step"]);
    tally.stage(&stage, 10, &mut command);
}

/// `NAME=VALUE` for env(1).
pub(crate) fn variable(name: &str, value: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
