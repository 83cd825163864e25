//! A brick that follows layouts equals one that is made from everything.

use super::*;
use crate::capture::{Care, capture, follow, layout, put};
use crate::process::sample::Live;
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

/// The program between its steps.
struct Stepped {
    child: Quiet,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
    room: u64,
}

impl Stepped {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("python3: {e}"));
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let room = said.next().unwrap().unwrap().parse().unwrap();
        Self { child: Quiet(child), said, room }
    }

    fn step(&mut self) {
        writeln!(self.child.0.stdin.as_ref().unwrap(), "go").unwrap();
        assert_eq!(self.said.next().unwrap().unwrap(), "done");
    }
}

/// Where bricks of it lie.
struct Place {
    dir: tempfile::TempDir,
    disk: Disk,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path()).unwrap();
        Self { dir, disk }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// The brick at `path` after everything was looked at.
    fn capture(&self, target: &Target, path: &Path, functions: &mut Functions) {
        let places = (path, &*self.file("tmp"));
        capture(&self.disk, target, places, Payload::Reference, functions).unwrap();
    }
}

fn same(part: &Path, all: &Path, room: u64, step: u32) -> bool {
    let (part, all) = (pages(part, room), pages(all, room));
    for at in part.keys().chain(all.keys()) {
        assert_eq!(part.get(at), all.get(at), "step {step}, page {}", (at - room) / PAGE_BYTES);
    }
    part.is_empty()
}

#[test]
fn what_follows_a_layout_equals_what_is_made_from_everything() {
    let place = Place::new();
    let (part, whole, tmp) = (place.file("p.brick"), place.file("w.brick"), place.file("tmp"));
    let mut program = Stepped::start();
    let target = Target::open(program.child.pid()).unwrap();
    let mut functions = Functions::default();
    place.capture(&target, &part, &mut functions);
    for step in 0..9 {
        program.step();
        std::fs::copy(&part, &whole).unwrap();
        let layout = target.mappings().unwrap();
        let care = Care { own: step % 2 == 0, settle: step % 3 == 0, compact: step % 4 == 0 };
        let how = (&functions, care);
        let followed = follow(&place.disk, &target, &layout, (&part, &tmp), how).unwrap().unwrap();
        place.capture(&target, &whole, &mut functions);
        // What stayed was not looked into again.
        assert!(followed.sampled.pages < 1000, "step {step}: {:?}", followed.sampled);
        assert_eq!(same(&part, &whole, program.room, step), step == 8);
    }
}

#[test]
fn a_look_that_comes_late_changes_no_layout() {
    let place = Place::new();
    let (part, whole, tmp) = (place.file("p.brick"), place.file("w.brick"), place.file("tmp"));
    let mut program = Stepped::start();
    let target = Target::open(program.child.pid()).unwrap();
    let mut functions = Functions::default();
    place.capture(&target, &part, &mut functions);
    for step in 0..9 {
        let parts = layout(&place.disk, &target, &part, true).unwrap().unwrap();
        let (before, memory) = (target.mappings().unwrap(), &mut Live(target.pid()));
        let look = Look::take(&target, parts, before, memory, &mut functions).unwrap();
        program.step();
        let mappings = target.mappings().unwrap();
        let (care, places) = (Care { own: true, ..Care::default() }, (&*part, &*tmp));
        follow(&place.disk, &target, &mappings, places, (&functions, care)).unwrap().unwrap();
        std::fs::copy(&part, &whole).unwrap();
        put(&place.disk, &target, look, places, care).unwrap().unwrap();
        place.capture(&target, &whole, &mut functions);
        assert_eq!(same(&part, &whole, program.room, step), step == 8);
        let facts = |path: &Path| {
            let brick = Brick::open(MemStorage::from(std::fs::read(path).unwrap())).unwrap();
            ["mappings", "mapped_bytes"].map(|name| brick.facts().unwrap()[name].clone())
        };
        assert_eq!(facts(&part), facts(&whole), "step {step}");
    }
}
