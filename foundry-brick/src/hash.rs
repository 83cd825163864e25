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

/// Merges the chaining values of the consecutive, aligned, equally sized subtrees of one node
/// (the last may be clipped) to that of the node.
#[must_use]
pub fn merge(children: &[Hash]) -> Option<Hash> {
    match children {
        [] => None,
        [one] => Some(*one),
        _ => {
            let (left, right) = children.split_at(left_len(children.len()));
            Some(merge_subtrees_non_root(&merge(left)?, &merge(right)?, Mode::Hash))
        }
    }
}

/// As [`merge`], for the node that holds the whole artifact: gives its hash.
/// Needs at least two children, because the hash of one tile is not made from its chaining value.
#[must_use]
pub fn merge_root(children: &[Hash]) -> Option<Hash> {
    if children.len() < 2 {
        return None;
    }
    let (left, right) = children.split_at(left_len(children.len()));
    Some(*merge_subtrees_root(&merge(left)?, &merge(right)?, Mode::Hash).as_bytes())
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

/// Members of the left subtree of `n >= 2`: the largest power of two below `n`.
fn left_len(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
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
