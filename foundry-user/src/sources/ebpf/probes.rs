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
    /// Without its program, on this hook or on another, the backend is of no use.
    pub essential: bool,
}

const fn spec(program: &'static str, hook: Hook, sees: &'static str) -> Spec {
    Spec { program, hook, sees, essential: false }
}

const fn must(program: &'static str, hook: Hook, sees: &'static str) -> Spec {
    Spec { program, hook, sees, essential: true }
}

use Hook::{Entry, Exit, Tracepoint as Tp};

/// Those that only watched processes pay for, attached where there are any.
const LAYOUT: Spec = spec(
    "tp_layout",
    Tp("mmap_lock_released"),
    "memory of watched processes that is laid out anew",
);
const LAYOUT_HELD: Spec = spec(
    "tp_layout_held",
    Tp("mmap_lock_acquire_returned"),
    "mappings of watched processes that go",
);
const FORK: Spec = spec("tp_fork", Tp("sched_process_fork"), "children of watched processes");

const TRACEPOINT: &[Spec] = &[
    must("tp_sys_exit", Tp("sys_exit"), "changes by system call, and mappings"),
    must("tp_dirty_folio", Tp("writeback_dirty_folio"), "stores through mappings"),
    spec("tp_direct", Tp("iomap_dio_complete"), "direct I/O that completes later"),
    spec("tp_ext4_delayed", Tp("ext4_da_write_end"), "exact ranges on ext4"),
    spec("tp_ext4", Tp("ext4_write_end"), "exact ranges on ext4 without delayed allocation"),
    spec(
        "tp_ext4_journalled",
        Tp("ext4_journalled_write_end"),
        "exact ranges on ext4 data=journal",
    ),
    spec("tp_xfs", Tp("xfs_file_buffered_write"), "exact ranges on xfs"),
    spec("tp_ctime_set", Tp("inode_set_ctime_to_ts"), "truncation by path"),
    spec("tp_ctime_swap", Tp("ctime_ns_xchg"), "truncation by path"),
    spec("tp_ctime_same", Tp("ctime_xchg_skip"), "truncation by path"),
    spec("tp_ext4_truncate", Tp("ext4_truncate_enter"), "truncation by path on ext4"),
    spec("tp_uring", Tp("io_uring_complete"), "changes by io_uring"),
    spec("tp_uring_submit", Tp("io_uring_submit_req"), "io_uring without completions"),
    spec("tp_exec", Tp("sched_process_exec"), "programs that start"),
    spec("tp_exit", Tp("sched_process_exit"), "processes that end"),
    LAYOUT,
    LAYOUT_HELD,
    FORK,
];

const FENTRY: &[Spec] = &[
    spec("fx_write_ext4", Exit("ext4_file_write_iter"), "writes on ext4"),
    spec("fx_write_xfs", Exit("xfs_file_write_iter"), "writes on xfs"),
    spec("fx_write_btrfs", Exit("btrfs_file_write_iter"), "writes on btrfs"),
    spec("fx_write_shmem", Exit("shmem_file_write_iter"), "writes on tmpfs"),
    must("fx_write_generic", Exit("generic_file_write_iter"), "writes on simpler file systems"),
    spec("fx_write_overlay", Exit("ovl_write_iter"), "writes on overlay"),
    spec("fx_splice_overlay", Exit("ovl_splice_write"), "splices on overlay"),
    spec("fx_write_f2fs", Exit("f2fs_file_write_iter"), "writes on f2fs"),
    spec("fx_write_fuse", Exit("fuse_file_write_iter"), "writes on FUSE"),
    spec("fx_write_nfs", Exit("nfs_file_write"), "writes on NFS"),
    spec("fx_write_ext2", Exit("ext2_file_write_iter"), "writes on ext2"),
    must("fe_direct", Entry("iomap_dio_complete"), "direct I/O that completes later"),
    must("fx_direct", Exit("iomap_dio_complete"), "direct I/O that completes later"),
    must("fx_fallocate", Exit("vfs_fallocate"), "allocation, holes, shifted ranges"),
    must("fx_attributes", Exit("notify_change"), "truncation, owner and mode"),
    must("fx_clone", Exit("vfs_clone_file_range"), "clones"),
    must("fx_copy", Exit("vfs_copy_file_range"), "copies inside the kernel"),
    spec("fx_fault", Exit("fault_dirty_shared_page"), "stores through mappings, by page"),
    spec("tp_dirty_folio", Tp("writeback_dirty_folio"), "stores through mappings, by folio"),
    must("fx_mmap", Exit("security_mmap_file"), "mappings"),
    must("fx_open", Exit("do_filp_open"), "files created"),
    must("fx_open", Exit("do_file_open"), "files created"),
    must("fx_create", Exit("vfs_create"), "files created"),
    must("fx_mknod", Exit("vfs_mknod"), "special files created"),
    must("fx_mkdir", Exit("vfs_mkdir"), "directories created"),
    must("fx_symlink", Exit("vfs_symlink"), "symbolic links created"),
    must("fx_link", Exit("vfs_link"), "hard links created"),
    must("fx_unlink", Exit("vfs_unlink"), "files removed"),
    must("fx_rmdir", Exit("vfs_rmdir"), "directories removed"),
    must("fe_rename", Entry("vfs_rename"), "the old name of what is renamed"),
    must("fx_rename", Exit("vfs_rename"), "the new name of what is renamed"),
    spec("tp_exec", Tp("sched_process_exec"), "programs that start"),
    spec("tp_exit", Tp("sched_process_exit"), "processes that end"),
    LAYOUT,
    LAYOUT_HELD,
    FORK,
];

/// The probes of a backend.
#[must_use]
pub fn of(backend: Backend) -> &'static [Spec] {
    match backend {
        Backend::Fentry => FENTRY,
        Backend::Tracepoint => TRACEPOINT,
    }
}

/// The programs that are of use only where the memory of processes is watched.
pub(super) fn of_memory() -> impl Iterator<Item = &'static str> {
    [LAYOUT.program, LAYOUT_HELD.program, FORK.program].into_iter()
}

/// The programs that see writes on the file system with this magic number, best first.
pub(super) fn writers(magic: rustix::fs::FsWord) -> &'static [&'static str] {
    match magic {
        0xef53 => &["fx_write_ext4", "fx_write_ext2"],
        0x5846_5342 => &["fx_write_xfs"],
        0x9123_683e => &["fx_write_btrfs"],
        0xf2f5_2010 => &["fx_write_f2fs"],
        0x794c_7630 => &["fx_write_overlay", "fx_splice_overlay"],
        0x6573_5546 => &["fx_write_fuse"],
        0x6969 => &["fx_write_nfs"],
        // Before 6.6 tmpfs had no function of its own; ramfs and vfat have none.
        0x0102_1994 => &["fx_write_shmem", "fx_write_generic"],
        0x8584_58f6 | 0x4d44 => &["fx_write_generic"],
        _ => &[],
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
            "writes of kernel threads into pages that are dirty already, except on ext4",
            "writes of kernel threads into files on tmpfs and overlay, as of an NFS server",
            "writes of loop devices into files on tmpfs and overlay: swept",
            "ranges of writes by 32-bit programs: the whole file is read again",
            "before 6.13: truncation by path, but where ext4 cuts: everything is compared",
        ],
    }
}
