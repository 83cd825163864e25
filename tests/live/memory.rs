//! The memory of a program that changes it step by step: after each sync its brick is that of a fresh look.
//!
//! Knows: the steps, what a process's brick holds. Must never know: how changes are found.
//! Keeps: a page that a step does not concern keeps its pixel and its colour; see `Look::stays`.

use super::start;
use crate::support::daemon::Daemon;
use crate::support::program::Said;
use crate::support::{Scratch, program};
use foundry_brick::cells::Cell;
use foundry_brick::parts::{Attribute, Parts, page};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, FactValue, Kind};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Does what it is told, a line at a time, and answers when it is done.
const PROGRAM: &str = r#"
import ctypes, json, mmap, os, signal, sys, threading
sys.setrecursionlimit(100000)
libc = ctypes.CDLL(None, use_errno=True)
V, S, I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
libc.mmap.restype, libc.mmap.argtypes = V, [V, S, I, I, I, ctypes.c_long]
libc.mremap.restype, libc.mremap.argtypes = V, [V, S, S, I]
libc.munmap.argtypes, libc.mprotect.argtypes = [V, S], [V, S, I]
libc.sbrk.restype, libc.sbrk.argtypes = V, [ctypes.c_long]
P = 4096
secret = bytearray(bytes(65 + (i * 7 + 3) % 26 for i in range(24)) * 20000)
def check(failed): assert not failed, os.strerror(ctypes.get_errno())
def fresh(pages):
    at = libc.mmap(None, pages * P, 3, 0x22, -1, 0)
    check(at == V(-1).value)
    return at
def do(step):
    global a, b, kept, child
    if step == 'map':
        a = fresh(64); ctypes.memset(a, 0x41, 16 * P); os.urandom(1)
    elif step == 'touch': ctypes.memset(a + 20 * P, 0x5a, 8 * P)
    elif step == 'unmap': check(libc.munmap(a + 4 * P, 3 * P))
    elif step == 'protect': check(libc.mprotect(a + 10 * P, 2 * P, 1))
    elif step == 'forbid': check(libc.mprotect(a + 12 * P, 2 * P, 0))
    elif step == 'allow': check(libc.mprotect(a + 12 * P, 2 * P, 3))
    elif step == 'fill': check(libc.mmap(a + 4 * P, 3 * P, 3, 0x32, -1, 0) != a + 4 * P)
    elif step == 'move':
        b = libc.mremap(a + 32 * P, 16 * P, 512 * P, 1)
        check(b == V(-1).value)
    elif step == 'shrink': check(libc.mremap(b, 512 * P, 100 * P, 0) != b)
    elif step == 'brk':
        kept = libc.sbrk(96 * P); ctypes.memset(kept, 0x42, 40 * P)
    elif step == 'less': libc.sbrk(-30 * P)
    elif step == 'stack': json.loads('[' * 30000 + ']' * 30000)
    elif step == 'thread':
        started = threading.Event()
        def wait():
            started.set(); threading.Event().wait()
        threading.Thread(target=wait, daemon=True).start(); started.wait()
    elif step == 'file':
        kept = mmap.mmap(os.open(sys.executable, os.O_RDONLY), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        kept[7] = 7
    elif step == 'memfd':
        fd = os.memfd_create('shared'); os.ftruncate(fd, 32 * P)
        child = mmap.mmap(fd, 32 * P); child[0:6 * P] = b'shared' * P
    elif step == 'fork':
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    elif step == 'exec':
        heard, say = os.pipe()
        os.write(say, b'done\n'); os.close(say); os.set_inheritable(heard, True)
        os.execvp('cat', ['cat', '/dev/fd/%d' % heard, '-'])
print('ready', flush=True)
for line in sys.stdin:
    do(line.strip())
    print('done', flush=True)
"#;

const STEPS: &[&str] = &[
    "map", "touch", "unmap", "protect", "forbid", "allow", "fill", "move", "shrink", "brk", "less",
    "stack", "thread", "file", "memfd", "fork",
];

/// Steps after which memory is gone. The kernel gives up its lock on another way then, and everything else
/// that the program does may hide that nobody tells of it.
const GOES: [&str; 3] = ["unmap", "shrink", "less"];

/// The program, while it runs.
pub(super) struct Target {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Target {
    pub(super) fn start(program: &str) -> Self {
        let child = Command::new("python3")
            .args(["-c", program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|e| panic!("python3: {e}"));
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut target = Self { child, to, from };
        target.hear("ready");
        target
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn hear(&mut self, wanted: &str) {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), wanted);
    }

    pub(super) fn tell(&mut self, step: &str) {
        writeln!(self.to, "{step}").unwrap();
        self.hear("done");
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A page as a brick shows it.
#[derive(Clone, Debug, PartialEq)]
struct Page {
    kind: u8,
    name: Vec<u8>,
    permissions: u64,
    /// Its place in the mapped file.
    offset: Option<u64>,
    resident: bool,
    cell: Cell,
}

/// All that a process's brick says.
struct Look {
    /// By address; and the pixel of each.
    pages: BTreeMap<u64, (Page, u64)>,
    /// The whole plane.
    plane: Vec<Cell>,
}

impl Look {
    fn of(path: &Path) -> Self {
        let brick = Brick::open(MemStorage::from(std::fs::read(path).unwrap())).unwrap();
        assert_eq!(brick.verify(), [], "{}", path.display());
        let parts: Parts = brick.parts().unwrap().expect("a process is made of parts");
        let mut plane = Vec::new();
        brick.cells(3, 0..parts.plots().end() / 4096, &mut plane).unwrap();
        let mut pages = BTreeMap::new();
        for (place, part) in parts.iter() {
            let (run, address) = (parts.run(place).unwrap(), part.address.unwrap());
            let states = part.pages.iter().flat_map(|run| (0..run.count).map(|_| run.state));
            for (nth, state) in (0..).zip(states) {
                let pixel = run.start / 4096 + nth;
                let page = Page {
                    kind: part.kind.0,
                    name: part.name.to_vec(),
                    permissions: part.numbers[&Attribute::PERMISSIONS],
                    offset: part.link.as_ref().map(|link| link.offset + nth * 4096),
                    resident: state & page::RESIDENT != 0,
                    cell: plane[usize::try_from(pixel).unwrap()],
                };
                let other = pages.insert(address + nth * 4096, (page, pixel));
                assert!(other.is_none(), "one page in two parts");
            }
        }
        Self { pages, plane }
    }

    /// So many neighbouring pages are of the same object as this one.
    fn run(&self, address: u64) -> usize {
        let of = |at: u64| self.pages.get(&at).map(|(page, _)| (page.kind, &page.name));
        let own = of(address);
        let alike = |at: &u64| of(*at) == own;
        let up = (1..).map(|n| address + n * 4096).take_while(alike).count();
        let down = (1..).map_while(|n| address.checked_sub(n * 4096)).take_while(alike).count();
        up + down + 1
    }

    /// The same mappings, with the same in them, wherever they lie.
    fn same_as(&self, fresh: &Self, step: &str) {
        let strip = |look: &Self| -> BTreeMap<u64, Page> {
            look.pages.iter().map(|(address, (page, _))| (*address, page.clone())).collect()
        };
        let (live, fresh) = (strip(self), strip(fresh));
        for address in live.keys().chain(fresh.keys()) {
            let (a, b) = (live.get(address), fresh.get(address));
            assert_eq!(
                a, b,
                "after `{step}`, page {address:#x}: the daemon's, and a fresh capture's"
            );
        }
    }

    /// Every pixel of the plane that differs is of a page that the step concerns: one that came, went or
    /// is mapped otherwise, or one that may be written. And no page that stayed has another pixel, but for
    /// those of memory that grew, and outgrew its plot.
    fn stays(&self, before: &Self, step: &str) {
        let mut concerned = std::collections::BTreeSet::new();
        for address in self.pages.keys().chain(before.pages.keys()) {
            let (old, new) = (before.pages.get(address), self.pages.get(address));
            let bare = |found: Option<&(Page, u64)>| {
                found.map(|(page, _)| Page { cell: [0; 4], resident: false, ..page.clone() })
            };
            let writable = |found: Option<&(Page, u64)>| {
                found.is_some_and(|(page, _)| page.permissions & page::WRITE != 0)
            };
            let pixels = [old, new].map(|found| found.map(|(_, pixel)| *pixel));
            if bare(old) != bare(new) || writable(old) || writable(new) {
                concerned.extend(pixels.into_iter().flatten());
            }
            if let (Some((page, was)), Some((_, is))) = (old, new)
                && bare(old) == bare(new)
            {
                assert!(
                    was == is || before.run(*address) < self.run(*address),
                    "`{step}` moved page {address:#x}, {page:?}, from {was} to {is}"
                );
                if was != is {
                    concerned.extend([*was, *is]);
                }
            }
            // A page of a file may be read in, or given back.
            if let (Some((a, _)), Some((b, _))) = (old, new)
                && a.resident != b.resident
            {
                concerned.extend(pixels.into_iter().flatten());
            }
        }
        let nothing = [0, 255, 0, 0];
        for pixel in 0..self.plane.len().max(before.plane.len()) {
            let at = |plane: &[Cell]| plane.get(pixel).copied().unwrap_or(nothing);
            let (old, new) = (at(&before.plane), at(&self.plane));
            if !concerned.contains(&(pixel as u64)) {
                assert_eq!(old, new, "`{step}` changed pixel {pixel}, which is none of its pages'");
            }
        }
    }
}

/// The daemon's brick of the process.
fn brick_of(store: &Path, pid: u32) -> std::path::PathBuf {
    let bricks = crate::support::regular_files(&store.join("bricks")).into_iter();
    let of_it = |path: &std::path::PathBuf| {
        let storage = MemStorage::from(std::fs::read(path).unwrap());
        Brick::open(storage)
            .is_ok_and(|b| b.meta().kind == Kind::Process && b.meta().pid == Some(pid))
    };
    let mut found =
        bricks.filter(|path| path.extension().is_some_and(|e| e == "brick")).filter(of_it);
    found.next().expect("the process has a brick")
}

fn number(daemon: &Daemon, name: &str) -> u64 {
    let status = daemon.ask(&["status", "--json"]).ok().json();
    status[name].as_u64().unwrap_or_else(|| panic!("no {name} in {status}"))
}

/// Each step, and then what came of it.
pub(super) fn step_by_step(backend: &str) {
    let scratch = Scratch::new();
    let mut target = Target::start(PROGRAM);
    let pid = target.pid().to_string();
    let Some(daemon) = start(&scratch, backend, &["--watch-process", &pid]) else { return };
    let look = |step: &str| {
        daemon.sync();
        let live = Look::of(&brick_of(&scratch.store(), target_pid(&pid)));
        let fresh = scratch.file("fresh.brick");
        drop(std::fs::remove_file(&fresh));
        program::run(&["capture", "--pid", &pid, "-o", fresh.to_str().unwrap()]).ok();
        live.same_as(&Look::of(&fresh), step);
        live
    };
    let mut before = look("start");
    assert_eq!(number(&daemon, "watched_processes"), 1);
    // With probes the kernel tells; without them the daemon looks again and again.
    assert_eq!(number(&daemon, "polled_processes"), u64::from(backend == "fanotify"));
    for step in STEPS {
        let told = number(&daemon, "layouts_told");
        target.tell(step);
        if backend != "fanotify" && GOES.contains(step) {
            let more = |said: Said| said.json()["layouts_told"].as_u64() > Some(told);
            assert!(daemon.wait_for(&["status", "--json"], more), "nobody told of {step}");
        }
        let after = look(step);
        after.stays(&before, step);
        before = after;
    }
    if backend != "fanotify" {
        assert!(number(&daemon, "layouts_told") > 0);
    }
    nothing_is_told(&scratch, &pid);
    target.tell("exec");
    look("exec");
    drop(target);
    // Its end is an event, too; the last brick stays and says so.
    daemon.sync();
    let last = brick_of(&scratch.store(), target_pid(&pid));
    let last = Brick::open(MemStorage::from(std::fs::read(last).unwrap())).unwrap();
    assert_eq!(last.facts().unwrap()["ended"], FactValue::Flag(true));
    assert_eq!(number(&daemon, "watched_processes"), 0);
    daemon.verify_all();
}

/// No file of the store holds what the program's heap holds; a capture that asks for it does, is its
/// owner's alone, and says so.
fn nothing_is_told(scratch: &Scratch, pid: &str) {
    let secret: Vec<u8> = (0..24_u8).map(|i| b'A' + (i * 7 + 3) % 26).collect();
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(secret.len()).any(|window| window == secret)
    };
    let files = crate::support::regular_files(&scratch.store());
    assert!(files.len() > 2, "{files:?}");
    for path in &files {
        assert!(!holds(path), "{}", path.display());
    }
    let path = scratch.file("embedded.brick");
    let output = path.to_str().unwrap();
    program::run(&["capture", "--pid", pid, "--payload", "embedded", "-o", output]).ok();
    assert!(holds(&path), "else the test would prove nothing");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let said = program::run(&["inspect", "--json", output]).ok().json();
    assert_eq!(said["payload"], "embedded", "{said}");
    assert_eq!(said["facts"]["holds_raw_memory"], true, "{said}");
    std::fs::remove_file(path).unwrap();
}

fn target_pid(pid: &str) -> u32 {
    pid.parse().unwrap()
}
