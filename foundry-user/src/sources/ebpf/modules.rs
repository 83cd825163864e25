//! Probes on functions of file systems that are kernel modules, whose types lie beside the kernel's.
//!
//! Knows: the object, module BTF. Must never know: slots, events.
//! Keeps: the same programs on the same BPF maps as everywhere else; only their target differs.

use super::bpf;
use super::probes::{Hook, Spec, Status};
use crate::sources::btf::Btf;
use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;
use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Functions that may lie in a module, and which.
const MODULES: &[(&str, &str)] = &[
    ("ext4_file_write_iter", "ext4"),
    ("xfs_file_write_iter", "xfs"),
    ("btrfs_file_write_iter", "btrfs"),
    ("ovl_write_iter", "overlay"),
    ("ovl_splice_write", "overlay"),
    ("f2fs_file_write_iter", "f2fs"),
    ("fuse_file_write_iter", "fuse"),
    ("nfs_file_write", "nfs"),
    ("ext2_file_write_iter", "ext2"),
];

/// What it takes to attach to a module, now or when the module is loaded later.
pub(super) struct Modules {
    object: Cow<'static, [u8]>,
    maps: Vec<(String, OwnedFd)>,
    /// Closing them detaches.
    links: Vec<OwnedFd>,
}

impl Modules {
    /// Remembers the BPF maps that all programs share.
    pub(super) fn new(ebpf: &Ebpf, object: Cow<'static, [u8]>) -> io::Result<Self> {
        let mut maps = Vec::new();
        for (name, map) in ebpf.maps() {
            let data = match map {
                Map::Array(data)
                | Map::HashMap(data)
                | Map::LruHashMap(data)
                | Map::PerCpuArray(data)
                | Map::RingBuf(data) => data,
                _ => return Err(io::Error::other(format!("BPF map {name} of an unknown kind"))),
            };
            maps.push((name.to_owned(), data.fd().as_fd().try_clone_to_owned()?));
        }
        Ok(Self { object, maps, links: Vec::new() })
    }

    /// The BPF maps by name, and what is attached: for pinning.
    pub(super) fn objects(&self) -> (&[(String, OwnedFd)], &[OwnedFd]) {
        (&self.maps, &self.links)
    }

    /// Attaches a probe whose function is not the kernel's own.
    pub(super) fn attach(&mut self, spec: &Spec, kernel: &Btf<'_>) -> Status {
        let Hook::Exit(function) = spec.hook else { return Status::Absent };
        let found = MODULES.iter().find(|(name, _)| *name == function);
        let Some((_, module)) = found else { return Status::Absent };
        let Ok(bytes) = std::fs::read(format!("/sys/kernel/btf/{module}")) else {
            return Status::Absent;
        };
        let number = Btf::module(kernel, &bytes).map(|types| types.function(function));
        match number {
            Ok(Some(number)) => match self.start(spec.program, module, number) {
                Ok(()) => Status::Attached,
                Err(error) => Status::Refused(error.to_string()),
            },
            Ok(None) => Status::Absent,
            Err(error) => Status::Refused(format!("types of module {module}: {error}")),
        }
    }

    fn start(&mut self, program: &str, module: &str, function: u32) -> io::Result<()> {
        let mut object = Object::parse(&self.object).map_err(io::Error::other)?;
        let texts: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        let parsed = std::mem::take(&mut object.maps);
        let maps = self.maps.iter().filter_map(|(name, fd)| {
            Some((name.as_str(), fd.as_raw_fd(), parsed.get(name.as_str())?))
        });
        object.relocate_maps(maps, &texts).map_err(io::Error::other)?;
        object.relocate_calls(&texts).map_err(io::Error::other)?;
        let missing = || io::Error::other(format!("the object has no program {program}"));
        let found = object.programs.get(program).ok_or_else(missing)?;
        let code = object.functions.get(&found.function_key()).ok_or_else(missing)?;
        let types = bpf::btf_of_module(module)?;
        let loaded = bpf::load_exit(&code.instructions, types.as_fd(), function)?;
        self.links.push(bpf::attach(loaded.as_fd())?);
        Ok(())
    }
}
