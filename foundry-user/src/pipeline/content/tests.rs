//! Whose change it was, where bytes are read before the word of who wrote them has come.

use super::super::effect::{Attribution, Effect, ReadRequest, StoreOp};
use super::super::input::{Bytes, Committed, Input, Listing, ReadAnswer, ReadPart, StoreAnswer};
use super::super::{Pipeline, Settings};
use crate::artifact::{ArtifactId, FileIdentity, FileKind, Stat};
use crate::event::{Actor, Event, Extents, MonotonicNs};

const DIR: u64 = 1;
const FILE: u64 = 2;

fn stat(ino: u64, kind: FileKind, size: u64) -> Stat {
    let identity = FileIdentity { dev: 1, ino, btime_ns: 1 };
    let (mode, uid, gid, nlink) = (0o644, 0, 0, 1);
    let (mtime_ns, ctime_ns) = (size.cast_signed(), size.cast_signed());
    Stat { identity, kind, size, blocks: 8, mode, uid, gid, nlink, mtime_ns, ctime_ns }
}

fn file(size: u64) -> Stat {
    stat(FILE, FileKind::File, size)
}

/// What was committed: by whom, and whether that came late.
type Commit = (Vec<Attribution>, bool);

/// A root with one file. Answers all but reads.
struct Rig {
    pipeline: Pipeline,
    reads: Vec<ReadRequest>,
    commits: Vec<Commit>,
}

impl Rig {
    fn new(size: u64) -> Self {
        let pipeline = Pipeline::new(Settings { depth: 0, ..Settings::default() });
        let mut rig = Self { pipeline, reads: vec![], commits: vec![] };
        let root = stat(DIR, FileKind::Directory, 0);
        rig.step(Input::Watch { root: b"/w".to_vec(), stat: root }, size);
        rig
    }

    fn step(&mut self, input: Input, size: u64) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut effects = vec![];
            self.pipeline.step(input, &mut effects);
            for effect in effects {
                inputs.extend(self.answer(effect, size));
            }
        }
    }

    fn answer(&mut self, effect: Effect, size: u64) -> Option<Input> {
        match effect {
            Effect::Recall { root } => Some(Input::Recalled { root, heads: vec![] }),
            Effect::List { dir, .. } => {
                let dot = (b".".to_vec(), stat(DIR, FileKind::Directory, 0));
                let entries = vec![dot, (b"f".to_vec(), file(size))];
                Some(Input::Listed { dir, outcome: Ok(Listing { entries, tracked: true }) })
            }
            Effect::Read(request) => {
                self.reads.push(request);
                None
            }
            Effect::Store(job) => {
                let StoreOp::Commit { writers, belated, .. } = job.op else { return None };
                self.commits.push((writers, belated));
                let (changed_tiles, face) = (Some(vec![]), None);
                let outcome = Ok(Committed { generation: 1, new: true, size, changed_tiles, face });
                let (artifact, path, ticket) = (job.artifact, job.path, job.ticket);
                Some(Input::Stored(StoreAnswer { artifact, path, ticket, outcome }))
            }
            _ => None,
        }
    }

    /// Carries out the read that waits: the file has `size` bytes, and `after` at the end. Says which
    /// file it is.
    fn read(&mut self, size: u64, after: u64) -> ArtifactId {
        assert_eq!(self.reads.len(), 1, "{:?}", self.reads);
        let ReadRequest { artifact, ticket, .. } = self.reads.remove(0);
        let bytes = Bytes(vec![7; usize::try_from(size).unwrap()].into());
        let start = ReadPart::Start { stat: file(size), tracked: true, sees_mapped_stores: true };
        for part in
            [start, ReadPart::Bytes { offset: 0, bytes }, ReadPart::End { after: file(after) }]
        {
            self.step(Input::Read(ReadAnswer { artifact, ticket, part }), size);
        }
        artifact
    }

    fn wrote(&mut self, artifact: ArtifactId, pid: u32, size: u64) {
        let actor = Some(Actor { pid, ..Actor::default() });
        let (extents, at) = (Extents::Ranges(vec![(0, size)]), MonotonicNs(1));
        self.step(Input::Event(Event::Dirty { artifact, extents, actor, at }), size);
        // The file rests as long as the last read took.
        let now = MonotonicNs(self.pipeline.now.0 + 1_000_000_000);
        self.step(Input::Tick { now, wall: crate::event::UnixNs(0) }, size);
    }

    fn last(&self) -> (Vec<u32>, bool) {
        let (writers, belated) = self.commits.last().unwrap();
        (writers.iter().map(|w| w.actor.pid).collect(), *belated)
    }
}

#[test]
fn a_read_that_was_ahead_of_its_event_is_claimed_by_it() {
    let mut rig = Rig::new(0);
    // While it was read, somebody wrote: it is read again, before the event has come.
    let artifact = rig.read(0, 9);
    rig.step(Input::Tick { now: MonotonicNs(1_000_000_000), wall: crate::event::UnixNs(0) }, 9);
    rig.read(9, 9);
    assert_eq!(rig.last(), (vec![], false));
    rig.wrote(artifact, 7, 9);
    rig.read(9, 9);
    assert_eq!(rig.last(), (vec![7], true));
    // Whoever writes next has nothing to claim.
    rig.wrote(artifact, 8, 9);
    rig.read(9, 9);
    assert_eq!(rig.last(), (vec![8], false));
}

#[test]
fn what_was_there_before_is_claimed_by_nobody() {
    let mut rig = Rig::new(9);
    let artifact = rig.read(9, 9);
    assert_eq!(rig.last(), (vec![], false));
    rig.wrote(artifact, 7, 9);
    rig.read(9, 9);
    assert_eq!(rig.last(), (vec![7], false));
}
