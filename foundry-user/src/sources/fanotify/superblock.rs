//! Which file system an open file lies on.
//!
//! Knows: mount numbers and /proc/self/mountinfo. Must never know: artifacts, marks.
//! Keeps: all subvolumes, bind mounts and layers of one file system give one number, which
//! `st_dev` alone does not (btrfs has one per subvolume, overlay one per layer).

use rustix::fs::{AtFlags, StatxFlags};
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;

/// Asks for a mount number that is never used twice (`STATX_MNT_ID_UNIQUE`, since Linux 6.8).
const UNIQUE_MOUNT: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Major and minor number of a file system, as mountinfo shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Superblock(u32, u32);

/// What had to be asked of the kernel anyway to find the file system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) superblock: Superblock,
    /// Hard links of the inode.
    pub(super) links: u32,
}

/// File systems by mount number, as far as they were met.
#[derive(Debug, Default)]
pub(super) struct Superblocks {
    by_mount: HashMap<u64, Superblock>,
}

impl Superblocks {
    /// Where the inode behind `fd` lies.
    ///
    /// # Errors
    /// Of statx(2).
    pub(super) fn place(&mut self, fd: BorrowedFd<'_>) -> io::Result<Place> {
        let wanted = StatxFlags::NLINK | StatxFlags::MNT_ID | UNIQUE_MOUNT;
        let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, wanted)?;
        let links = stat.stx_nlink;
        if let Some(known) = self.by_mount.get(&stat.stx_mnt_id) {
            return Ok(Place { superblock: *known, links });
        }
        let plain = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
        let of_device = Superblock(stat.stx_dev_major, stat.stx_dev_minor);
        // Without /proc, or on a mount that is already detached, the device must do.
        let superblock = std::fs::read("/proc/self/mountinfo")
            .ok()
            .and_then(|text| find(&text, plain.stx_mnt_id))
            .unwrap_or(of_device);
        self.by_mount.insert(stat.stx_mnt_id, superblock);
        Ok(Place { superblock, links })
    }
}

/// The device column of the mountinfo line that begins with `mount`.
fn find(mountinfo: &[u8], mount: u64) -> Option<Superblock> {
    mountinfo.split(|byte| *byte == b'\n').find_map(|line| {
        let mut columns = line.split(|byte| *byte == b' ').map(std::str::from_utf8);
        let number: u64 = columns.next()?.ok()?.parse().ok()?;
        if number != mount {
            return None;
        }
        let (major, minor) = columns.nth(1)?.ok()?.split_once(':')?;
        Some(Superblock(major.parse().ok()?, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_line_of_the_mount_decides() {
        let text = b"22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n";
        assert_eq!(find(text, 27), Some(Superblock(254, 0)));
        assert_eq!(find(text, 22), Some(Superblock(0, 21)));
        assert_eq!(find(text, 1), None);
    }

    #[test]
    fn odd_lines_are_passed_over() {
        assert_eq!(find(b"x y z\n5\n5 \n5 6 7\n5 6 a:b /\n\xff 1 2:3\n", 5), None);
    }

    #[test]
    fn one_directory_is_on_one_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("f")).unwrap();
        let dir = std::fs::File::open(dir.path()).unwrap();
        let mut known = Superblocks::default();
        let of_dir = known.place(dir.as_fd()).unwrap();
        let of_file = known.place(file.as_fd()).unwrap();
        assert_eq!(of_dir.superblock, of_file.superblock);
        assert_eq!(of_file.links, 1);
        let proc_dir = std::fs::File::open("/proc").unwrap();
        assert_ne!(known.place(proc_dir.as_fd()).unwrap().superblock, of_dir.superblock);
    }
}
