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
