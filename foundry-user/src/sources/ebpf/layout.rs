//! Which kernel fields the probes read, and where this kernel keeps them.
//!
//! Knows: names of kernel structures. Must never know: how BTF is encoded, BPF programs.
//! Keeps: a field that a backend cannot do without is found, or the backend does not start; the
//! others are marked absent, and the probes do without.

use super::Backend;
use crate::sources::btf::{Btf, BtfError};
use foundry_common::abi::{field, setting};

/// Which backend cannot do without a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Both,
    Fentry,
    Tracepoint,
    Nobody,
}

/// Structure, path inside it, and the bytes that are read.
type Place = (&'static str, &'static [&'static str], u32);

/// A field has one place, or others on other kernels: the first that exists counts.
struct Wanted(usize, Need, &'static [Place]);

const WANTED: &[Wanted] = &[
    Wanted(field::TASK_FILES, Need::Both, &[("task_struct", &["files"], 8)]),
    Wanted(field::TASK_MM, Need::Both, &[("task_struct", &["mm"], 8)]),
    Wanted(field::TASK_TGID, Need::Both, &[("task_struct", &["tgid"], 4)]),
    Wanted(field::MM_EXE_FILE, Need::Both, &[("mm_struct", &["exe_file"], 8)]),
    Wanted(field::FILES_COUNT, Need::Tracepoint, &[("files_struct", &["count"], 4)]),
    Wanted(field::FILES_FDT, Need::Both, &[("files_struct", &["fdt"], 8)]),
    Wanted(field::FDT_MAX_FDS, Need::Both, &[("fdtable", &["max_fds"], 4)]),
    Wanted(field::FDT_FD, Need::Both, &[("fdtable", &["fd"], 8)]),
    Wanted(field::FILE_INODE, Need::Both, &[("file", &["f_inode"], 8)]),
    Wanted(field::FILE_POS, Need::Tracepoint, &[("file", &["f_pos"], 8)]),
    Wanted(field::FILE_FLAGS, Need::Tracepoint, &[("file", &["f_flags"], 4)]),
    Wanted(field::FILE_MODE, Need::Both, &[("file", &["f_mode"], 4)]),
    Wanted(field::FILE_REF, Need::Nobody, &[("file", &["f_ref"], 8)]),
    Wanted(field::FILE_COUNT, Need::Nobody, &[("file", &["f_count"], 8)]),
    Wanted(field::FILE_DENTRY, Need::Fentry, &[("file", &["f_path", "dentry"], 8)]),
    Wanted(field::INODE_MODE, Need::Both, &[("inode", &["i_mode"], 2)]),
    Wanted(field::INODE_SB, Need::Both, &[("inode", &["i_sb"], 8)]),
    Wanted(field::INODE_MAPPING, Need::Both, &[("inode", &["i_mapping"], 8)]),
    Wanted(field::INODE_INO, Need::Both, &[("inode", &["i_ino"], 8)]),
    Wanted(field::INODE_GENERATION, Need::Both, &[("inode", &["i_generation"], 4)]),
    Wanted(field::INODE_SIZE, Need::Both, &[("inode", &["i_size"], 8)]),
    Wanted(field::SB_DEV, Need::Both, &[("super_block", &["s_dev"], 4)]),
    Wanted(field::MAPPING_HOST, Need::Tracepoint, &[("address_space", &["host"], 8)]),
    Wanted(field::MAPPING_WRITABLE, Need::Both, &[("address_space", &["i_mmap_writable"], 4)]),
    Wanted(field::KIOCB_FILE, Need::Both, &[("kiocb", &["ki_filp"], 8)]),
    Wanted(field::KIOCB_POS, Need::Both, &[("kiocb", &["ki_pos"], 8)]),
    Wanted(field::KIOCB_FLAGS, Need::Both, &[("kiocb", &["ki_flags"], 4)]),
    Wanted(field::ITER_COUNT, Need::Nobody, &[("iov_iter", &["count"], 8)]),
    Wanted(field::DENTRY_PARENT, Need::Fentry, &[("dentry", &["d_parent"], 8)]),
    Wanted(field::DENTRY_INODE, Need::Fentry, &[("dentry", &["d_inode"], 8)]),
    Wanted(field::DENTRY_NAME, Need::Fentry, &[("dentry", &["d_name", "name"], 8)]),
    Wanted(field::RENAME_OLD, Need::Fentry, &[("renamedata", &["old_dentry"], 8)]),
    Wanted(field::IATTR_VALID, Need::Fentry, &[("iattr", &["ia_valid"], 4)]),
    Wanted(field::IATTR_SIZE, Need::Fentry, &[("iattr", &["ia_size"], 8)]),
    Wanted(field::FAULT_VMA, Need::Fentry, &[("vm_fault", &["vma"], 8)]),
    Wanted(field::FAULT_PGOFF, Need::Fentry, &[("vm_fault", &["pgoff"], 8)]),
    Wanted(field::VMA_FILE, Need::Fentry, &[("vm_area_struct", &["vm_file"], 8)]),
    Wanted(field::FOLIO_FLAGS, Need::Tracepoint, &[("folio", &["flags"], 8)]),
    Wanted(field::FOLIO_INDEX, Need::Tracepoint, &[("folio", &["index"], 8)]),
    Wanted(
        field::FOLIO_ORDER,
        Need::Tracepoint,
        &[("folio", &["_folio_order"], 1), ("folio", &["_flags_1"], 8)],
    ),
    Wanted(field::BPRM_FILENAME, Need::Both, &[("linux_binprm", &["filename"], 8)]),
    Wanted(field::REQUEST_FILE, Need::Nobody, &[("io_kiocb", &["file"], 8)]),
    Wanted(field::REQUEST_CMD, Need::Nobody, &[("io_kiocb", &["cmd"], 64)]),
    Wanted(field::REQUEST_OPCODE, Need::Nobody, &[("io_kiocb", &["opcode"], 1)]),
    Wanted(
        field::REQUEST_FLAGS,
        Need::Nobody,
        &[("io_kiocb", &["flags"], 8), ("io_kiocb", &["flags"], 4)],
    ),
    Wanted(field::CQE_RES, Need::Nobody, &[("io_uring_cqe", &["res"], 4)]),
    Wanted(field::DIO_KIOCB, Need::Nobody, &[("iomap_dio", &["iocb"], 8)]),
    Wanted(field::DIO_SIZE, Need::Nobody, &[("iomap_dio", &["size"], 8)]),
];

/// A processor, as far as the kernel's structures depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86,
    Arm,
}

impl Machine {
    /// The one that this program was built for.
    const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Arm } else { Self::X86 };

    /// Registers and flags of threads.
    const fn wanted(self) -> &'static [Wanted] {
        match self {
            Self::X86 => X86,
            Self::Arm => ARM,
        }
    }

    /// In the field `TASK_STATUS`: `TS_COMPAT`, or `TIF_32BIT`.
    const fn compat_mask(self) -> u32 {
        match self {
            Self::X86 => 1 << 1,
            Self::Arm => 1 << 22,
        }
    }
}

/// A field that only the tracepoint backend reads, and it cannot do without.
const fn read_by_tracepoint(index: usize, place: &'static [Place]) -> Wanted {
    Wanted(index, Need::Tracepoint, place)
}

use read_by_tracepoint as tp;

/// The kernel copies the six arguments of a 32-bit program to bx, cx, dx, si, di, bp.
const X86: &[Wanted] = &[
    tp(field::TASK_STATUS, &[("task_struct", &["thread_info", "status"], 4)]),
    tp(field::REGS_NUMBER, &[("pt_regs", &["orig_ax"], 8)]),
    tp(field::REGS_ARG0, &[("pt_regs", &["di"], 8)]),
    tp(field::REGS_ARG1, &[("pt_regs", &["si"], 8)]),
    tp(field::REGS_ARG2, &[("pt_regs", &["dx"], 8)]),
    tp(field::REGS_ARG3, &[("pt_regs", &["r10"], 8)]),
    tp(field::REGS_ARG4, &[("pt_regs", &["r8"], 8)]),
    tp(field::REGS_ARG5, &[("pt_regs", &["r9"], 8)]),
    tp(field::COMPAT_ARG0, &[("pt_regs", &["bx"], 8)]),
    tp(field::COMPAT_ARG1, &[("pt_regs", &["cx"], 8)]),
    tp(field::COMPAT_ARG2, &[("pt_regs", &["dx"], 8)]),
    tp(field::COMPAT_ARG3, &[("pt_regs", &["si"], 8)]),
    tp(field::COMPAT_ARG4, &[("pt_regs", &["di"], 8)]),
];

/// When a call returns, its result is in the register of its first argument, which is kept beside.
const ARM: &[Wanted] = &[
    tp(field::TASK_STATUS, &[("task_struct", &["thread_info", "flags"], 8)]),
    tp(field::REGS_NUMBER, &[("pt_regs", &["syscallno"], 4)]),
    tp(field::REGS_ARG0, &[("pt_regs", &["orig_x0"], 8)]),
    tp(field::REGS_ARG1, &[("pt_regs", &["regs", "1"], 8)]),
    tp(field::REGS_ARG2, &[("pt_regs", &["regs", "2"], 8)]),
    tp(field::REGS_ARG3, &[("pt_regs", &["regs", "3"], 8)]),
    tp(field::REGS_ARG4, &[("pt_regs", &["regs", "4"], 8)]),
    tp(field::REGS_ARG5, &[("pt_regs", &["regs", "5"], 8)]),
    tp(field::COMPAT_ARG0, &[("pt_regs", &["orig_x0"], 8)]),
    tp(field::COMPAT_ARG1, &[("pt_regs", &["regs", "1"], 8)]),
    tp(field::COMPAT_ARG2, &[("pt_regs", &["regs", "2"], 8)]),
    tp(field::COMPAT_ARG3, &[("pt_regs", &["regs", "3"], 8)]),
    tp(field::COMPAT_ARG4, &[("pt_regs", &["regs", "4"], 8)]),
];

/// The tables that the probes read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// By [`field`].
    pub(super) offsets: [u32; field::COUNT],
    /// By [`setting`].
    pub(super) settings: [u32; setting::COUNT],
}

impl Layout {
    /// Asks BTF for every field.
    ///
    /// # Errors
    /// Where a field that `backend` cannot do without is not there.
    pub(super) fn find(btf: &Btf<'_>, backend: Backend) -> Result<Self, BtfError> {
        Self::of(Machine::HERE, btf, backend)
    }

    fn of(machine: Machine, btf: &Btf<'_>, backend: Backend) -> Result<Self, BtfError> {
        let mut offsets = [field::ABSENT; field::COUNT];
        for Wanted(index, need, places) in WANTED.iter().chain(machine.wanted()) {
            let needed = match need {
                Need::Both => true,
                Need::Fentry => backend == Backend::Fentry,
                Need::Tracepoint => backend == Backend::Tracepoint,
                Need::Nobody => false,
            };
            match first_place(btf, places) {
                Ok(offset) => offsets[*index] = offset,
                Err(error) if needed => return Err(error),
                Err(_) => {}
            }
        }
        if backend == Backend::Tracepoint
            && offsets[field::FILE_REF] == field::ABSENT
            && offsets[field::FILE_COUNT] == field::ABSENT
        {
            return Err(BtfError::NoField("file.f_ref".to_owned()));
        }
        let mut settings = settings(btf);
        settings[setting::COMPAT_MASK] = machine.compat_mask();
        Ok(Self { offsets, settings })
    }
}

fn first_place(btf: &Btf<'_>, places: &[Place]) -> Result<u32, BtfError> {
    let mut failed = None;
    for (outer, path, bytes) in places {
        match btf.field(outer, path, *bytes) {
            Ok(found) => return Ok(found.offset),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| BtfError::NoField(String::new())))
}

fn settings(btf: &Btf<'_>) -> [u32; setting::COUNT] {
    let mask = |name| btf.enumerator(name).and_then(|bit| 1u32.checked_shl(bit)).unwrap_or(0);
    let page_shift = rustix::param::page_size().trailing_zeros();
    let mut settings = [0; setting::COUNT];
    settings[setting::OWN_PID] = std::process::id();
    settings[setting::PAGE_SHIFT] = page_shift;
    settings[setting::FOLIO_LARGE_MASK] = mask("PG_head");
    settings[setting::CQE_SKIP_MASK] = mask("REQ_F_CQE_SKIP_BIT");
    // The tracepoint's own data, the ring, the request, the entry.
    let whole_entry = btf.tracepoint_parameters("io_uring_complete") == Some(4);
    settings[setting::COMPLETE_HAS_ENTRY] = u32::from(whole_entry);
    settings[setting::MKDIR_RETURNS_DENTRY] = u32::from(btf.returns_pointer("vfs_mkdir"));
    let without_directory = btf.parameters("vfs_create") == Some(4);
    settings[setting::CREATE_TAKES_DENTRY] = u32::from(without_directory);
    // The tracepoint's own data, the memory, the path, whether it was for writing.
    let with_path = btf.tracepoint_parameters("mmap_lock_released") == Some(4);
    settings[setting::LOCK_HAS_PATH] = u32::from(with_path);
    let told = btf.tracepoint_parameters("inode_set_ctime_to_ts").is_some();
    settings[setting::TOUCHES_ARE_TOLD] = u32::from(told);
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_wanted_once() {
        for machine in [Machine::X86, Machine::Arm] {
            let mut seen = [0; field::COUNT];
            for Wanted(index, ..) in WANTED.iter().chain(machine.wanted()) {
                seen[*index] += 1;
            }
            assert!(seen.iter().all(|n| *n == 1), "{machine:?}: {seen:?}");
        }
    }

    #[test]
    fn the_running_kernel_has_what_the_tracepoint_backend_needs() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel shows no BTF");
            return;
        };
        let layout = Layout::find(&Btf::parse(&bytes).unwrap(), Backend::Tracepoint).unwrap();
        assert_ne!(layout.offsets[field::FILE_INODE], field::ABSENT);
        assert_eq!(layout.settings[setting::PAGE_SHIFT], 12);
        assert_ne!(layout.settings[setting::FOLIO_LARGE_MASK], 0);
    }

    /// Registers in the order in which x86 keeps them, as its ABI says since 2.6.24.
    const X86_REGS: [(usize, u32); 8] = [
        (field::REGS_ARG3, 56),
        (field::REGS_ARG5, 64),
        (field::REGS_ARG4, 72),
        (field::REGS_ARG2, 96),
        (field::REGS_ARG1, 104),
        (field::REGS_ARG0, 112),
        (field::REGS_NUMBER, 120),
        // Behind two words of flags.
        (field::TASK_STATUS, 16),
    ];
    /// The registers of ARM are an array at the beginning; then come sp, pc, the flags, and these two.
    const ARM_REGS: [(usize, u32); 5] = [
        (field::REGS_ARG1, 8),
        (field::REGS_ARG5, 40),
        (field::REGS_ARG0, 34 * 8),
        (field::REGS_NUMBER, 35 * 8),
        (field::TASK_STATUS, 0),
    ];

    /// Whether a kernel `major.minor` is at least as new as this one.
    fn since(version: &str, major: u32, minor: u32) -> u32 {
        let mut numbers = version.split('.').map_while(|n| n.parse::<u32>().ok());
        let found = (numbers.next().unwrap(), numbers.next().unwrap());
        u32::from((major, minor) <= found)
    }

    /// `cargo xtask test` and `cargo xtask arm` say where the types of which kernels are: a line for each,
    /// with its processor, its version and a file.
    #[test]
    fn named_kernels_have_what_the_probes_read() {
        let Ok(named) = std::env::var("FOUNDRY_BTF") else {
            println!("not asked for: FOUNDRY_BTF is not set");
            return;
        };
        for line in named.lines() {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            let [machine, version, path] = words[..] else { panic!("not a kernel: {line}") };
            let (machine, other, regs) = match machine {
                "x86" => (Machine::X86, Machine::Arm, &X86_REGS[..]),
                "arm" => (Machine::Arm, Machine::X86, &ARM_REGS[..]),
                other => panic!("no processor {other}"),
            };
            let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let btf = Btf::parse(&bytes).unwrap();
            for backend in [Backend::Tracepoint, Backend::Fentry] {
                let layout = Layout::of(machine, &btf, backend)
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
                for (field, offset) in regs {
                    assert_eq!(layout.offsets[*field], *offset, "{line}: field {field}");
                }
                // Files are counted by `f_count` up to 6.12, by `f_ref` from there on.
                let newer = since(version, 6, 13) == 1;
                assert_eq!(layout.offsets[field::FILE_REF] != field::ABSENT, newer, "{line}");
                let changed = [
                    (setting::MKDIR_RETURNS_DENTRY, since(version, 6, 15)),
                    (setting::TOUCHES_ARE_TOLD, since(version, 6, 13)),
                ];
                for (setting, value) in changed {
                    assert_eq!(layout.settings[setting], value, "{line}: setting {setting}");
                }
                assert_ne!(layout.settings[setting::FOLIO_LARGE_MASK], 0, "{line}");
            }
            assert!(Layout::of(other, &btf, Backend::Tracepoint).is_err(), "{line}");
        }
    }
}
