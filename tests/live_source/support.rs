//! What the tests of the source share: starting it, tracking, acting from elsewhere.

use foundry_user::artifact::{ArtifactId, FileKind};
use foundry_user::event::{Event, Extents};
use foundry_user::sources::Source;
use foundry_user::sources::ebpf::{Backend, EbpfSource, Limits};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

/// One source at a time: each would report what the other test does.
static ONE: Mutex<()> = Mutex::new(());

pub(crate) struct Live {
    pub(crate) source: EbpfSource,
    pub(crate) backend: Backend,
    next: u32,
    held: Vec<OwnedFd>,
    _one: MutexGuard<'static, ()>,
}

/// The backend that was asked for, or the first that starts here; `None` where none can.
pub(crate) fn live(limits: &Limits) -> Option<Live> {
    if std::env::var_os("FOUNDRY_LIVE").is_none() {
        println!("not asked for: FOUNDRY_LIVE is not set");
        return None;
    }
    let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !rustix::process::geteuid().is_root() {
        return skip("it needs root");
    }
    let wanted = std::env::var("FOUNDRY_BACKEND").unwrap_or_default();
    let backends: &[Backend] = match wanted.as_str() {
        "fentry" => &[Backend::Fentry],
        "tracepoint" => &[Backend::Tracepoint],
        _ => &[Backend::Fentry, Backend::Tracepoint],
    };
    let mut errors = Vec::new();
    for backend in backends {
        // A fresh object, where it cannot be compared with the committed one.
        let started = match std::env::var_os("FOUNDRY_OBJECT") {
            Some(path) => {
                let object = std::fs::read(path).unwrap();
                EbpfSource::start_object(*backend, limits, object.into())
            }
            None => EbpfSource::start(*backend, limits),
        };
        match started {
            Ok(source) => {
                return Some(Live { source, backend: *backend, next: 1, held: vec![], _one: one });
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    if wanted.is_empty() {
        return skip(&errors.join("; "));
    }
    panic!("{}", errors.join("; "));
}

pub(crate) fn skip<T>(why: &str) -> Option<T> {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "a skip counts as failure: {why}"
    );
    println!("skipped: {why}");
    if let Some(notes) = std::env::var_os("FOUNDRY_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(notes).unwrap();
        writeln!(file, "{why}").unwrap();
    }
    None
}

impl Live {
    pub(crate) fn track(&mut self, path: &Path) -> ArtifactId {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap();
        let id = ArtifactId(self.next);
        self.next += 1;
        let meta = path.metadata().unwrap();
        let kind = if meta.is_dir() { FileKind::Directory } else { FileKind::File };
        self.source.tracker().track(fd.as_fd(), id, kind, meta.len()).unwrap();
        self.held.push(fd);
        id
    }

    /// Whether this kernel says which inode's times a system call set: the other backend asks nobody, and
    /// Linux has told since 6.13.
    pub(crate) fn touches_are_told(&self) -> bool {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy();
        let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap());
        let version = (numbers.next().unwrap(), numbers.next().unwrap());
        self.backend == Backend::Fentry || (6, 13) <= version
    }

    /// Lets go of an artifact and of the file behind it.
    pub(crate) fn release(&mut self, artifact: ArtifactId) {
        self.source.tracker().untrack(artifact);
        self.held.clear();
    }

    pub(crate) fn drain(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.source.drain(&mut events).unwrap();
        events
    }

    /// Drains until `wanted` is satisfied, for what completes by itself some time later.
    pub(crate) fn drain_until(&mut self, wanted: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let mut events = self.drain();
        for _ in 0..50 {
            if wanted(&events) {
                break;
            }
            let fd = self.source.wait_fd();
            let mut fds =
                [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
            let most = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            rustix::event::poll(&mut fds, Some(&most)).unwrap();
            events.extend(self.drain());
        }
        events
    }
}

/// Runs one of `ops` in another process.
pub(crate) fn act(op: &str, path: &Path, args: &[u64]) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ops::act_as_told", "--nocapture"])
        .env("FOUNDRY_OP", op)
        .env("FOUNDRY_PATH", path)
        .env("FOUNDRY_ARGS", args.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    match status.code() {
        Some(0) => true,
        _ => panic!("{op} on {} failed: {status}", path.display()),
    }
}

/// The ranges of `artifact` that events say may have changed.
pub(crate) fn ranges(events: &[Event], artifact: ArtifactId) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    for event in events {
        if let Event::Dirty { artifact: of, extents, .. } = event
            && *of == artifact
        {
            match extents {
                Extents::Ranges(ranges) => all.extend(ranges),
                Extents::From(start) => all.push((*start, u64::MAX)),
                Extents::Whole => all.push((0, u64::MAX)),
            }
        }
    }
    all
}

/// Whether every byte of `[start, end)` is in one of `ranges`.
pub(crate) fn covered(ranges: &[(u64, u64)], start: u64, end: u64) -> bool {
    let mut at = start;
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    for (from, to) in sorted {
        if from <= at && to > at {
            at = to;
        }
    }
    at >= end
}
