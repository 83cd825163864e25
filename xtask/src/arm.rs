//! `cargo xtask arm`: the folding tests run on an emulated 64-bit ARM, the fields that the probes read are
//! looked for in kernels for it, the program is built for it, and its probes run on those kernels.
//!
//! Knows: Debian's cross compiler and emulator, where a standard library for ARM is to be had. Must never
//! know: what a test does.
//! Keeps: nothing of the other architecture is installed into this machine's own directories.

use crate::apt::Apt;
use crate::tools::succeed;
use crate::vm::{self, Job, KERNELS, PROFILE, Processor};
use crate::{Outcome, live, place, tools, types};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// A compiler and the directory whose `lib/rustlib` has the standard library for ARM.
struct Compiler {
    rustc: PathBuf,
    sysroot: PathBuf,
}

pub(crate) fn run(_args: &[String]) -> Outcome {
    tools::ensure_debian("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")?;
    if !Path::new("/usr/aarch64-linux-gnu/include/stdio.h").exists() {
        tools::install_debian(&["libc6-dev-arm64-cross"])?;
    }
    tools::ensure_debian("qemu-aarch64", "qemu-user")?;
    let compiler = compiler()?;
    println!("== what the probes read, in kernels for ARM");
    let mut kernels = Vec::new();
    for kernel in KERNELS {
        vm::prepare(kernel, Processor::Arm)?;
        kernels.push(("arm", kernel.to_owned(), vm::types(kernel, Processor::Arm)?));
    }
    succeed(&mut types::fields(&kernels))?;

    println!("== folding on an emulated processor");
    // Not the examples in the documentation: what compiles those knows of no other standard library.
    let folding = ["test", "--locked", "--tests", "-p", "foundry-common", "-p", "foundry-brick"];
    succeed(cargo(&compiler, &folding).args(["--profile", PROFILE]))?;

    println!("== building for {TARGET} with {}", compiler.rustc.display());
    let source = live::built(cargo(&compiler, &[]), "live_source", PROFILE)?;
    for kernel in KERNELS {
        println!("== probes on {kernel} for ARM");
        let arguments = ["--test-threads=1".to_owned()];
        let job =
            Job { processor: Processor::Arm, ..Job::new(vec![(&source, &arguments)], Vec::new()) };
        match vm::boot(kernel, &job, &mut |line| println!("{line}"))? {
            0 => {}
            status => return Err(format!("exit status {status} on {kernel} for ARM").into()),
        }
    }
    Ok(())
}

/// The compiler of this toolchain where it has the target (`rustup target add`), else Debian's.
fn compiler() -> Result<Compiler, Box<dyn std::error::Error>> {
    let own = Command::new("rustc").args(["--print", "sysroot"]).output()?;
    let own = PathBuf::from(String::from_utf8(own.stdout)?.trim());
    if own.join("lib/rustlib").join(TARGET).exists() {
        return Ok(Compiler { rustc: "rustc".into(), sysroot: own });
    }
    let rustc = PathBuf::from("/usr/bin/rustc");
    if !rustc.exists() {
        tools::install_debian(&["rustc-web"])?;
    }
    let sysroot = dir().join("sysroot");
    let library = sysroot.join("lib/rustlib").join(TARGET);
    if !library.exists() {
        fetch(&library)?;
    }
    Ok(Compiler { rustc, sysroot })
}

/// Where everything of this task lies.
fn dir() -> PathBuf {
    place::target_dir().join("arm")
}

/// Debian's standard library for ARM, of the version of its compiler here, put at `library`.
fn fetch(library: &Path) -> Outcome {
    let std = dir().join("std");
    let apt = Apt::of_this_machine(Some(Processor::Arm.debian()))?;
    apt.unpack(&["libstd-rust-web-dev"], &std)?;
    fs::create_dir_all(library.parent().ok_or("no directory above the library")?)?;
    symlink(std.join("usr/lib/rustlib").join(TARGET), library)?;
    Ok(())
}

/// A cargo that builds for ARM, in a directory of its own.
fn cargo(compiler: &Compiler, args: &[&str]) -> Command {
    let mut command = place::cargo();
    command.args(args).env("CARGO_BUILD_TARGET", TARGET).env("CARGO_TARGET_DIR", dir());
    command.env("RUSTC", &compiler.rustc);
    for (name, value) in [
        ("RUSTFLAGS", format!("--sysroot={}", compiler.sysroot.display())),
        ("LINKER", "aarch64-linux-gnu-gcc".to_owned()),
        ("RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu".to_owned()),
    ] {
        command.env(format!("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{name}"), value);
    }
    command
}
