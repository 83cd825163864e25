//! What happens while no daemon runs: probes that were pinned go on, and the next start takes over.
//!
//! Knows: the command line, bpffs, changes that leave no trace. Must never know: what is pinned.
//! Keeps: after a `sync` of the next daemon every brick is what the disk is, though no time of any file
//! tells; where nothing can be taken over, that is said and files are compared by their times.

use super::crash;
use crate::support::daemon::{Daemon, Refusal, dies_with_this_thread};
use crate::support::mount::{Mount, run};
use crate::support::{Random, Scratch, act, brick, program, regular_files, seed, skip, unseen};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where everything of this program is pinned.
const ALL: &str = "/sys/fs/bpf/foundry";

/// The probes that every kernel here takes, unless `FOUNDRY_PINS` names others; what is pinned and taken
/// over is the same for all.
fn backend() -> String {
    std::env::var("FOUNDRY_PINS").unwrap_or_else(|_| "tracepoint".to_owned())
}

/// Each run keeps as much as fits a small machine.
const SMALL: [(&str, &str); 1] = [("FOUNDRY_SIZES", "artifacts=1024,words=1024")];

/// The word of `GLOBAL` that says which shape pinned state has.
const SHAPE: usize = 480;

/// A watched tmpfs, and a store whose pins go with it.
struct Stage {
    scratch: Scratch,
}

impl Stage {
    fn new() -> Option<Self> {
        if std::env::var_os("FOUNDRY_LIVE").is_none() {
            println!("not asked for: FOUNDRY_LIVE is not set");
            return None;
        }
        let stage = Self { scratch: Scratch::new() };
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "foundry-test"]).arg(stage.tree());
        if !run(&mut mount) {
            skip("tmpfs cannot be mounted here");
            return None;
        }
        Some(stage)
    }

    fn tree(&self) -> PathBuf {
        self.scratch.tree()
    }

    fn start(&self, tree: &Path, more: &[&str]) -> Option<Daemon> {
        let more = [more, &["--no-listen"]].concat();
        match Daemon::start_in(tree, &self.scratch.store(), &backend(), &more, &SMALL) {
            Ok(daemon) => Some(daemon),
            Err(Refusal::NotAllowed(why)) => {
                skip(&format!("the probes: {why}"));
                None
            }
        }
    }

    /// A start that nobody waits for.
    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(program::path());
        command.envs(SMALL).args(["--backend", &backend()]).args(more);
        command.arg("--watch").arg(self.tree()).arg("--store").arg(self.scratch.store());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        dies_with_this_thread(&mut command);
        command
    }

    /// Where the store's runs are pinned.
    fn home(&self) -> PathBuf {
        home(&self.scratch.store())
    }

    fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.home()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Probes of a test that failed would go on for good.
        fs::remove_dir_all(self.home()).ok();
        run(Command::new("umount").arg("-l").arg(self.tree()));
    }
}

fn home(store: &Path) -> PathBuf {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let Ok(x) = statx(CWD, store, AtFlags::empty(), mask) else {
        return PathBuf::from(ALL).join("none");
    };
    let dev = makedev(x.stx_dev_major, x.stx_dev_minor);
    let birth = x.stx_btime.tv_sec * 1_000_000_000 + i64::from(x.stx_btime.tv_nsec);
    Path::new(ALL).join(format!("{dev:x}-{:x}-{birth:x}", x.stx_ino))
}

fn times(path: &Path) -> (u64, i64, i64, i64, i64) {
    let stat = fs::metadata(path).unwrap();
    (stat.size(), stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec())
}

fn number(daemon: &Daemon, name: &str) -> u64 {
    let status = daemon.ask(&["status", "--json"]).ok().json();
    status[name].as_u64().unwrap_or(0)
}

fn assert_true(stage: &Stage, file: &PathBuf) {
    let found = brick::inspect(&stage.scratch.store(), file).unwrap();
    assert_eq!(found.blake3(), brick::b3sum(file), "{}", file.display());
}

/// A store through a mapping that leaves no trace, and a write whose times were set back, while no daemon
/// runs: after an end, and after a kill. At the end nothing stays behind.
#[test]
fn taken_over_by_the_next_start() {
    let Some(stage) = Stage::new() else { return };
    let (stored, written) = (stage.tree().join("stored"), stage.tree().join("written"));
    for file in [&stored, &written, &stage.tree().join("same")] {
        act::write(file, &[7; 300_000]).unwrap();
    }
    let Some(mut daemon) = stage.start(&stage.tree(), &["--pins"]) else { return };
    for killed in [false, true] {
        daemon.sync();
        assert_eq!(number(&daemon, "source_pinned"), 1, "{}", daemon.log());
        if killed {
            daemon.kill();
        } else {
            assert!(daemon.end_with(Signal::TERM).0.success());
        }
        let before = times(&stored);
        unseen::store(&stored, 150_000).unwrap();
        assert_eq!(before, times(&stored), "a mapping on tmpfs moves no time");
        let modified = fs::metadata(&written).unwrap().modified().unwrap();
        act::patch(&written, 200_000, &[1, u8::from(killed)]).unwrap();
        fs::File::options().write(true).open(&written).unwrap().set_modified(modified).unwrap();
        // The last start leaves nothing to another.
        let more: &[&str] = if killed { &[] } else { &["--pins"] };
        let Some(next) = stage.start(&stage.tree(), more) else { return };
        daemon = next;
        daemon.sync();
        for file in [&stored, &written] {
            assert_true(&stage, file);
        }
        let said = |name| number(&daemon, name);
        let counts = (said("source_runs taken over"), said("source_runs in doubt"));
        assert_eq!(counts, (1, 0), "{}", daemon.log());
        let counts = (said("source_files taken over"), said("source_changed meanwhile"));
        assert_eq!(counts, (3, 2), "{}", daemon.log());
        assert_eq!(stage.runs().len(), usize::from(!killed), "runs that are pinned");
    }
    daemon.verify_all();
    assert!(daemon.stop().0.success());
}

/// On xfs, whoever opens a file by its handle writes without a trace: the dirty ranges alone tell.
#[test]
fn written_without_a_trace() {
    let Some(stage) = Stage::new() else { return };
    let Some(mount) = Mount::make(&stage.scratch, &["mkfs.xfs", "-q"], 400 << 20) else { return };
    let file = mount.dir().join("file");
    act::write(&file, &vec![7; 9_000_000]).unwrap();
    let Some(daemon) = stage.start(mount.dir(), &["--pins"]) else { return };
    daemon.sync();
    assert!(daemon.stop().0.success());
    let before = times(&file);
    unseen::write(&file, 5_000_000, b"nobody saw this").unwrap();
    assert_eq!(before, times(&file), "xfs touches no time");
    let Some(daemon) = stage.start(mount.dir(), &[]) else { return };
    daemon.sync();
    assert_true(&stage, &file);
    // One tile of 64 KiB was read, not nine megabytes.
    let (changed, bytes) = (number(&daemon, "source_changed meanwhile"), number(&daemon, "bytes"));
    assert_eq!((changed, bytes), (1, 65_536), "{}", daemon.log());
    daemon.verify_all();
    assert!(daemon.stop().0.success());
}

/// Kills at random moments, many of them in the middle of a takeover, and changes without a trace after
/// each: the last start finds all of them.
#[test]
fn killed_while_it_takes_over() {
    const FILES: u64 = 300;
    let mut random = Random::new(seed());
    let Some(stage) = Stage::new() else { return };
    let file = |nth: u64| stage.tree().join(format!("file{nth}"));
    for nth in 0..FILES {
        act::write(&file(nth), &random.bytes(20_000)).unwrap();
    }
    let Some(daemon) = stage.start(&stage.tree(), &["--pins"]) else { return };
    daemon.sync();
    daemon.kill();
    let mut most = 0;
    for _ in 0..5 {
        for _ in 0..3 {
            let path = file(random.below(FILES));
            let before = times(&path);
            unseen::store(&path, 10_000).unwrap();
            assert_eq!(before, times(&path), "a mapping on tmpfs moves no time");
        }
        let mut child = stage.command(&["--pins"]).spawn().unwrap();
        // Once its own state is pinned, it takes over.
        let before = stage.runs();
        while child.try_wait().unwrap().is_none()
            && stage.runs().iter().all(|run| before.contains(run))
        {
            crash::pass(Duration::from_millis(1));
        }
        crash::pass(Duration::from_micros(random.below(900_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        most = most.max(stage.runs().len());
    }
    assert!(most <= 3, "{most} runs are pinned");
    let Some(daemon) = stage.start(&stage.tree(), &[]) else { return };
    daemon.sync();
    daemon.verify_all();
    assert_eq!(stage.runs().len(), 0, "{}", daemon.log());
    assert!(daemon.stop().0.success());
}

/// Kills at random moments of a busy run, and changes without a trace while no daemon runs.
#[test]
fn killed_at_any_moment() {
    let Some(stage) = Stage::new() else { return };
    let killing = crash::Killing {
        tree: stage.tree(),
        kills: crash::kills(4),
        start: &|| stage.start(&stage.tree(), &["--pins"]),
        command: &|| stage.command(&["--pins"]),
        meanwhile: &|random| {
            let files = regular_files(&stage.tree());
            let path = &files[usize::try_from(random.below(files.len() as u64)).unwrap()];
            let len = fs::metadata(path).unwrap().len();
            if 0 < len {
                let before = times(path);
                unseen::store(path, usize::try_from(random.below(len)).unwrap()).unwrap();
                assert_eq!(before, times(path), "a mapping on tmpfs moves no time");
            }
        },
    };
    killing.run();
}

/// A start that fails before it has looked at anything leaves what was pinned to the next one.
#[test]
fn a_start_that_fails_takes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let file = stage.tree().join("file");
    act::write(&file, &[7; 100_000]).unwrap();
    let Some(daemon) = stage.start(&stage.tree(), &["--pins"]) else { return };
    daemon.sync();
    assert!(daemon.stop().0.success());
    unseen::store(&file, 50_000).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        let address = taken.local_addr().unwrap().to_string();
        let said = program::finish(stage.command(&["--pins", "--listen", &address]));
        assert!(said.code.is_some_and(|code| code != 0), "{said:?}");
        assert_eq!(stage.runs().len(), 1, "{said:?}");
    }
    let Some(daemon) = stage.start(&stage.tree(), &[]) else { return };
    daemon.sync();
    assert_true(&stage, &file);
    assert!(daemon.stop().0.success());
}

/// Makes what is pinned of a run unusable.
type Spoil = fn(&Path);

/// State of another store, of another version, and half of a run: each is left out, said and removed, and
/// what changed is found by its times.
#[test]
fn nothing_that_fits_to_take_over() {
    let Some(stage) = Stage::new() else { return };
    let file = stage.tree().join("file");
    act::write(&file, &[7; 100_000]).unwrap();
    let Some(mut daemon) = stage.start(&stage.tree(), &["--pins"]) else { return };
    let spoils: [(&str, Spoil); 3] = [
        ("another store's", |run| unseen::set_word(&run.join("GLOBAL"), SHAPE + 2, 1).unwrap()),
        ("another version", |run| unseen::set_word(&run.join("GLOBAL"), SHAPE, 1).unwrap()),
        ("FILES", |run| fs::remove_file(run.join("FILES")).unwrap()),
    ];
    for (nth, (why, spoil)) in (1..).zip(spoils) {
        daemon.sync();
        assert!(daemon.stop().0.success());
        let [run] = &stage.runs()[..] else { panic!("{:?}", stage.runs()) };
        spoil(run);
        act::patch(&file, 50_000, &[nth]).unwrap();
        let Some(next) = stage.start(&stage.tree(), &["--pins"]) else { return };
        daemon = next;
        daemon.sync();
        assert_true(&stage, &file);
        let said = |name| number(&daemon, name);
        let counts = (said("source_runs taken over"), said("source_runs in doubt"));
        assert_eq!(counts, (0, 1), "{}", daemon.log());
        assert!(daemon.log().contains(why), "{why}: {}", daemon.log());
        assert_eq!(stage.runs().len(), 1, "what was left out is gone");
    }
    assert!(daemon.stop().0.success());
}
