//! `cargo xtask ebpf`: compiles the probes, and proves that the committed object is what they compile to.
//!
//! Knows: two toolchains that compile for the kernel's virtual machine. Must never know: the probes.
//! Keeps: the same sources and the same toolchain give the same bytes, wherever they are compiled.

mod toolchain;

use crate::{Outcome, place, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toolchain::Toolchain;

const OBJECT: &str = "foundry-ebpf.o";
const TARGET: &str = "bpfel-unknown-none";
/// Fetching and subtracting atomics need it; kernels have had it since 5.12.
const CPU: &str = "v3";

const USAGE: &str = "usage: cargo xtask ebpf [--check]";

pub(crate) fn run(args: &[String]) -> Outcome {
    match args {
        [] => write(),
        [flag] if flag == "--check" => check(),
        _ => Err(USAGE.into()),
    }
}

fn prebuilt() -> PathBuf {
    place::root().join("foundry-ebpf/prebuilt")
}

/// Compiles and puts object, checksum and versions where they are committed.
fn write() -> Outcome {
    let toolchain = Toolchain::find()?;
    let object = compile(&toolchain)?;
    let dir = prebuilt();
    fs::create_dir_all(&dir)?;
    fs::copy(&object, dir.join(OBJECT))?;
    fs::write(dir.join("foundry-ebpf.o.sha256"), format!("{}  {OBJECT}\n", sha256(&object)?))?;
    fs::write(dir.join("TOOLCHAIN"), toolchain.versions())?;
    println!("{}: {} bytes", dir.join(OBJECT).display(), fs::metadata(&object)?.len());
    print!("{}", toolchain.versions());
    Ok(())
}

/// Why there is nothing to say about the committed object.
pub(crate) enum CheckError {
    /// Nothing here compiles for that target.
    NoToolchain(String),
    /// It is not what it should be.
    Failed(Box<dyn std::error::Error>),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for CheckError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// What a check found.
pub(crate) enum Checked {
    /// The committed bytes are what this toolchain makes.
    Same,
    /// Another toolchain: a fresh object lies here, and its bytes cannot be compared.
    Fresh(PathBuf),
}

fn check() -> Outcome {
    let checked = compare().map_err(|error| match error {
        CheckError::NoToolchain(why) => why.into(),
        CheckError::Failed(error) => error,
    })?;
    match checked {
        Checked::Same => println!("the committed object is byte-identical to a fresh one"),
        Checked::Fresh(path) => {
            println!("this toolchain is not the one of the committed object:");
            print!("{}", Toolchain::find()?.versions());
            println!("so their bytes cannot be compared; a fresh object is {}", path.display());
        }
    }
    Ok(())
}

/// Compiles the probes and compares the result with what is committed.
pub(crate) fn compare() -> Result<Checked, CheckError> {
    let dir = prebuilt();
    let recorded = fs::read_to_string(dir.join("foundry-ebpf.o.sha256"))?;
    let committed = sha256(&dir.join(OBJECT))?;
    if recorded.split_whitespace().next() != Some(committed.as_str()) {
        return Err("the committed object does not have its committed checksum".into());
    }
    let toolchain =
        Toolchain::find().map_err(|error| CheckError::NoToolchain(error.to_string()))?;
    let object = compile(&toolchain)?;
    if fs::read_to_string(dir.join("TOOLCHAIN"))? != toolchain.versions() {
        return Ok(Checked::Fresh(object));
    }
    if sha256(&object)? == committed {
        return Ok(Checked::Same);
    }
    Err(format!(
        "{} differs from the committed object, by the same toolchain: run `cargo xtask ebpf` and commit what it wrote",
        object.display()
    )
    .into())
}

/// Compiles the probes; the object keeps its type information and loses its debug information.
fn compile(toolchain: &Toolchain) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let source = place::root().join("foundry-ebpf");
    let target = place::target_dir().join("ebpf");
    let mut cargo = toolchain.cargo();
    // Paths of this machine would make the bytes differ from one machine to the next.
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let mut flags = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        format!("-Clinker={}", toolchain.linker().display()),
        "-Clink-arg=--btf".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        format!("-Ctarget-cpu={CPU}"),
        format!("--remap-path-prefix={}=/foundry", place::root().display()),
        format!("--remap-path-prefix={}=/cargo", home.display()),
    ];
    flags.extend(toolchain.flags());
    let status = cargo
        .current_dir(&source)
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        .status()?;
    if !status.success() {
        return Err("the probes do not compile".into());
    }
    let built = target.join(TARGET).join("release/foundry-ebpf");
    let object = target.join(OBJECT);
    run_to_end(Command::new(toolchain.objcopy()).arg("--strip-debug").arg(&built).arg(&object))?;
    Ok(object)
}

fn run_to_end(command: &mut Command) -> Outcome {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn sha256(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let program = tools::find("sha256sum").ok_or("sha256sum is not installed")?;
    let output = Command::new(program).arg(path).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum = text.split_whitespace().next().filter(|sum| sum.len() == 64);
    sum.map(str::to_owned).ok_or_else(|| format!("{}: no checksum", path.display()).into())
}
