//! The whole record of a brick, and what a search finds in it.

use super::super::*;
use super::record_of;
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, FactValue, Meta};
use search::Query;

/// A brick as a fold of these bytes makes it.
fn brick_of(path: &str, bytes: &[u8]) -> Brick<MemStorage> {
    let meta = Meta {
        path: path.as_bytes().to_vec(),
        size: bytes.len() as u64,
        mode: 0o4755,
        ..Meta::default()
    };
    let mut editor = Editor::create(MemStorage::new(), meta).unwrap();
    editor.put(0, bytes).unwrap();
    let (regions, facts) = record_of(path, bytes).into_brick();
    editor.set_regions(&regions);
    editor.set_facts(&facts);
    editor.commit(1).unwrap();
    Brick::open(MemStorage::from(editor.into_storage().into_bytes())).unwrap()
}

/// Bytes without a pattern.
fn chance(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len);
    let mut block = blake3::Hasher::new().finalize_xof();
    out.resize(len, 0);
    block.fill(&mut out);
    out
}

#[test]
fn what_follows_from_a_brick_is_in_its_record() {
    let bytes = chance(1 << 20);
    let brick = brick_of("/srv/blob", &bytes);
    let facts = record::of(&brick).unwrap();
    let text = |key: &str| match &facts[key] {
        FactValue::Text(text) => text.clone(),
        other => panic!("{key} is {other:?}"),
    };
    assert_eq!(text("identity.blake3"), blake3::hash(&bytes).to_hex().as_str());
    assert_eq!(text("identity.mode"), "4755");
    assert_eq!(facts["identity.setuid"], FactValue::Flag(true));
    assert_eq!(facts["hint.encrypted"], FactValue::Flag(true));
    assert!(facts.keys().all(|key| keys::is_known(key)), "{facts:?}");
    let plain = record::of(&brick_of("/srv/words", &b"some words\n".repeat(9000))).unwrap();
    assert!(!plain.contains_key("hint.encrypted"), "{plain:?}");
    let program = record::of(&brick_of("/bin/own", &std::fs::read("/bin/ls").unwrap())).unwrap();
    assert!(!program.contains_key("hint.packed"), "{program:?}");
}

#[test]
fn a_search_finds_what_is_there_and_nothing_else() {
    let bytes = std::fs::read("/bin/ls").unwrap();
    let brick = brick_of("/bin/own-ls", &bytes);
    let hash = blake3::hash(&bytes).to_hex();
    let found = |query: &str| -> Vec<(&str, String)> {
        let hits = Query::parse(query).unwrap().find_in(&brick).unwrap();
        hits.into_iter().map(|hit| (hit.what, hit.text)).collect()
    };
    let fact = |text: &str| vec![("fact", text.to_owned())];
    assert_eq!(found("path:OWN-ls"), [("path", "/bin/own-ls".to_owned())]);
    assert_eq!(found("kind=executable"), fact("kind: executable"));
    assert_eq!(found("link.needed=libc.so.6"), fact("link.needed: libc.so.6"));
    assert_eq!(found("fact:hardening.nx=yes"), fact("hardening.nx: yes"));
    assert_eq!(found(&format!("hash:{}", &hash[..6])), [("hash", hash.to_string())]);
    assert_eq!(found("sym:.rodata"), [("symbol", ".rodata".to_owned())]);
    for absent in
        ["kind=text", "capability.bpf=", "path:nothing", "hash:0", "note:x", "no such thing"]
    {
        let absent = if absent == "hash:0" && hash.starts_with('0') { "hash:1" } else { absent };
        assert_eq!(found(absent), [], "{absent}");
    }
}

/// The brick of a directory with something of everything in it.
fn brick_of_directory() -> Brick<MemStorage> {
    use crate::artifact::{FileIdentity, FileKind, Stat};
    use crate::directory::{Below, Body, Entry, Face, fold, meta};
    let stat = |kind, size, mode, uid, mtime_ns| Stat {
        identity: FileIdentity { dev: 1, ino: 9, btime_ns: 0 },
        kind,
        size,
        blocks: 0,
        mode,
        uid,
        gid: 0,
        nlink: 1,
        mtime_ns,
        ctime_ns: 0,
    };
    let file = |name: &str, size, mode, mtime_ns| {
        let stat = stat(FileKind::File, size, mode, 0, mtime_ns);
        let package = name.ends_with(".rs").then(|| b"rust-src".as_slice().into());
        let face = Some(Face::new(size, vec![[1, 2, 3, 4]]).of_package(package));
        Entry { name: name.into(), stat: Some(stat), body: Body::File(face) }
    };
    let other = |name: &str, kind, mode, body| Entry {
        name: name.into(),
        stat: Some(stat(kind, 0, mode, 7, 1)),
        body,
    };
    let directory = Body::Directory(Below::default());
    let entries = [
        file("Cargo.toml", 100, 0o644, 50),
        file("main.RS", 300, 0o644, 99),
        file("old.rs", 200, 0o644, -5),
        file("su", 10, 0o4755, 60),
        file("open", 10, 0o666, 60),
        other(".git", FileKind::Directory, 0o755, directory.clone()),
        other("tmp", FileKind::Directory, 0o1777, directory.clone()),
        other("drop", FileKind::Directory, 0o777, directory),
        other("link", FileKind::Symlink, 0o777, Body::Other(FileKind::Symlink)),
        other("pipe", FileKind::Other, 0o600, Body::Other(FileKind::Other)),
    ];
    let mut sorted = entries.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut editor = Editor::create(MemStorage::new(), meta(b"/srv/p", None)).unwrap();
    fold(&mut editor, &mut foundry_brick::directory::Directory::default(), &sorted).unwrap();
    editor.commit(1).unwrap();
    Brick::open(MemStorage::from(editor.into_storage().into_bytes())).unwrap()
}

/// A directory's brick says what is in it, as far as that follows from its entries.
#[test]
fn a_directory_says_what_is_in_it() {
    let facts = record::of(&brick_of_directory()).unwrap();
    let number = |key: &str| match facts[&format!("directory.{key}")] {
        FactValue::Number(n) => n,
        ref other => panic!("{key} is {other:?}"),
    };
    let list = |key: &str| match &facts[&format!("directory.{key}")] {
        FactValue::List(list) => list.join(" | "),
        FactValue::Text(text) => text.clone(),
        other => panic!("{key} is {other:?}"),
    };
    assert_eq!((number("files"), number("directories"), number("links")), (5, 3, 1));
    assert_eq!((number("specials"), number("bytes"), number("programs")), (1, 620, 1));
    assert_eq!((list("newest"), list("oldest")), ("main.RS".into(), "old.rs".into()));
    assert_eq!((list("largest"), number("hidden")), ("main.RS".into(), 1));
    assert_eq!((list("setuid"), list("world_writable")), ("su".into(), "drop | open".into()));
    assert_eq!(list("packages"), "rust-src: 1");
    assert_eq!(list("owners"), "uid 0: 5 | uid 7: 5");
    assert_eq!(list("endings"), "rs: 2 | toml: 1");
    assert_eq!(list("markers"), "git repository | rust crate or workspace");
    assert!(!facts.contains_key("directory.setgid"), "{facts:?}");
    assert!(facts.keys().all(|key| keys::is_known(key)), "{facts:?}");
}
