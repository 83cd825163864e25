//! A tile shows exactly the cells of the leaves that lie in it.

use super::super::layout::{Layout, NodeKind, Tree};
use super::super::summary::Writers;
use super::*;
use foundry_brick::storage::{MemStorage, Storage};
use foundry_brick::{Editor, Meta};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Content that is different everywhere, and the same in every run.
fn bytes(size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..size)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = u8::try_from(state >> 24).unwrap();
            if i / 4096 % 3 == 0 { noise } else { b'a' + noise % 7 }
        })
        .collect()
}

/// Where a test keeps the brick of a path.
pub(in super::super) fn brick_of(root: &Path, path: &[u8]) -> std::path::PathBuf {
    root.join(format!("{}.brick", &blake3::hash(path).to_hex()[..20]))
}

pub(in super::super) fn fold(path: &Path, content: &[u8], brick: &Path) {
    let stat = std::fs::metadata(path).unwrap();
    let mut meta = Meta {
        path: path.to_str().unwrap().as_bytes().to_vec(),
        mtime_ns: stat.mtime() * 1_000_000_000 + stat.mtime_nsec(),
        ..Meta::default()
    };
    (meta.identity.dev, meta.identity.ino) = (stat.dev(), stat.ino());
    let mut storage = MemStorage::new();
    let mut editor = Editor::create(&mut storage, meta).unwrap();
    editor.resize(content.len() as u64).unwrap();
    editor.put(0, content).unwrap();
    editor.commit(1_000_000_000).unwrap();
    drop(editor);
    assert!(storage.len().unwrap() > 0);
    std::fs::write(brick, storage.bytes()).unwrap();
}

struct Fixture {
    _dir: tempfile::TempDir,
    world: World,
    bricks: Bricks,
    files: Vec<(u64, Vec<u8>)>,
}

fn fixture(sizes: &[usize]) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_path_buf();
    let brick_of = {
        let root = root.clone();
        move |path: &[u8]| brick_of(&root, path)
    };
    let children = (0..sizes.len())
        .map(|i| Tree {
            name: format!("f{i}").into_bytes(),
            kind: NodeKind::File,
            size: sizes[i] as u64,
            children: vec![],
        })
        .collect();
    let parent = root.parent().unwrap().to_str().unwrap().as_bytes().to_vec();
    let name = root.file_name().unwrap().to_str().unwrap().as_bytes().to_vec();
    let mut layout = Layout::new();
    let tree = Tree { name, kind: NodeKind::Directory, size: 0, children };
    layout.place_tree(&parent, tree);
    let mut world = World::new(1, layout);
    let bricks = Bricks::new(Arc::new(brick_of.clone()));
    let mut files = vec![];
    for (i, size) in sizes.iter().enumerate() {
        let path = root.join(format!("f{i}"));
        let content = bytes(*size, u32::try_from(i).unwrap() + 1);
        std::fs::write(&path, &content).unwrap();
        let name = path.to_str().unwrap().as_bytes();
        fold(&path, &content, &brick_of(name));
        let brick = bricks.open(name, None).unwrap();
        let summary = Summary::read(&brick, &mut Writers::new()).unwrap();
        let (id, _) = world.fold(name, summary, None);
        files.push((world.layout.node(id).unwrap().run().unwrap().start, content));
    }
    Fixture { _dir: dir, world, bricks, files }
}

fn tile(f: &Fixture, level: u32, index: u64) -> Vec<u8> {
    Plan::new(&f.world, Place::new(level, index).unwrap(), None).compose(&f.bricks)
}

#[test]
fn level_0_is_the_bytes_where_they_lie() {
    let f = fixture(&[5, 70_000, 4096, 200_000, 0]);
    let end = f.world.layout.end();
    let mut world = vec![0; usize::try_from(end.next_multiple_of(65_536)).unwrap()];
    for (start, content) in &f.files {
        let at = usize::try_from(*start).unwrap();
        world[at..at + content.len()].copy_from_slice(content);
    }
    for (index, want) in world.chunks(TILE_CELLS).enumerate() {
        let body = tile(&f, 0, index as u64);
        if want.iter().all(|byte| *byte == 0) {
            continue;
        }
        assert_eq!(body[6], 1);
        assert!(&body[32..32 + TILE_CELLS] == want, "tile {index}");
    }
}

#[test]
fn higher_levels_are_the_bricks_cells() {
    let f = fixture(&[300_000, 70_000, 900, 20_000]);
    for level in 3..=6 {
        for (start, content) in &f.files {
            let mut want = vec![];
            leaves_at(level, content, &mut want);
            for (i, cell) in (0_u64..).zip(&want) {
                let at = (start >> (2 * level)) + i;
                let body = tile(&f, level, at >> 16);
                let offset = 32 + 4 * usize::try_from(at & 0xffff).unwrap();
                assert_eq!(&body[offset..offset + 4], cell, "level {level} cell {i}");
                if i > 40 {
                    break;
                }
            }
        }
    }
}

/// Also where a leaf begins in the middle of a cell, and lies in two.
#[test]
fn from_afar_a_cell_is_the_mean_of_what_lies_in_it() {
    // Of these sizes each cell of a brick has whole cells below it, so that its mean is that of bytes.
    let f = fixture(&[12 << 16, 12 << 16, 3 << 16, 3 << 16, 1 << 16]);
    let order = |size: u64| (6..).find(|order| 1_u64 << (2 * order) >= size).unwrap();
    let between =
        |(start, content): &&(u64, Vec<u8>)| start % (1 << (2 * order(content.len() as u64))) != 0;
    assert!(f.files.iter().any(|file| between(&file)), "a file lies on no square of its own");
    for level in 7..=11 {
        let mut sums = std::collections::BTreeMap::<u64, ([u64; 4], u64)>::new();
        for (start, content) in &f.files {
            let mut cells = vec![];
            leaves_at(6, content, &mut cells);
            for (i, cell) in (0_u64..).zip(&cells) {
                let weight = (content.len() as u64 - i * 4096).min(4096);
                let sum = sums.entry((start + i * 4096) >> (2 * level)).or_default();
                for (sum, value) in sum.0.iter_mut().zip(cell) {
                    *sum += u64::from(*value) * weight;
                }
                sum.1 += weight;
            }
        }
        let body = tile(&f, level, 0);
        for (at, (sum, weight)) in sums {
            let offset = 32 + 4 * usize::try_from(at).unwrap();
            for (channel, sum) in sum.iter().enumerate() {
                let (have, want) = (u64::from(body[offset + channel]), sum / weight);
                assert!(have.abs_diff(want) <= 3, "level {level} cell {at}: {have}, not {want}");
            }
        }
    }
}

fn leaves_at(level: u32, content: &[u8], out: &mut Vec<foundry_brick::cells::Cell>) {
    let mut cells = vec![];
    foundry_brick::cells::leaves(content, &mut cells);
    for _ in 3..level {
        let mut up = vec![];
        foundry_brick::cells::parents(&cells, &mut up);
        cells = up;
    }
    *out = cells;
}

#[test]
fn a_tile_of_everything_opens_no_brick() {
    let mut f = fixture(&[5000; 40]);
    f.bricks = Bricks::new(Arc::new(|_: &[u8]| unreachable!("no brick is needed")));
    let body = tile(&f, f.world.top_level().max(4), 0);
    assert!(body[32..32 + 4 * TILE_CELLS].iter().any(|value| *value > 0));
}

#[test]
fn what_changed_behind_the_brick_is_marked() {
    let f = fixture(&[9000]);
    let path = f.world.layout.path(f.world.layout.leaves(0, 1).next().unwrap().0);
    let path = std::str::from_utf8(&path).unwrap().to_owned();
    assert_eq!(tile(&f, 0, 0)[7] & 4, 0);
    std::fs::write(&path, b"shorter now").unwrap();
    assert_eq!(tile(&f, 0, 0)[7] & 4, 4);
    // Another file under the same name is not the artifact: its summary stands in.
    std::fs::write(format!("{path}.new"), vec![1; 9000]).unwrap();
    std::fs::rename(format!("{path}.new"), &path).unwrap();
    let body = tile(&f, 0, 0);
    assert_eq!((body[6], body[7] & 2), (4, 2));
}

#[test]
fn spans_say_what_is_content_and_what_is_room() {
    let f = fixture(&[5000]);
    let body = tile(&f, 0, 0);
    let n = u32::from_le_bytes(body[24..28].try_into().unwrap());
    let spans: Vec<(u32, u8)> = (0..n as usize)
        .map(|i| &body[32 + TILE_CELLS + 12 * i..])
        .map(|span| (u32::from_le_bytes(span[..4].try_into().unwrap()), span[4]))
        .collect();
    assert_eq!(spans, [(5000, 2), (8192, 1), (12_288, 13), (65_536, 0)]);
}

#[test]
fn from_afar_a_directory_is_drawn_from_its_own_brick() {
    use super::super::world::Far;
    let mut f = fixture(&[5000, 70_000, 300_000, 1, 20_000]);
    let path = f.world.layout.path(f.world.layout.at(0)[f.world.layout.at(0).len() - 2]);
    let at = |world: &World, level| {
        let plan = Plan::new(world, Place::new(level, 0).unwrap(), None);
        (plan.parts.len(), plan.touched)
    };
    let parts = f.files.len();
    assert_eq!(at(&f.world, 12).0, parts, "no brick of the directory is known");
    let far = Far { generation: 1, size: 400_000, top: [9, 8, 7, 6] };
    let change = f.world.fold_directory(&path, far);
    assert_eq!(change.ranges.len(), 1);
    assert_eq!(at(&f.world, 12), (1, change.seq), "one brick instead of its files");
    assert_eq!(at(&f.world, 7).0, parts, "nearer than that the files are seen");
    let body = tile(&f, 12, 0);
    assert_eq!((body[6], &body[32..36]), (4, &[9, 8, 7, 6][..]));
    // The same again is no news.
    assert_eq!(f.world.fold_directory(&path, far), super::super::world::Change::default());
}
