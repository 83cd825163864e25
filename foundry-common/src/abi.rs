//! The kernel-user ABI: records on the rings, dirty state in shared arrays, settings of the probes.
//!
//! Knows: fixed-width integers and where they lie.
//! Must never know: BPF maps, kernel structures, what user space makes of a record.
//! Keeps: no implicit padding, and one size and one place for every field, asserted at compile time.

use core::mem::{offset_of, size_of};

/// Bytes of a thread's command name, NUL-padded.
pub const COMM_BYTES: usize = 16;
/// Bytes of the longest directory entry name (255) and its NUL.
pub const NAME_BYTES: usize = 256;

/// What a record is; the first two bytes of each.
pub mod kind {
    /// A clean artifact became dirty, or another process began to write it: [`super::DirtyRecord`].
    pub const DIRTY: u16 = 1;
    /// A directory entry came, went or was replaced: [`super::NameRecord`].
    pub const NAME: u16 = 2;
    /// A directory changed and the name is not known: [`super::SlotRecord`].
    pub const RELIST: u16 = 3;
    /// Attributes of an artifact changed: [`super::SlotRecord`].
    pub const META: u16 = 4;
    /// An artifact was mapped; `flags` are of [`super::mapping`]: [`super::SlotRecord`].
    pub const MMAP: u16 = 5;
    /// A process replaced its program: [`super::ExecRecord`].
    pub const EXEC: u16 = 6;
    /// A process ended: a bare [`super::Header`].
    pub const EXIT: u16 = 7;
    /// A word of [`super::layouts`] became other than 0: a bare [`super::Header`].
    pub const LAYOUT: u16 = 8;
    /// The word [`super::global::UNNAMED`] rose: a bare [`super::Header`].
    pub const UNNAMED: u16 = 9;
}

/// Words of the array `LAYOUTS`, one for each process whose memory is watched: the record of what
/// happened to it, of which [`kind::LAYOUT`] is only the doorbell.
pub mod layouts {
    /// Somebody held the layout for writing: mappings may have come, gone or changed.
    pub const CHANGED: u64 = 1;
    /// It has a child that is a process of its own.
    pub const FORKED: u64 = 2;
    /// Somebody holds the layout for writing. The probes' own: nobody is told of it.
    pub const HELD: u64 = 4;
    /// Words in the array, so many processes at most (one page, the least that can be mapped).
    pub const COUNT: usize = 512;
}

/// Flags of a [`kind::MMAP`] record.
pub mod mapping {
    /// Stores through this mapping reach the file.
    pub const SHARED_WRITABLE: u32 = 1;
    /// The mapping may be executed.
    pub const EXECUTABLE: u32 = 2;
}

/// Who, when and what: the beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u16,
    /// Bytes of the whole record.
    pub len: u16,
    /// Process (thread group).
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Effective user of the thread, in the initial user namespace.
    pub uid: u32,
    /// `bpf_ktime_get_ns`.
    pub at_ns: u64,
    /// Inode number of the program the process runs, 0 for kernel threads.
    pub exe_ino: u64,
    /// Device of that inode as the kernel numbers it (`s_dev`).
    pub exe_dev: u32,
    /// Zero.
    pub reserved: u32,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// Command name of the thread.
    pub comm: [u8; COMM_BYTES],
}

/// Rung on clean to dirty, and whenever another process than the last one writes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirtyRecord {
    /// Who and when.
    pub header: Header,
    /// Index into the array of [`FileState`].
    pub slot: u32,
    /// [`FileState::generation`] of the slot when the record was made.
    pub generation: u32,
    /// First byte that may have changed.
    pub start: u64,
    /// End of the range; `u64::MAX` where it is open.
    pub end: u64,
    /// The summary before this change: what was dirty already was not this process's doing.
    pub before: u64,
}

/// Something about one artifact that needs no more than its slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotRecord {
    /// Who and when.
    pub header: Header,
    /// Index into the array of [`FileState`].
    pub slot: u32,
    /// [`FileState::generation`] of the slot when the record was made.
    pub generation: u32,
    /// Depends on the kind.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// A directory entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// Who and when.
    pub header: Header,
    /// Slot of the directory.
    pub slot: u32,
    /// [`FileState::generation`] of the slot when the record was made.
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
    /// Bytes of `name` that count.
    pub name_len: u32,
    /// The name.
    pub name: [u8; NAME_BYTES],
}

/// A process replaced its program. The header already names the new one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecRecord {
    /// Who and when.
    pub header: Header,
    /// Bytes of `filename` that count.
    pub name_len: u32,
    /// Zero.
    pub reserved: u32,
    /// What was passed to exec: a path, absolute or relative to the working directory, possibly cut.
    pub filename: [u8; NAME_BYTES],
}

/// Dirty state of one artifact, shared with user space: one cache line, changed with atomics only.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileState {
    /// Inline: bit i is tile i, bit 63 is tile 63 and everything after it.
    /// With words: bit i says that word `i << summary_shift` and its followers have bits set.
    pub summary: u64,
    /// See [`Geometry`].
    pub geometry: u64,
    /// Bits of [`state`].
    pub flags: u64,
    /// Raised by user space each time the slot gets another owner.
    pub generation: u32,
    /// Process that wrote last, 0 for nobody yet.
    pub last_writer: u32,
    /// Where the last write at a file position ended; the size when the slot was made.
    pub position: u64,
    /// Zero.
    pub reserved: [u64; 3],
}

/// Bits of [`FileState::flags`], beside the summary.
pub mod state {
    /// Some range did not fit: every byte may have changed. Set before summary bit 63.
    pub const WHOLE: u64 = 1;
}

/// Where the bits of an artifact lie, packed into one word so that it changes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// First word in the array of words; meaningless where `words` is 0.
    pub base: u32,
    /// Number of words, 0 for an inline file.
    pub words: u32,
    /// Binary logarithm of the bytes that one bit stands for.
    pub bit_shift: u32,
    /// Binary logarithm of the words that one summary bit stands for.
    pub summary_shift: u32,
}

/// Most words one artifact may have.
pub const MAX_WORDS: u32 = 4096;
/// Most words that the kernel sets for one change; a longer one makes the artifact whole-dirty.
pub const WORDS_PER_CHANGE: u32 = 16;

impl Geometry {
    /// 64 bits of one tile each, in the summary itself.
    pub const INLINE: Self =
        Self { base: 0, words: 0, bit_shift: super::units::TILE_SHIFT, summary_shift: 0 };

    /// As the kernel keeps it.
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.base as u64)
            | ((self.words & 0xffff) as u64) << 32
            | ((self.bit_shift & 0xff) as u64) << 48
            | ((self.summary_shift & 0xff) as u64) << 56
    }

    /// The inverse of [`Geometry::pack`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "each part is cut to its width on purpose")]
    pub const fn unpack(word: u64) -> Self {
        Self {
            base: word as u32,
            words: (word >> 32) as u32 & 0xffff,
            bit_shift: (word >> 48) as u32 & 0x3f,
            summary_shift: (word >> 56) as u32 & 0x3f,
        }
    }
}

/// Key of an inode in the interest map: enough to tell inodes apart while they live, and cheap to
/// read. Two inodes with one key would only share their dirty state.
#[must_use]
pub const fn inode_key(ino: u64, super_block: u64, generation: u32) -> [u64; 2] {
    [ino ^ ((generation as u64) << 32), super_block]
}

/// Most messages of one kind between two drains, or a few more where several processors say it.
pub const LOGGED_MOST: u64 = 8;
/// Kinds of messages.
pub const LOGGED_KINDS: usize = 3;

/// Words of the array `GLOBAL`, shared by everybody.
pub mod global {
    /// Not 0: a doorbell did not fit the ring; user space looks at every dirty state, then.
    pub const SCAN: usize = 0;
    /// Doorbells that did not fit.
    pub const LOST_BELLS: usize = 1;
    /// Directory records that did not fit; user space lists directories again when it rises.
    pub const LOST_NAMES: usize = 2;
    /// exec, exit and mmap records that did not fit.
    pub const LOST_LIFE: usize = 3;
    /// Changes that made an artifact whole-dirty because their range did not fit.
    pub const WHOLE_RANGE: usize = 4;
    /// Changes that made an artifact whole-dirty because the range could not be known.
    pub const WHOLE_UNSURE: usize = 5;
    /// Changes by the daemon itself, ignored.
    pub const OWN: usize = 6;
    /// `io_submit` calls with more requests than are looked at.
    pub const LONG_SUBMIT: usize = 7;
    /// Messages of the first kind since the last drain, which clears it: no more than
    /// [`super::LOGGED_MOST`]. Those of the other kinds follow, [`super::LOGGED_KINDS`] in all.
    pub const LOGGED: usize = 8;
    /// Changes of a file that could not be told, tracked or not; user space compares everything when it
    /// rises.
    pub const UNNAMED: usize = LOGGED + super::LOGGED_KINDS;
    /// Words in the array.
    pub const COUNT: usize = 512;
}

/// Words of the array `REPLY` in which the control program answers.
pub mod reply {
    /// First word of the inode's key.
    pub const KEY0: usize = 0;
    /// Second word of the inode's key.
    pub const KEY1: usize = 1;
    /// Shared writable mappings that exist.
    pub const MAPPED: usize = 2;
    /// 1 when the words before are valid.
    pub const VALID: usize = 3;
    /// Words in the array (one page, the least that can be mapped).
    pub const COUNT: usize = 512;
}

/// What a system call does to files, as the loader fills the table `SYSCALLS` by number.
pub mod syscall {
    /// Nothing that concerns us.
    pub const NONE: u8 = 0;
    /// write(fd, ...), writev: at the file position.
    pub const WRITE: u8 = 1;
    /// pwrite64(fd, buf, count, offset).
    pub const PWRITE: u8 = 2;
    /// pwritev(fd, iov, count, low, high), pwritev2 with flags.
    pub const PWRITEV: u8 = 3;
    /// sendfile(out, in, ...): at the file position of the first.
    pub const SENDFILE: u8 = 4;
    /// splice, copy_file_range(in, `off_in`, out, `off_out`, ...).
    pub const COPY: u8 = 5;
    /// ftruncate(fd, length).
    pub const FTRUNCATE: u8 = 6;
    /// truncate(path, length).
    pub const TRUNCATE: u8 = 7;
    /// fallocate(fd, mode, offset, length).
    pub const FALLOCATE: u8 = 8;
    /// open(path, flags): may truncate.
    pub const OPEN: u8 = 9;
    /// openat(dir, path, flags).
    pub const OPENAT: u8 = 10;
    /// openat2(dir, path, how).
    pub const OPENAT2: u8 = 11;
    /// creat(path): always truncates.
    pub const CREAT: u8 = 12;
    /// ioctl(fd, request, argument): clones, and what is not known to be harmless.
    pub const IOCTL: u8 = 13;
    /// mmap(address, length, protection, flags, fd, offset).
    pub const MMAP: u8 = 14;
    /// `io_submit`: writes whose description lies in user memory.
    pub const IO_SUBMIT: u8 = 15;
    /// Changes attributes of an inode by path or descriptor.
    pub const ATTR: u8 = 16;
    /// pwritev2(fd, iov, count, low, high, flags).
    pub const PWRITEV2: u8 = 17;
    /// In the table of 32-bit calls: changes the file behind the descriptor in argument 0.
    pub const WHOLE0: u8 = 18;
    /// The same for the descriptor in argument 2.
    pub const WHOLE2: u8 = 19;
    /// Size of the table; a power of two.
    pub const COUNT: usize = 512;
}

/// Indices into the table `OFFSETS`: where kernel structures keep what the probes read.
/// A field that this kernel does not have is [`field::ABSENT`].
pub mod field {
    /// The kernel has no such field.
    pub const ABSENT: u32 = u32::MAX;
    macro_rules! fields {
        ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
            fields!(@ 0usize; $($(#[$doc])* $name,)*);
        };
        (@ $n:expr; $(#[$doc:meta])* $name:ident, $($rest:tt)*) => {
            $(#[$doc])* pub const $name: usize = $n;
            fields!(@ $n + 1usize; $($rest)*);
        };
        (@ $n:expr;) => {
            /// Number of fields.
            pub const COUNT: usize = $n;
        };
    }
    fields! {
        /// `task_struct.files`
        TASK_FILES,
        /// `task_struct.mm`
        TASK_MM,
        /// `task_struct.tgid`
        TASK_TGID,
        /// The word of `task_struct.thread_info` that says whether a 32-bit program runs: `status` or `flags`
        TASK_STATUS,
        /// `mm_struct.exe_file`
        MM_EXE_FILE,
        /// `files_struct.count`
        FILES_COUNT,
        /// `files_struct.fdt`
        FILES_FDT,
        /// `fdtable.max_fds`
        FDT_MAX_FDS,
        /// `fdtable.fd`
        FDT_FD,
        /// `file.f_inode`
        FILE_INODE,
        /// `file.f_pos`
        FILE_POS,
        /// `file.f_flags`
        FILE_FLAGS,
        /// `file.f_mode`
        FILE_MODE,
        /// `file.f_ref` (a `file_ref_t`: 0 is one reference)
        FILE_REF,
        /// `file.f_count` (before `f_ref`: 1 is one reference)
        FILE_COUNT,
        /// `file.f_path.dentry`
        FILE_DENTRY,
        /// `inode.i_mode`
        INODE_MODE,
        /// `inode.i_sb`
        INODE_SB,
        /// `inode.i_mapping`
        INODE_MAPPING,
        /// `inode.i_ino`
        INODE_INO,
        /// `inode.i_generation`
        INODE_GENERATION,
        /// `inode.i_size`
        INODE_SIZE,
        /// `super_block.s_dev`
        SB_DEV,
        /// `address_space.host`
        MAPPING_HOST,
        /// `address_space.i_mmap_writable`
        MAPPING_WRITABLE,
        /// `kiocb.ki_filp`
        KIOCB_FILE,
        /// `kiocb.ki_pos`
        KIOCB_POS,
        /// `kiocb.ki_flags`
        KIOCB_FLAGS,
        /// `iov_iter.count`
        ITER_COUNT,
        /// `dentry.d_parent`
        DENTRY_PARENT,
        /// `dentry.d_inode`
        DENTRY_INODE,
        /// `dentry.d_name.name`
        DENTRY_NAME,
        /// `renamedata.old_dentry`
        RENAME_OLD,
        /// `iattr.ia_valid`
        IATTR_VALID,
        /// `iattr.ia_size`
        IATTR_SIZE,
        /// `vm_fault.vma`
        FAULT_VMA,
        /// `vm_fault.pgoff`
        FAULT_PGOFF,
        /// `vm_area_struct.vm_file`
        VMA_FILE,
        /// `folio.flags`
        FOLIO_FLAGS,
        /// `folio.index`
        FOLIO_INDEX,
        /// The byte with the order of a large folio: `folio._folio_order`, later the lowest of `folio._flags_1`
        FOLIO_ORDER,
        /// `linux_binprm.filename`
        BPRM_FILENAME,
        /// `io_kiocb.file`
        REQUEST_FILE,
        /// `io_kiocb.cmd`: for reads and writes it begins with a `kiocb`
        REQUEST_CMD,
        /// `io_kiocb.opcode`
        REQUEST_OPCODE,
        /// `io_kiocb.flags`
        REQUEST_FLAGS,
        /// `io_uring_cqe.res`
        CQE_RES,
        /// `iomap_dio.iocb`
        DIO_KIOCB,
        /// `iomap_dio.size`
        DIO_SIZE,
        /// `pt_regs.orig_ax` or `pt_regs.syscallno`: 4 bytes are read
        REGS_NUMBER,
        /// `pt_regs.di` or `pt_regs.orig_x0`
        REGS_ARG0,
        /// `pt_regs.si` or `pt_regs.regs[1]`, and so on
        REGS_ARG1,
        /// `pt_regs.dx`
        REGS_ARG2,
        /// `pt_regs.r10`
        REGS_ARG3,
        /// `pt_regs.r8`
        REGS_ARG4,
        /// `pt_regs.r9`
        REGS_ARG5,
        /// `pt_regs.bx`: where a 32-bit program has its first argument
        COMPAT_ARG0,
        /// `pt_regs.cx`
        COMPAT_ARG1,
        /// `pt_regs.dx`
        COMPAT_ARG2,
        /// `pt_regs.si`
        COMPAT_ARG3,
        /// `pt_regs.di`
        COMPAT_ARG4,
    }
}

/// Indices into the table `SETTINGS`.
pub mod setting {
    /// Thread group of the daemon, whose changes are ignored.
    pub const OWN_PID: usize = 0;
    /// Binary logarithm of the page size.
    pub const PAGE_SHIFT: usize = 1;
    /// Bit in the flags of a folio that says it is large, as a mask.
    pub const FOLIO_LARGE_MASK: usize = 2;
    /// Bit in `io_kiocb.flags` that says no completion is posted on success.
    pub const CQE_SKIP_MASK: usize = 3;
    /// Not 0: `io_uring_complete` passes the completion entry, not its parts.
    pub const COMPLETE_HAS_ENTRY: usize = 4;
    /// Not 0: `vfs_mkdir` returns the dentry that it made.
    pub const MKDIR_RETURNS_DENTRY: usize = 5;
    /// Not 0: `vfs_create` is passed no directory, only the dentry.
    pub const CREATE_TAKES_DENTRY: usize = 6;
    /// Not 0: the tracepoints of `mmap_lock` pass the path of a cgroup before they say who writes.
    pub const LOCK_HAS_PATH: usize = 7;
    /// Not 0: whenever the change time of an inode is set, a tracepoint tells.
    pub const TOUCHES_ARE_TOLD: usize = 8;
    /// Bit in the field `TASK_STATUS` that says that a 32-bit program runs, as a mask.
    pub const COMPAT_MASK: usize = 9;
    /// Number of settings.
    pub const COUNT: usize = 10;
}

const _: () = {
    assert!(size_of::<Header>() == 64);
    assert!(offset_of!(Header, pid) == 4 && offset_of!(Header, tid) == 8);
    assert!(offset_of!(Header, uid) == 12 && offset_of!(Header, at_ns) == 16);
    assert!(offset_of!(Header, exe_ino) == 24 && offset_of!(Header, exe_dev) == 32);
    assert!(offset_of!(Header, cgroup) == 40 && offset_of!(Header, comm) == 48);
    assert!(size_of::<DirtyRecord>() == 96 && offset_of!(DirtyRecord, slot) == 64);
    assert!(offset_of!(DirtyRecord, generation) == 68 && offset_of!(DirtyRecord, start) == 72);
    assert!(offset_of!(DirtyRecord, end) == 80 && offset_of!(DirtyRecord, before) == 88);
    assert!(size_of::<SlotRecord>() == 80 && offset_of!(SlotRecord, flags) == 72);
    assert!(size_of::<NameRecord>() == 336 && offset_of!(NameRecord, name_len) == 76);
    assert!(offset_of!(NameRecord, name) == 80 && offset_of!(SlotRecord, slot) == 64);
    assert!(size_of::<ExecRecord>() == 328 && offset_of!(ExecRecord, filename) == 72);
    assert!(size_of::<FileState>() == 64 && offset_of!(FileState, geometry) == 8);
    assert!(offset_of!(FileState, flags) == 16 && offset_of!(FileState, generation) == 24);
    assert!(offset_of!(FileState, last_writer) == 28 && offset_of!(FileState, position) == 32);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometry_survives_packing() {
        let (base, words) = (0xdead_beef, MAX_WORDS);
        let geometry = Geometry { base, words, bit_shift: 40, summary_shift: 6 };
        assert_eq!(Geometry::unpack(geometry.pack()), geometry);
        assert_eq!(Geometry::unpack(Geometry::INLINE.pack()), Geometry::INLINE);
    }
}
