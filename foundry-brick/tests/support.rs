//! What the tests share: content, artifacts, a random generator that prints its seed.

use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Brick, Editor, Meta, Payload};

pub(crate) const TILE: usize = 65_536;

/// A small generator: the same numbers everywhere, from a seed that failures name.
pub(crate) struct Random(u64);

impl Random {
    /// From `FOUNDRY_SEED`, or a fixed seed; prints it, so that a failure can be repeated.
    pub(crate) fn new(salt: u64) -> Self {
        let seed = std::env::var("FOUNDRY_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(0x5eed_u64);
        println!("FOUNDRY_SEED={seed} (salt {salt})");
        Self(seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % (n.max(1) as u64)).unwrap()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Bytes that look like a program: runs of zeros, of text, of code.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let run = 1 + random.below(700);
        let kind = random.below(4);
        bytes.extend((0..run).map(|i| match kind {
            0 => 0,
            1 => b"the quick brown fox, 0123\n"[i % 26],
            2 => random.byte(),
            _ => random.byte() & 0x1f,
        }));
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn meta(size: usize, payload: Payload) -> Meta {
    Meta { path: b"/opt/demo/tool".to_vec(), size: size as u64, payload, ..Meta::default() }
}

/// The brick of `bytes`, folded at once.
pub(crate) fn fold(bytes: &[u8], payload: Payload) -> Brick<MemStorage> {
    let mut editor = Editor::create(MemStorage::new(), meta(bytes.len(), payload)).unwrap();
    editor.put(0, bytes).unwrap();
    editor.commit(1).unwrap();
    Brick::open(editor.into_storage()).unwrap()
}

/// Every cell of every level.
pub(crate) fn levels<S: Storage>(brick: &Brick<S>) -> Vec<Vec<[u8; 4]>> {
    let read = |level: foundry_brick::LevelInfo| {
        let mut cells = Vec::new();
        brick.cells(level.level, 0..level.cells, &mut cells).unwrap();
        cells
    };
    brick.levels().into_iter().map(read).collect()
}
