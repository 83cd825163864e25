//! Tiles on a disk: what is in them, where they lie, who else writes there.

use super::*;
use foundry_brick::export::{read_rts_png, read_v2br_v1};
use foundry_brick::{Editor, Meta};
use std::sync::Arc;

pub(in super::super) fn fold(dir: &Path, name: &str, content: &[u8]) -> Vec<u8> {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    let stat = std::fs::metadata(&path).unwrap();
    let path = path.to_str().unwrap().as_bytes().to_vec();
    let mut meta = Meta { path: path.clone(), mode: 0o755, ..Meta::default() };
    (meta.identity.dev, meta.identity.ino) = (stat.dev(), stat.ino());
    let mut storage = MemStorage::new();
    let mut editor = Editor::create(&mut storage, meta).unwrap();
    editor.resize(content.len() as u64).unwrap();
    editor.put(0, content).unwrap();
    editor.commit(1).unwrap();
    drop(editor);
    std::fs::write(dir.join(tile_name(&path)), storage.bytes()).unwrap();
    path
}

pub(in super::super) fn brick_path(dir: &Path) -> BrickPath {
    let bricks = dir.to_path_buf();
    Arc::new(move |path: &[u8]| bricks.join(tile_name(path)))
}

fn open(dir: &Path) -> Tiles {
    Tiles::open(&dir.join("builder"), brick_path(dir)).unwrap()
}

#[test]
fn tiles_hold_the_bytes_and_keep_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let a = fold(dir.path(), "a b<c>", b"first");
    let b = fold(dir.path(), "second", &[7; 5000]);
    let mut tiles = open(dir.path());
    let written = tiles.write([a.clone(), b.clone()].into(), 1.5).tiles;
    assert_eq!(written.len(), 2);
    for (_, _, name) in &written {
        assert!(name.ends_with(".png") && !name.contains(['<', ' ', '/']), "{name}");
    }
    let queue = dir.path().join("builder/queue");
    let picture = std::fs::read(queue.join(format!("{}.rts.png", tile_name(&a)))).unwrap();
    let read = read_rts_png(&picture).unwrap();
    assert_eq!((read.payload.as_slice(), read.hash_matches), (&b"first"[..], Some(true)));
    let brick = std::fs::read(queue.join(format!("{}.brick", tile_name(&b)))).unwrap();
    assert_eq!(read_v2br_v1(&brick).unwrap().payload, [7; 5000]);

    // Another bridge finds them where they were, and a newcomer takes another place.
    let c = fold(dir.path(), "third", b"3");
    let mut again = open(dir.path());
    let moved = again.write([c, b.clone()].into(), 2.5).tiles;
    let place = |all: &[(i64, i64, String)], path: &[u8]| {
        let name = format!("{}.rts.png", tile_name(path));
        all.iter().find(|(_, _, brick)| *brick == name).map(|(x, y, _)| (*x, *y)).unwrap()
    };
    assert_eq!(place(&moved, &b), place(&written, &b));
    let places: BTreeSet<_> = written.iter().chain(&moved).map(|(x, y, _)| (x, y)).collect();
    assert_eq!(places.len(), 3);
}

#[test]
fn what_is_gone_leaves_the_manifest_and_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let a = fold(dir.path(), "a", b"first");
    let mut tiles = open(dir.path());
    assert_eq!(tiles.write([a.clone()].into(), 1.0).tiles.len(), 1);
    std::fs::remove_file(dir.path().join("a")).unwrap();
    assert_eq!(tiles.write([a.clone()].into(), 2.0), Written::default());
    let manifest = std::fs::read(dir.path().join("builder/map/manifest.json")).unwrap();
    assert_eq!(manifest, b"{}");
    let left = std::fs::read_dir(dir.path().join("builder/queue")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn what_others_put_into_the_manifest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let a = fold(dir.path(), "a", b"first");
    let mut tiles = open(dir.path());
    let manifest = dir.path().join("builder/map/manifest.json");
    let other = r#"{"0,0":{"brick":"theirs.rts.png","timestamp":3.25}}"#;
    std::fs::write(&manifest, other).unwrap();
    let written = tiles.write([a].into(), 9.0).tiles;
    assert_ne!((written[0].0, written[0].1), (0, 0), "the place is theirs");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("theirs.rts.png") && text.contains("3.25"), "{text}");

    std::fs::write(&manifest, "half a manif").unwrap();
    assert!(Tiles::open(&dir.path().join("builder"), brick_path(dir.path())).is_err());
}

#[test]
fn only_what_is_newer_than_its_tile_is_written_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tree")).unwrap();
    let a = fold(dir.path(), "tree/a", b"first");
    let roots = vec![dir.path().join("tree").to_str().unwrap().as_bytes().to_vec()];
    assert_eq!(open(dir.path()).stale(&roots), [a.clone()].into());
    // A brick lies in the tree's own directory, and a file without a brick has nothing to show.
    std::fs::write(dir.path().join("tree/unfolded"), "x").unwrap();
    open(dir.path()).write([a.clone()].into(), 1e12);
    assert_eq!(open(dir.path()).stale(&roots), BTreeSet::new());
    open(dir.path()).write([a.clone()].into(), 1.0);
    assert_eq!(open(dir.path()).stale(&roots), [a].into());
}

#[test]
fn a_full_map_says_what_it_left_out_and_gives_places_of_the_gone_away() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| fold(dir.path(), name, name.as_bytes()));
    let mut tiles = open(dir.path());
    tiles.most = 2;
    assert_eq!(tiles.write([a.clone(), b, c.clone()].into(), 1.0).tiles.len(), 2);
    assert_eq!(tiles.left_out(), 1);
    let unmade = dir.path().join(format!("builder/queue/{}.rts.png", tile_name(&c)));
    assert!(!unmade.exists(), "no picture without a place");

    std::fs::remove_file(dir.path().join("a")).unwrap();
    tiles.write([a].into(), 2.0);
    let written = tiles.write([c].into(), 3.0);
    assert_eq!((written.tiles.len(), tiles.left_out()), (1, 0));
    assert!(unmade.exists());
}

#[test]
fn what_cannot_be_written_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let a = fold(dir.path(), "a", b"first");
    let mut tiles = open(dir.path());
    std::fs::remove_dir(dir.path().join("builder/queue")).unwrap();
    let written = tiles.write([a].into(), 1.0);
    assert!(written.tiles.is_empty());
    let why = written.failure.unwrap();
    assert!(why.contains("the tile of") && why.contains("No such file"), "{why}");
}
