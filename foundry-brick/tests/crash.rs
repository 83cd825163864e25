//! A crash at any point leaves a generation that was committed, and not an older one than the
//! last that is known to be durable.
//!
//! The storage notes every write. For each moment between two writes, crash images are made: what
//! was synced, plus any subset of what was not, with any one of those torn.

use crate::support::{Random, TILE, content, meta};
use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Brick, Editor, Payload};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Result;
use std::rc::Rc;

#[derive(Clone, Debug)]
enum Done {
    Write {
        at: u64,
        bytes: Vec<u8>,
    },
    SetLen(u64),
    Sync,
    /// Not an operation: generation `0` is committed.
    Committed(u64),
    /// Not an operation: the test synced, and told the editor so.
    Told,
}

/// A storage that remembers what was asked of it.
#[derive(Clone, Default)]
struct Witness {
    now: Rc<RefCell<MemStorage>>,
    log: Rc<RefCell<Vec<Done>>>,
    /// Nobody asks for its memories.
    quiet: bool,
}

impl Witness {
    fn note(&self, done: Done) {
        if !self.quiet {
            self.log.borrow_mut().push(done);
        }
    }
}

impl Storage for Witness {
    fn len(&self) -> Result<u64> {
        self.now.borrow().len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.now.borrow().read_at(offset, buf)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.note(Done::Write { at: offset, bytes: bytes.to_vec() });
        self.now.borrow_mut().write_at(offset, bytes)
    }
    fn set_len(&mut self, len: u64) -> Result<()> {
        self.note(Done::SetLen(len));
        self.now.borrow_mut().set_len(len)
    }
    fn sync(&mut self) -> Result<()> {
        self.note(Done::Sync);
        Ok(())
    }
}

fn apply(image: &mut MemStorage, done: &Done) {
    match done {
        Done::Write { at, bytes } => image.write_at(*at, bytes).unwrap(),
        Done::SetLen(len) => image.set_len(*len).unwrap(),
        Done::Sync | Done::Committed(_) | Done::Told => {}
    }
}

/// The parts of a write that a tear may leave: a beginning, an end, or every other sector.
fn tears(at: u64, bytes: &[u8], random: &mut Random) -> Vec<Vec<Done>> {
    let write = |from: usize, to: usize| Done::Write {
        at: at + from as u64,
        bytes: bytes[from..to].to_vec(),
    };
    let cut = random.below(bytes.len());
    let sectors: Vec<Done> = (0..bytes.len())
        .step_by(1024)
        .map(|from| write(from, bytes.len().min(from + 512)))
        .collect();
    vec![vec![write(0, cut)], vec![write(cut, bytes.len())], sectors]
}

/// What the brick holds at each generation.
type Truth = BTreeMap<u64, [u8; 32]>;

/// Every image that a crash after `log` may leave opens at a generation that is allowed.
fn check(log: &[Done], truth: &Truth, random: &mut Random) -> usize {
    let synced = log.iter().rposition(|done| matches!(done, Done::Sync | Done::Told)).unwrap_or(0);
    let mut base = MemStorage::new();
    log[..synced].iter().for_each(|done| apply(&mut base, done));
    let committed = |log: &[Done]| {
        log.iter()
            .rev()
            .find_map(|done| if let Done::Committed(n) = done { Some(*n) } else { None })
    };
    let oldest = committed(&log[..synced]);
    let newest = committed(log).unwrap_or(0) + 1;
    let pending: Vec<&Done> = log[synced..]
        .iter()
        .filter(|d| matches!(d, Done::Write { .. } | Done::SetLen(_)))
        .collect();
    let mut images = 0;
    let mut judge = |image: MemStorage| {
        images += 1;
        assert_allowed(image, oldest, newest, truth);
    };
    let subsets: Vec<u64> = if pending.len() <= 7 {
        (0..1 << pending.len()).collect()
    } else {
        (0..128).map(|_| random.next()).collect()
    };
    for subset in subsets {
        let kept: Vec<usize> = (0..pending.len()).filter(|i| subset >> i & 1 == 1).collect();
        let mut image = base.clone();
        kept.iter().for_each(|i| apply(&mut image, pending[*i]));
        judge(image);
        // One of those that were kept, torn.
        let Some(&torn) = kept.get(random.below(kept.len())) else { continue };
        let Done::Write { at, bytes } = pending[torn] else { continue };
        for parts in tears(*at, bytes, random) {
            let mut image = base.clone();
            for i in &kept {
                match *i == torn {
                    true => parts.iter().for_each(|part| apply(&mut image, part)),
                    false => apply(&mut image, pending[*i]),
                }
            }
            judge(image);
        }
    }
    images
}

fn assert_allowed(image: MemStorage, oldest: Option<u64>, newest: u64, truth: &Truth) {
    let brick = match Brick::open(image) {
        Ok(brick) => brick,
        Err(err) => return assert!(oldest.is_none(), "a durable generation is lost: {err}"),
    };
    let generation = brick.generation();
    assert!(oldest.unwrap_or(1) <= generation && generation <= newest, "{oldest:?} {generation}");
    assert_eq!(brick.blake3().as_ref(), truth.get(&generation), "generation {generation}");
    // The slot that does not count may be torn; nothing else may be wrong.
    let wrong: Vec<_> =
        brick.verify().into_iter().filter(|p| !p.what.starts_with("root slot")).collect();
    assert_eq!(wrong, vec![], "generation {generation}");
    // Work goes on from there.
    let (size, mut editor) = (brick.meta().size, Editor::open(brick.into_storage()).unwrap());
    let tile = vec![0xee; usize::try_from(size).unwrap().min(TILE)];
    editor.put(0, &tile).unwrap();
    let next = editor.commit(99).unwrap();
    assert!(generation < next.generation);
    let after = Brick::open(editor.into_storage()).unwrap();
    assert_eq!(after.generation(), next.generation);
}

/// A life of a small brick; `told` says how often the test syncs and tells the editor.
fn live(size: usize, rounds: u64, told: u64, reopen: bool) -> (Vec<Done>, Truth) {
    let witness = Witness::default();
    let mut bytes = content(size, 3);
    let mut truth = Truth::new();
    let mut editor = Editor::create(witness.clone(), meta(size, Payload::Reference)).unwrap();
    editor.put(0, &bytes).unwrap();
    for round in 0..rounds {
        let done = editor.commit(i64::try_from(round).unwrap()).unwrap();
        truth.insert(done.generation, *blake3::hash(&bytes).as_bytes());
        witness.note(Done::Committed(done.generation));
        if round % told == told - 1 {
            witness.note(Done::Told);
            editor.assume_durable();
        } else if reopen {
            editor = Editor::open(witness.clone()).unwrap();
        }
        let at = (usize::try_from(round).unwrap() * 7919) % size;
        bytes[at] = bytes[at].wrapping_add(1);
        let tile = at / TILE;
        editor.put((tile * TILE) as u64, &bytes[tile * TILE..size.min((tile + 1) * TILE)]).unwrap();
    }
    // The edit that the next commit would make; its generation may be seen, its bytes are known.
    let done = editor.commit(1_000).unwrap();
    truth.insert(done.generation, *blake3::hash(&bytes).as_bytes());
    witness.note(Done::Committed(done.generation));
    let log = witness.log.borrow().clone();
    (log, truth)
}

#[test]
fn every_crash_image_is_a_committed_generation() {
    let mut random = Random::new(4);
    let mut images = 0;
    for (size, told, reopen) in [
        (900, 3, false),
        (900, 100, false),
        (900, 4, true),
        (TILE + 100, 3, true),
        (TILE + 100, 1, false),
    ] {
        let (log, truth) = live(size, 7, told, reopen);
        for end in 0..=log.len() {
            images += check(&log[..end], &truth, &mut random);
        }
    }
    assert!(5_000 < images, "only {images} images");
}

#[test]
fn a_large_commit_syncs_before_its_slot() {
    let (log, truth) = live(80 << 20, 1, 100, false);
    let slot = log.iter().position(|done| matches!(done, Done::Write { at: 512, .. })).unwrap();
    let sync = log.iter().position(|done| matches!(done, Done::Sync)).unwrap();
    assert!(sync < slot);
    let mut random = Random::new(5);
    // Around the sync and the slot, where the order matters; the rest is one long append.
    for end in sync.saturating_sub(1)..=slot + 1 {
        check(&log[..end], &truth, &mut random);
    }
}

/// Whoever has opened a generation reads it to the end, however many come after it.
#[test]
fn readers_of_an_old_root_stay_valid() {
    const COMMITS: i64 = 100_000;
    let file = Witness { quiet: true, ..Witness::default() };
    let mut bytes = content(64, 9);
    let mut editor = Editor::create(file.clone(), meta(64, Payload::Embedded)).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.commit(0).unwrap();
    editor.assume_durable();
    let mut readers = Vec::new();
    for n in 1..=COMMITS {
        if n % 20_000 == 1 {
            readers.push((Brick::open(file.clone()).unwrap(), bytes.clone()));
        }
        bytes[usize::try_from(n % 64).unwrap()] ^= 0x5a;
        editor.put(0, &bytes).unwrap();
        editor.commit(n).unwrap();
        if n % 3 == 0 {
            editor.assume_durable();
        }
    }
    assert_eq!(editor.generation(), u64::try_from(COMMITS).unwrap() + 1);
    for (reader, was) in readers {
        let mut read = vec![0; was.len()];
        reader.read_payload(0, &mut read).unwrap();
        assert_eq!(read, was);
        assert_eq!(reader.blake3(), Some(*blake3::hash(&was).as_bytes()));
        let mut cells = Vec::new();
        reader.cells(3, 0..1, &mut cells).unwrap();
        assert_eq!(cells.len(), 1);
    }
    let newest = Brick::open(file).unwrap();
    assert_eq!(newest.blake3(), Some(*blake3::hash(&bytes).as_bytes()));
}
