//! The stages of `cargo xtask test` that concern the probes: the object, the source, other kernels.
//!
//! Knows: which kernels the probes are held to. Must never know: what a test does.
//! Keeps: the committed object is what its sources compile to, or it is said that nobody could tell.

use crate::ebpf::{self, Checked};
use crate::stage::Tally;
use crate::{live, place, tools};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Kernels of the virtual machines: the oldest and the newest of a Debian release.
const KERNELS: [&str; 2] = ["6.1", "6.12"];

pub(crate) fn stages(tally: &mut Tally, skips: &Path) {
    let fresh = match ebpf::compare() {
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
            println!("\n== probes: not compiled again. {why}");
            None
        }
        Err(ebpf::CheckError::Failed(why)) => {
            tally.fail("probes", &why.to_string());
            None
        }
    };
    let source = match live::build("live_source") {
        Ok(source) => source,
        Err(why) => return tally.fail("the source's own tests", &why),
    };
    here(tally, &source, skips, None);
    if let Some(object) = &fresh {
        here(tally, &source, skips, Some(object));
    }
    elsewhere(tally, &source);
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

/// On other kernels: the source by itself, then the daemon, both on the fentry backend.
fn elsewhere(tally: &mut Tally, source: &Path) {
    let daemon = place::target_dir().join("debug/foundry-user");
    let whole = match live::build("integration") {
        Ok(whole) => whole,
        Err(why) => return tally.fail("tests for virtual machines", &why),
    };
    let Ok(own) = std::env::current_exe() else { return };
    for kernel in KERNELS {
        if let Err(why) = crate::vm::prepare(kernel) {
            tally.skip(&format!("kernel {kernel}"), &why.to_string());
            continue;
        }
        let machine = || {
            let mut command = Command::new(&own);
            command.args(["vm", kernel, "--with"]).arg(&daemon).arg("--");
            command
        };
        let mut alone = machine();
        alone.env("FOUNDRY_BACKEND", "fentry").arg(source).arg("--test-threads=1");
        tally.stage(&format!("the source on kernel {kernel}"), 20, &mut alone);
        let mut together = machine();
        together.arg(&whole).args(["--test-threads=1", "live::fentry::"]);
        tally.stage(&format!("the daemon on kernel {kernel}"), 30, &mut together);
    }
}
