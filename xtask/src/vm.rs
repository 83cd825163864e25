//! `cargo xtask vm [KERNEL...] [--with FILE...] [--arm] -- PROGRAM ARGS [--then PROGRAM ARGS]...`: runs
//! programs as root on other kernels, in seconds.
//!
//! Knows: Debian's kernel packages, initramfs archives, qemu. Must never know: what a program does.
//! Keeps: a kernel is fetched once; a machine that hangs is ended; a program that fails fails us, and
//! those after it run nevertheless.

mod archive;
mod kernel;
mod processor;

use crate::{Outcome, place, types};
use archive::Archive;
use kernel::Kernel;
pub(crate) use processor::Processor;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Those of two Debian releases.
pub(crate) const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// The newest that Debian has: of a suite that goes on to the next one, so it may be gone.
pub(crate) const NEWEST: &str = "7.2";
/// What runs in a machine is built so.
pub(crate) const PROFILE: &str = "guest";
/// Seconds a machine may take; everything on one needs a tenth of it on an idle host.
const MOST_SECONDS: &str = "3000";
/// Tests work on a disk file system where there is one: memory has no writeback.
const DISK: &str = "\
mkdir -p /disk && truncate -s 1500M /tmp/disk.img && mkfs.ext4 -q -F /tmp/disk.img 2>/dev/null \
&& mount -o loop /tmp/disk.img /disk && export FOUNDRY_TEST_DIR=/disk
";
/// How fast the machine is.
const FAST: &[&str] = &["-accel", "tcg,thread=multi", "-smp", "2"];
const COUNTING: &[&str] =
    &["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=off"];
const STATUS: &str = "foundry-vm-status=";

/// Programs that tests use to make file systems, where this machine has them.
const HELPERS: [&str; 4] = ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "btrfs"];

const USAGE: &str = "usage: cargo xtask vm [KERNEL...] [--with FILE...] [--count] [--arm] -- PROGRAM \
ARGS [--then PROGRAM ARGS]..., with KERNEL such as 6.1 or the path of a vmlinuz, and FILE a program that \
is put into /bin; with --count its clock goes on by a nanosecond with each instruction, with --arm it is \
a 64-bit ARM, and so are the programs";

/// What runs in a machine.
pub(crate) struct Job<'a> {
    /// Programs with their arguments, one after the other.
    pub(crate) programs: Vec<(&'a Path, &'a [String])>,
    /// More programs, for /bin.
    pub(crate) with: Vec<&'a Path>,
    /// One processor whose clock counts instructions: a nanosecond is one.
    pub(crate) count: bool,
    pub(crate) processor: Processor,
}

impl<'a> Job<'a> {
    /// Programs for this machine's own kind of processor.
    pub(crate) fn new(programs: Vec<(&'a Path, &'a [String])>, with: Vec<&'a Path>) -> Self {
        Self { programs, with, count: false, processor: Processor::X86 }
    }
}

pub(crate) fn run(args: &[String]) -> Outcome {
    let split = args.iter().position(|arg| arg == "--").ok_or(USAGE)?;
    let (before, rest) = (&args[..split], &args[split + 1..]);
    let programs = rest.split(|word| word == "--then").map(|words| {
        let (program, arguments) = words.split_first()?;
        Some((Path::new(program), arguments))
    });
    let programs = programs.collect::<Option<Vec<_>>>().ok_or(USAGE)?;
    let (mut kernels, mut with, mut count) = (Vec::new(), Vec::new(), false);
    let mut processor = Processor::X86;
    let mut words = before.iter();
    while let Some(word) = words.next() {
        if word == "--with" {
            with.push(Path::new(words.next().ok_or(USAGE)?));
        } else if word == "--count" {
            count = true;
        } else if word == "--arm" {
            processor = Processor::Arm;
        } else {
            kernels.push(word.as_str());
        }
    }
    if kernels.is_empty() {
        kernels = KERNELS.to_vec();
        kernels.push(NEWEST);
    }
    let job = Job { count, processor, ..Job::new(programs, with) };
    let mut failed = Vec::new();
    for name in kernels {
        println!("== {name}");
        match boot(name, &job, &mut |line| println!("{line}"))? {
            0 => {}
            status => failed.push(format!("exit status {status} on {name}")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join(", ").into()) }
}

/// Fetches everything that it takes to boot kernel `name`.
pub(crate) fn prepare(name: &str, processor: Processor) -> Outcome {
    processor.emulator()?;
    processor.prepare()?;
    Kernel::get(name, processor)?;
    Ok(())
}

/// A file with the types of kernel `name`.
pub(crate) fn types(
    name: &str,
    processor: Processor,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let kernel = Kernel::get(name, processor)?;
    let to = place::target_dir().join(format!("vm/{name}-{}.btf", processor.debian()));
    types::extract(&kernel.image, &to)?;
    Ok(to)
}

/// Runs a job as root on kernel `name`, hands out what it prints, and returns the exit status of the
/// last program that failed.
pub(crate) fn boot(
    name: &str,
    job: &Job<'_>,
    line: &mut dyn FnMut(&str),
) -> Result<i32, Box<dyn std::error::Error>> {
    let processor = job.processor;
    let qemu = processor.emulator()?;
    processor.prepare()?;
    let kernel = Kernel::get(name, processor)?;
    let initramfs = initramfs(&kernel, job)?;
    let mut machine = Command::new("timeout")
        // In the foreground it stays in the group of whoever runs this, and ends with it.
        .args(["--foreground", "--kill-after=5", MOST_SECONDS])
        .arg(qemu)
        // Emulated: hardware help is missing on many development machines, and half there on some.
        .args(if job.count { COUNTING } else { FAST })
        .args(processor.machine())
        .args(["-m", "3G", "-display", "none", "-monitor", "none", "-serial", "stdio"])
        .args(["-no-reboot", "-nic", "none", "-append"])
        // On a busy host the guest's check of its timer comes too late, and it would give up.
        .arg(format!("console={} panic=-1 quiet loglevel=3 no_timer_check", processor.console()))
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(&initramfs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut status = None;
    if let Some(output) = machine.stdout.take() {
        for text in BufReader::new(output).split(b'\n') {
            let text = String::from_utf8_lossy(&text?).trim_end_matches('\r').to_owned();
            match text.split_once(STATUS) {
                Some((before, number)) => {
                    line(before);
                    status = number.trim().parse().ok();
                }
                None => line(&text),
            }
        }
    }
    let ended = machine.wait()?;
    fs::remove_file(&initramfs)?;
    status.ok_or_else(|| {
        format!("kernel {name}: the machine ended ({ended}) before the program did").into()
    })
}

/// Everything the program needs: itself, its libraries, busybox, kernel modules.
fn initramfs(kernel: &Kernel, job: &Job<'_>) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let mut archive = Archive::new();
    let find = |program| job.processor.find(program);
    let add = |archive: &mut Archive, name: &str, bytes: &[u8], path: &Path| -> Outcome {
        archive.file(&format!("bin/{name}"), 0o755, bytes);
        for (inside, library) in job.processor.libraries(path)? {
            archive.file(inside.trim_start_matches('/'), 0o755, &fs::read(library)?);
        }
        Ok(())
    };
    let busybox = find("busybox").ok_or("busybox is gone")?;
    archive.file("bin/busybox", 0o755, &fs::read(busybox)?);
    archive.link("bin/sh", "busybox");
    for path in job.programs.iter().map(|(program, _)| program).chain(&job.with) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        add(&mut archive, &name, &stripped(path)?, path)?;
    }
    for helper in HELPERS {
        if let Some(path) = find(helper) {
            add(&mut archive, helper, &fs::read(&path)?, &path)?;
        }
    }
    let mut modules = String::new();
    for (name, bytes) in kernel.modules()? {
        archive.file(&format!("modules/{name}"), 0o644, &bytes);
        modules.push_str(&format!("insmod /modules/{name} 2>/dev/null\n"));
    }
    archive.file("init", 0o755, init(&modules, job).as_bytes());
    let path = place::target_dir().join(format!("vm/initramfs-{}", std::process::id()));
    fs::write(&path, archive.finish())?;
    Ok(path)
}

fn init(modules: &str, job: &Job<'_>) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut lines = String::from("status=0\n");
    for (program, arguments) in &job.programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let arguments: Vec<String> = arguments.iter().map(|text| quoted(text)).collect();
        let (program, arguments) = (quoted(&format!("/bin/{name}")), arguments.join(" "));
        lines.push_str(&format!("{program} {arguments} || status=$?\n"));
    }
    let mut exports = String::new();
    // The machine is there to test, so nothing may be skipped for want of being asked; and it is
    // emulated, so that floods are smaller.
    let asked = [
        ("FOUNDRY_LIVE", "1"),
        ("FOUNDRY_EMULATED", "1"),
        ("FOUNDRY_BIN", "/bin/foundry-user"),
        ("RUST_BACKTRACE", "1"),
    ];
    let passed = ["CI", "FOUNDRY_BACKEND", "FOUNDRY_PINS", "FOUNDRY_SEED", "RUST_LOG"];
    let passed: Vec<(&str, String)> =
        passed.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?))).collect();
    let passed = passed.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in asked.into_iter().chain(passed) {
        exports.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    format!(
        "#!/bin/sh\n\
         export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TMPDIR=/tmp\n\
         /bin/busybox --install -s /bin\n\
         mkdir -p /proc /sys /dev /tmp /run /etc\n\
         mount -t proc proc /proc\n\
         mount -t sysfs sysfs /sys\n\
         mount -t devtmpfs devtmpfs /dev\n\
         mount -t tmpfs -o size=80% tmpfs /tmp\n\
         mount -t bpf bpf /sys/fs/bpf 2>/dev/null\n\
         mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null\n\
         ln -sf /proc/mounts /etc/mtab\n\
         ip link set lo up\n\
         {modules}{exports}{DISK}{lines}\
         echo {STATUS}$status\n\
         sync\n\
         poweroff -f\n"
    )
}

/// The program without its debug information, which only makes booting slow.
fn stripped(program: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let out = place::target_dir().join(format!("vm/stripped-{}", std::process::id()));
    fs::create_dir_all(place::target_dir().join("vm"))?;
    let mut strip = Command::new("strip");
    // It may know no such program: then nothing is taken away.
    let strip = strip.arg("-g").arg("-o").arg(&out).arg(program).stderr(Stdio::null()).status();
    if strip.is_ok_and(|status| status.success()) {
        let bytes = fs::read(&out)?;
        fs::remove_file(&out)?;
        return Ok(bytes);
    }
    Ok(fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?)
}
