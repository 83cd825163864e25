//! Captures of this very process, of a child, and of memory made up for the purpose.

mod kinds;
mod partial;

use super::capture::{CaptureError, Survey};
use super::sample::{Live, Memory, Sampled, page_cell, sample};
use super::*;
use foundry_brick::parts::{PAGE_BYTES, PAGE_ORDER, PageRun, Part, Parts, page};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, FactValue, Facts, Kind, Payload, Region};
use std::io;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

fn capture(pid: u32, payload: Payload) -> Result<(MemStorage, Sampled), CaptureError> {
    let survey = Survey::take(&Target::open(pid)?, None)?;
    let (editor, committed, sampled) =
        survey.fold(MemStorage::default(), &mut Live(pid), payload, 1)?;
    assert!(committed.changed);
    Ok((editor.into_storage(), sampled))
}

/// A text that no library holds, made at run time so that the program's own image has no copy of it.
fn marker() -> Vec<u8> {
    (0..24_u8).map(|i| b'A' + (i * 7 + 3) % 26).chain(*b"-secret").rev().collect()
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn no_byte_of_memory_reaches_the_brick_unless_asked_for() {
    let secret = marker();
    let heap: Vec<u8> = secret.iter().copied().cycle().take(1 << 20).collect();
    let (brick, sampled) = capture(std::process::id(), Payload::Reference).unwrap();
    assert!(sampled.pages > 200, "{sampled:?}");
    assert!(!sampled.denied && !sampled.ended);
    let bytes = brick.bytes();
    // Any eight bytes of it would be too many.
    for window in secret.windows(8) {
        assert!(!holds(bytes, window), "{}", String::from_utf8_lossy(window));
    }
    let brick = Brick::open(brick).unwrap();
    assert_eq!(brick.verify(), []);
    assert_eq!(brick.meta().payload, Payload::Reference);
    assert_eq!(brick.facts().unwrap()["holds_raw_memory"], FactValue::Flag(false));
    // Else the test would prove nothing: asked for, the bytes are there.
    let (brick, _) = capture(std::process::id(), Payload::Embedded).unwrap();
    assert!(holds(brick.bytes(), &secret));
    let brick = Brick::open(brick).unwrap();
    assert_eq!(brick.verify(), []);
    assert_eq!(brick.meta().payload, Payload::Embedded);
    assert_eq!(brick.facts().unwrap()["holds_raw_memory"], FactValue::Flag(true));
    assert_eq!(heap.len(), 1 << 20);
}

#[test]
fn a_capture_says_what_is_where() {
    let text: Vec<u8> = b"the quick brown fox. ".iter().copied().cycle().take(64 << 10).collect();
    let address = text.as_ptr().expose_provenance() as u64;
    let (brick, _) = capture(std::process::id(), Payload::Reference).unwrap();
    let brick = Brick::open(brick).unwrap();
    assert_eq!(brick.meta().kind, Kind::Process);
    assert_eq!(brick.meta().pid, Some(std::process::id()));
    let parts = brick.parts().unwrap().unwrap();
    let inside = |part: &Part| {
        part.address.is_some_and(|start| (start..start + part.length).contains(&address))
    };
    let (place, part) = parts.iter().find(|(_, part)| inside(part)).unwrap();
    assert_eq!(part.numbers[&PERMISSIONS] & (page::READ | page::WRITE), page::READ | page::WRITE);
    // A whole page of the text shows as text, exactly as a file of the same bytes would.
    let aligned = address.next_multiple_of(PAGE_BYTES);
    let at = parts.run(place).unwrap().start + aligned - part.address.unwrap();
    let mut cells = Vec::new();
    brick.cells(3, at / PAGE_BYTES..at / PAGE_BYTES + 1, &mut cells).unwrap();
    let from = usize::try_from(aligned - address).unwrap();
    assert_eq!(cells, [page_cell(&text[from..from + 4096])]);
    assert!(cells[0][2] > 250, "{:?}", cells[0]);
    let regions = brick.regions().unwrap();
    let has = |test: &dyn Fn(&Region) -> bool| regions.iter().any(test);
    assert!(has(&|r| r.kind == "kernel" && r.name.ends_with("[vdso]")));
    assert!(has(&|r| r.kind == "stack" && r.name.ends_with("[stack]")));
    assert!(has(&|r| r.kind == "stack" && r.name.starts_with("stack of thread")));
    let functions = regions.iter().filter(|r| r.kind == "function").count();
    assert!(functions > 1000, "{functions} functions");
    let of_libc = |r: &Region| r.kind == "mapped-file" && r.name.contains("libc.so");
    assert!(has(&of_libc), "{regions:?}");
    let libc = parts.iter().filter(|(_, part)| {
        part.link.as_ref().is_some_and(|link| link.path.ends_with(b"libc.so.6"))
    });
    let plots: std::collections::BTreeSet<_> = libc.map(|(place, _)| place.plot).collect();
    assert_eq!(plots.len(), 1, "the segments of a library share a plot");
}

#[test]
fn a_page_of_a_library_leads_to_the_same_bytes_of_its_file() {
    let (brick, _) = capture(std::process::id(), Payload::Reference).unwrap();
    let brick = Brick::open(brick).unwrap();
    let said = crate::wire::inspect(std::path::Path::new("x.brick"), &brick).unwrap();
    let regions = said["regions"].as_array().unwrap();
    let code = regions.iter().find(|region| {
        let name = region["name"].as_str().unwrap();
        region["kind"] == "mapped-file" && name.starts_with("r-xp") && name.ends_with("libc.so.6")
    });
    let code = code.unwrap();
    let read = |path: &str, at: u64| {
        let mut page = vec![0; 4096];
        std::fs::File::open(path).unwrap().read_exact_at(&mut page, at).unwrap();
        page
    };
    let (path, offset) = (code["link"]["path"].as_str(), code["link"]["offset"].as_u64());
    let memory = read("/proc/self/mem", code["address"].as_u64().unwrap());
    assert!(memory == read(path.unwrap(), offset.unwrap()), "{path:?} from {offset:?}");
    let pages = |state: &str| code["pages"][state].as_u64().unwrap();
    assert!(0 < pages("resident") && pages("resident") <= pages("file"), "{code}");
    assert_eq!((pages("dirty"), pages("swapped")), (0, 0));
    assert_eq!(code["attributes"]["permissions"], page::READ | page::EXECUTE);
}

#[test]
fn both_ways_to_ask_give_the_same() {
    let child = Quiet::start();
    let target = Target::open(child.pid()).unwrap();
    let asked = target.mappings().unwrap();
    let read = maps::parse(target.file("maps").unwrap()).unwrap();
    assert_eq!(asked, read);
    let detailed = target.mappings_with_details().unwrap();
    assert_eq!(detailed.len(), read.len());
    assert!(detailed.iter().all(|mapping| mapping.populated.is_some()));
    let theirs = procfs::process::Process::new(i32::try_from(child.pid()).unwrap()).unwrap();
    let theirs: Vec<(u64, u64)> = theirs.maps().unwrap().iter().map(|m| m.address).collect();
    let ours: Vec<(u64, u64)> = read.iter().map(|m| (m.start, m.end)).collect();
    assert_eq!(ours, theirs.into_iter().filter(|(start, _)| *start >> 63 == 0).collect::<Vec<_>>());
    let (mut scan, mut plain) = (target.pages(true).unwrap(), target.pages(false).unwrap());
    let resident = |runs: &[PageRun]| {
        let seen = runs.iter().filter(|r| r.state & page::RESIDENT != 0);
        seen.map(|r| r.count).sum::<u64>()
    };
    let mut sum = 0;
    for mapping in &detailed {
        let (a, b) = (scan.states(mapping).unwrap(), plain.states(mapping).unwrap());
        // The kernel's scan knows huge pages without privileges; the rest is the same.
        let strip = |runs: Vec<PageRun>| -> Vec<u8> {
            let each = |r: PageRun| (0..r.count).map(move |_| r.state & !page::HUGE);
            runs.into_iter().flat_map(each).collect()
        };
        sum += resident(&a);
        assert_eq!(strip(a), strip(b), "{mapping:?}");
    }
    assert!(sum > 50, "{sum} resident pages");
}

/// A child that does nothing until it is dropped.
struct Quiet(Child);

impl Quiet {
    fn start() -> Self {
        Self::of(&mut Command::new("cat"))
    }

    fn of(cat: &mut Command) -> Self {
        let mut child = cat
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cat: {e}"));
        // It has begun to work when it has answered.
        let line = b"begin\n";
        io::Write::write_all(child.stdin.as_mut().unwrap(), line).unwrap();
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it, but does not collect it.
    fn end(&mut self) {
        drop(self.0.stdin.take());
        let mut rest = Vec::new();
        io::Read::read_to_end(self.0.stdout.as_mut().unwrap(), &mut rest).unwrap();
        let status = rustix::process::waitid(
            rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&self.0)),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        );
        status.unwrap();
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn processes_that_cannot_be_captured_are_named() {
    let mut child = Quiet::start();
    let early = Target::open(child.pid()).unwrap();
    assert!(early.is_alive());
    child.end();
    assert!(!early.is_alive());
    let message = Target::open(child.pid()).unwrap_err().to_string();
    assert!(message.contains("has ended"), "{message}");
    let message = Survey::take(&early, None).unwrap_err().to_string();
    assert!(message.contains("has ended"), "{message}");
    let pid = child.pid();
    drop(child);
    let message = Target::open(pid).unwrap_err().to_string();
    assert!(message.contains(&format!("no process {pid}")), "{message}");
    let message = early.mappings().unwrap_err().to_string();
    assert!(message.contains("has ended"), "{message}");
    // Process 2 is the kernel's, where this is not a container of its own.
    if std::fs::read("/proc/2/comm").is_ok_and(|comm| comm == b"kthreadd\n") {
        let message = Target::open(2).unwrap_err().to_string();
        assert!(message.contains("thread of the kernel"), "{message}");
    }
}

/// Memory whose pages are all alike but for those that fail.
struct Made {
    fails: fn(u64) -> Option<i32>,
}

impl Memory for Made {
    fn read(&mut self, addresses: &[u64], into: &mut [u8]) -> io::Result<usize> {
        let failure = addresses.iter().position(|address| (self.fails)(*address).is_some());
        let n = failure.unwrap_or(addresses.len());
        if n == 0 {
            let errno = (self.fails)(addresses[0]).unwrap();
            return Err(io::Error::from_raw_os_error(errno));
        }
        into[..n * 4096].fill(0xff);
        Ok(n)
    }
}

fn resident(pages: u64) -> Parts {
    let mut parts = Parts::new(PAGE_ORDER);
    let mut part = Part { length: pages * PAGE_BYTES, ..Part::default() };
    part.address = Some(0x10_0000);
    part.pages = vec![PageRun { count: pages, state: page::RESIDENT }];
    parts.add(part).unwrap();
    parts
}

fn states(parts: &Parts) -> Vec<(u64, bool)> {
    let (_, part) = parts.iter().next().unwrap();
    part.pages.iter().map(|run| (run.count, run.state & page::SAMPLED != 0)).collect()
}

#[test]
fn what_cannot_be_read_is_left_out_and_said() {
    let hole = |address: u64| (address == 0x10_0000 + 300 * 4096).then_some(libc::EFAULT);
    let mut parts = resident(1000);
    let (leaves, done) = sample(&mut parts, &mut Made { fails: hole }, None).unwrap();
    assert_eq!((done.pages, done.unreadable), (999, 1));
    assert_eq!(states(&parts), [(300, true), (1, false), (699, true)]);
    assert_eq!(leaves[&0][299], [0, 0, 0, 255]);
    assert_eq!(leaves[&0][300], foundry_brick::cells::ZERO_CELL);

    let gone = |address: u64| (address >= 0x10_0000 + 300 * 4096).then_some(libc::ESRCH);
    let mut parts = resident(1000);
    let (_, done) = sample(&mut parts, &mut Made { fails: gone }, None).unwrap();
    assert!(done.ended);
    assert_eq!((done.pages, done.unreadable), (300, 700));
    assert_eq!(states(&parts), [(300, true), (700, false)]);

    let mut parts = resident(1000);
    let denied = |_| Some(libc::EPERM);
    let (_, done) = sample(&mut parts, &mut Made { fails: denied }, None).unwrap();
    assert!(done.denied);
    assert_eq!((done.pages, done.unreadable), (0, 1000));

    // A device's memory: not a call for each of its pages.
    let mut parts = resident(100_000);
    let device = |_| Some(libc::EFAULT);
    let (_, done) = sample(&mut parts, &mut Made { fails: device }, None).unwrap();
    assert_eq!((done.pages, done.unreadable), (0, 100_000));
    assert_eq!(states(&parts), [(100_000, false)]);
}

#[test]
fn names_in_maps_may_be_any_bytes() {
    let text = b"00400000-00401000 r-xp 00000000 08:01 12 /tmp/a \\012\xff b (deleted)\n\
        00401000-00402000 rw-s 00001000 00:05 7                          /SYSV\n\
        7ffe00000000-7ffe00001000 ---p 00000000 00:00 0\n\
        7ffe00001000-7ffe00002000 rw-p 00000000 00:00 0                  [anon: x]\n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]\n";
    let maps = maps::parse(&text[..]).unwrap();
    assert_eq!(maps.len(), 4);
    assert_eq!(*maps[0].name, *b"/tmp/a \n\xff b (deleted)");
    assert_eq!(maps[0].permission_text(), "r-xp");
    assert_eq!((maps[1].offset, maps[1].device, maps[1].inode), (0x1000, (0, 5), 7));
    assert_eq!(maps[1].permissions, page::READ | page::WRITE | page::SHARED);
    assert_eq!(*maps[2].name, *b"");
    assert_eq!(*maps[3].name, *b"[anon: x]");
    for bad in [&b"x"[..], b"1-0 r--p 0 0:0 0", b"1-2 r-- 0 0:0 0", b"1-2 r--p 0 0:0 x", b"\xff"] {
        assert!(maps::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
}

/// Where each page of a process lies, by its address.
fn pixels(parts: &Parts) -> std::collections::BTreeMap<u64, u64> {
    let of = |(place, part): (foundry_brick::parts::Place, &Part)| {
        let (run, address) = (parts.run(place).unwrap(), part.address.unwrap());
        (0..part.length).step_by(4096).map(move |at| (address + at, run.start + at))
    };
    parts.iter().flat_map(of).collect()
}

/// What a part shows, wherever it lies.
fn shown(parts: &Parts) -> Vec<(u64, u64, u64, Vec<u8>)> {
    let mut shown: Vec<(u64, u64, u64, Vec<u8>)> = Vec::new();
    let mut in_order: Vec<&Part> = parts.iter().map(|(_, part)| part).collect();
    in_order.sort_by_key(|part| part.address);
    for part in in_order {
        let start = part.address.unwrap();
        let permissions = part.numbers[&PERMISSIONS];
        match shown.last_mut() {
            // A mapping may be in two pieces where its plot was too small.
            Some(last) if last.1 == start && (last.2, &last.3[..]) == (permissions, &part.name) => {
                last.1 += part.length;
            }
            _ => shown.push((start, start + part.length, permissions, part.name.to_vec())),
        }
    }
    shown
}

/// A program that maps, protects, grows and unmaps, a step for each line it reads.
const SCRIPT: &str = "
import ctypes, mmap, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
P = 4096
def step(text):
    print(text, flush=True); sys.stdin.readline()
step('begin')
a = libc.mmap(None, 64 * P, 3, 0x22, -1, 0); ctypes.memset(a, 65, 64 * P)
step('map')
libc.mprotect(a + 16 * P, 8 * P, 1)
step('protect')
libc.munmap(a + 40 * P, 4 * P)
step('unmap')
b = libc.mmap(None, 300 * P, 3, 0x22, -1, 0); ctypes.memset(b, 66, 300 * P)
step('map more')
b = libc.mremap(b, 300 * P, 900 * P, 1)
step('grow')
libc.munmap(b, 900 * P)
step('end')
";

/// The program of [`SCRIPT`], between two of its steps.
pub(crate) struct Script {
    child: Quiet,
    lines: io::Lines<io::BufReader<std::process::ChildStdout>>,
}

impl Script {
    pub(crate) fn start() -> Self {
        let python = Command::new("python3")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = Quiet(python.unwrap_or_else(|e| panic!("python3: {e}")));
        let lines = io::BufRead::lines(io::BufReader::new(child.0.stdout.take().unwrap()));
        Self { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The name of the step that is done; `None` when the last one was.
    pub(crate) fn step(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    pub(crate) fn go_on(&mut self) {
        io::Write::write_all(self.child.0.stdin.as_mut().unwrap(), b"\n").unwrap();
    }

    pub(crate) fn end(&mut self) {
        self.child.0.wait().unwrap();
    }
}

#[test]
fn a_continued_brick_equals_a_fresh_one_and_nothing_else_moved() {
    let mut script = Script::start();
    let pid = script.pid();
    let dir = tempfile::tempdir().unwrap();
    let (place, beside) = (dir.path().join("p.brick"), dir.path().join("p.tmp"));
    let target = Target::open(pid).unwrap();
    let mut before = std::collections::BTreeMap::new();
    let open = || {
        let storage = crate::store::FileStorage::open_to_read(&place).unwrap();
        Brick::open(storage).unwrap()
    };
    let mut number = 0;
    while let Some(step) = script.step() {
        number += 1;
        let captured = crate::capture::capture_into(&target, &place, &beside, Payload::Reference);
        assert_eq!(captured.unwrap().committed.generation, number);
        let brick = open();
        assert_eq!(brick.verify(), []);
        let live = brick.parts().unwrap().unwrap();
        let (fresh, _) = capture(pid, Payload::Reference).unwrap();
        let fresh = Brick::open(fresh).unwrap().parts().unwrap().unwrap();
        assert_eq!(shown(&live), shown(&fresh), "after {step}");
        let now = pixels(&live);
        let moved = before.iter().filter(|(page, at)| now.get(page).is_some_and(|n| n != *at));
        assert_eq!(moved.count(), 0, "after {step}");
        before = now;
        script.go_on();
    }
    assert_eq!(number, 7, "steps of the script");
    script.end();
    let disk = crate::store::Disk::new(dir.path()).unwrap();
    crate::capture::mark_ended(&disk, &target, &place, 77).unwrap();
    let facts = open().facts().unwrap();
    assert_eq!(facts["ended"], FactValue::Flag(true));
    assert_eq!(facts["ended_ns"], FactValue::Number(77));
}

/// What `/proc` says of a process of the test's own, and no secret among its words.
#[test]
fn what_a_process_is_and_may() {
    use std::net::TcpListener;
    use std::os::unix::process::CommandExt;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut command = Command::new("sleep");
    command.arg0("sleep --token=ghp_0123456789abcdefghijABCDEFGHIJ012345").arg("60");
    let mut child = command.spawn().unwrap();
    let facts = |pid: u32| {
        let target = Target::open(pid).unwrap();
        super::about::facts(&target)
    };
    let mut other = facts(child.id());
    // Until it is another program, it is a copy of this one.
    let is_other = |facts: &Facts| match facts.get("process.command") {
        Some(FactValue::Text(text)) => text.contains("sleep"),
        _ => false,
    };
    while !is_other(&other) {
        other = facts(child.id());
    }
    let own = facts(std::process::id());
    child.kill().unwrap();
    child.wait().unwrap();
    let FactValue::Text(words) = &other["process.command"] else { panic!("{other:?}") };
    assert!(words.starts_with("sleep --token=[redacted") && !words.contains("ghp_"), "{words}");
    assert_eq!(other["process.parent"], FactValue::Number(std::process::id().into()));
    assert_eq!(other["process.threads"], FactValue::Number(1));
    assert_eq!(other["process.no_new_privs"], own["process.no_new_privs"]);
    assert_eq!(other["process.seccomp"], own["process.seccomp"]);
    assert!(!other.contains_key("process.listening"), "{other:?}");
    let FactValue::List(listening) = &own["process.listening"] else { panic!("{own:?}") };
    assert!(listening.contains(&format!("tcp {port} here")), "{listening:?}");
    assert!(matches!(own["process.sockets"], FactValue::Number(n) if 0 < n));
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(own["process.uid"], FactValue::Number(uid.into()));
    if uid == 0 {
        assert_eq!(own["process.user"], FactValue::Text("root".to_owned()));
    }
    let FactValue::Text(started) = &own["process.started"] else { panic!("{own:?}") };
    let started: jiff::Timestamp = started.parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(started);
    assert!((0..86_400).contains(&age.as_secs()), "{started}");
    // The same program by two names of its file: found out once, and the same.
    assert_eq!(facts(std::process::id()).get("process.build_id"), own.get("process.build_id"));
    let keys = other.keys().chain(own.keys());
    assert!(keys.clone().all(|key| crate::facts::keys::is_known(key)), "{own:?} {other:?}");
}

/// A library that was replaced under a process is named.
#[test]
fn code_of_a_file_that_is_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().canonicalize().unwrap().join("nap");
    // Another test's child could have a copy of our open file: who is open for writing is not executed.
    assert!(Command::new("cp").args(["/bin/sleep"]).arg(&program).status().unwrap().success());
    let mut child = Command::new(&program).arg("60").spawn().unwrap();
    let target = loop {
        let target = Target::open(child.id()).unwrap();
        // Its program is known a moment before any of it is mapped.
        let code = |m: &super::maps::Mapping| {
            m.permissions & page::EXECUTE != 0 && m.name.ends_with(b"/nap")
        };
        if target.mappings().is_ok_and(|all| all.iter().any(code)) {
            break target;
        }
    };
    std::fs::remove_file(&program).unwrap();
    let mut facts = super::about::facts(&target);
    facts.extend(super::about::of_mappings(&target, &target.mappings().unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(facts.get("process.program_replaced"), Some(&FactValue::Flag(true)), "{facts:?}");
    let FactValue::List(gone) = &facts["process.replaced_libraries"] else { panic!("{facts:?}") };
    assert_eq!(gone, &[program.display().to_string()]);
}

/// Bit 55 of an entry of `pagemap` says that the page was written to; a kernel without soft-dirty sets none.
#[test]
fn marks_of_writes_are_known_where_the_kernel_has_them() {
    let mapping = maps::parse(&b"1000-4000 rw-p 00000000 00:00 0 \n"[..]).unwrap().remove(0);
    for (marks, marked) in [([0, 0, 0], false), ([0, 0, 1_u64 << 55], true)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let present = marks.map(|mark| 1 << 63 | mark);
        let entries = [0].into_iter().chain(present).flat_map(u64::to_ne_bytes);
        std::fs::write(file.path(), entries.collect::<Vec<u8>>()).unwrap();
        let mut pages = pages::Pages::new(file.reopen().unwrap(), None, false);
        assert_eq!(pages.states(&mapping).unwrap(), [PageRun { count: 3, state: page::RESIDENT }]);
        assert_eq!(pages.marks_writes(), marked);
    }
}
