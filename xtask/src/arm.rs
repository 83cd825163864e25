//! `cargo xtask arm`: the folding tests run on an emulated 64-bit ARM, the fields that the probes read are
//! looked for in a kernel for it, and the program is built for it.
//!
//! Knows: Debian's cross compiler, emulator and kernel, where a standard library for ARM is to be had.
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
    println!("== folding on an emulated processor");
    // Not the examples in the documentation: what compiles those knows of no other standard library.
    let folding = ["test", "--locked", "--tests", "-p", "foundry-common", "-p", "foundry-brick"];
    succeed(cargo(&compiler, &folding))?;
    println!("== what the probes read, in a kernel for ARM");
    let mut fields = place::cargo();
    fields.args(["test", "--locked", "-p", "foundry-user", "--lib", "--", "sources::ebpf::layout"]);
    fields.env("FOUNDRY_BTF_OF_ARM", types()?);
    succeed(fields)?;
    println!("== building for {TARGET} with {}", compiler.rustc.display());
    succeed(cargo(&compiler, &["build", "--locked", "--quiet", "-p", "foundry-user"]))
}

/// The types of Debian's kernel for virtual machines on ARM: its image is not compressed.
fn types() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let kernel = dir().join("kernel");
    let found = kernel.join("vmlinux.btf");
    if found.exists() {
        return Ok(found);
    }
    fs::create_dir_all(&kernel)?;
    update()?;
    let mut depends = apt("apt-cache", &kernel);
    let listed = depends.args(["depends", "linux-image-cloud-arm64:arm64"]).output()?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let package = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    unpack(package.ok_or("Debian has no kernel for virtual machines on ARM")?, &kernel)?;
    let image = fs::read_dir(kernel.join("boot"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("/vmlinuz-"))
        .ok_or("the package has no image")?;
    let image = fs::read(image)?;
    fs::write(&found, btf(&image).ok_or("the image shows no BTF")?)?;
    Ok(found)
}

/// The BTF inside an image: its magic, version 1, no flags, a header of 24 bytes, and types that are
/// followed by strings.
fn btf(image: &[u8]) -> Option<&[u8]> {
    const START: [u8; 12] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0];
    let word = |at: usize| {
        let bytes = image.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let mut starts = image.windows(START.len()).enumerate().filter(|(_, bytes)| *bytes == START);
    starts.find_map(|(at, _)| {
        let (types, strings, strings_len) = (word(at + 12)?, word(at + 16)?, word(at + 20)?);
        let end = at.checked_add(24)?.checked_add(strings)?.checked_add(strings_len)?;
        (types == strings && types > 0).then(|| image.get(at..end))?
    })
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

/// One of apt's programs, working in `place`, with packages for ARM in a state of their own.
fn apt(program: &str, place: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(place);
    for (name, inner) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
        command.arg("-o").arg(format!("{name}={}", dir().join(inner).display()));
    }
    command.args(["-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64"]);
    // Whoever runs this may write there, and apt's own user may not.
    command.args(["-o", "APT::Sandbox::User=", "-q"]);
    command
}

/// Reads what packages there are.
fn update() -> Outcome {
    for inner in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir().join(inner))?;
    }
    let mut update = apt("apt-get", &dir());
    update.arg("update");
    succeed(update)
}

/// Unpacks a package into `place`.
fn unpack(package: &str, place: &Path) -> Outcome {
    let mut download = apt("apt-get", place);
    download.args(["download", package]);
    succeed(download)?;
    let file = fs::read_dir(place)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get downloaded no {package}"))?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&file).arg(place);
    succeed(unpack)?;
    fs::remove_file(&file)?;
    Ok(())
}

/// Debian's standard library for ARM, of the version of its compiler here, put at `library`.
fn fetch(library: &Path) -> Outcome {
    let std = dir().join("std");
    fs::create_dir_all(&std)?;
    update()?;
    unpack("libstd-rust-web-dev:arm64", &std)?;
    fs::create_dir_all(library.parent().ok_or("no directory above the library")?)?;
    symlink(std.join("usr/lib/rustlib").join(TARGET), library)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_in_an_image() {
        let mut image = vec![7; 100];
        let header = |types: u32, strings: u32| {
            let words = [24, 0, types, types, strings].map(u32::to_le_bytes);
            [&[0x9f, 0xeb, 1, 0][..], &words.concat()].concat()
        };
        // A header that says more than there is, as a constant in code may.
        image.extend(header(1 << 20, 1 << 20));
        assert_eq!(btf(&image), None);
        let whole = [header(4, 2), vec![1; 6]].concat();
        image.extend(&whole);
        image.extend([9; 30]);
        assert_eq!(btf(&image), Some(&whole[..]));
    }
}
