//! Power loss at any moment leaves every generation that a flush promised, or a newer one.
//!
//! The medium keeps what was synced, any beginning of what was done to names since, and any subset of
//! what was written since, with one write torn between sectors.

use super::Rng;
use super::memory::{Done, Image, Memory};
use super::world::{Promise, Tree, Truth, World, open, shown};
use foundry_brick::Brick;
use std::path::Path;

/// Images of each moment where there are too many to enumerate.
const SAMPLES: usize = 10;

/// What a crash may have left of `log`.
struct Crash<'a> {
    /// Synced as a whole.
    base: Image,
    pending: &'a [Done],
}

impl Crash<'_> {
    fn is_name(done: &Done) -> bool {
        matches!(done, Done::Create { .. } | Done::Rename { .. } | Done::Remove { .. })
    }

    /// Whether a later sync of the file itself has made this durable.
    fn is_sure(&self, i: usize) -> bool {
        let (Done::Write { file, .. } | Done::SetLen { file, .. }) = &self.pending[i] else {
            return false;
        };
        let syncs = |done: &Done| matches!(done, Done::SyncFile { file: f } if f == file);
        self.pending[i..].iter().any(syncs)
    }

    /// The images: every subset of few writes, some of many.
    fn images(&self, rng: &mut Rng) -> Vec<Image> {
        let names = self.pending.iter().filter(|d| Self::is_name(d)).count();
        let unsure: Vec<usize> = (0..self.pending.len())
            .filter(|i| !Self::is_name(&self.pending[*i]) && !self.is_sure(*i))
            .collect();
        if names == 0 && unsure.len() <= 3 {
            let subsets = 0..1u64 << unsure.len();
            return subsets.map(|subset| self.image(0, &unsure, subset, rng)).collect();
        }
        (0..SAMPLES)
            .map(|_| {
                let names = rng.below(names + 1);
                // Nearly everything, nearly nothing, or half of it.
                let subset = match rng.below(3) {
                    0 => rng.next() | rng.next(),
                    1 => rng.next() & rng.next(),
                    _ => rng.next(),
                };
                self.image(names, &unsure, subset, rng)
            })
            .collect()
    }

    fn image(&self, names: usize, unsure: &[usize], subset: u64, rng: &mut Rng) -> Image {
        let kept = |i: usize| match unsure.iter().position(|u| *u == i) {
            Some(n) => subset >> (n % 64) & 1 == 1,
            None => true,
        };
        let torn = unsure.get(rng.below(2 * unsure.len())).copied();
        let mut image = self.base.clone();
        let mut named = 0;
        for (i, done) in self.pending.iter().enumerate() {
            if Self::is_name(done) {
                named += 1;
                if named <= names {
                    image.apply(done);
                }
            } else if torn == Some(i) {
                tear(done, rng).iter().for_each(|part| image.apply(part));
            } else if kept(i) {
                image.apply(done);
            }
        }
        image
    }
}

/// Some sectors of a write.
fn tear(done: &Done, rng: &mut Rng) -> Vec<Done> {
    let Done::Write { file, at, bytes } = done else { return vec![done.clone()] };
    let which = rng.next();
    let mut parts = vec![];
    let mut from = 0;
    while from < bytes.len() {
        // Sectors of the medium, not of the write.
        let to = bytes.len().min(from + 512 - usize::try_from((at + from as u64) % 512).unwrap());
        if which >> (parts.len() % 64) & 1 == 1 || rng.one_in(4) {
            let bytes = bytes[from..to].to_vec();
            parts.push(Done::Write { file: *file, at: at + from as u64, bytes });
        }
        from = to;
    }
    parts
}

/// What a crash at any moment of `log` may have left, with how much of it was done by then.
pub(super) fn each_image(log: &[Done], rng: &mut Rng, mut look: impl FnMut(usize, Image)) {
    let mut crash = Crash { base: Image::default(), pending: &[] };
    let mut synced = 0;
    for end in 1..=log.len() {
        if matches!(log[end - 1], Done::Sync) {
            log[synced..end].iter().for_each(|done| crash.base.apply(done));
            synced = end;
        }
        crash.pending = &log[synced..end];
        crash.images(rng).into_iter().for_each(|image| look(end, image));
    }
}

/// What was promised is there, what is there is whole, and nothing else is.
fn assert_kept(image: &Image, dir: &Path, promise: &Promise, truth: &Truth) {
    let medium = Memory::holding(image.clone());
    open(&medium, dir).unwrap().inventory(b"/w").unwrap();
    let after = medium.image();
    let mut found = std::collections::BTreeSet::new();
    for (place, file) in &after.names {
        let brick = Brick::open(after.files[file].clone()).unwrap();
        assert_eq!(*place, super::super::brick_path(dir, &brick.meta().path));
        let wrong = brick.verify();
        // The slot that does not count may be torn.
        assert!(wrong.iter().all(|p| p.what.starts_with("root slot")), "{wrong:?}");
        let ino = brick.meta().identity.ino;
        let least = promise.get(&ino).copied().unwrap_or(0);
        let content = shown(&brick);
        let shown = truth[&ino].iter().rposition(|hash| Some(*hash) == content);
        let shown = shown.unwrap_or_else(|| panic!("inode {ino}: content of no commit"));
        // A brick that was left at an older path may be older; the next start removes it.
        if least <= shown {
            found.insert(ino);
        }
    }
    for ino in promise.keys() {
        assert!(found.contains(ino), "inode {ino}: what was promised is lost");
    }
}

/// A run of a daemon: commits, flushes, renames, bricks begun anew. Then every moment of it.
fn run(seed: u64, mutations: usize, spoil: usize) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let medium = Memory::default();
    let mut world = World::start(seed, Tree::new(), &medium, dir.path()).unwrap().spoil(spoil);
    for _ in 0..mutations {
        world.mutate();
        for _ in 0..world.rng.below(12) {
            world.turn();
        }
        if world.rng.one_in(7) {
            world.ask_for_sync();
        }
    }
    world.sync();
    world.assert_right();
    let (truth, promises) = (world.truth.clone(), world.promises.clone());
    let tree = world.tree.clone();
    drop(world);
    let log = medium.log();
    let mut rng = Rng(seed.rotate_left(7) | 1);
    let mut images = 0;
    each_image(&log, &mut rng, |end, image| {
        let promise = promises.iter().rev().find(|p| p.0 <= end).map(|p| p.1.clone());
        images += 1;
        assert_kept(&image, dir.path(), &promise.unwrap_or_default(), &truth);
        if images % 97 == 0 {
            // And work goes on from there.
            let medium = Memory::holding(image);
            let mut world = World::start(seed, tree.clone(), &medium, dir.path()).unwrap();
            world.sync();
            world.assert_right();
        }
    });
    images
}

#[test]
fn what_was_flushed_survives_power_loss_at_any_moment() {
    let given = std::env::var("FOUNDRY_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let seeds = given.map_or(vec![3, 5, 13], |seed| vec![seed]);
    let mut images = 0;
    for (i, seed) in seeds.into_iter().enumerate() {
        println!("FOUNDRY_SEED={seed}");
        images += run(seed, 90, if i % 2 == 0 { 0 } else { 15 });
    }
    assert!(2_000 < images, "only {images} images");
    println!("{images} images");
}
