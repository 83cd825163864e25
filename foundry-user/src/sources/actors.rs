//! Who a process is, as long as `/proc` still knows it.
//!
//! Knows: /proc/PID. Must never know: what the process did.
//! Keeps: a process is looked up once for all its events of one drain; a process that is gone, or
//! hidden from this user, is still named by its number.

use crate::artifact::OsBytes;
use crate::event::Actor;
use crate::sources::batch::nameless;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

/// More than any line of interest in /proc/PID/status is from its start.
const MOST_STATUS_BYTES: u64 = 4096;

/// Processes that were looked up. Forget them between drains: numbers are used again.
#[derive(Debug, Default)]
pub(super) struct Actors {
    known: HashMap<u32, Actor>,
}

impl Actors {
    /// The process `pid`.
    pub(super) fn of(&mut self, pid: u32) -> Actor {
        self.known.entry(pid).or_insert_with(|| crate::witness::actor(pid)).clone()
    }
}

/// Asks `/proc` about `pid`; what it does not say stays empty.
pub(crate) fn look_up(pid: u32) -> Actor {
    let mut actor = nameless(pid);
    let mut status = Vec::new();
    let read = std::fs::File::open(format!("/proc/{pid}/status"))
        .and_then(|file| file.take(MOST_STATUS_BYTES).read_to_end(&mut status));
    if read.is_err() {
        return actor;
    }
    if let Ok(mut comm) = std::fs::read(format!("/proc/{pid}/comm")) {
        comm.pop();
        actor.comm = comm;
    }
    actor.uid = real_uid(&status).unwrap_or_default();
    if let Some((path, ino)) = program_of(pid) {
        (actor.exe, actor.exe_ino) = (Some(path), ino);
    }
    actor
}

/// The path of the program that `pid` runs, and its inode number (0 where that is hidden).
pub(crate) fn program_of(pid: u32) -> Option<(OsBytes, u64)> {
    let exe = format!("/proc/{pid}/exe");
    let path = std::fs::read_link(&exe).ok()?;
    // Following the link leads to the inode itself, whatever its path is now.
    let ino = std::fs::metadata(&exe).map_or(0, |stat| stat.ino());
    Some((OsString::from(path).into_vec(), ino))
}

/// The first number after `Uid:`.
fn real_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let actor = look_up(std::process::id());
        let exe = std::env::current_exe().unwrap();
        assert_eq!(actor.exe.as_deref(), Some(exe.as_os_str().as_encoded_bytes()));
        assert_eq!(actor.exe_ino, std::fs::metadata(&exe).unwrap().ino());
        assert_eq!(actor.uid, rustix::process::getuid().as_raw());
        assert!(!actor.comm.is_empty() && actor.comm.len() <= 15);
    }

    #[test]
    fn nobody_is_named_by_number() {
        // Numbers beyond the kernel's largest are never given.
        let actor = look_up(u32::MAX);
        assert_eq!(actor, nameless(u32::MAX));
    }

    #[test]
    fn the_real_user_is_the_first_of_four() {
        assert_eq!(real_uid(b"Name:\tx\nUid:\t7\t8\t9\t10\n"), Some(7));
        assert_eq!(real_uid(b"Name:\tx\nUid:\tx\n"), None);
        assert_eq!(real_uid(b""), None);
    }
}
