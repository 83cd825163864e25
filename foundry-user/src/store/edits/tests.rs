//! Edits on a real store in a temporary directory.

use super::*;
use crate::artifact::{ArtifactId, FileIdentity, FileKind};
use crate::event::Actor;
use crate::pipeline::input::Bytes;
use crate::store::{FileStorage, StoreError};
use foundry_brick::Payload;

const PATH: &[u8] = b"/x/y";
const TILE: u64 = 1 << 16;

struct Stage {
    dir: tempfile::TempDir,
    store: Arc<Store>,
    edits: Edits,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), Payload::Reference).unwrap());
    let edits = Edits::new(Arc::clone(&store));
    Stage { dir, store, edits }
}

fn stat(size: u64) -> Stat {
    Stat {
        identity: FileIdentity { dev: 1, ino: 2, btime_ns: 3 },
        kind: FileKind::File,
        size,
        blocks: 8,
        mode: 0o644,
        uid: 0,
        gid: 0,
        nlink: 1,
        mtime_ns: 5,
        ctime_ns: 6,
    }
}

fn rename(to: &[u8], at: i64) -> StoreOp {
    let (durable, over) = (Durable::Nothing, Durable::Nothing);
    StoreOp::Rename { to: to.to_vec(), at: UnixNs(at), durable, over }
}

impl Stage {
    fn job(&mut self, path: &[u8], op: StoreOp) -> Option<Result<Committed, StoreFailure>> {
        let job = StoreJob { artifact: ArtifactId(1), path: path.to_vec(), ticket: 1, op };
        self.edits.carry_out(job).map(|a| a.outcome)
    }

    fn begin(&mut self, size: u64, whole: bool) {
        assert_eq!(self.job(PATH, StoreOp::Begin { stat: stat(size), whole, fresh: false }), None);
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let bytes = Bytes(bytes.into());
        assert_eq!(self.job(PATH, StoreOp::Bytes { offset, bytes }), None);
    }

    fn commit(&mut self, at: i64) -> Result<Committed, StoreFailure> {
        let actor = Actor { pid: 7, comm: b"dd".to_vec(), ..Actor::default() };
        let writers = vec![Attribution { ranges: vec![(0, u64::MAX)], actor }];
        let (at, durable) = (UnixNs(at), Durable::Nothing);
        let op = StoreOp::Commit { writers, belated: false, at, durable, recalled: false };
        self.job(PATH, op).unwrap()
    }

    fn brick(&self, path: &[u8]) -> Brick<FileStorage> {
        let place = brick_path(self.store.dir(), path);
        Brick::open(FileStorage::open_to_read(&place).unwrap()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut all = vec![];
        for sub in std::fs::read_dir(self.dir.path().join("bricks")).unwrap() {
            all.extend(std::fs::read_dir(sub.unwrap().path()).unwrap().map(|e| e.unwrap().path()));
        }
        all
    }
}

#[test]
fn a_brick_appears_with_its_first_commit_and_changes_by_tiles() {
    let mut s = stage();
    let mut content = vec![1; 3 * 65536 + 9];
    s.begin(content.len() as u64, true);
    s.put(0, &content);
    assert!(!brick_path(s.store.dir(), PATH).exists());
    let first = s.commit(10).unwrap();
    assert!((first.generation, first.new) == (1, true));
    content[65536 + 5] = 2;
    s.begin(content.len() as u64, false);
    s.put(TILE, &content[65536..131_072]);
    let second = s.commit(20).unwrap();
    assert_eq!((second.generation, second.changed_tiles), (2, Some(vec![1])));
    let brick = s.brick(PATH);
    assert_eq!(brick.blake3().unwrap(), *blake3::hash(&content).as_bytes());
    assert_eq!(brick.writer_of(TILE).unwrap().unwrap().at_ns, 20);
    assert!(brick.verify().is_empty());
    s.begin(content.len() as u64, false);
    assert!(!s.commit(30).unwrap().new);
    assert!(s.store.flush());
}

#[test]
fn what_is_abandoned_or_incomplete_leaves_no_trace() {
    let mut s = stage();
    s.begin(10, true);
    assert_eq!(s.job(PATH, StoreOp::Abandon), None);
    assert_eq!(s.files(), Vec::<PathBuf>::new());
    s.begin(10, true);
    assert_eq!(s.commit(1), Err(StoreFailure::Corrupt));
    s.begin(10, false);
    assert_eq!(s.commit(1), Err(StoreFailure::Corrupt));
    assert_eq!(bricks(s.store.dir()), Vec::<PathBuf>::new());
}

#[test]
fn a_brick_moves_with_its_history_and_says_so() {
    let mut s = stage();
    s.begin(3, true);
    s.put(0, b"abc");
    s.commit(1).unwrap();
    let to = b"/x/z".to_vec();
    assert_eq!(s.job(PATH, rename(&to, 2)), None);
    let brick = s.brick(&to);
    assert_eq!(brick.meta().path, to);
    assert_eq!(brick.generations().len(), 2);
    let heads = s.store.inventory(b"/x").unwrap().heads;
    assert!(heads.len() == 1 && heads[0].path == to);
    assert_eq!(s.store.inventory(b"/other").unwrap().heads, []);
    // There is nothing to move any more: the pipeline learns that the new place is empty.
    let again = s.job(PATH, rename(&to, 3));
    assert_eq!(again, Some(Err(StoreFailure::Corrupt)));
    assert_eq!(s.files(), Vec::<PathBuf>::new());
    assert_eq!(s.job(&to, StoreOp::Remove), None);
}

#[test]
fn a_broken_brick_is_folded_anew_or_refused() {
    let mut s = stage();
    s.begin(3, true);
    s.put(0, b"abc");
    s.commit(1).unwrap();
    let place = brick_path(s.store.dir(), PATH);
    std::fs::write(&place, b"not a brick").unwrap();
    s.begin(3, false);
    assert_eq!(s.commit(2), Err(StoreFailure::Corrupt));
    assert_eq!(s.store.inventory(b"/x").unwrap().removed, 1);
    std::fs::write(&place, b"not a brick").unwrap();
    s.begin(3, true);
    s.put(0, b"abc");
    assert_eq!(s.commit(3).unwrap().generation, 1);
}

#[test]
fn one_writer_at_a_time_and_leftovers_go() {
    let s = stage();
    let busy = Store::open(s.dir.path(), Payload::Reference);
    assert!(matches!(busy, Err(StoreError::Busy { .. })));
    let beside = place::unfinished(&brick_path(s.dir.path(), PATH));
    std::fs::create_dir_all(beside.parent().unwrap()).unwrap();
    std::fs::write(&beside, "half").unwrap();
    let Stage { dir, store, edits } = s;
    drop((store, edits));
    let _again = Store::open(dir.path(), Payload::Reference).unwrap();
    assert!(!beside.exists());
}

#[test]
fn after_an_error_of_the_medium_nothing_is_written() {
    let mut s = stage();
    s.begin(3, true);
    s.put(0, b"abc");
    s.store.fail(&io::Error::from_raw_os_error(libc::ENOSPC));
    assert_eq!(s.commit(1), Err(StoreFailure::Io(libc::ENOSPC)));
    assert!(!s.store.flush());
    assert!(!brick_path(s.store.dir(), PATH).exists());
}

fn bricks(dir: &Path) -> Vec<PathBuf> {
    super::super::bricks(dir).unwrap()
}

#[test]
fn rewriting_over_and_over_is_compacted() {
    let mut s = stage();
    let size = 64 * TILE;
    s.begin(size, true);
    s.put(0, &vec![1; 64 * 65536]);
    s.commit(1).unwrap();
    let mut content = vec![0u8; 65536];
    let mut largest = 0;
    for i in 0..400u32 {
        let mut noise = i * 2 + 1;
        content.fill_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.to_le_bytes()[3]
        });
        s.begin(size, false);
        s.put(u64::from(i % 64) * TILE, &content);
        s.commit(i64::from(i)).unwrap();
        largest = largest.max(std::fs::metadata(brick_path(s.store.dir(), PATH)).unwrap().len());
    }
    assert!(largest < 4 << 20, "{largest} bytes");
    assert!(s.brick(PATH).verify().is_empty());
    assert_eq!(s.files().len(), 1);
}

#[test]
fn an_annotation_joins_the_content_it_was_written_of_and_no_other() {
    let mut s = stage();
    s.begin(5, true);
    s.put(0, b"hello");
    s.commit(10).unwrap();
    let content = *blake3::hash(b"hello").as_bytes();
    let note = |content| {
        let (note, at, durable) = (b"{}".to_vec(), UnixNs(10), Durable::Nothing);
        StoreOp::Annotate { content, note, at, durable }
    };
    let other = *blake3::hash(b"other").as_bytes();
    assert_eq!(s.job(PATH, note(other)), Some(Err(StoreFailure::Stale)));
    let done = s.job(PATH, note(content)).unwrap().unwrap();
    assert_eq!((done.generation, done.new, done.changed_tiles), (2, true, Some(vec![])));
    // Said twice, it is one generation.
    let again = s.job(PATH, note(content)).unwrap().unwrap();
    assert_eq!((again.generation, again.new), (2, false));
    let brick = s.brick(PATH);
    assert_eq!(brick.annotation().unwrap(), Some(b"{}".to_vec()));
    assert_eq!(brick.content_generation(), 1);
    // Not in the middle of an edit; and after it the content is another one.
    s.begin(5, true);
    assert_eq!(s.job(PATH, note(content)), Some(Err(StoreFailure::Stale)));
    s.put(0, b"world");
    s.commit(20).unwrap();
    assert_eq!(s.job(PATH, note(content)), Some(Err(StoreFailure::Stale)));
    assert_eq!(s.job(b"/nowhere", note(content)), Some(Err(StoreFailure::Corrupt)));
}
