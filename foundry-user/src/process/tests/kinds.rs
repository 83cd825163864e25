//! Processes of every kind: 32-bit, of another user, with very many mappings, one that ends too early.

use super::*;
use foundry_brick::parts::PartKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

/// A 32-bit program that says its first four bytes and waits for a signal: an ELF header, one segment,
/// `write`, and `pause` in a loop.
fn tiny() -> Vec<u8> {
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let short = |elf: &mut Vec<u8>, all: &[u16]| {
        all.iter().for_each(|n| elf.extend(n.to_le_bytes()));
    };
    let word = |elf: &mut Vec<u8>, all: &[u32]| {
        all.iter().for_each(|n| elf.extend(n.to_le_bytes()));
    };
    short(&mut elf, &[2, 3]);
    word(&mut elf, &[1, 0x0804_8054, 0x34, 0, 0]);
    short(&mut elf, &[0x34, 0x20, 1, 0, 0, 0]);
    word(&mut elf, &[1, 0, 0x0804_8000, 0x0804_8000, 0x74, 0x74, 5, 0x1000]);
    elf.extend(b"\xb8\x04\0\0\0\xbb\x01\0\0\0\xb9\0\x80\x04\x08\xba\x04\0\0\0\xcd\x80");
    elf.extend(b"\xb8\x1d\0\0\0\xcd\x80\xeb\xf7\0");
    elf
}

#[test]
fn a_32_bit_process_has_its_bits_and_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let (made, program) = (dir.path().join("made"), dir.path().join("program"));
    std::fs::write(&made, tiny()).unwrap();
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o700)).unwrap();
    // Written by another process: whoever forks here meanwhile would hold it open for writing.
    assert!(Command::new("cp").arg(&made).arg(&program).status().unwrap().success());
    let mut child = match Command::new(&program).stdout(Stdio::piped()).spawn() {
        Ok(child) => Quiet(child),
        Err(e) if e.raw_os_error() == Some(libc::ENOEXEC) => {
            println!("this kernel runs no 32-bit programs");
            return;
        }
        Err(e) => panic!("{e}"),
    };
    io::Read::read_exact(child.0.stdout.as_mut().unwrap(), &mut [0; 4]).unwrap();
    let (brick, _) = capture(child.pid(), Payload::Reference).unwrap();
    let brick = Brick::open(brick).unwrap();
    assert_eq!(brick.facts().unwrap()["bits"], FactValue::Number(32));
    let parts = brick.parts().unwrap().unwrap();
    let code = parts.iter().find(|(_, part)| part.address == Some(0x0804_8000)).unwrap().1;
    assert_eq!((code.kind, code.length), (PartKind::MAPPED_FILE, 4096));
    assert!(parts.iter().all(|(_, part)| part.address.unwrap() + part.length <= 1 << 32));
}

#[test]
fn a_process_of_another_user_is_root_s_to_see() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can start a process of another user");
        return;
    }
    let mut cat = Command::new("cat");
    let child = Quiet::of(cat.uid(65534).gid(65534));
    let (brick, sampled) = capture(child.pid(), Payload::Reference).unwrap();
    assert_eq!(Brick::open(brick).unwrap().meta().uid, 65534);
    assert!(!sampled.denied && sampled.pages > 0, "{sampled:?}");
}

/// Every other page of one mapping may be read: so many mappings.
const MANY: &str = "
import ctypes, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
n = int(sys.argv[1])
a = libc.mmap(None, n * 4096, 0, 0x22, -1, 0)
for i in range(0, n, 2): assert libc.mprotect(a + i * 4096, 4096, 1) == 0
print('done', flush=True); sys.stdin.readline()
";

#[test]
fn very_many_mappings_are_all_there() {
    // The kernel allows so many; the test asks for what it will have by itself in time.
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let n = most.trim().parse::<u64>().unwrap().saturating_sub(1000).min(20_000);
    let python = Command::new("python3")
        .args(["-c", MANY, &n.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Quiet(python.unwrap_or_else(|e| panic!("python3: {e}")));
    io::Read::read_exact(child.0.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
    let survey = Survey::take(&Target::open(child.pid()).unwrap(), None).unwrap();
    let parts = survey.parts;
    let single = parts.iter().filter(|(_, part)| part.length == 4096).count() as u64;
    assert!(single + 2 >= n, "{single} of {n}");
}

/// Memory of a process that ends when it is looked into for the second time.
struct Dying {
    child: Quiet,
    reads: u32,
}

impl Memory for Dying {
    fn read(&mut self, addresses: &[u64], into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads == 2 {
            self.child.0.kill().unwrap();
            self.child.0.wait().unwrap();
        }
        Live(self.child.pid()).read(addresses, into)
    }
}

#[test]
fn a_process_that_ends_in_the_middle_leaves_what_was_seen() {
    let child = Quiet::start();
    let survey = Survey::take(&Target::open(child.pid()).unwrap(), None).unwrap();
    let mut memory = Dying { child, reads: 0 };
    let (editor, _, sampled) =
        survey.fold(MemStorage::default(), &mut memory, Payload::Reference, 1).unwrap();
    assert!(sampled.ended && sampled.pages > 0 && sampled.unreadable > 0, "{sampled:?}");
    let brick = Brick::open(editor.into_storage()).unwrap();
    assert_eq!(brick.verify(), []);
    assert_eq!(brick.facts().unwrap()["ended"], FactValue::Flag(true));
}
