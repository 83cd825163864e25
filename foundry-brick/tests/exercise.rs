//! Every question that can be asked of bytes that claim to be a brick.
//!
//! Shared by the mutation tests and by the fuzz target `brick_open`: whatever the bytes, no panic,
//! and nothing is read that does not hash to what its parent says.

use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Brick, Editor};

/// Asks everything; returns whether the bytes opened as a brick.
pub(crate) fn ask_everything(bytes: &[u8]) -> bool {
    if let Ok(mut editor) = Editor::open(MemStorage::from(bytes.to_vec())) {
        drop(editor.commit(1));
        drop(editor.resize(editor.meta().size / 2 + 70_000));
        drop(editor.put(0, &[7; 65_536]));
        drop(editor.commit(2));
        drop(editor.compact_into(MemStorage::new()));
        let brick = Brick::open(editor.into_storage());
        assert!(brick.is_ok(), "an edited brick does not open: {:?}", brick.err());
    }
    drop(Brick::open_settled(MemStorage::from(bytes.to_vec())));
    let Ok(brick) = Brick::open(MemStorage::from(bytes.to_vec())) else { return false };
    ask(&brick);
    for generation in brick.generations() {
        if let Ok(older) =
            Brick::open_generation(MemStorage::from(bytes.to_vec()), generation.number)
        {
            ask(&older);
        }
    }
    true
}

fn ask<S: Storage>(brick: &Brick<S>) {
    const MANY: u64 = 5_000;
    let size = brick.meta().size;
    for level in brick.levels() {
        let mut cells = Vec::new();
        drop(brick.cells(level.level, 0..level.cells.min(MANY), &mut cells));
        drop(brick.cells(level.level, level.cells.saturating_sub(MANY)..u64::MAX, &mut cells));
        assert!(cells.len() as u64 <= 2 * MANY);
    }
    for tile in [0, 1, 63, 64, size >> 16, u64::MAX >> 16] {
        drop(brick.tile_hash(tile));
        drop(brick.writer_of(tile << 16));
    }
    drop((brick.regions(), brick.facts(), brick.annotation(), brick.generations()));
    drop((brick.writers(), brick.changed_since(0), brick.changed_since(u64::MAX)));
    let mut buf = vec![0; 70_000];
    for offset in [0, 65_000, size.saturating_sub(10), u64::MAX] {
        drop(brick.read_payload(offset, &mut buf));
    }
    // Hashing what a hostile size claims to be zero would take hours, and find nothing more.
    if size <= 1 << 24 {
        drop(brick.verify());
    }
}
