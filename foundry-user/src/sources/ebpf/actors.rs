//! Who it was: from ids in records to a process with the path of its program.
//!
//! Knows: `/proc`, inode numbers of programs. Must never know: BPF, what the process did.
//! Keeps: a bounded number of paths; a path is only given to a process that runs that very inode.

use crate::artifact::OsBytes;
use crate::event::Actor;
use foundry_common::abi::Header;
use std::collections::HashMap;

/// Programs remembered: more than a busy machine runs, at about 100 bytes each.
const MOST_PROGRAMS: usize = 16_384;

/// Paths of programs by inode number and kernel device number.
#[derive(Default)]
pub(super) struct Programs {
    paths: HashMap<(u64, u32), OsBytes>,
}

impl Programs {
    /// The process of a record.
    pub(super) fn actor(&mut self, header: &Header) -> Actor {
        let exe = self.path(header);
        actor(header, exe)
    }

    /// The process of an exec record, whose file name tells the path unless `/proc` still does.
    pub(super) fn executed(&mut self, header: &Header, filename: &[u8]) -> Actor {
        let given = filename.starts_with(b"/").then(|| filename.to_vec());
        let path = read_proc(header).or(given);
        if let Some(path) = &path {
            self.remember(header, path.clone());
        }
        actor(header, path)
    }

    fn path(&mut self, header: &Header) -> Option<OsBytes> {
        if header.exe_ino == 0 {
            return None;
        }
        if let Some(path) = self.paths.get(&(header.exe_ino, header.exe_dev)) {
            return Some(path.clone());
        }
        let path = read_proc(header)?;
        self.remember(header, path.clone());
        Some(path)
    }

    fn remember(&mut self, header: &Header, path: OsBytes) {
        if header.exe_ino == 0 {
            return;
        }
        if self.paths.len() >= MOST_PROGRAMS {
            self.paths.clear();
        }
        self.paths.insert((header.exe_ino, header.exe_dev), path);
    }
}

fn actor(header: &Header, exe: Option<OsBytes>) -> Actor {
    let len = header.comm.iter().position(|byte| *byte == 0).unwrap_or(header.comm.len());
    Actor {
        pid: header.pid,
        tid: header.tid,
        uid: header.uid,
        comm: header.comm[..len].to_vec(),
        exe,
        exe_ino: header.exe_ino,
        cgroup: header.cgroup,
    }
}

/// The program that the process runs now, if that is still the inode of the record.
fn read_proc(header: &Header) -> Option<OsBytes> {
    let (path, ino) = crate::witness::program_of(header.pid)?;
    (ino == header.exe_ino).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::MetadataExt;

    fn header(pid: u32, exe_ino: u64) -> Header {
        let mut comm = [0; 16];
        comm[..4].copy_from_slice(b"test");
        Header { pid, exe_ino, comm, ..Header::default() }
    }

    #[test]
    fn a_running_process_is_found_in_proc_if_it_runs_that_inode() {
        let exe = std::env::current_exe().unwrap();
        let ino = std::fs::metadata(&exe).unwrap().ino();
        let mut programs = Programs::default();
        let actor = programs.actor(&header(std::process::id(), ino));
        assert_eq!(actor.exe, Some(exe.into_os_string().into_vec()));
        assert_eq!(actor.comm, b"test");
        assert_eq!(programs.actor(&header(std::process::id(), ino + 1)).exe, None);
    }

    #[test]
    fn a_process_that_is_gone_is_known_by_its_exec() {
        let mut programs = Programs::default();
        let gone = header(u32::MAX, 7);
        assert_eq!(programs.executed(&gone, b"/usr/bin/dd").exe, Some(b"/usr/bin/dd".to_vec()));
        assert_eq!(programs.actor(&gone).exe, Some(b"/usr/bin/dd".to_vec()));
        assert_eq!(programs.executed(&header(u32::MAX, 8), b"./dd").exe, None);
    }
}
