//! A brick that follows layouts equals one that is made from everything.

use super::*;
use crate::capture::{capture, follow};
use crate::store::Disk;
use foundry_brick::cells::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// Changes its memory a step a line; says where the memory is.
const PROGRAM: &str = "
import ctypes, sys
libc = ctypes.CDLL(None)
V, S, I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
libc.mmap.restype, libc.mmap.argtypes = V, [V, S, I, I, I, ctypes.c_long]
libc.mremap.restype, libc.mremap.argtypes = V, [V, S, S, I]
libc.munmap.argtypes, libc.mprotect.argtypes = [V, S], [V, S, I]
P = 4096
room = libc.mmap(None, 4096 * P, 0, 0x4022, -1, 0)
def fill(at, pages, byte): ctypes.memset(at, byte, pages * P)
steps = iter([
    lambda: (libc.mmap(room, 40 * P, 3, 0x32, -1, 0), fill(room, 40, 0x41)),
    lambda: libc.munmap(room + 8 * P, 4 * P),
    lambda: libc.mprotect(room + 20 * P, 4 * P, 1),
    lambda: libc.mprotect(room + 24 * P, 4 * P, 0),
    lambda: (libc.mmap(room + 40 * P, 8 * P, 3, 0x32, -1, 0), fill(room + 42 * P, 3, 0x99)),
    lambda: libc.mprotect(room + 24 * P, 4 * P, 3),
    lambda: (libc.mmap(room + 48 * P, 900 * P, 3, 0x32, -1, 0), fill(room + 900 * P, 30, 7)),
    lambda: libc.mremap(room + 48 * P, 900 * P, 100 * P, 0),
    lambda: libc.munmap(room, 4096 * P),
])
print(room, flush=True)
for line in sys.stdin:
    next(steps)()
    print('done', flush=True)
";

/// Pages of the memory in question: where they lie, whether they are there, what they look like.
fn pages(path: &Path, room: u64) -> BTreeMap<u64, (u64, u8, u64, Cell)> {
    let brick = Brick::open(MemStorage::from(std::fs::read(path).unwrap())).unwrap();
    assert_eq!(brick.verify(), []);
    let parts = brick.parts().unwrap().unwrap();
    let mut found = BTreeMap::new();
    for (place, part) in parts.iter() {
        let (run, address) = (parts.run(place).unwrap(), part.address.unwrap());
        let mut cells = Vec::new();
        let first = run.start / PAGE_BYTES;
        brick.cells(3, first..first + part.length / PAGE_BYTES, &mut cells).unwrap();
        let states = part.pages.iter().flat_map(|run| (0..run.count).map(|_| run.state));
        for (nth, (state, cell)) in (0..).zip(states.zip(cells)) {
            let at = address + nth * PAGE_BYTES;
            // What the program's own running changes is not of this test.
            if (room..room + 4096 * PAGE_BYTES).contains(&at) {
                let state = state & (page::RESIDENT | page::SAMPLED);
                let permissions = part.numbers[&PERMISSIONS];
                found.insert(at, (first + nth, state, permissions, cell));
            }
        }
    }
    found
}

#[test]
fn what_follows_a_layout_equals_what_is_made_from_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (place, whole) = (dir.path().join("p.brick"), dir.path().join("w.brick"));
    let beside = dir.path().join("tmp");
    let disk = Disk::new(dir.path()).unwrap();
    let mut child = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("python3: {e}"));
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hear = || said.next().unwrap().unwrap();
    let room: u64 = hear().parse().unwrap();
    let child = Quiet(child);
    let target = Target::open(child.pid()).unwrap();
    let functions = &mut Functions::default();
    capture(&disk, &target, (&place, &beside), Payload::Reference, functions).unwrap();
    for step in 0..9 {
        writeln!(child.0.stdin.as_ref().unwrap(), "go").unwrap();
        assert_eq!(hear(), "done");
        std::fs::copy(&place, &whole).unwrap();
        let layout = target.mappings().unwrap();
        let followed =
            follow(&disk, &target, &layout, (&place, &beside), functions).unwrap().unwrap();
        capture(&disk, &target, (&whole, &beside), Payload::Reference, functions).unwrap();
        let (part, all) = (pages(&place, room), pages(&whole, room));
        for at in part.keys().chain(all.keys()) {
            assert_eq!(part.get(at), all.get(at), "step {step}, page {}", (at - room) / PAGE_BYTES);
        }
        // What stayed was not looked into again.
        assert!(followed.sampled.pages < 1000, "step {step}: {:?}", followed.sampled);
        assert_eq!(part.is_empty(), step == 8);
    }
}
