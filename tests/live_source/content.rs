//! Whatever changes bytes is reported, on every file system that can be mounted here.

use crate::mounts::{self, Place};
use crate::support::{Live, act, covered, live, ranges};
use foundry_user::event::Event;
use foundry_user::sources::ebpf::{Backend, Limits};

const SIZE: u64 = 1 << 20;
const OLD: u64 = 300_000;

/// What is done, with its arguments, and the bytes that have to be reported.
struct Case {
    op: &'static str,
    args: &'static [u64],
    start: u64,
    end: u64,
    /// File systems that have no such thing.
    not_on: &'static [&'static str],
    /// Bytes that must not be reported: far from the change.
    spared: Option<(u64, u64)>,
}

const fn case(op: &'static str, args: &'static [u64], start: u64, end: u64) -> Case {
    Case { op, args, start, end, not_on: &[], spared: Some((800_000, SIZE)) }
}

const CASES: &[Case] = &[
    case("write", &[OLD, 5000], OLD, OLD + 5000),
    case("pwrite", &[OLD, 5000], OLD, OLD + 5000),
    case("pwritev2", &[OLD, 5000], OLD, OLD + 5000),
    Case { spared: Some((0, 900_000)), ..case("append", &[0, 5000], SIZE, SIZE + 5000) },
    Case { spared: None, ..case("append_pwrite", &[0, 5000], SIZE, SIZE + 5000) },
    Case { spared: Some((0, 200_000)), ..case("ftruncate", &[OLD], OLD, SIZE) },
    Case { spared: Some((0, 200_000)), ..case("truncate", &[OLD], OLD, SIZE) },
    Case { spared: Some((0, 900_000)), ..case("ftruncate", &[SIZE + 9], SIZE, SIZE + 9) },
    Case { spared: None, ..case("open_trunc", &[], 0, SIZE) },
    Case { spared: Some((0, 900_000)), ..case("fallocate", &[SIZE, 4096], SIZE, SIZE + 4096) },
    case("punch", &[OLD, 8192], OLD, OLD + 8192),
    Case {
        not_on: &["btrfs", "tmpfs", "overlay", "memory"],
        spared: Some((0, 200_000)),
        ..case("collapse", &[262_144, 65_536], 262_144, SIZE)
    },
    case("sendfile", &[OLD, 50_000], OLD, OLD + 50_000),
    case("splice", &[OLD, 4000], OLD, OLD + 4000),
    case("copy_file_range", &[OLD, 50_000], OLD, OLD + 50_000),
    case("copy_at", &[OLD, 50_000], OLD, OLD + 50_000),
    Case {
        not_on: &["ext4", "tmpfs", "overlay", "memory"],
        spared: None,
        ..case("clone", &[0, SIZE], 0, SIZE)
    },
    Case {
        not_on: &["ext4", "tmpfs", "overlay", "memory"],
        ..case("clone_range", &[262_144, 65_536], 262_144, 327_680)
    },
    Case {
        not_on: &["tmpfs", "overlay", "memory"],
        ..case("direct", &[262_144, 8192], 262_144, 270_336)
    },
    case("aio", &[262_144, 8192], 262_144, 270_336),
    Case {
        not_on: &["tmpfs", "overlay", "memory"],
        ..case("aio_direct", &[262_144, 8192], 262_144, 270_336)
    },
    Case { not_on: &[], ..case("uring", &[OLD, 5000], OLD, OLD + 5000) },
    Case { spared: None, ..case("shared_position", &[OLD, 65_536], OLD, OLD + 65_536) },
    Case {
        not_on: &["tmpfs", "overlay", "memory"],
        spared: None,
        ..case("mmap", &[OLD, 5000], OLD, OLD + 5000)
    },
];

fn run(live: &mut Live, place: &Place, wanted: &Case) -> Result<(), String> {
    let path = place.file(SIZE);
    let artifact = live.track(&path);
    live.drain();
    act(wanted.op, &path, wanted.args);
    // Which file it was that `truncate` cut by its path, such a kernel does not say: then it may be any.
    let any = wanted.op == "truncate" && !live.touches_are_told();
    let swept = |event: &Event| matches!(event, Event::Sweep { .. });
    let done = |events: &[Event]| {
        covered(&ranges(events, artifact), wanted.start, wanted.end)
            || any && events.iter().any(swept)
    };
    let events = if wanted.op == "aio_direct" { live.drain_until(done) } else { live.drain() };
    live.release(artifact);
    let seen = ranges(&events, artifact);
    let what = format!("{} {:?} on {} ({:?})", wanted.op, wanted.args, place.name, live.backend);
    if !done(&events) {
        return Err(format!("{what}: [{}, {}) is not in {seen:?}", wanted.start, wanted.end));
    }
    // Exactness is the fentry backend's promise, and the other's where the file system helps.
    let exact = live.backend == Backend::Fentry || place.name.contains("ext4");
    if let (true, Some((from, to))) = (exact, wanted.spared)
        && seen.iter().any(|(start, end)| *start < to && *end > from)
    {
        return Err(format!("{what}: [{from}, {to}) did not change, but {seen:?}"));
    }
    Ok(())
}

#[test]
fn every_way_to_change_bytes_on_every_file_system() {
    let Some(mut live) = live(&Limits::default()) else { return };
    let mut failed = Vec::new();
    for place in mounts::all() {
        let mut done = 0;
        for wanted in CASES {
            if wanted.not_on.iter().any(|name| place.name.starts_with(name)) {
                continue;
            }
            if wanted.op == "mmap" && !mounts::on_disk(&place.dir) {
                continue;
            }
            if let Err(error) = run(&mut live, &place, wanted) {
                failed.push(error);
            }
            done += 1;
        }
        println!("{:?}, {}: {done} ways to change a file", live.backend, place.name);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
