//! One process, held so that its number cannot come to mean another.
//!
//! Knows: `/proc/PID`. Must never know: plots, bricks.
//! Keeps: every file is opened below one descriptor of `/proc/PID`, which dies with the process; what
//! goes by number (`process_vm_readv`) counts only if the process still lives afterwards.

use super::maps::{self, Mapping};
use super::pages::Pages;
use procfs::ProcError;
use procfs::process::{Process, Stat};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Why a process cannot be captured.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is none.
    #[error("there is no process {pid}; `ps -e` lists those there are")]
    Missing {
        /// Its number.
        pid: u32,
    },
    /// It is a thread of the kernel.
    #[error("{pid} ({comm}) is a thread of the kernel: it has no memory of its own to show")]
    KernelThread {
        /// Its number.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// It has ended, and only its exit status is left.
    #[error("process {pid} ({comm}) has ended: its memory is gone")]
    Ended {
        /// Its number.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// The kernel refuses.
    #[error(
        "process {pid} ({comm}) belongs to user {uid}, or may not be looked into; run as root or as \
         that user, and see `ptrace_scope` in `man 5 proc`"
    )]
    Denied {
        /// Its number.
        pid: u32,
        /// Its name.
        comm: String,
        /// Its owner.
        uid: u32,
    },
    /// Anything else.
    #[error("{what} of process {pid}: {source}")]
    Io {
        /// Its number.
        pid: u32,
        /// The file below `/proc/PID`.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What the kernel tells of a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Mappings by `PROCMAP_QUERY`; else their text is read.
    pub asks_mappings: bool,
    /// Populated pages by `PAGEMAP_SCAN`; else every page is asked for.
    pub scans_pages: bool,
    /// Which pages are dirty: that needs privileges.
    pub knows_dirty: bool,
    /// The kernel marks pages that are written to (soft-dirty). The marks are left alone: to use them is to
    /// clear them, which takes them from others (CRIU) and costs the process a fault for each page.
    pub marks_writes: bool,
}

/// `PF_KTHREAD` of the kernel's `sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// A process that was alive when it was opened.
#[derive(Debug)]
pub struct Target {
    process: Process,
    pid: u32,
    stat: Stat,
    uid: u32,
}

impl Target {
    /// Takes hold of a process.
    ///
    /// # Errors
    /// Where there is none, or none with memory of its own.
    pub fn open(pid: u32) -> Result<Self, ProcessError> {
        let missing = ProcessError::Missing { pid };
        let Ok(number) = i32::try_from(pid) else { return Err(missing) };
        let Ok(process) = Process::new(number) else { return Err(missing) };
        let Ok(stat) = process.stat() else { return Err(missing) };
        let uid = process.status().map_or(0, |status| status.euid);
        let comm = stat.comm.clone();
        if stat.flags & KERNEL_THREAD != 0 {
            return Err(ProcessError::KernelThread { pid, comm });
        }
        if matches!(stat.state, 'Z' | 'X' | 'x') {
            return Err(ProcessError::Ended { pid, comm });
        }
        Ok(Self { process, pid, stat, uid })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its name, as the kernel keeps it.
    #[must_use]
    pub fn comm(&self) -> &str {
        &self.stat.comm
    }

    /// Its effective user.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// When it began, in clock ticks since the machine was started: with its number, its identity.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.stat.starttime
    }

    /// Path of its program, where it can be seen.
    #[must_use]
    pub fn exe(&self) -> Option<Vec<u8>> {
        self.process.exe().ok().map(|path| path.as_os_str().as_bytes().to_vec())
    }

    /// Whether it is 32-bit; `None` where its program cannot be read.
    #[must_use]
    pub fn is_32_bit(&self) -> Option<bool> {
        let mut head = [0; 5];
        self.file("exe").ok()?.read_exact_at(&mut head, 0).ok()?;
        (head[..4] == *b"\x7fELF").then_some(head[4] == 1)
    }

    /// Whether it still lives. After this said yes, all that went before was about this process.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.stat().is_ok_and(|s| {
            s.starttime == self.stat.starttime && !matches!(s.state, 'Z' | 'X' | 'x')
        })
    }

    /// All its mappings.
    ///
    /// # Errors
    /// Where the kernel refuses, or the process has ended.
    pub fn mappings(&self) -> Result<Vec<Mapping>, ProcessError> {
        // The memory that a program had is gone when another has taken its place between our opening the
        // file and our reading it.
        let gone = |found: &io::Result<Vec<Mapping>>| match found {
            Ok(found) => found.is_empty(),
            Err(e) => e.raw_os_error() == Some(libc::ESRCH),
        };
        let mut found = self.mapped_now();
        if gone(&found) {
            found = self.mapped_now();
        }
        let found = found.map_err(|e| self.explain("maps", e))?;
        // A process that is ending gives up its memory first.
        if found.is_empty() { Err(self.ended()) } else { Ok(found) }
    }

    fn mapped_now(&self) -> io::Result<Vec<Mapping>> {
        match self.file("maps").and_then(|maps| maps::query(&maps)) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
                self.file("maps").and_then(maps::parse)
            }
            other => other,
        }
    }

    /// What this kernel and these privileges tell of its memory.
    ///
    /// # Errors
    /// Where it may not be looked at.
    pub fn abilities(&self) -> Result<Abilities, ProcessError> {
        let asks_mappings = self.file("maps").and_then(|maps| maps::query(&maps)).is_ok();
        let mut pages = self.pages(true)?;
        for mapping in &self.mappings()? {
            pages.states(mapping).map_err(|e| self.explain("pagemap", e))?;
        }
        let (scans_pages, knows_dirty) = (pages.scans(), pages.knows_dirty());
        let marks_writes = pages.marks_writes();
        Ok(Abilities { asks_mappings, scans_pages, knows_dirty, marks_writes })
    }

    /// All its mappings from `smaps`, which also says which are populated: slow, and only needed where
    /// there is no `PAGEMAP_SCAN`.
    ///
    /// # Errors
    /// Where the kernel refuses, or the process has ended.
    pub fn mappings_with_details(&self) -> Result<Vec<Mapping>, ProcessError> {
        self.file("smaps").and_then(maps::parse).map_err(|e| self.explain("smaps", e))
    }

    /// Asks for the states of its pages.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn pages(&self, scan: bool) -> Result<Pages, ProcessError> {
        let pagemap = self.file("pagemap").map_err(|e| self.explain("pagemap", e))?;
        Ok(Pages::new(pagemap, File::open("/proc/kpageflags").ok(), scan))
    }

    /// Each thread that is blocked in the kernel, with its stack pointer.
    #[must_use]
    pub fn stack_pointers(&self) -> Vec<(u32, u64)> {
        let Ok(tasks) = self.process.tasks() else { return Vec::new() };
        let pointer = |tid: i32| {
            let mut text = String::new();
            self.file(format!("task/{tid}/syscall")).ok()?.read_to_string(&mut text).ok()?;
            let address = text.split_whitespace().rev().nth(1)?.strip_prefix("0x")?;
            Some((u32::try_from(tid).ok()?, u64::from_str_radix(address, 16).ok()?))
        };
        tasks.flatten().filter_map(|task| pointer(task.tid)).collect()
    }

    /// How long its threads ran, all in all, in nanoseconds; `None` where the kernel does not count. As long
    /// as it stays, the process has changed nothing itself.
    #[must_use]
    pub fn ran_ns(&self) -> Option<u64> {
        let mut sum: u64 = 0;
        for task in self.process.tasks().ok()?.flatten() {
            let mut text = String::new();
            let file = self.file(format!("task/{}/schedstat", task.tid));
            file.ok()?.read_to_string(&mut text).ok()?;
            sum = sum.wrapping_add(text.split_whitespace().next()?.parse().ok()?);
        }
        Some(sum)
    }

    /// A file below `/proc/PID`.
    ///
    /// # Errors
    /// What the kernel says; `ESRCH` where the process has ended.
    pub fn file(&self, name: impl AsRef<Path>) -> io::Result<File> {
        self.process.open_relative(name.as_ref()).map_err(plain)
    }

    /// Says what an error means for this process.
    #[must_use]
    pub fn explain(&self, what: &'static str, source: io::Error) -> ProcessError {
        let (pid, comm) = (self.pid, self.comm().to_owned());
        match source.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => self.ended(),
            Some(libc::EACCES | libc::EPERM) => ProcessError::Denied { pid, comm, uid: self.uid },
            _ => ProcessError::Io { pid, what, source },
        }
    }

    /// That it has ended.
    #[must_use]
    pub fn ended(&self) -> ProcessError {
        ProcessError::Ended { pid: self.pid, comm: self.comm().to_owned() }
    }
}

fn plain(error: ProcError) -> io::Error {
    match error {
        ProcError::PermissionDenied(_) => io::Error::from_raw_os_error(libc::EACCES),
        ProcError::NotFound(_) => io::Error::from_raw_os_error(libc::ESRCH),
        ProcError::Io(e, _) => e,
        other => io::Error::other(other.to_string()),
    }
}

/// Numbers of the processes whose program or name is `name`; all of those with memory where it is none.
#[must_use]
pub fn find(name: Option<&str>) -> Vec<u32> {
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    let mut found: Vec<u32> = all
        .flatten()
        .filter(|process| {
            let Ok(stat) = process.stat() else { return false };
            let Some(name) = name else { return stat.flags & KERNEL_THREAD == 0 };
            let exe = process.exe().ok();
            let exe = exe.as_deref();
            stat.comm == name
                || exe.is_some_and(|exe| exe == Path::new(name))
                || exe.and_then(Path::file_name).is_some_and(|file| file == name)
        })
        .filter_map(|process| u32::try_from(process.pid()).ok())
        .collect();
    found.sort_unstable();
    found
}
