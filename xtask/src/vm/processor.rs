//! The processors that machines have: what emulates each, and where its programs are.
//!
//! Knows: qemu's machines, Debian's names of architectures, how a program names its libraries. Must never
//! know: kernels, what runs on them.
//! Keeps: nothing of another architecture is installed into this machine's own directories.

use crate::apt::Apt;
use crate::{place, tools};
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A 64-bit processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    X86,
    Arm,
}

/// What programs for ARM need in a machine: a shell, a file system on a disk, a C library.
const OF_ARM: [&str; 9] = [
    "busybox-static",
    "e2fsprogs",
    "libblkid1",
    "libc6",
    "libcom-err2",
    "libext2fs2",
    "libgcc-s1",
    "libss2",
    "libuuid1",
];
/// Where those have their programs and libraries.
const PLACES: [&str; 6] =
    ["bin", "sbin", "usr/bin", "usr/sbin", "lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu"];

impl Processor {
    /// Debian's name.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }

    /// The same for apt, where it is not this machine's.
    pub(super) fn foreign(self) -> Option<&'static str> {
        (self != Self::X86).then(|| self.debian())
    }

    /// The emulator with its program.
    pub(super) fn emulator(self) -> std::result::Result<PathBuf, String> {
        match self {
            Self::X86 => tools::ensure_debian("qemu-system-x86_64", "qemu-system-x86"),
            Self::Arm => tools::ensure_debian("qemu-system-aarch64", "qemu-system-arm"),
        }
    }

    /// Which machine it has, and which of its processors.
    pub(super) fn machine(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &["-cpu", "max"],
            // Signed pointers, which newer ones have, cost more to emulate than all else.
            Self::Arm => &["-M", "virt", "-cpu", "cortex-a72"],
        }
    }

    /// What its serial port is called.
    pub(super) fn console(self) -> &'static str {
        match self {
            Self::X86 => "ttyS0",
            Self::Arm => "ttyAMA0",
        }
    }

    /// Fetches what its machines need beside a kernel.
    pub(super) fn prepare(self) -> crate::Outcome {
        match self {
            Self::X86 => tools::ensure_debian("busybox", "busybox-static").map(drop)?,
            Self::Arm if world().join("bin/busybox").exists() => {}
            Self::Arm => Apt::of_this_machine(self.foreign())?.unpack(&OF_ARM, &world())?,
        }
        Ok(())
    }

    /// A program of this name for it.
    pub(super) fn find(self, program: &str) -> Option<PathBuf> {
        match self {
            Self::X86 => tools::find(program),
            Self::Arm => {
                let mut paths = PLACES.iter().map(|dir| world().join(dir).join(program));
                paths.find(|path| path.is_file())
            }
        }
    }

    /// The shared libraries of a program: where each is looked for in a machine, and where it is here.
    pub(super) fn libraries(self, program: &Path) -> Result<Vec<(String, PathBuf)>> {
        match self {
            Self::X86 => {
                let listed = Command::new("ldd").arg(program).output()?;
                let text = String::from_utf8_lossy(&listed.stdout).into_owned();
                let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
                let here = paths.map(|word| (word.to_owned(), PathBuf::from(word)));
                Ok(here.filter(|(_, path)| path.is_file()).collect())
            }
            Self::Arm => self.needed(program),
        }
    }

    /// What a program for another processor names as needed, and what that needs: only its own loader
    /// could say where it lies.
    fn needed(self, program: &Path) -> Result<Vec<(String, PathBuf)>> {
        // Its loader has an absolute path, which no dynamic section names.
        let mut wanted = vec!["ld-linux-aarch64.so.1".to_owned()];
        let mut found: Vec<(String, PathBuf)> = Vec::new();
        let mut looked_at = vec![program.to_path_buf()];
        while let Some(path) = looked_at.pop() {
            let listed = Command::new("readelf").arg("-d").arg(&path).output()?;
            let text = String::from_utf8_lossy(&listed.stdout).into_owned();
            let names = text.lines().filter(|line| line.contains("(NEEDED)"));
            wanted
                .extend(names.filter_map(|line| {
                    Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())
                }));
            for name in std::mem::take(&mut wanted) {
                let inside = format!("lib/{name}");
                if found.iter().any(|(known, _)| *known == inside) {
                    continue;
                }
                let library = self.find(&name).ok_or_else(|| {
                    format!("{} needs {name}, and no package has it", program.display())
                })?;
                looked_at.push(library.clone());
                found.push((inside, library));
            }
        }
        Ok(found)
    }
}

/// Where programs for ARM lie.
fn world() -> PathBuf {
    place::target_dir().join("vm/arm64")
}
