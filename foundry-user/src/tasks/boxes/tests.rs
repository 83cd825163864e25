//! Boxes as the stock CLI sees them, and ticking them while others write.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Lines, and whether OpenSpec 1.13.2 takes them for a task, and for a done one.
const LINES: [(&str, Option<bool>); 20] = [
    ("- [ ] 1.1 Fold", Some(false)),
    ("- [x] 1.1 Fold", Some(true)),
    ("* [X] Fold", Some(true)),
    ("+ [ ] Fold", Some(false)),
    ("  - [ ] nested", Some(false)),
    ("12. [x] numbered", Some(true)),
    ("3) [ ] numbered", Some(false)),
    ("- [~] begun", Some(false)),
    ("- [-] dropped", Some(false)),
    ("- [] empty", Some(false)),
    ("- [  ] wide", Some(false)),
    ("- [ x ] wide", Some(true)),
    ("-[ ] close", Some(false)),
    ("- [x](link)", None),
    ("- [x][ref]", None),
    ("- [ab] words", None),
    ("- [](link)", None),
    ("1234567890. [ ] too long", None),
    ("[ ] no bullet", None),
    ("- text [ ]", None),
];

#[test]
fn lines_are_what_the_stock_program_takes_them_for() {
    for (line, want) in LINES {
        let found = boxes(line);
        assert_eq!(found.first().map(|one| one.done), want, "{line}");
    }
    let all: Vec<&str> = LINES.iter().map(|(line, _)| *line).collect();
    let found = boxes(&all.join("\r\n"));
    assert_eq!(found.len(), LINES.iter().filter(|(_, want)| want.is_some()).count());
    assert_eq!(found[0].id.as_deref(), Some("1.1"));
    assert_eq!(boxes("- [ ] 2.10. Fold it")[0].id.as_deref(), Some("2.10"));
    assert_eq!(boxes("- [ ] v2 Fold it")[0].id, None);
    assert_eq!(boxes("- [] 1 none")[0].mark, None);
}

fn dir_with(text: &str) -> (tempfile::TempDir, Dir) {
    let temporary = tempfile::tempdir().unwrap();
    std::fs::write(temporary.path().join("tasks.md"), text).unwrap();
    let dir = Dir::open(temporary.path()).unwrap();
    (temporary, dir)
}

fn differing(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn a_tick_changes_one_byte() {
    let text =
        "# T\r\n\r\n- [ ] 1.1 \u{fc}ber\r\n- [~] 1.2 b\r\n```\n- [  ] 1.3 c\n```\n- [ ] 1.10 d";
    let (_keep, dir) = dir_with(text);
    let mut before = text.as_bytes().to_vec();
    for id in ["1.2", "1.1", "1.10", "1.3"] {
        assert_eq!(tick(&dir, "tasks.md", id).unwrap(), Ticked::Now, "{id}");
        let after = dir.read("tasks.md", MOST).unwrap().unwrap().bytes;
        assert_eq!(differing(&before, &after), 1, "{id}");
        assert_eq!(tick(&dir, "tasks.md", id).unwrap(), Ticked::Already);
        before = after;
    }
    assert_eq!(tick(&dir, "tasks.md", "9").unwrap(), Ticked::NoBox);
    assert!(boxes(std::str::from_utf8(&before).unwrap()).iter().all(|one| one.done));
}

#[test]
fn a_file_that_somebody_has_open_is_left_alone() {
    let (keep, dir) = dir_with("- [ ] 1 a\n");
    let open = std::fs::File::open(keep.path().join("tasks.md")).unwrap();
    assert_eq!(tick(&dir, "tasks.md", "1").unwrap(), Ticked::Busy);
    drop(open);
    assert_eq!(tick(&dir, "tasks.md", "1").unwrap(), Ticked::Now);
}

#[test]
fn without_a_lease_the_whole_file_is_replaced_if_it_is_the_one_that_was_read() {
    let (keep, dir) = dir_with("- [ ] 1 a\n");
    let path = keep.path().join("tasks.md");
    let was = std::fs::metadata(&path).unwrap();
    std::fs::write(&path, "- [ ] 1 a\nmore\n").unwrap();
    assert!(!replace(&dir, "tasks.md", b"- [x] 1 a\n", &was).unwrap());
    let was = std::fs::metadata(&path).unwrap();
    assert!(replace(&dir, "tasks.md", b"- [x] 1 a\nmore\n", &was).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"- [x] 1 a\nmore\n");
    assert_eq!(std::fs::read_dir(keep.path()).unwrap().count(), 1);
}

/// Somebody rewrites the file over and over, in place as some editors do and by another file as
/// others do, while every box is ticked: no edit is lost, and every box is ticked once.
#[test]
fn edits_by_others_are_never_lost() {
    use std::io::{Read, Seek, Write};
    const BOXES: usize = 40;
    const EDITS: usize = 200;
    let list: String = (0..BOXES).map(|n| format!("- [ ] {n} step\n")).collect();
    let (keep, dir) = dir_with(&list);
    let path = keep.path().join("tasks.md");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..EDITS {
                let open = std::fs::OpenOptions::new().read(true).write(true).open(&path);
                let mut file = open.unwrap();
                // In front, so that every box moves.
                let mut text = format!("edit {n}\n");
                file.read_to_string(&mut text).unwrap();
                file.rewind().unwrap();
                file.write_all(text.as_bytes()).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let mut left: Vec<String> = (0..BOXES).map(|n| n.to_string()).collect();
        while !left.is_empty() || !done.load(Ordering::Acquire) {
            left.retain(|id| tick(&dir, "tasks.md", id).unwrap() != Ticked::Now);
        }
    });
    let text = std::fs::read_to_string(&path).unwrap();
    for n in 0..EDITS {
        assert_eq!(text.matches(&format!("edit {n}\n")).count(), 1, "edit {n}");
    }
    let found = boxes(&text);
    assert_eq!(found.len(), BOXES);
    assert!(found.iter().all(|one| one.done), "{text}");
}
