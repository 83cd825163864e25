//! Dirty state that outlives the daemon: pinned under bpffs, it goes on collecting until the next start
//! takes it over.
//!
//! Knows: what is pinned, and where. Must never know: artifacts, what is done with what changed.
//! Keeps: what is found there only adds to what is looked at, so that it can never make a brick wrong;
//! what does not match is left out and said, and no more than two earlier runs are kept.

use super::bpf;
use super::previous::Previous;
use super::shared::SharedWords;
use aya::programs::links::{FdLink, PinnedLink};
use foundry_common::abi::global;
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// Where the file system of pinned objects is mounted.
pub const BPFFS: &str = "/sys/fs/bpf";

/// All that is pinned by this program lies beneath it.
const HOME: &str = "foundry";

const BPFFS_MAGIC: u64 = 0xcafe_4a11;

/// The BPF maps that hold what is collected.
const MAPS: [&str; 5] = ["INTEREST", "FILES", "BITMAPS", "GLOBAL", "LIFE"];

/// Words of `GLOBAL` that only user space knows of.
mod word {
    /// Which shape everything has that is pinned.
    pub(super) const ABI: usize = 480;
    /// Whose store it is: three words.
    pub(super) const STORE: usize = 481;
    /// Changes by the daemon itself and lost records of mappings, as of the last drain.
    pub(super) const SEEN: usize = 484;
}

const _: () = assert!(global::LOGGED + foundry_common::abi::LOGGED_KINDS <= word::ABI);
const _: () = assert!(word::SEEN + COUNTED.len() <= global::COUNT);

/// `FNDRY` and a number that rises whenever the keys, a file's state, its bits or the words of
/// `GLOBAL` change their meaning.
const ABI: u64 = 0x464e_4452_5900_0001;

/// What must not rise while nobody drains: the ended daemon's number may be another process's by then,
/// whose changes are left out; mappings may be made that nothing else tells of.
const COUNTED: [usize; 2] = [global::OWN, global::LOST_LIFE];

/// Probes whose records nobody reads before they are old: names, which a start compares anyway, and
/// processes. They end with the daemon, and leave the ring to what it is for.
const PASSING: [&str; 15] = [
    "tp_exec",
    "tp_exit",
    "tp_layout",
    "tp_layout_held",
    "tp_fork",
    "fx_open",
    "fx_create",
    "fx_mknod",
    "fx_mkdir",
    "fx_symlink",
    "fx_link",
    "fx_unlink",
    "fx_rmdir",
    "fe_rename",
    "fx_rename",
];

/// An attached probe.
pub(super) type Attached = (&'static str, FdLink);

/// Whose state, and whether this run leaves its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Device, inode and birth of the store.
    pub store: [u64; 3],
    /// The probes of this run are to outlive it.
    pub keep: bool,
}

impl Place {
    /// The directory of this store.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        // No dots: bpffs keeps such names for itself.
        let [dev, ino, birth] = self.store;
        Path::new(BPFFS).join(HOME).join(format!("{dev:x}-{ino:x}-{birth:x}"))
    }
}

/// What is pinned of this run. While it is held, nobody who removes the pins stops the probes.
#[derive(Default)]
pub(super) struct Kept {
    links: Vec<Attached>,
    pinned: Vec<PinnedLink>,
    dir: Option<PathBuf>,
}

impl Kept {
    pub(super) const fn new(links: Vec<Attached>) -> Self {
        Self { links, pinned: Vec::new(), dir: None }
    }

    /// Whether the next run finds what this one collects.
    pub(super) const fn is_pinned(&self) -> bool {
        self.dir.is_some()
    }

    /// Leaves nothing after all.
    pub(super) fn unpin(&mut self) -> io::Result<()> {
        self.dir.take().map_or(Ok(()), |dir| remove(&dir))
    }

    /// Pins the maps and all links. Where that fails, nothing stays pinned; the probes run either way.
    ///
    /// # Errors
    /// With what could not be done.
    pub(super) fn pin(
        &mut self,
        place: &Place,
        maps: &[(String, OwnedFd)],
        of_modules: &[OwnedFd],
        global: &SharedWords,
    ) -> io::Result<()> {
        let home = prepare(place)?;
        let number = runs(&home).last().map_or(1, |(number, _)| number + 1);
        let dir = home.join(number.to_string());
        make(&dir)?;
        let done = self.pin_in(&dir, maps, of_modules);
        if done.is_err() {
            drop(remove(&dir));
            return done;
        }
        let words = [ABI].into_iter().chain(place.store);
        for (index, value) in (word::ABI..).zip(words) {
            if let Some(word) = global.word(index) {
                word.store(value, Relaxed);
            }
        }
        note(global);
        self.dir = Some(dir);
        Ok(())
    }

    fn pin_in(
        &mut self,
        dir: &Path,
        maps: &[(String, OwnedFd)],
        of_modules: &[OwnedFd],
    ) -> io::Result<()> {
        for name in MAPS {
            let found = maps.iter().find(|(other, _)| other == name);
            let (_, fd) = found.ok_or_else(|| io::Error::other(format!("no map {name}")))?;
            bpf::pin(fd.as_fd(), &dir.join(name))?;
        }
        for (nth, fd) in of_modules.iter().enumerate() {
            bpf::pin(fd.as_fd(), &dir.join(format!("module{nth}")))?;
        }
        let all = std::mem::take(&mut self.links).into_iter().enumerate();
        let (passing, kept): (Vec<_>, Vec<_>) =
            all.partition(|(_, (name, _))| PASSING.contains(name));
        self.links = passing.into_iter().map(|(_, attached)| attached).collect();
        for (nth, (name, link)) in kept {
            let pinned = link.pin(dir.join(format!("{nth}_{name}"))).map_err(io::Error::other)?;
            self.pinned.push(pinned);
        }
        Ok(())
    }
}

/// Remembers how far this daemon has come, for whoever finds the state without it.
pub(super) fn note(global: &SharedWords) {
    for (index, counter) in (word::SEEN..).zip(COUNTED) {
        if let (Some(word), Some(counter)) = (global.word(index), global.word(counter)) {
            word.store(counter.load(Relaxed), Relaxed);
        }
    }
}

/// What an earlier run left, as far as it can be used; the second is why the rest cannot be, or why it
/// may be less than everything.
pub(super) fn earlier(place: &Place) -> (Vec<Previous>, Vec<String>) {
    let (mut found, mut said) = (Vec::new(), Vec::new());
    let mut all = runs(&place.home());
    // Those in between ended before they had taken over from the first, whose probes know as much.
    while 2 < all.len() {
        let (_, dir) = all.remove(1);
        forget(&dir, &mut said);
    }
    for (_, dir) in all {
        match open(place, &dir) {
            Ok((previous, doubt)) => {
                said.extend(doubt.map(|doubt| format!("{}: {doubt}", dir.display())));
                found.push(previous);
            }
            Err(error) => {
                said.push(format!("{}: {error}", dir.display()));
                forget(&dir, &mut said);
            }
        }
    }
    (found, said)
}

fn open(place: &Place, dir: &Path) -> io::Result<(Previous, Option<&'static str>)> {
    let global = bpf::map_at(&dir.join("GLOBAL"))?;
    let global = SharedWords::map(global.fd().as_fd(), global::COUNT)?;
    let value = |index| global.word(index).map_or(0, |word| word.load(Relaxed));
    if value(word::ABI) != ABI {
        return Err(io::Error::other("it is of another version of this program"));
    }
    if [0, 1, 2].map(|nth| value(word::STORE + nth)) != place.store {
        return Err(io::Error::other("it is another store's"));
    }
    let rose = |nth: usize| value(COUNTED[nth]) != value(word::SEEN + nth);
    let doubt = match (rose(0), rose(1)) {
        (true, _) => Some("a process with the number of the ended daemon changed files"),
        (_, true) => Some("the ring was full, so mappings may have been made that nobody knows of"),
        _ => None,
    };
    Ok((Previous::open(dir)?, doubt))
}

/// Removes what a run has pinned.
pub(super) fn forget(dir: &Path, said: &mut Vec<String>) {
    if let Err(error) = remove(dir) {
        said.push(format!("{} cannot be removed: {error}", dir.display()));
    }
}

/// Removes all that is pinned for a store; says whether there was anything.
pub fn remove_all(place: &Place) -> bool {
    let all = runs(&place.home());
    let mut said = Vec::new();
    all.iter().for_each(|(_, dir)| forget(dir, &mut said));
    said.iter().for_each(|what| tracing::warn!(what, "kept state"));
    !all.is_empty()
}

/// Removes the directory of a store that has nothing pinned.
pub(super) fn tidy(place: &Place) {
    // It is not there, or not empty, or not ours: then it stays.
    fs::remove_dir(place.home()).unwrap_or_default();
}

fn remove(dir: &Path) -> io::Result<()> {
    let mut names: Vec<OsString> = fs::read_dir(dir)?.flatten().map(|e| e.file_name()).collect();
    // Probes first: nothing may collect where nobody looks.
    names.sort_by_key(|name| MAPS.iter().any(|map| name.as_os_str() == *map));
    for name in names {
        fs::remove_file(dir.join(name))?;
    }
    fs::remove_dir(dir)
}

/// The runs that left something, oldest first.
fn runs(home: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(home) else { return vec![] };
    let number = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path()))
    };
    let mut runs: Vec<_> = entries.flatten().filter_map(number).collect();
    runs.sort_unstable();
    runs
}

/// Runs that are pinned here, of any store.
///
/// # Errors
/// Where only root may look.
pub fn count() -> io::Result<usize> {
    match fs::read_dir(Path::new(BPFFS).join(HOME)) {
        Ok(entries) => Ok(entries.flatten().map(|entry| runs(&entry.path()).len()).sum()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Whether bpffs is mounted where it belongs.
#[must_use]
pub fn is_mounted() -> bool {
    let magic = rustix::fs::statfs(BPFFS).map(|found| found.f_type);
    magic.is_ok_and(|magic| u64::try_from(magic) == Ok(BPFFS_MAGIC))
}

/// The directory of a store, made where it is not there; for root alone.
fn prepare(place: &Place) -> io::Result<PathBuf> {
    mount()?;
    let all = Path::new(BPFFS).join(HOME);
    make(&all)?;
    let home = place.home();
    make(&home)?;
    Ok(home)
}

/// Mounts bpffs where it is not. Two that begin at once mount it once: a second one would hide what the
/// first has pinned.
fn mount() -> io::Result<()> {
    use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
    use rustix::mount::{MountFlags, mount};
    if is_mounted() {
        return Ok(());
    }
    // Of what it is mounted on, so whoever opens it later sees that it is mounted.
    let below = open(BPFFS, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&below, FlockOperation::LockExclusive)?;
    if !is_mounted() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("bpf", BPFFS, "bpf", flags, Some(c"mode=700"))?;
    }
    Ok(())
}

fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.raw_os_error() != Some(Errno::EXIST.raw_os_error()) => Err(error),
        Err(_) => {
            let found = fs::symlink_metadata(dir)?;
            if found.is_dir() && found.uid() == 0 && found.mode() & 0o077 == 0 {
                return Ok(());
            }
            Err(io::Error::other(format!("{} is not a directory of root alone", dir.display())))
        }
        Ok(()) => Ok(()),
    }
}
