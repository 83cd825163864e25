//! `cargo xtask bench`: the figures that the project is measured by, each beside a peer of the same run.
//!
//! Knows: the command line of `foundry-user`, the clock, `/proc`. Must never know: the crates behind it.
//! Keeps: figures are printed, never judged: a slow machine fails nothing.

use crate::Outcome;
use crate::place;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// One figure's name and how it is taken.
type Figure = (&'static str, fn(&Bench) -> Result<(), Box<dyn std::error::Error>>);

const FIGURES: [Figure; 7] = [
    ("fold", fold),
    ("untracked", untracked),
    ("latency", latency),
    ("memory", memory),
    ("flood", flood),
    ("huge", huge),
    ("idle", idle),
];

pub(crate) fn run(args: &[String]) -> Outcome {
    if !place::is_root() {
        return Err("probes need root: sudo -E cargo xtask bench".into());
    }
    let built =
        place::cargo().args(["build", "--release", "--package", "foundry-user"]).status()?;
    if !built.success() {
        return Err("the build failed; what cargo said is above".into());
    }
    let bench = Bench { dir: place::target_dir().join("foundry-bench") };
    println!("{}", fs::read_to_string("/proc/version")?.trim());
    for (name, figure) in FIGURES {
        if args.is_empty() || args.iter().any(|wanted| wanted == name) {
            bench.clear()?;
            println!("\n== {name}");
            if let Err(error) = figure(&bench) {
                println!("   not measured: {error}");
            }
        }
    }
    bench.clear()?;
    Ok(())
}

struct Bench {
    dir: PathBuf,
}

/// A daemon for the time of one figure.
struct Daemon {
    child: Child,
    store: PathBuf,
}

impl Bench {
    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(self.tree()),
        }
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    fn foundry(&self) -> Command {
        Command::new(place::target_dir().join("release/foundry-user"))
    }

    /// Starts a daemon over the tree and waits until all of it is folded.
    fn daemon(&self) -> Result<Daemon, Box<dyn std::error::Error>> {
        self.daemon_of([OsStr::new("--watch"), self.tree().as_os_str()])
    }

    fn daemon_of(&self, what: [&OsStr; 2]) -> Result<Daemon, Box<dyn std::error::Error>> {
        let store = self.dir.join("store");
        let child = self
            .foundry()
            .args(what)
            .arg("--no-listen")
            .arg("--store")
            .arg(&store)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut daemon = Daemon { child, store };
        let begun = now();
        while !daemon.store.join("control.sock").exists() {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(format!("the daemon ended at its start: {status}").into());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("the daemon does not answer".into());
            }
            pause(10);
        }
        daemon.sync(self)?;
        Ok(daemon)
    }
}

impl Daemon {
    fn sync(&self, bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
        let mut sync = bench.foundry();
        sync.args(["sync", "--timeout", "600", "--store"]).arg(&self.store);
        if sync.status()?.success() { Ok(()) } else { Err("sync failed".into()) }
    }

    /// Processor time so far.
    fn cpu(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Fields 14 and 15, counted from after the command's name, which may hold anything.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks: u64 = after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        // The kernel's unit for these fields is a hundredth of a second on every Linux.
        Ok(Duration::from_millis(ticks * 10))
    }

    fn rss_mib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib =
            kib.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        Ok(kib.unwrap_or_default() / 1024)
    }

    /// The only brick of a file: a directory's may lie beside it and is told by its size.
    fn largest_brick(&self) -> Result<PathBuf, Box<dyn std::error::Error>> {
        let mut found = Vec::new();
        for shard in fs::read_dir(self.store.join("bricks"))? {
            for file in fs::read_dir(shard?.path())? {
                let path = file?.path();
                found.push((fs::metadata(&path)?.len(), path));
            }
        }
        found.into_iter().max().map(|(_, path)| path).ok_or_else(|| "no brick".into())
    }

    fn print_status(&self, bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
        let said = bench.foundry().args(["status", "--store"]).arg(&self.store).output()?;
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            println!("   | {line}");
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A figure that failed must not leave a daemon behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the figure is what happens while nothing happens")]
fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Bytes without a pattern, the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn fill(path: &Path, mib: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    let block = noise(1 << 20);
    for i in 0..mib {
        // Two blocks must not be equal, or their tiles would be, too.
        file.write_all(&u64::try_from(i).unwrap_or_default().to_le_bytes())?;
        file.write_all(&block[8..])?;
    }
    Ok(())
}

fn timed(what: &str, bytes: u64, command: &mut Command) -> io::Result<()> {
    let begun = now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = Bytes(bytes).per(seconds);
    println!("   {what:<44} {seconds:>8.2} s {rate:>10.2} GB/s  ({status})");
    Ok(())
}

struct Bytes(u64);

impl Bytes {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn per(&self, seconds: f64) -> f64 {
        self.0 as f64 / 1e9 / seconds
    }
}

/// The median and the 99th percentile, in microseconds.
fn percentiles(mut times: Vec<Duration>) -> (u128, u128) {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0, Duration::as_micros);
    (at(50), at(99))
}

/// Folding a file of 2 GiB, in the page cache, on one core, beside hashing it.
fn fold(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    const MIB: usize = 2048;
    let file = bench.dir.join("file");
    fill(&file, MIB)?;
    let bytes = fs::metadata(&file)?.len();
    timed("cat > /dev/null (warms the cache)", bytes, Command::new("cat").arg(&file))?;
    let one_core = |program: &Path| {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    };
    let mut b3sum = one_core(Path::new("b3sum"));
    timed("b3sum --num-threads 1, one core", bytes, b3sum.args(["--num-threads", "1"]).arg(&file))?;
    let brick = bench.dir.join("file.brick");
    let foundry = place::target_dir().join("release/foundry-user");
    for (what, args) in [
        ("fold --payload reference, one core", ["--payload", "reference"]),
        ("fold --payload embedded, one core", ["--payload", "embedded"]),
    ] {
        let mut fold = one_core(&foundry);
        fold.arg("fold").arg(&file).args(args).arg("-o").arg(&brick);
        timed(what, bytes, &mut fold)?;
        println!("   brick: {:.2} % of the file", {
            let share = Bytes(fs::metadata(&brick)?.len()).per(1.0) / Bytes(bytes).per(1.0);
            share * 100.0
        });
        fs::remove_file(&brick)?;
    }
    Ok(())
}

/// What a write to a file that nobody watches costs, with a daemon and without, in turn.
fn untracked(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    const WRITES: u32 = 1_000_000;
    let file = File::create(bench.dir.join("untracked"))?;
    let round = || -> io::Result<u128> {
        let begun = now();
        for _ in 0..WRITES {
            file.write_at(b"x", 0)?;
        }
        Ok(begun.elapsed().as_nanos() / u128::from(WRITES))
    };
    round()?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        without.push(round()?);
        let daemon = bench.daemon()?;
        with.push(round()?);
        drop(daemon);
    }
    without.sort_unstable();
    with.sort_unstable();
    println!(
        "   one-byte pwrite, ns, least and median of 5: without {} {}, with {} {}",
        without[0], without[2], with[0], with[2]
    );
    Ok(())
}

/// From the return of `pwrite` to a changed brick in the store.
fn latency(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    let path = bench.tree().join("file");
    fill(&path, 64)?;
    let daemon = bench.daemon()?;
    let brick = daemon.largest_brick()?;
    let file = OpenOptions::new().write(true).open(&path)?;
    let state = || fs::metadata(&brick).map(|meta| (meta.mtime(), meta.mtime_nsec(), meta.len()));
    let mut times = Vec::new();
    for i in 0..500_u64 {
        daemon_at_rest(&state)?;
        let before = state()?;
        let at = i * 120_011 % (64 << 20);
        file.write_at(&(i + 1).to_le_bytes(), at)?;
        let begun = now();
        while state()? == before {
            if begun.elapsed() > Duration::from_secs(5) {
                return Err(format!("no commit within 5 s of write {i}").into());
            }
            std::thread::yield_now();
        }
        times.push(begun.elapsed());
    }
    let (p50, p99) = percentiles(times);
    println!("   pwrite of 8 bytes to a changed brick: p50 {p50} us, p99 {p99} us (500 writes)");
    Ok(())
}

/// From the return of `mmap`, and of `munmap`, to a changed brick of the process that called it. That is
/// this one: the allocator has a mapping of its own for what is larger than 32 MiB.
fn memory(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::process::id().to_string();
    let daemon = bench.daemon_of([OsStr::new("--watch-process"), OsStr::new(&pid)])?;
    let brick = daemon.largest_brick()?;
    let state = || fs::metadata(&brick).map(|meta| (meta.mtime(), meta.mtime_nsec(), meta.len()));
    let (mut mapped, mut unmapped) = (Vec::new(), Vec::new());
    let until_changed = |before: (i64, i64, u64)| -> Result<Duration, Box<dyn std::error::Error>> {
        let begun = now();
        while state()? == before {
            if begun.elapsed() > Duration::from_secs(5) {
                return Err("no commit within 5 s".into());
            }
            std::thread::yield_now();
        }
        Ok(begun.elapsed())
    };
    for _ in 0..300 {
        daemon_at_rest(&state)?;
        let before = state()?;
        let block = std::hint::black_box(Vec::<u8>::with_capacity(40 << 20));
        mapped.push(until_changed(before)?);
        daemon_at_rest(&state)?;
        let before = state()?;
        drop(block);
        unmapped.push(until_changed(before)?);
    }
    for (what, times) in [("mmap", mapped), ("munmap", unmapped)] {
        let (p50, p99) = percentiles(times);
        println!("   {what} to a changed brick: p50 {p50} us, p99 {p99} us (300 calls)");
    }
    Ok(())
}

/// Waits until a brick has been left alone for a moment.
fn daemon_at_rest<T: PartialEq>(state: &impl Fn() -> io::Result<T>) -> io::Result<()> {
    loop {
        let before = state()?;
        pause(5);
        if state()? == before {
            return Ok(());
        }
    }
}

/// As many writes to one tracked file as two threads can make, and whether all are in the brick.
fn flood(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    const WRITES: u64 = 3_000_000;
    let path = bench.tree().join("file");
    fill(&path, 64)?;
    let rate = |what: &str| -> io::Result<()> {
        let begun = now();
        std::thread::scope(|scope| {
            for thread in 0..2_u64 {
                let path = &path;
                scope.spawn(move || -> io::Result<()> {
                    let file = OpenOptions::new().write(true).open(path)?;
                    for i in 0..WRITES {
                        let at = (i * 7919 + thread * 4099) % (64 << 20);
                        file.write_at(&i.to_le_bytes()[..1], at)?;
                    }
                    Ok(())
                });
            }
        });
        let per_second = Bytes(2 * WRITES * 1000).per(begun.elapsed().as_secs_f64());
        println!("   {what}: {per_second:.2} million one-byte writes a second on two threads");
        Ok(())
    };
    rate("without a daemon")?;
    let daemon = bench.daemon()?;
    rate("with a daemon")?;
    let begun = now();
    daemon.sync(bench)?;
    println!("   sync after it: {} ms", begun.elapsed().as_millis());
    let verified =
        bench.foundry().args(["verify", "--all", "--store"]).arg(&daemon.store).output()?;
    println!("   verify --all: {}", verified.status);
    daemon.print_status(bench)
}

/// Processor time and appended bytes for a change of 4 KiB in a file of 10 GiB.
fn huge(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    const CHANGES: u32 = 200;
    let path = bench.tree().join("file");
    fill(&path, 10_240)?;
    let begun = now();
    let daemon = bench.daemon()?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = fs::metadata(&path)?.len();
    println!("   first fold: {seconds:.1} s, {:.2} GB/s", Bytes(bytes).per(seconds));
    println!("   RSS {} MiB", daemon.rss_mib()?);
    let brick = daemon.largest_brick()?;
    let file = OpenOptions::new().write(true).open(&path)?;
    let (cpu, len) = (daemon.cpu()?, fs::metadata(&brick)?.len());
    let block = noise(4096);
    for i in 0..CHANGES {
        file.write_all_at(&block, u64::from(i) * 50_331_648 + 4096)?;
        daemon.sync(bench)?;
    }
    let cpu = (daemon.cpu()? - cpu) / CHANGES;
    let grown = fs::metadata(&brick)?.len().saturating_sub(len) / u64::from(CHANGES);
    println!(
        "   a change of 4 KiB with its sync: {} us of processor time, {grown} bytes appended",
        cpu.as_micros()
    );
    Ok(())
}

/// Memory and processor time of a daemon over 100 000 files that nobody touches.
fn idle(bench: &Bench) -> Result<(), Box<dyn std::error::Error>> {
    for dir in 0..100 {
        let dir = bench.tree().join(format!("d{dir}"));
        fs::create_dir(&dir)?;
        for file in 0..1000 {
            fs::write(dir.join(format!("f{file}")), noise(200 + file))?;
        }
    }
    let begun = now();
    let daemon = bench.daemon()?;
    println!("   first fold of 100 000 files: {:.1} s", begun.elapsed().as_secs_f64());
    pause(2000);
    let cpu = daemon.cpu()?;
    pause(10_000);
    let cpu = daemon.cpu()? - cpu;
    println!("   RSS {} MiB; {} ms of processor time in 10 s", daemon.rss_mib()?, cpu.as_millis());
    let store = Command::new("du").args(["-sk"]).arg(&daemon.store).output()?;
    println!("   store: {}", String::from_utf8_lossy(&store.stdout).trim());
    Ok(())
}
