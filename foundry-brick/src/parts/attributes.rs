//! What can be said of a part, each with the code that stands for it in the encoding.
//!
//! Knows: names and codes. Must never know: where a value comes from.
//! Keeps: a code never changes its meaning; an unknown code is kept as it is.

/// What a part is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartKind(pub u8);

/// A code and its name.
macro_rules! codes {
    ($type:ident { $($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+ }) => {
        impl $type {
            $($(#[$doc])* pub const $name: Self = Self($code);)+

            /// Every code that has a name, with it: the table of FORMAT.md.
            pub const NAMES: &[(u8, &'static str)] = &[$(($code, $text)),+];

            /// Its name, `unknown` for a code of a later program.
            #[must_use]
            pub fn name(self) -> &'static str {
                Self::NAMES.iter().find(|(code, _)| *code == self.0).map_or("unknown", |n| n.1)
            }
        }
    };
}

codes!(PartKind {
    /// Anonymous memory without a name of its own.
    ANONYMOUS = 0, "anonymous";
    /// A mapped file.
    MAPPED_FILE = 1, "mapped-file";
    /// The heap of `brk`.
    HEAP = 2, "heap";
    /// The stack of a thread.
    STACK = 3, "stack";
    /// vdso, vvar, vsyscall and what else the kernel puts there.
    KERNEL = 4, "kernel";
    /// Anonymous memory that the program has named, or shared memory.
    NAMED = 5, "named";
    /// Address space of a process that may not be touched: one page stands for all of it.
    RESERVED = 6, "reserved";
    /// A regular file.
    FILE = 16, "file";
    /// A directory.
    DIRECTORY = 17, "directory";
    /// A symbolic link.
    SYMLINK = 18, "symlink";
    /// A device, a pipe, a socket.
    SPECIAL = 19, "special";
    /// A process.
    PROCESS = 20, "process";
});

/// What a number or a text says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute(pub u8);

codes!(Attribute {
    /// Bytes of the file, or of the mapping.
    SIZE = 1, "size";
    /// Permission bits of an entry.
    MODE = 2, "mode";
    /// Owner.
    UID = 3, "uid";
    /// Group.
    GID = 4, "gid";
    /// Modification time, nanoseconds since the epoch, two's complement.
    MTIME = 5, "mtime_ns";
    /// Inode number.
    INODE = 6, "inode";
    /// Device number.
    DEVICE = 7, "device";
    /// Permissions of a mapping: see [`page::READ`] and its like.
    PERMISSIONS = 8, "permissions";
    /// Process.
    PID = 9, "pid";
    /// The thread whose stack it is.
    TID = 10, "tid";
    /// Resident bytes.
    RESIDENT = 11, "resident";
    /// Bytes in swap.
    SWAPPED = 12, "swapped";
    /// Entries of a directory.
    ENTRIES = 13, "entries";
    /// 1 where content could not be read.
    UNREADABLE = 14, "unreadable";
    /// When a process ended, nanoseconds since the epoch.
    ENDED = 15, "ended_ns";
    /// Tells two sets of cells apart that an entry may show: the start of their hash.
    FACE = 16, "face";
    /// Levels of the entry's own plane below one of this plane: a cell here is 4^scale cells there.
    SCALE = 17, "scale";
    /// The package a file belongs to (text).
    PACKAGE = 64, "package";
    /// Where a symbolic link leads (text).
    TARGET = 65, "target";
    /// Name of a process, as the kernel keeps it (text).
    COMM = 66, "comm";
});

/// A run of pages in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    /// How many.
    pub count: u64,
    /// Bits of [`page`].
    pub state: u8,
}

/// Bits of a page's state, and of a mapping's permissions.
pub mod page {
    /// In memory.
    pub const RESIDENT: u8 = 1;
    /// In swap.
    pub const SWAPPED: u8 = 2;
    /// Backed by a file, or shared anonymous memory.
    pub const FILE: u8 = 4;
    /// Written to since it was last clean.
    pub const DIRTY: u8 = 8;
    /// Mapped by this process alone.
    pub const EXCLUSIVE: u8 = 16;
    /// Part of a huge page.
    pub const HUGE: u8 = 32;
    /// The kernel's page of zeros.
    pub const ZERO: u8 = 64;
    /// Its content was read for the cell's statistics.
    pub const SAMPLED: u8 = 128;

    /// The bits by name, lowest first: the table of FORMAT.md.
    pub const NAMES: [&str; 8] =
        ["resident", "swapped", "file", "dirty", "exclusive", "huge", "zero", "sampled"];

    /// Permission to read.
    pub const READ: u64 = 1;
    /// Permission to write.
    pub const WRITE: u64 = 2;
    /// Permission to execute.
    pub const EXECUTE: u64 = 4;
    /// Stores are seen by others.
    pub const SHARED: u64 = 8;
}
