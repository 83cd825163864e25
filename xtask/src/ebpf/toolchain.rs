//! Toolchains for bpfel-unknown-none: rustup's nightly where it has its sources, Debian's packages else.
//!
//! Knows: where compilers and linkers are found. Must never know: what they compile.
//! Keeps: the versions of everything that can change the object.

use crate::tools;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A compiler, a linker and what takes out debug information.
pub(super) struct Toolchain {
    rustc: PathBuf,
    /// The standard library's sources are there, and `core` is compiled from them.
    builds_core: bool,
    linker: PathBuf,
    objcopy: PathBuf,
    versions: String,
}

const HELP: &str = "no toolchain compiles for bpfel-unknown-none here. With network: \
`rustup toolchain install nightly --component rust-src --component llvm-tools`, \
`cargo install bpf-linker`. On Debian: `apt install rustc-web libstd-rust-web-dev-bpf llvm-22-dev`, \
then `LLVM_PREFIX=/usr/lib/llvm-22 LLVM_SYS_221_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker \
--no-default-features --features llvm-22`";

impl Toolchain {
    pub(super) fn find() -> Result<Self> {
        let linker = linker().ok_or(HELP)?;
        let (rustc, builds_core) = match (nightly(), debian()) {
            (Some(rustc), _) => (rustc, true),
            (None, Some(rustc)) => (rustc, false),
            (None, None) => return Err(HELP.into()),
        };
        let objcopy = objcopy(&rustc).ok_or(HELP)?;
        let llvm = line(Command::new(&rustc).arg("-vV"), "LLVM version:")?;
        let versions = format!(
            "{}\n{llvm}\n{}\n{}\nobjcopy: {}\n",
            first_line(Command::new(&rustc).arg("-V"))?,
            first_line(Command::new(cargo_path()).arg("-V"))?,
            first_line(Command::new(&linker).arg("--version"))?,
            line(Command::new(&objcopy).arg("--version"), "version")?,
        );
        Ok(Self { rustc, builds_core, linker, objcopy, versions })
    }

    /// One line for each tool.
    pub(super) fn versions(&self) -> &str {
        &self.versions
    }

    pub(super) fn linker(&self) -> &Path {
        &self.linker
    }

    pub(super) fn objcopy(&self) -> &Path {
        &self.objcopy
    }

    /// A cargo that uses this compiler.
    pub(super) fn cargo(&self) -> Command {
        let mut cargo = Command::new(cargo_path());
        // Inline assembly for this target is not stable, nor is compiling `core`.
        cargo.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1");
        if self.builds_core {
            cargo.env("CARGO_UNSTABLE_BUILD_STD", "core");
        }
        cargo
    }

    /// Paths of the standard library's own sources.
    pub(super) fn flags(&self) -> Vec<String> {
        let root = text(Command::new(&self.rustc).args(["--print", "sysroot"])).unwrap_or_default();
        vec![format!("--remap-path-prefix={}=/rust", root.trim())]
    }
}

fn cargo_path() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn text(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn first_line(command: &mut Command) -> Result<String> {
    Ok(text(command)?.lines().next().unwrap_or_default().trim().to_owned())
}

fn line(command: &mut Command, with: &str) -> Result<String> {
    let all = text(command)?;
    let found = all.lines().find(|line| line.contains(with)).unwrap_or_default();
    Ok(found.trim().to_owned())
}

/// rustup's nightly, if the sources of the standard library came with it.
fn nightly() -> Option<PathBuf> {
    let rustup = tools::find("rustup")?;
    let found =
        text(Command::new(rustup).args(["which", "--toolchain", "nightly", "rustc"])).ok()?;
    let rustc = PathBuf::from(found.trim());
    let sources = rustc.parent()?.parent()?.join("lib/rustlib/src/rust/library/core");
    sources.is_dir().then_some(rustc)
}

/// Debian's compiler for the web, whose library package brings a compiled `core`.
fn debian() -> Option<PathBuf> {
    let library = Path::new("/usr/lib/rustlib/bpfel-unknown-none/lib");
    let rustc = PathBuf::from("/usr/bin/rustc");
    (library.is_dir() && rustc.is_file()).then_some(rustc)
}

fn linker() -> Option<PathBuf> {
    let home = PathBuf::from(std::env::var_os("HOME")?).join(".cargo/bin/bpf-linker");
    tools::find("bpf-linker").or_else(|| home.is_file().then_some(home))
}

/// LLVM's objcopy: the compiler's own if it came with it, a packaged one else.
fn objcopy(rustc: &Path) -> Option<PathBuf> {
    let own = rustc.parent()?.parent()?.join("lib/rustlib");
    let own = own.join(format!("{}-unknown-linux-gnu/bin/llvm-objcopy", std::env::consts::ARCH));
    let packaged =
        (20..=30).rev().map(|n| PathBuf::from(format!("/usr/lib/llvm-{n}/bin/llvm-objcopy")));
    let mut places = std::iter::once(own).chain(packaged);
    places.find(|path| path.is_file()).or_else(|| tools::find("llvm-objcopy"))
}
