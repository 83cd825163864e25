//! Who holds which slot of dirty state, and which run of words.
//!
//! Knows: keys, slots, artifacts' numbers, geometries. Must never know: BPF, atomics, files.
//! Keeps: a slot or a run that a probe may still be using is not handed out again: it waits in
//! quarantine until the caller says that a grace period has passed.

use crate::artifact::ArtifactId;
use foundry_common::abi::{Geometry, MAX_WORDS};
use foundry_common::units::TILE_SHIFT;
use std::collections::HashMap;

/// An inode's key, as the kernel computes it.
pub(super) type Key = [u64; 2];

/// One slot's owner.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) key: Key,
    /// More than one where an inode has several names that are tracked.
    pub(super) owners: Vec<ArtifactId>,
    pub(super) directory: bool,
    pub(super) generation: u32,
    pub(super) geometry: Geometry,
    live: bool,
}

/// What the caller has to do in the kernel after an artifact let go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Released {
    /// Others still hold the slot, or nobody held one.
    Nothing,
    /// Remove the key from the interest map.
    Key(Key),
}

/// What was found for an artifact that is to be tracked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// Its inode has this slot already.
    Old(u32),
    /// A fresh slot: prepare its state, then insert the key.
    New(u32),
    /// There is none; a grace period would free some.
    Quarantined,
    /// There is none.
    Full,
}

/// All slots.
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    quarantine: Vec<u32>,
    limit: u32,
    by_artifact: HashMap<ArtifactId, u32>,
    by_key: HashMap<Key, u32>,
    words: Words,
}

impl Slots {
    pub(super) fn new(limit: u32, words: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            quarantine: Vec::new(),
            limit,
            by_artifact: HashMap::new(),
            by_key: HashMap::new(),
            words: Words::new(words),
        }
    }

    /// The slot, if somebody holds it.
    pub(super) fn get(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(index(slot)).filter(|slot| slot.live)
    }

    /// Every slot that is held.
    pub(super) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..).zip(&self.slots).filter(|(_, slot)| slot.live).map(|(nth, _)| nth)
    }

    /// The slot that an artifact holds.
    pub(super) fn of(&self, artifact: ArtifactId) -> Option<u32> {
        self.by_artifact.get(&artifact).copied()
    }

    /// Makes `artifact` an owner of the slot of `key`. It must hold no other slot.
    pub(super) fn claim(&mut self, key: Key, artifact: ArtifactId, directory: bool) -> Claimed {
        if let Some(slot) = self.by_key.get(&key).copied() {
            if let Some(held) = self.slots.get_mut(index(slot))
                && !held.owners.contains(&artifact)
            {
                held.owners.push(artifact);
            }
            self.by_artifact.insert(artifact, slot);
            return Claimed::Old(slot);
        }
        let Some(slot) = self.take_free() else {
            return if self.quarantine.is_empty() { Claimed::Full } else { Claimed::Quarantined };
        };
        let geometry = Geometry::INLINE;
        if let Some(held) = self.slots.get_mut(index(slot)) {
            let generation = held.generation.wrapping_add(1);
            let owners = vec![artifact];
            *held = Slot { key, owners, directory, generation, geometry, live: true };
        }
        self.by_artifact.insert(artifact, slot);
        self.by_key.insert(key, slot);
        Claimed::New(slot)
    }

    fn take_free(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let next = u32::try_from(self.slots.len()).ok().filter(|next| *next < self.limit)?;
        self.slots.push(Slot {
            key: [0; 2],
            owners: Vec::new(),
            directory: false,
            generation: 0,
            geometry: Geometry::INLINE,
            live: false,
        });
        Some(next)
    }

    /// `artifact` lets go of its slot.
    pub(super) fn release(&mut self, artifact: ArtifactId) -> Released {
        let Some(slot) = self.by_artifact.remove(&artifact) else { return Released::Nothing };
        let Some(held) = self.slots.get_mut(index(slot)) else { return Released::Nothing };
        held.owners.retain(|owner| *owner != artifact);
        if !held.owners.is_empty() {
            return Released::Nothing;
        }
        held.live = false;
        let key = held.key;
        self.by_key.remove(&key);
        self.quarantine.push(slot);
        Released::Key(key)
    }

    /// Slots that wait for a grace period.
    pub(super) fn quarantined(&self) -> usize {
        self.quarantine.len()
    }

    /// Everything in quarantine: whoever takes it waits for a grace period, and then frees it.
    pub(super) fn take_quarantine(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.quarantine)
    }

    /// There was no grace period after all.
    pub(super) fn quarantine_again(&mut self, mut slots: Vec<u32>) {
        self.quarantine.append(&mut slots);
    }

    /// A grace period has passed since the keys of `slots` were removed. `clear` is told every slot
    /// that is free now, and the words it had.
    pub(super) fn free(&mut self, slots: Vec<u32>, mut clear: impl FnMut(u32, Geometry)) {
        for slot in slots {
            if let Some(held) = self.slots.get_mut(index(slot)) {
                let geometry = std::mem::replace(&mut held.geometry, Geometry::INLINE);
                clear(slot, geometry);
                self.words.free(geometry);
            }
            self.free.push(slot);
        }
    }

    /// A finer geometry for a slot whose artifact has `size` bytes, if it needs one and there is room.
    pub(super) fn grow(&mut self, slot: u32, size: u64) -> Option<Geometry> {
        let old = self.get(slot)?.geometry;
        if size <= covered(old) {
            return None;
        }
        let new = self.words.allocate(geometry_for(size)?)?;
        self.slots.get_mut(index(slot))?.geometry = new;
        Some(new)
    }

    /// A run that no slot has any more, and whose grace period has passed.
    pub(super) fn free_words(&mut self, geometry: Geometry) {
        self.words.free(geometry);
    }
}

/// Bytes that have bits of their own.
fn covered(geometry: Geometry) -> u64 {
    let bits = if geometry.words == 0 { 64 } else { u64::from(geometry.words) * 64 };
    bits.checked_shl(geometry.bit_shift).unwrap_or(u64::MAX)
}

/// Bits for twice the size, so that a growing file does not need new ones all the time.
/// `None` where the summary alone is enough.
fn geometry_for(size: u64) -> Option<Geometry> {
    let mut bit_shift = TILE_SHIFT;
    let mut words = (size.saturating_mul(2) >> bit_shift).div_ceil(64).next_power_of_two();
    while words > u64::from(MAX_WORDS) {
        words /= 2;
        bit_shift += 1;
    }
    let words = u32::try_from(words).ok()?;
    let summary_shift = words.trailing_zeros().saturating_sub(6);
    (words > 1).then_some(Geometry { base: 0, words, bit_shift, summary_shift })
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

/// Runs of words, each a power of two long.
struct Words {
    next: u32,
    limit: u32,
    /// Free runs by binary logarithm of their length.
    free: [Vec<u32>; 13],
}

impl Words {
    fn new(limit: u32) -> Self {
        Self { next: 0, limit, free: Default::default() }
    }

    fn allocate(&mut self, geometry: Geometry) -> Option<Geometry> {
        let order = index(geometry.words.trailing_zeros());
        let larger = (order..self.free.len()).find(|nth| !self.free[*nth].is_empty());
        let base = if let Some(mut from) = larger {
            let base = self.free[from].pop()?;
            // The upper halves of what is split stay free.
            while from > order {
                from -= 1;
                self.free[from].push(base + (1 << from));
            }
            base
        } else {
            let end = self.next.checked_add(geometry.words).filter(|end| *end <= self.limit)?;
            std::mem::replace(&mut self.next, end)
        };
        Some(Geometry { base, ..geometry })
    }

    fn free(&mut self, geometry: Geometry) {
        if geometry.words > 0
            && let Some(list) = self.free.get_mut(index(geometry.words.trailing_zeros()))
        {
            list.push(geometry.base);
        }
    }
}

#[cfg(test)]
mod tests;
