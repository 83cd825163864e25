//! `cargo xtask arm`: the program built for 64-bit ARM, and the folding tests run on an emulated one.
//!
//! Knows: Debian's cross compiler and emulator, where a standard library for ARM is to be had.
//! Must never know: what a test does.
//! Keeps: nothing of the other architecture is installed into this machine's own directories.

use crate::{Outcome, place, tools};
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
    println!("== building for {TARGET} with {}", compiler.rustc.display());
    succeed(cargo(&compiler, &["build", "--quiet", "-p", "foundry-user"]))?;
    println!("== folding on an emulated processor");
    succeed(cargo(&compiler, &["test", "-p", "foundry-common", "-p", "foundry-brick"]))
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
    let dir = dir();
    for inner in ["lists/partial", "cache/archives/partial", "std"] {
        fs::create_dir_all(dir.join(inner))?;
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(dir.join("std")).arg("-q");
        for (name, inner) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{name}={}", dir.join(inner).display()));
        }
        command.args(["-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64"]);
        command.args(["-o", "APT::Sandbox::User="]).args(args);
        command
    };
    succeed(apt(&["update"]))?;
    succeed(apt(&["download", "libstd-rust-web-dev:arm64"]))?;
    let package = fs::read_dir(dir.join("std"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or("apt-get downloaded no libstd-rust-web-dev")?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&package).arg(dir.join("std"));
    succeed(unpack)?;
    fs::create_dir_all(library.parent().ok_or("no directory above the library")?)?;
    symlink(dir.join("std/usr/lib/rustlib").join(TARGET), library)?;
    Ok(())
}

fn cargo(compiler: &Compiler, args: &[&str]) -> Command {
    let mut command = place::cargo();
    command.args(args).args(["--target", TARGET, "--target-dir"]).arg(dir());
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

fn succeed(mut command: Command) -> Outcome {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
