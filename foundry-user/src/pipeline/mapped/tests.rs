//! How often what is mapped is read again: each second where that costs little, and never for more than
//! its share of the time.

use super::super::bricks::folded;
use super::super::effect::{Effect, ReadRequest};
use super::super::input::{
    BrickHead, Bytes, Committed, Input, Listing, ReadAnswer, ReadPart, StoreAnswer,
};
use super::super::{Pipeline, Settings};
use super::{MAX_PAUSE_NS, SWEEP_NS};
use crate::artifact::{ArtifactId, FileIdentity, FileKind, Stat};
use crate::event::{Actor, Event, MonotonicNs, UnixNs};
use proptest::prelude::*;

/// Between two ticks.
const TICK_NS: u64 = 20_000_000;

/// A root with files that are all mapped and whose stores nobody sees, and a reader with a clock: one
/// read after the other, each taking `cost`.
struct Rig {
    pipeline: Pipeline,
    now: u64,
    cost: u64,
    /// Reads that wait, and when the first of them ends.
    reads: Vec<ReadRequest>,
    ends: u64,
    /// Nanoseconds spent reading, and when each read ended.
    busy: u64,
    read_at: Vec<u64>,
    synced: bool,
}

fn identity(ino: u64) -> FileIdentity {
    FileIdentity { dev: 1, ino, btime_ns: 1 }
}

fn stat(ino: u64, kind: FileKind) -> Stat {
    Stat {
        identity: identity(ino),
        kind,
        size: 1,
        blocks: 8,
        mode: 0o644,
        uid: 0,
        gid: 0,
        nlink: 1,
        mtime_ns: 0,
        ctime_ns: 0,
    }
}

impl Rig {
    /// `files` of them are known and were read once.
    fn new(files: u64, cost: u64, rest: u32) -> Self {
        let settings = Settings { depth: 0, mapped_rest: rest, ..Settings::default() };
        let pipeline = Pipeline::new(settings);
        let (reads, read_at) = (vec![], vec![]);
        let mut rig =
            Self { pipeline, now: 0, cost, reads, ends: 0, busy: 0, read_at, synced: false };
        rig.step(Input::Tick { now: MonotonicNs(0), wall: UnixNs(0) }, files);
        let root = stat(1, FileKind::Directory);
        rig.step(Input::Watch { root: b"/w".to_vec(), stat: root }, files);
        while (rig.read_at.len() as u64) < files {
            rig.tick(files);
        }
        rig
    }

    /// Takes an input, and answers all but reads at once.
    fn step(&mut self, input: Input, files: u64) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut effects = vec![];
            self.pipeline.step(input, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Recall { root } => inputs.push(Input::Recalled { root, heads: vec![] }),
                    Effect::List { dir, .. } => {
                        let entry =
                            |n| (format!("f{n:03}").into_bytes(), stat(n + 2, FileKind::File));
                        let dot = (b".".to_vec(), stat(1, FileKind::Directory));
                        let entries = std::iter::once(dot).chain((0..files).map(entry)).collect();
                        let outcome = Ok(Listing { entries, tracked: true });
                        inputs.push(Input::Listed { dir, outcome });
                    }
                    Effect::ScanMappings => {
                        let shared_writable = (0..files).map(|n| identity(n + 2)).collect();
                        inputs.push(Input::Mappings { shared_writable });
                    }
                    Effect::Flush { ticket } => inputs.push(Input::Flushed { ticket, ok: true }),
                    Effect::SyncDone { .. } => self.synced = true,
                    Effect::Read(request) => {
                        if self.reads.is_empty() {
                            self.ends = self.now + self.cost;
                        }
                        self.reads.push(request);
                    }
                    Effect::Store(job) if job.ticket != 0 => {
                        let committed = Committed {
                            generation: 1,
                            new: false,
                            size: 1,
                            changed_tiles: Some(vec![]),
                            face: None,
                        };
                        let (artifact, path, ticket) = (job.artifact, job.path, job.ticket);
                        let outcome = Ok(committed);
                        inputs.push(Input::Stored(StoreAnswer { artifact, path, ticket, outcome }));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Time passes, and the reads that end meanwhile do.
    fn tick(&mut self, files: u64) {
        let until = self.now + TICK_NS;
        while !self.reads.is_empty() && self.ends <= until {
            let request = self.reads.remove(0);
            let stat = stat(request.expect.ino, FileKind::File);
            self.busy += self.cost;
            self.read_at.push(self.ends);
            self.now = self.ends;
            self.ends += self.cost;
            let start = ReadPart::Start { stat, tracked: true, sees_mapped_stores: false };
            let bytes = ReadPart::Bytes { offset: 0, bytes: Bytes((&[7u8][..]).into()) };
            for part in [start, bytes, ReadPart::End { after: stat }] {
                let (artifact, ticket) = (request.artifact, request.ticket);
                self.step(Input::Read(ReadAnswer { artifact, ticket, part }), files);
            }
        }
        self.now = until;
        self.step(Input::Tick { now: MonotonicNs(until), wall: UnixNs(0) }, files);
    }

    /// Lets `ns` pass; says which share of it went into reading.
    fn share(&mut self, files: u64, ns: u64) -> f64 {
        let (since, busy) = (self.now, self.busy);
        while self.now < since + ns {
            self.tick(files);
        }
        #[expect(clippy::cast_precision_loss, reason = "a share, not a sum")]
        let share = (self.busy - busy) as f64 / (self.now - since) as f64;
        share
    }
}

/// What costs next to nothing is read each second.
#[test]
fn what_is_cheap_is_read_each_second() {
    let mut rig = Rig::new(3, 1000, 9);
    rig.share(3, 20 * SWEEP_NS);
    rig.read_at.clear();
    rig.share(3, 60 * SWEEP_NS);
    let rounds = rig.read_at.len() / 3;
    assert!((50..=60).contains(&rounds), "{rounds} rounds in a minute");
}

/// Three seconds of reading each second: without rests the reader does nothing else, ever.
#[test]
fn what_is_dear_does_not_starve_the_rest() {
    let cost = SWEEP_NS;
    let share = Rig::new(3, cost, 0).share(3, 600 * SWEEP_NS);
    assert!(0.9 < share, "the rig does not show what starves: {share}");
    let share = Rig::new(3, cost, 9).share(3, 600 * SWEEP_NS);
    assert!((0.05..0.15).contains(&share), "{share}");
}

/// A sync is about everything, however long ago the last round was and however long the next one rests.
#[test]
fn a_sync_looks_at_all_of_it_at_once() {
    let mut rig = Rig::new(5, 4 * SWEEP_NS, 9);
    rig.share(5, 100 * SWEEP_NS);
    while !rig.reads.is_empty() {
        rig.tick(5);
    }
    let (since, before) = (rig.now, rig.read_at.len());
    rig.step(Input::Sync { ticket: 1 }, 5);
    assert_eq!(rig.reads.len(), 5);
    while !rig.synced {
        rig.tick(5);
    }
    assert_eq!(rig.read_at.len() - before, 5);
    assert!(rig.now <= since + 21 * SWEEP_NS);
}

/// A file turns up mapped between a sync and the answer to its scan: what was stored before the sync is
/// waited for, though the word of the mapping came after it.
#[test]
fn a_sync_waits_for_what_turns_up_mapped_before_its_scan_ends() {
    let mut pipeline = Pipeline::new(Settings { depth: 0, ..Settings::default() });
    let mut step = |input| {
        let mut effects = vec![];
        pipeline.step(input, &mut effects);
        effects
    };
    let (file, root) = (stat(2, FileKind::File), stat(1, FileKind::Directory));
    let state = folded(&file, UnixNs(20 * SWEEP_NS.cast_signed()));
    let head = BrickHead { path: b"/w/file".to_vec(), state, face: None, directory: false };
    step(Input::Watch { root: b"/w".to_vec(), stat: root });
    step(Input::Recalled { root: b"/w".to_vec(), heads: vec![head] });
    step(Input::Sync { ticket: 1 });
    let entries = vec![(b".".to_vec(), root), (b"file".to_vec(), file)];
    let outcome = Ok(Listing { entries, tracked: true });
    let (dir, artifact) = (ArtifactId(1), ArtifactId(2));
    step(Input::Listed { dir, outcome });
    let part = |ticket, part| Input::Read(ReadAnswer { artifact, ticket, part });
    let start = || ReadPart::Start { stat: file, tracked: true, sees_mapped_stores: false };
    step(part(1, start()));
    let (actor, at) = (Actor::default(), MonotonicNs(0));
    let (shared_writable, executable) = (true, false);
    step(Input::Event(Event::Mmap { artifact, actor, shared_writable, executable, at }));
    step(Input::Mappings { shared_writable: vec![file.identity] });
    let effects = step(part(1, ReadPart::End { after: file }));
    let is_flush = |e: &Effect| matches!(e, Effect::Flush { .. });
    assert!(!effects.iter().any(is_flush), "nothing was read since the sync: {effects:?}");
    step(part(2, start()));
    let bytes = Bytes((&[7u8][..]).into());
    step(part(2, ReadPart::Bytes { offset: 0, bytes }));
    let effects = step(part(2, ReadPart::End { after: file }));
    let commit = |e: &Effect| match e {
        Effect::Store(job) if job.ticket != 0 => Some(job.ticket),
        _ => None,
    };
    let ticket = effects.iter().find_map(commit).unwrap();
    let committed =
        Committed { generation: 2, new: true, size: 1, changed_tiles: Some(vec![]), face: None };
    let (path, outcome) = (b"/w/file".to_vec(), Ok(committed));
    let effects = step(Input::Stored(StoreAnswer { artifact, path, ticket, outcome }));
    assert!(effects.iter().any(is_flush), "{effects:?}");
}

/// Being stopped for a day is no reason to look away for nine.
#[test]
fn no_rest_is_longer_than_the_longest() {
    let day = 86_400 * SWEEP_NS;
    let mut rig = Rig::new(1, 1000, 9);
    while rig.reads.is_empty() {
        rig.tick(1);
    }
    rig.ends = rig.now + day;
    rig.now += day;
    rig.tick(1);
    let before = rig.read_at.len();
    rig.share(1, MAX_PAUSE_NS + 2 * SWEEP_NS);
    assert!(before < rig.read_at.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a round costs, it takes about a tenth of the time at most, and every file has its turn.
    #[test]
    fn rounds_keep_to_their_share(files in 1u64..12, cost_us in 1u64..3_000_000) {
        let cost = cost_us * 1000;
        let mut rig = Rig::new(files, cost, 9);
        rig.share(files, 2 * SWEEP_NS);
        let round = cost * files;
        let time = 40 * round.max(SWEEP_NS);
        let before = rig.read_at.len();
        let share = rig.share(files, time);
        prop_assert!(share < 0.16, "{share}");
        let read = (rig.read_at.len() - before) as u64;
        prop_assert!(2 * files <= read, "{read} reads of {files} files");
    }
}
