//! `cargo xtask fuzz`: builds the fuzz targets and lets each run for a while.
//!
//! The compiler's coverage counters are an ordinary pass, so stable Rust is enough; what goes without
//! a sanitizer is little, because the parsers have no unsafe code.
//!
//! Knows: libFuzzer's options, where good inputs lie. Must never know: what a target asserts.
//! Keeps: what made a target fail is kept and named; a target that did not run is a failure.

use crate::{Outcome, place, tools};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// A target: its name, where its good inputs lie, and the byte that it wants before each of them.
struct Target {
    name: &'static str,
    seeds: &'static str,
    before: Option<u8>,
}

const TARGETS: [Target; 5] = [
    Target { name: "brick_open", seeds: "tests/data/format", before: Some(1) },
    Target { name: "replay_log", seeds: "tests/data/replay", before: Some(1) },
    Target { name: "kernel_records", seeds: "tests/fuzz/seeds/kernel_records", before: None },
    Target { name: "control_socket", seeds: "tests/fuzz/seeds/control_socket", before: None },
    Target { name: "binary_describe", seeds: "tests/fuzz/seeds/binary_describe", before: None },
];

/// The longest input: more finds nothing that less does not, and takes longer.
const MAX_LEN: usize = 1 << 16;

pub(crate) fn run(args: &[String]) -> Outcome {
    let mut seconds = 60;
    // One that is said finds again what a run found, from the same corpus.
    let mut seed = 1;
    let mut names = vec![];
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            seconds = args.next().and_then(|n| n.parse().ok()).ok_or("--seconds wants a number")?;
        } else if arg == "--seed" {
            seed = args.next().and_then(|n| n.parse().ok()).ok_or("--seed wants a number")?;
        } else {
            names.push(arg.as_str());
        }
    }
    if let Some(unknown) = names.iter().find(|name| TARGETS.iter().all(|t| t.name != **name)) {
        return Err(format!("no fuzz target `{unknown}` in tests/fuzz").into());
    }
    tools::ensure_debian("c++", "g++")?;
    let programs = build()?;
    let wanted = |t: &&Target| names.is_empty() || names.contains(&t.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(wanted).collect();
    let started: Vec<_> =
        targets.iter().map(|target| (target, start(target, &programs, seconds, seed))).collect();
    println!("seed {seed}");
    let mut failed = 0;
    for (target, child) in started {
        let ended = child.and_then(|mut child| child.wait());
        let passed = ended.as_ref().is_ok_and(std::process::ExitStatus::success);
        failed += usize::from(!passed);
        report(target, passed, &format!("{ended:?}"));
    }
    println!("{} passed, {failed} failed", targets.len() - failed);
    if failed == 0 { Ok(()) } else { Err("".into()) }
}

/// Where the targets are built, run and keep what they found.
fn dir() -> PathBuf {
    place::target_dir().join("fuzz")
}

fn build() -> Result<PathBuf, String> {
    let tests = place::root().join("tests/fuzz");
    // Built from what everything else is built from.
    fs::copy(place::root().join("Cargo.lock"), tests.join("Cargo.lock"))
        .map_err(|error| format!("tests/fuzz/Cargo.lock: {error}"))?;
    let status = place::cargo()
        .current_dir(tests)
        .args(["build", "--quiet", "--release", "--target-dir"])
        .arg(dir())
        // Named, so that the flags are not those of build scripts.
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .env("RUSTFLAGS", COVERAGE)
        .status();
    match status {
        Ok(status) if status.success() => Ok(dir().join("x86_64-unknown-linux-gnu/release")),
        other => Err(format!("the fuzz targets do not build: {other:?}")),
    }
}

fn start(target: &Target, programs: &Path, seconds: u64, seed: u32) -> io::Result<Child> {
    let corpus = dir().join("corpus").join(target.name);
    fs::create_dir_all(&corpus)?;
    plant(target, &corpus)?;
    let found = format!("-artifact_prefix={}/{}-", dir().display(), target.name);
    let log = File::create(log_of(target))?;
    Command::new(programs.join(target.name))
        .args([format!("-max_total_time={seconds}"), format!("-seed={seed}")])
        .args([format!("-max_len={MAX_LEN}"), found])
        .args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(&corpus)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn log_of(target: &Target) -> PathBuf {
    dir().join(format!("{}.log", target.name))
}

/// Puts good inputs, cut to what a target takes, where it begins.
fn plant(target: &Target, corpus: &Path) -> io::Result<()> {
    for seed in fs::read_dir(place::root().join(target.seeds))? {
        let seed = seed?;
        let mut bytes: Vec<u8> = target.before.into_iter().collect();
        bytes.extend(fs::read(seed.path())?);
        bytes.truncate(MAX_LEN);
        fs::write(corpus.join(seed.file_name()), bytes)?;
    }
    Ok(())
}

/// One line of figures, or the end of what it said.
fn report(target: &Target, passed: bool, ended: &str) {
    let log = fs::read_to_string(log_of(target)).unwrap_or_default();
    let figure = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix(name));
        line.map_or("?", str::trim).to_owned()
    };
    println!(
        "{}: {} runs, {} added to its corpus",
        target.name,
        figure("stat::number_of_executed_units:"),
        figure("stat::new_units_added:"),
    );
    if !passed {
        let lines: Vec<&str> = log.lines().collect();
        // What went wrong is said before the stack, which is longer than anybody reads.
        let wrong = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
        let from = lines.iter().position(wrong).unwrap_or(lines.len().saturating_sub(40));
        println!("{}", lines[from..lines.len().min(from + 40)].join("\n"));
        println!("{}: {ended}; all it said: {}", target.name, log_of(target).display());
    }
}
