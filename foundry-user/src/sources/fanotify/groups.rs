//! Notification groups, one per file system, and the marks in them.
//!
//! Knows: which flags and marks this kernel and these privileges allow.
//! Must never know: artifacts, events.
//! Keeps: all events of one group come from one file system, so that file handles alone identify;
//! nothing outside the marked directories costs anything (unless a whole file system is asked for).

use super::superblock::{Place, Superblock, Superblocks};
use super::{Marks, Options, sys};
use crate::sources::SourceError;
use rustix::event::epoll;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

const BACKEND: &str = "fanotify";

/// What every group reports: handles of the directory, the name in it, and the inode itself.
const BASE: u32 = libc::FAN_CLASS_NOTIF
    | libc::FAN_CLOEXEC
    | libc::FAN_NONBLOCK
    | libc::FAN_REPORT_DFID_NAME
    | libc::FAN_REPORT_FID;

/// Entries that come and go, and the directory itself.
const NAMES: u64 = libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_MOVED_FROM
    | libc::FAN_MOVED_TO
    | libc::FAN_ATTRIB
    | libc::FAN_DELETE_SELF
    | libc::FAN_MOVE_SELF
    | libc::FAN_ONDIR;

/// Bytes that may have changed.
const CONTENT: u64 = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;

/// A mark whose file system id is ambiguous cannot share a group with one whose id is not (a btrfs
/// subvolume and the top of the same file system), so there can be two groups.
const MOST_GROUPS_PER_FILE_SYSTEM: usize = 2;

/// Groups made ahead: for file systems that are met when the privileges for making them are gone.
const SPARE: usize = 8;

/// One notification group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) fd: OwnedFd,
    pub(super) superblock: Superblock,
}

/// How far marking has come on one file system.
#[derive(Debug, Default)]
struct Marked {
    groups: Vec<Arc<Group>>,
    whole: Whole,
    /// A directory could not be marked: its files are not heard through it.
    gaps: bool,
}

/// Whether one mark covers the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Whole {
    #[default]
    Untried,
    Yes,
    Refused,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    flags: u32,
    /// Made ahead, with all that was granted.
    spare: Vec<OwnedFd>,
    options: Options,
    privileged: bool,
    epoll: Arc<OwnedFd>,
    superblocks: Superblocks,
    marked: HashMap<Superblock, Marked>,
    all: Vec<Arc<Group>>,
}

impl Groups {
    /// Finds the most that this kernel grants these privileges. `epoll` will hear all groups.
    ///
    /// # Errors
    /// Where no group can be made at all.
    pub(super) fn open(options: Options, epoll: Arc<OwnedFd>) -> Result<Self, SourceError> {
        let limits = libc::FAN_UNLIMITED_MARKS
            | if options.unlimited_queue { libc::FAN_UNLIMITED_QUEUE } else { 0 };
        let target = libc::FAN_REPORT_TARGET_FID;
        let mut refusal = io::Error::from(io::ErrorKind::Unsupported);
        for (extra, privileged) in
            [(limits | target, true), (limits, true), (target, false), (0, false)]
        {
            match sys::init(BASE | extra) {
                Ok(first) => {
                    let mut spare = vec![first];
                    if privileged {
                        // Fewer will do: others are made when they are needed.
                        let more = (1..SPARE).map_while(|_| sys::init(BASE | extra).ok());
                        spare.extend(more);
                    }
                    return Ok(Self {
                        flags: BASE | extra,
                        spare,
                        options,
                        privileged,
                        epoll,
                        superblocks: Superblocks::default(),
                        marked: HashMap::new(),
                        all: Vec::new(),
                    });
                }
                Err(error) => refusal = explain(error),
            }
        }
        let reason = format!("fanotify_init: {refusal}");
        Err(SourceError::Unavailable { backend: BACKEND, reason })
    }

    /// Whether marks on whole file systems and unlimited queues are granted.
    pub(super) fn privileged(&self) -> bool {
        self.privileged
    }

    /// Every group that was made so far.
    pub(super) fn all(&self) -> &[Arc<Group>] {
        &self.all
    }

    /// Where the inode behind `fd` lies.
    ///
    /// # Errors
    /// Of statx(2).
    pub(super) fn place(&mut self, fd: BorrowedFd<'_>) -> io::Result<Place> {
        self.superblocks.place(fd)
    }

    /// Marks the directory behind `fd`: events of its entries and of itself are reported from now on.
    ///
    /// # Errors
    /// Where the kernel refuses, or a limit is reached (the text names it).
    pub(super) fn mark_directory(
        &mut self,
        superblock: Superblock,
        fd: BorrowedFd<'_>,
    ) -> io::Result<()> {
        if self.covers_whole(superblock, fd) {
            return Ok(());
        }
        let marked = self.mark_inode(superblock, self.mask() | libc::FAN_EVENT_ON_CHILD, fd);
        self.marked.entry(superblock).or_default().gaps |= marked.is_err();
        marked
    }

    /// Marks the file behind `fd` itself where the mark of its directory would not do: where it has
    /// names in other directories, or where directories were refused.
    ///
    /// # Errors
    /// As [`Groups::mark_directory`].
    pub(super) fn mark_file(&mut self, place: Place, fd: BorrowedFd<'_>) -> io::Result<()> {
        if self.covers_whole(place.superblock, fd) {
            return Ok(());
        }
        let gaps = self.marked.get(&place.superblock).is_some_and(|marked| marked.gaps);
        if place.links > 1 || gaps {
            return self.mark_inode(place.superblock, CONTENT | libc::FAN_ATTRIB, fd);
        }
        Ok(())
    }

    /// What is asked of a directory, or of a whole file system.
    fn mask(&self) -> u64 {
        NAMES | if self.options.names_only { 0 } else { CONTENT }
    }

    /// Whether a mark on the whole file system makes any other needless; tries once to set it.
    fn covers_whole(&mut self, superblock: Superblock, fd: BorrowedFd<'_>) -> bool {
        if self.options.marks != Marks::FileSystem || !self.privileged {
            return false;
        }
        let whole = self.marked.entry(superblock).or_default().whole;
        if whole != Whole::Untried {
            return whole == Whole::Yes;
        }
        let mask = self.mask();
        let set = self.mark_in_new_group(superblock, libc::FAN_MARK_FILESYSTEM, mask, fd);
        let whole = if set.is_ok() { Whole::Yes } else { Whole::Refused };
        self.marked.entry(superblock).or_default().whole = whole;
        set.is_ok()
    }

    fn mark_inode(
        &mut self,
        superblock: Superblock,
        mask: u64,
        fd: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let groups = &self.marked.entry(superblock).or_default().groups;
        for group in groups {
            match sys::mark(group.fd.as_fd(), libc::FAN_MARK_INODE, mask, fd) {
                Err(error) if error.raw_os_error() == Some(libc::EXDEV) => {}
                outcome => return outcome.map_err(explain),
            }
        }
        if groups.len() >= MOST_GROUPS_PER_FILE_SYSTEM {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        }
        self.mark_in_new_group(superblock, libc::FAN_MARK_INODE, mask, fd)
    }

    /// One that was made ahead; or, where privileges are gone, one that says less of who did it.
    fn new_group(&mut self) -> io::Result<OwnedFd> {
        if let Some(spare) = self.spare.pop() {
            return Ok(spare);
        }
        match sys::init(self.flags) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                let limits = libc::FAN_UNLIMITED_MARKS | libc::FAN_UNLIMITED_QUEUE;
                sys::init(self.flags & !limits)
            }
            outcome => outcome,
        }
    }

    /// A group that could not take its first mark is dropped again.
    fn mark_in_new_group(
        &mut self,
        superblock: Superblock,
        kind: u32,
        mask: u64,
        fd: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let group = Group { fd: self.new_group().map_err(explain)?, superblock };
        epoll::add(&self.epoll, &group.fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        sys::mark(group.fd.as_fd(), kind, mask, fd).map_err(explain)?;
        let group = Arc::new(group);
        self.all.push(Arc::clone(&group));
        self.marked.entry(superblock).or_default().groups.push(group);
        Ok(())
    }
}

/// Names the limit that was reached, where one was.
fn explain(error: io::Error) -> io::Error {
    let limit = match error.raw_os_error() {
        Some(libc::EMFILE) => "max_user_groups",
        Some(libc::ENOSPC) => "max_user_marks",
        _ => return error,
    };
    let text = format!("the limit of fanotify is reached: raise sysctl fs.fanotify.{limit}");
    io::Error::new(io::ErrorKind::QuotaExceeded, text)
}
