//! Every probe: which program, on which hook, for which backend, and what it sees.
//!
//! Knows: names of programs and of kernel functions. Must never know: how programs are loaded.
//! Keeps: one table; what `doctor` tells is read from the same lines that the loader follows.

use super::Backend;

/// How a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint.
    Tracepoint(&'static str),
    /// The entry of a kernel function.
    Entry(&'static str),
    /// The return of a kernel function.
    Exit(&'static str),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Where it is attached.
    pub hook: Hook,
    /// What it sees.
    pub sees: &'static str,
    /// Without it the backend is of no use.
    pub essential: bool,
}

const fn spec(program: &'static str, hook: Hook, sees: &'static str) -> Spec {
    Spec { program, hook, sees, essential: false }
}

const fn must(program: &'static str, hook: Hook, sees: &'static str) -> Spec {
    Spec { program, hook, sees, essential: true }
}

use Hook::Tracepoint as Tp;

const TRACEPOINT: &[Spec] = &[must(
    "tp_sys_exit",
    Tp("sys_exit"),
    "writes, truncations, clones and mappings by system call",
)];

const FENTRY: &[Spec] = &[spec("none", Hook::Exit("vfs_fallocate"), "allocation")];

/// The probes of a backend.
#[must_use]
pub fn of(backend: Backend) -> &'static [Spec] {
    match backend {
        Backend::Fentry => FENTRY,
        Backend::Tracepoint => TRACEPOINT,
    }
}

/// What became of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Attached,
    /// This kernel has no such hook.
    Absent,
    /// The kernel refused it, and why.
    Refused(String),
}

/// A probe and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of the program.
    pub program: &'static str,
    /// Name of the hook.
    pub hook: &'static str,
    /// What it sees, or would see.
    pub sees: &'static str,
    /// Whether it does.
    pub status: Status,
}

impl Hook {
    /// The function or the tracepoint.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tracepoint(name) | Self::Entry(name) | Self::Exit(name) => name,
        }
    }
}

/// What a backend does not see even where every probe is attached.
#[must_use]
pub const fn blind(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Fentry => &[
            "stores through mappings of files on tmpfs, overlay and network file systems: swept",
            "changes made on another machine to files of network file systems: swept",
        ],
        Backend::Tracepoint => &[
            "stores through mappings of files on tmpfs, overlay and network file systems: swept",
            "changes made on another machine to files of network file systems: swept",
            "names: they come from fanotify",
            "writes of kernel threads to files that are not on ext4, until they are written back",
        ],
    }
}
