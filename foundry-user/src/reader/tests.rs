//! The reader on real files of a temporary directory.

use super::*;
use crate::artifact::{ArtifactId, FileKind, Stat};
use crate::pipeline::effect::ReadRequest;
use crate::pipeline::input::{Input, Listing, ReadPart};
use crate::tracker::NoTracker;
use std::fs;
use std::os::unix::fs::FileExt;

const TILE: u64 = 1 << 16;

struct Stage {
    dir: tempfile::TempDir,
    reader: Reader,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let roots = [dir.path().to_owned()];
    let reader = Reader::new(&roots, vec![], Arc::new(NoTracker)).unwrap();
    Stage { dir, reader }
}

impl Stage {
    fn path(&self, name: &str) -> Vec<u8> {
        self.dir.path().join(name).as_os_str().as_bytes().to_vec()
    }

    fn stat(&self, name: &str) -> Stat {
        let path = self.path(name);
        let (root, rest) = self.reader.split(&path).unwrap();
        open::stat_fd(&open::resolve(&root, rest).unwrap()).unwrap()
    }

    fn request(&self, name: &str, ranges: &[(u64, u64)], known_size: u64) -> ReadRequest {
        ReadRequest {
            artifact: ArtifactId(1),
            ticket: 1,
            path: self.path(name),
            expect: self.stat(name).identity,
            ranges: ranges.to_vec(),
            known_size,
            settle: true,
            describe: false,
        }
    }

    fn read(&self, request: &ReadRequest) -> Vec<ReadPart> {
        let mut parts = vec![];
        self.reader.read(request, &mut |part| {
            parts.push(part);
            true
        });
        parts
    }
}

/// Offset and length of what was read, and of holes (negative).
fn shape(parts: &[ReadPart]) -> Vec<(u64, i64)> {
    parts
        .iter()
        .filter_map(|part| match part {
            ReadPart::Bytes { offset, bytes } => {
                Some((*offset, i64::try_from(bytes.0.len()).unwrap()))
            }
            ReadPart::Hole { offset, len } => Some((*offset, -i64::try_from(*len).unwrap())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_whole_file_comes_in_chunks_between_start_and_end() {
    let s = stage();
    let content: Vec<u8> = (0..2_500_000u32).map(|i| i.to_le_bytes()[0]).collect();
    fs::write(s.dir.path().join("x"), &content).unwrap();
    let parts = s.read(&s.request("x", &[(0, u64::MAX)], 0));
    assert!(
        matches!(parts[0], ReadPart::Start { stat, tracked: true, .. } if stat.size == 2_500_000)
    );
    assert!(matches!(parts.last(), Some(ReadPart::End { after }) if *after == s.stat("x")));
    let whole: Vec<u8> = parts
        .iter()
        .filter_map(|p| {
            if let ReadPart::Bytes { bytes, .. } = p { Some(bytes.0.to_vec()) } else { None }
        })
        .flatten()
        .collect();
    assert!(whole == content);
    assert_eq!(shape(&parts).len(), 3);
}

#[test]
fn only_what_is_due_is_read() {
    let s = stage();
    fs::write(s.dir.path().join("x"), vec![7; 5 * 65536 + 10]).unwrap();
    let len = 5 * TILE + 10;
    let got = |ranges: &[(u64, u64)], known| shape(&s.read(&s.request("x", ranges, known)));
    assert_eq!(got(&[(TILE, 2 * TILE)], len), [(TILE, 65536)]);
    assert_eq!(got(&[], len), []);
    // It grew from the middle of a tile: that tile, and all after it.
    assert_eq!(got(&[], 3 * TILE + 1), [(3 * TILE, 2 * 65536 + 10)]);
    // It was cut: the tile that is shorter now.
    assert_eq!(got(&[], 9 * TILE), [(5 * TILE, 10)]);
    fs::write(s.dir.path().join("x"), vec![7; 2 * 65536]).unwrap();
    assert_eq!(got(&[], 9 * TILE), []);
}

#[test]
fn holes_are_not_read() {
    let s = stage();
    let file = fs::File::create(s.dir.path().join("x")).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(b"here", 5 * TILE + 100).unwrap();
    let parts = s.read(&s.request("x", &[(0, u64::MAX)], 0));
    let (a, b) = (5 * TILE, 6 * TILE);
    let rest = -i64::try_from((1 << 40) - b).unwrap();
    assert_eq!(shape(&parts), [(0, -i64::try_from(a).unwrap()), (a, 65536), (b, rest)]);
}

#[test]
fn another_inode_links_and_pipes_are_not_opened() {
    let s = stage();
    fs::write(s.dir.path().join("x"), "1").unwrap();
    let request = s.request("x", &[(0, u64::MAX)], 0);
    let gone = [ReadPart::Failed(ReadFailure::Gone)];
    fs::rename(s.dir.path().join("x"), s.dir.path().join("kept")).unwrap();
    assert_eq!(s.read(&request), gone);
    fs::write(s.dir.path().join("x"), "2").unwrap();
    assert_eq!(s.read(&request), gone);
    fs::remove_file(s.dir.path().join("x")).unwrap();
    std::os::unix::fs::symlink("kept", s.dir.path().join("x")).unwrap();
    assert_eq!(s.read(&request), gone);
    fs::remove_file(s.dir.path().join("x")).unwrap();
    let fifo = s.dir.path().join("x");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let mut request = request;
    request.expect = s.stat("x").identity;
    assert_eq!(s.read(&request), gone);
    request.path = b"/etc/passwd".to_vec();
    assert_eq!(s.read(&request), gone);
    request.path = s.path("../../etc/passwd");
    assert_eq!(s.read(&request), gone);
}

#[test]
fn listings_are_sorted_and_links_stay_links() {
    let s = stage();
    fs::write(s.dir.path().join("b"), "1").unwrap();
    fs::create_dir(s.dir.path().join("a")).unwrap();
    std::os::unix::fs::symlink("/etc", s.dir.path().join("c")).unwrap();
    let odd = OsStr::from_bytes(b"\xff\n");
    fs::write(s.dir.path().join(odd), "1").unwrap();
    let root = s.stat("");
    let Input::Listed { outcome: Ok(Listing { entries, tracked: true }), .. } =
        s.reader.list(ArtifactId(1), &s.path(""), &root.identity)
    else {
        panic!()
    };
    let kinds: Vec<_> = entries.iter().map(|(name, stat)| (name.as_slice(), stat.kind)).collect();
    let want = [
        (&b"."[..], FileKind::Directory),
        (b"a", FileKind::Directory),
        (b"b", FileKind::File),
        (b"c", FileKind::Symlink),
        (b"\xff\n", FileKind::File),
    ];
    assert_eq!(kinds, want);
    let looked = s.reader.look(ArtifactId(1), &s.path(""), &root.identity, b"b");
    let Input::Looked { outcome: Ok(Some(stat)), .. } = looked else { panic!() };
    assert_eq!(stat, s.stat("b"));
    let looked = s.reader.look(ArtifactId(1), &s.path(""), &root.identity, b"none");
    assert!(matches!(looked, Input::Looked { outcome: Ok(None), .. }));
    // Beneath a link there is nothing.
    let looked = s.reader.look(ArtifactId(1), &s.path("c"), &root.identity, b"passwd");
    assert!(matches!(looked, Input::Looked { outcome: Err(ReadFailure::Gone), .. }));
}

#[test]
fn the_store_is_no_part_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("store")).unwrap();
    let hidden = open::stat_path(&dir.path().join("store")).unwrap().identity;
    let roots = [dir.path().to_owned()];
    let reader = Reader::new(&roots, vec![hidden], Arc::new(NoTracker)).unwrap();
    let root = reader.root_stat(dir.path()).unwrap();
    let path = dir.path().as_os_str().as_bytes();
    let Input::Listed { outcome: Ok(listing), .. } =
        reader.list(ArtifactId(1), path, &root.identity)
    else {
        panic!()
    };
    let names: Vec<&[u8]> = listing.entries.iter().map(|(name, _)| name.as_slice()).collect();
    assert_eq!(names, [b"."], "only the directory itself");
}

#[test]
fn paths_longer_than_the_kernel_takes_are_walked() {
    let s = stage();
    let mut path = s.path("");
    let mut at = open::root(s.dir.path()).unwrap();
    let name = "d".repeat(200);
    for _ in 0..30 {
        rustix::fs::mkdirat(&at, &name, 0o700.into()).unwrap();
        at = rustix::fs::openat(&at, &name, rustix::fs::OFlags::PATH, 0.into()).unwrap();
        path.push(b'/');
        path.extend(name.as_bytes());
    }
    let (root, rest) = s.reader.split(&path).unwrap();
    let found = open::resolve(&root, rest).unwrap();
    assert_eq!(open::stat_fd(&found).unwrap().identity, open::stat_fd(&at).unwrap().identity);
}
