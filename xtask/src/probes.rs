//! The stages of `cargo xtask test` that concern the probes: the object, the source, other kernels.
//!
//! Knows: which kernels the probes are held to. Must never know: what a test does.
//! Keeps: the committed object is what its sources compile to, or it is said that nobody could tell.

use crate::ebpf::{self, Checked};
use crate::stage::Tally;
use crate::vm::{self, KERNELS, PROFILE, Processor};
use crate::{live, place, tools, types};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of the daemon's tests runs in a machine.
const OF_THE_DAEMON: [&str; 15] = [
    "live::fentry::",
    // Floods and copies against the clock are for processors that are not emulated.
    "--skip",
    "::more_",
    "--skip",
    "::sync_answers",
    "--skip",
    "::killed_in",
    // These need a compiler, git, npm, and Python, which a machine has not got.
    "--skip",
    "::a_build_in",
    "--skip",
    "::a_checkout_in",
    "--skip",
    "::an_installation_in",
    "--skip",
    "::memory_step_by_step",
];
const OF_THE_MATRIX: [&str; 1] = ["coverage::fentry::ext4"];

pub(crate) fn stages(tally: &mut Tally, skips: &Path) {
    let compared = match ebpf::compare() {
        Err(ebpf::CheckError::NoToolchain(why)) => match install_toolchain(tally) {
            Ok(()) => ebpf::compare(),
            Err(more) => Err(ebpf::CheckError::NoToolchain(format!("{why}; {more}"))),
        },
        compared => compared,
    };
    let fresh = match compared {
        Ok(Checked::Same) => {
            println!("\n== probes: the committed object is byte-identical to a fresh one");
            tally.passed += 1;
            None
        }
        Ok(Checked::Fresh(object)) => {
            println!("\n== probes: another toolchain, so the bytes could not be compared");
            Some(object)
        }
        Err(ebpf::CheckError::NoToolchain(why)) => {
            tally.skip("compiling the probes again", &why.to_string());
            None
        }
        Err(ebpf::CheckError::Failed(why)) => {
            tally.fail("probes", &why.to_string());
            None
        }
    };
    let source = match live::build("live_source", "dev") {
        Ok(source) => source,
        Err(why) => return tally.fail("the source's own tests", &why),
    };
    here(tally, &source, skips, None);
    if let Some(object) = &fresh {
        here(tally, &source, skips, Some(object));
    }
    elsewhere(tally);
}

/// Debian's packages, and the linker in the version that the committed object was linked with.
fn install_toolchain(tally: &mut Tally) -> Result<(), String> {
    // The compiler with a `core` for the kernel's virtual machine, and the LLVM that it uses.
    tools::install_debian(&[
        "rustc-web",
        "libstd-rust-web-dev-bpf",
        "llvm-22",
        "llvm-22-dev",
        "zlib1g-dev",
    ])?;
    let recorded = place::root().join("foundry-ebpf/prebuilt/TOOLCHAIN");
    let recorded = fs::read_to_string(recorded).map_err(|error| error.to_string())?;
    let version = recorded.lines().find_map(|line| line.strip_prefix("bpf-linker "));
    let mut install = place::cargo();
    install
        .args(["install", "--locked", "bpf-linker", "--no-default-features"])
        .args(["--features", "llvm-22", "--version", version.unwrap_or("*")])
        .env("LLVM_PREFIX", "/usr/lib/llvm-22")
        .env("LLVM_SYS_221_PREFIX", "/usr/lib/llvm-22");
    let done = tally.stage("installing bpf-linker", 15, &mut install);
    if done { Ok(()) } else { Err("cargo install bpf-linker did not work".to_owned()) }
}

/// On the running kernel, with the committed object or with a fresh one.
fn here(tally: &mut Tally, source: &Path, skips: &Path, object: Option<&PathBuf>) {
    let name = if object.is_some() { "the source with a fresh object" } else { "the source here" };
    let Some(mut command) = tools::as_root("env") else {
        return tally.skip(name, "it needs root; run this as root, or allow sudo");
    };
    command.arg("FOUNDRY_LIVE=1").arg(live::variable("FOUNDRY_SKIPS", skips));
    if let Some(object) = object {
        command.arg(live::variable("FOUNDRY_OBJECT", object));
    }
    tally.stage(name, 10, command.arg(source).arg("--test-threads=1"));
}

/// Whether a kernel is there to be booted.
fn fetched(tally: &mut Tally, kernel: &str) -> bool {
    let got = vm::prepare(kernel, Processor::X86);
    if let Err(why) = &got {
        tally.skip(&format!("kernel {kernel}"), &why.to_string());
    }
    got.is_ok()
}

/// What the probes read is found in the types of other kernels, which are not booted for it.
fn fields(tally: &mut Tally, kernels: &[&str]) {
    let types = |kernel: &&str| {
        let path = vm::types(kernel, Processor::X86).map_err(|why| why.to_string())?;
        Ok(("x86", (*kernel).to_owned(), path))
    };
    match kernels.iter().map(types).collect::<Result<Vec<_>, String>>() {
        Ok(kernels) => {
            tally.stage("fields in other kernels", 10, &mut types::fields(&kernels));
        }
        Err(why) => tally.fail("fields in other kernels", &why),
    }
}

/// On other kernels, on the fentry backend, in one boot each: the source by itself, then the daemon or
/// the matrix. What runs there is compiled for it, which takes less than it saves.
fn elsewhere(tally: &mut Tally) {
    let have: Vec<&str> = KERNELS.into_iter().filter(|kernel| fetched(tally, kernel)).collect();
    fields(tally, &have);
    let built = live::build("live_source", PROFILE)
        .and_then(|source| Ok((source, live::build("integration", PROFILE)?)));
    let (source, whole) = match built {
        Ok(built) => built,
        Err(why) => return tally.fail("tests for virtual machines", &why),
    };
    let daemon = place::target_dir().join(PROFILE).join("foundry-user");
    let Ok(own) = std::env::current_exe() else { return };
    for kernel in have {
        let mut machine = Command::new(&own);
        machine.env("FOUNDRY_BACKEND", "fentry");
        machine.args(["vm", kernel, "--with"]).arg(&daemon).arg("--");
        // Sources are started one at a time in any case.
        machine.arg(&source).arg("--test-threads=1");
        // The daemon is the same on all of them; the oldest asks most of its probes. On the others it is
        // seen that a change is found as well as COVERAGE.md says.
        let tests = if kernel == KERNELS[0] { &OF_THE_DAEMON[..] } else { &OF_THE_MATRIX[..] };
        machine.arg("--then").arg(&whole).arg("--test-threads=2").args(tests);
        tally.stage(&format!("kernel {kernel}"), 40, &mut machine);
    }
}
