//! The artifact's ordinary BLAKE3, cut at tiles and nodes.
//!
//! A tile is 64 chunks of BLAKE3, a node 64^h tiles: both are aligned powers of two, so each one,
//! clipped at the end of the artifact, is a subtree of the hash's own tree. Their chaining values
//! therefore merge to exactly `blake3(content)`, and one changed tile costs one path.
//!
//! Knows: bytes and chaining values. Must never know: the container.

use crate::geometry::{TILE_BYTES, TILE_SHIFT, index, tile_len};
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

/// A BLAKE3 output or chaining value.
pub type Hash = [u8; 32];

/// First 16 bytes of a BLAKE3: covers every run of bytes in the container.
pub type Checksum = [u8; 16];

/// Checksum of `bytes`.
#[must_use]
pub fn checksum(bytes: &[u8]) -> Checksum {
    shorten(blake3::hash(bytes))
}

pub(crate) fn shorten(hash: blake3::Hash) -> Checksum {
    let mut out = [0; 16];
    out.copy_from_slice(&hash.as_bytes()[..16]);
    out
}

/// Chaining value of tile `tile`, and the hash it has when it is the whole artifact (tile 0 only).
#[must_use]
pub fn tile(tile: u64, bytes: &[u8]) -> (ChainingValue, Option<Hash>) {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(tile << TILE_SHIFT);
    hasher.update(bytes);
    let whole = (tile == 0).then(|| *hasher.finalize().as_bytes());
    (hasher.finalize_non_root(), whole)
}

/// The chaining values of the consecutive, aligned, equally sized subtrees of one node (the last may
/// be clipped), and all that lie between them and the node: changing one costs a path.
#[derive(Clone, Debug)]
pub struct Merges {
    /// The children, then pairs of them, and so on; the last level has one.
    levels: Vec<Vec<Hash>>,
}

impl Merges {
    /// Merges `children`; `None` where there are none.
    #[must_use]
    pub fn new(children: Vec<Hash>) -> Option<Self> {
        let mut levels = vec![children];
        while let Some(below) = levels.last().filter(|level| 1 < level.len()) {
            let above = below.chunks(2).filter_map(pair).collect();
            levels.push(above);
        }
        (!levels[0].is_empty()).then_some(Self { levels })
    }

    /// Number of children.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels[0].len()
    }

    /// Never: there is at least one child.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Replaces child `i`, if there is one.
    pub fn set(&mut self, i: usize, cv: Hash) {
        let Some(child) = self.levels[0].get_mut(i) else { return };
        *child = cv;
        let mut at = i / 2;
        for level in 1..self.levels.len() {
            let below = &self.levels[level - 1];
            let merged = below.get(2 * at..below.len().min(2 * at + 2)).and_then(pair);
            if let (Some(merged), Some(place)) = (merged, self.levels[level].get_mut(at)) {
                *place = merged;
            }
            at /= 2;
        }
    }

    /// Chaining value of the node.
    #[must_use]
    pub fn node(&self) -> Hash {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or_default()
    }

    /// The hash of the content, where the node holds all of it. Needs at least two children, because
    /// the hash of one tile is not made from its chaining value.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        match self.levels.iter().rev().nth(1)?.as_slice() {
            [left, right] => Some(*merge_subtrees_root(left, right, Mode::Hash).as_bytes()),
            _ => None,
        }
    }
}

/// The chaining value of a pair, or of one that has no partner.
fn pair(of: &[Hash]) -> Option<Hash> {
    match of {
        [left, right] => Some(merge_subtrees_non_root(left, right, Mode::Hash)),
        [one] => Some(*one),
        _ => None,
    }
}

/// Chaining value of `n` tiles of zeros from `first` in an artifact of `size` bytes.
#[must_use]
pub fn zeros(size: u64, first: u64, n: u64) -> Option<Hash> {
    static ZEROS: [u8; index(TILE_BYTES)] = [0; index(TILE_BYTES)];
    if n <= 1 {
        let len = index(tile_len(size, first));
        return (len != 0).then(|| tile(first, &ZEROS[..len]).0);
    }
    let left = 1 << (u64::BITS - 1 - (n - 1).leading_zeros());
    let (a, b) = (zeros(size, first, left)?, zeros(size, first + left, n - left)?);
    Some(merge_subtrees_non_root(&a, &b, Mode::Hash))
}

/// Hash of `size` zero bytes.
#[must_use]
pub fn zeros_root(size: u64) -> Option<Hash> {
    let n = crate::geometry::tiles(size);
    if n < 2 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&vec![0; crate::geometry::index(size)]);
        return Some(*hasher.finalize().as_bytes());
    }
    let left = 1 << (u64::BITS - 1 - (n - 1).leading_zeros());
    let (a, b) = (zeros(size, 0, left)?, zeros(size, left, n - left)?);
    Some(*merge_subtrees_root(&a, &b, Mode::Hash).as_bytes())
}
