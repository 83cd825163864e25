//! `cargo xtask record`: lives through the runs of tests/data/replay on this kernel, and keeps their logs.
//!
//! Knows: how the daemon is started, asked and ended; which changes each log is of. Must never know:
//! what a log looks like inside.
//! Keeps: nothing of the machine but its kernel gets into a log: place, programs and PATH are fixed.

use crate::{Outcome, place};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// Where the recorded tree lies, whoever records.
const PLACE: &str = "/tmp/foundry-demo";

/// A run: its log, its backend, and shell lines with a `sync` after each.
struct Run {
    log: &'static str,
    backend: &'static str,
    steps: &'static [&'static str],
}

const FILES: &[&str] = &[
    "printf XYZ | dd of=big bs=1 seek=100000 conv=notrunc status=none",
    "seq 1 500 >> notes",
    "sed -i s/two/zwei/ etc/app/conf",
    "truncate -s 70000 big; truncate -s 90000 big",
    "cp /tmp/foundry-demo/numbers copied; ln copied hard; mv copied moved; echo more >> hard; rm moved",
    "mv notes notes.1; echo begun > notes",
    "ln -s notes link; mkfifo pipe; cp etc/app/conf etc/app/conf.bak",
    "cat big hard > both; rm big",
];

const TREES: &[&str] = &[
    "cp -r a copy",
    "mv copy moved; mv moved moved/../copy; echo x >> copy/b/g1",
    "mv copy/b copy/c; echo y >> copy/c/g2; mv copy/c copy/b",
    "tar -C a -cf - . | (mkdir e && tar -C e -xf -)",
    "for i in 1 2 3 4 5 6 7 8; do echo $i > e/lock; mv e/lock e/target; done",
    "rm -rf copy; mkdir copy; echo again > copy/b; rm -rf e/b",
];

const ODD: &[&str] = &[
    "truncate -s 200000 sparse; printf mid | dd of=sparse bs=1 seek=150000 conv=notrunc status=none",
    "/tmp/foundry-demo/bin/store small 4097 s; /tmp/foundry-demo/bin/store dense 80000 t",
    "fallocate --punch-hole --offset 65536 --length 65536 dense",
    "fallocate --collapse-range --offset 65536 --length 65536 dense || true",
    "echo 1 > \"$(printf 'new\\nline')\"; echo 2 > \"$(printf 'not\\377utf8')\"",
    "name=$(printf 'n%.0s' $(seq 255)); echo 3 > $name; echo 4 >> $name",
    "yes a | head -c 3000 | dd of=two bs=100 conv=notrunc status=none & \
     yes b | head -c 3000 | dd of=two bs=100 seek=10 conv=notrunc status=none; wait",
    "for i in 1 2 3 4 5 6 7 8; do seq $i > t.tmp; mv t.tmp target; done",
];

const RUNS: [Run; 4] = [
    Run { log: "files", backend: "tracepoint", steps: FILES },
    Run { log: "hints", backend: "fanotify", steps: FILES },
    Run { log: "trees", backend: "tracepoint", steps: TREES },
    Run { log: "odd", backend: "tracepoint", steps: ODD },
];

/// What lies in the tree before the daemon starts.
const BEFORE: &str = "mkdir -p tree/etc/app tree/a/b tree/a/d && seq 1 3000 > numbers && cd tree &&
seq 1 40000 | head -c 140000 > big && seq 1 100 > notes && echo one two three > etc/app/conf &&
for i in 1 2 3 4 5 6 7; do seq $i $((i * 40)) > a/b/g$i; echo $i > a/d/h$i; done &&
echo small > small && truncate -s 8192 small && head -c 140000 big > dense && head -c 4000 big > two";

/// Writes its third argument at an offset through a shared mapping, which no utility of the shell does.
const STORE: &str =
    "#include <fcntl.h>\n#include <stdlib.h>\n#include <sys/mman.h>\n#include <unistd.h>
int main(int n, char **arg) {
    int file = open(arg[1], O_RDWR);
    off_t at = atol(arg[2]), length = lseek(file, 0, SEEK_END);
    char *map = mmap(0, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (n != 4 || map == MAP_FAILED) return 1;
    map[at] = *arg[3];
    return munmap(map, length);
}\n";

pub(crate) fn run(args: &[String]) -> Outcome {
    if let Some(unknown) = args.iter().find(|arg| RUNS.iter().all(|run| run.log != **arg)) {
        return Err(format!("no recording `{unknown}` in tests/data/replay").into());
    }
    if !place::is_root() {
        return Err("probes need root: run this as root".into());
    }
    let built = place::cargo().args(["build", "--package", "foundry-user"]).status()?;
    if !built.success() {
        return Err("the build failed; what cargo said is above".into());
    }
    for run in RUNS.iter().filter(|run| args.is_empty() || args.iter().any(|arg| arg == run.log)) {
        live_through(run)?;
    }
    Ok(())
}

fn live_through(run: &Run) -> Outcome {
    let place = Path::new(PLACE);
    // What somebody else has put there is neither taken for ours nor removed.
    fs::create_dir(place).map_err(|e| format!("{PLACE}: {e}: the recordings are made there"))?;
    fs::create_dir(place.join("bin"))?;
    let outcome = record(run);
    fs::remove_dir_all(place)?;
    outcome
}

fn record(run: &Run) -> Outcome {
    let place = Path::new(PLACE);
    fs::copy(place::target_dir().join("debug/foundry-user"), place.join("bin/foundry-user"))?;
    fs::write(place.join("store.c"), STORE)?;
    shell(place, "cc -o bin/store store.c")?;
    shell(place, BEFORE)?;
    let mut daemon = ours("--watch=tree")
        .args(["--no-listen", "--record", "run.log", "--backend", run.backend])
        .stderr(Stdio::piped())
        .spawn()?;
    if let Err(why) = live(run, &mut daemon) {
        daemon.kill()?;
        daemon.wait()?;
        return Err(why);
    }
    let log = place::root().join("tests/data/replay").join(run.log).with_extension("log");
    fs::copy(place.join("run.log"), &log)?;
    println!("{}: {} bytes", log.display(), fs::metadata(&log)?.len());
    Ok(())
}

fn live(run: &Run, daemon: &mut Child) -> Outcome {
    let said = daemon.stderr.take().ok_or("the daemon's standard error is not a pipe")?;
    let mut said = BufReader::new(said).lines();
    if !said.by_ref().map_while(Result::ok).any(|line| line.starts_with("first fold")) {
        return Err(format!("the daemon of {} ended before it had folded the tree", run.log).into());
    }
    // What it says later is read as well, or it would wait for a reader.
    let rest = thread::spawn(move || said.count());
    for step in run.steps {
        shell(&Path::new(PLACE).join("tree"), step)?;
        if !ours("sync").stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            return Err(format!("{}: no sync after `{step}`", run.log).into());
        }
    }
    shell(Path::new(PLACE), &format!("kill -INT {}", daemon.id()))?;
    let ended = daemon.wait()?;
    rest.join().map_err(|_| "the reader of what the daemon says ended early")?;
    if ended.success() { Ok(()) } else { Err(format!("{}: ended with {ended}", run.log).into()) }
}

/// The program under its recorded name, with a store of its own.
fn ours(first: &str) -> Command {
    let mut command = Command::new("bin/foundry-user");
    command.current_dir(PLACE).env("PATH", "/usr/bin:/bin").arg(first).args(["--store", "store"]);
    command
}

fn shell(dir: &Path, line: &str) -> Outcome {
    let ended = Command::new("/bin/sh")
        .current_dir(dir)
        .env("PATH", "/usr/bin:/bin")
        .args(["-c", line])
        .status()?;
    if ended.success() { Ok(()) } else { Err(format!("`{line}` ended with {ended}").into()) }
}
