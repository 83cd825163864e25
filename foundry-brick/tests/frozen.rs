//! Files of released formats open for ever, and say what they said when they were written.
//!
//! `UPDATE_EXPECT=1` writes the files of the current version where there are none. A file that is
//! there is never written again: a change of the bytes on disk needs a new version in FORMAT.md.

use crate::support::{TILE, content, meta};
use foundry_brick::storage::MemStorage;
use foundry_brick::{Brick, Editor, FactValue, Payload, Writer};
use std::path::{Path, PathBuf};

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/format")
}

/// Two generations of a small artifact.
fn write(size: usize, payload: Payload) -> Vec<u8> {
    let mut bytes = content(size, 77);
    let mut editor = Editor::create(MemStorage::new(), meta(size, payload)).unwrap();
    editor.put(0, &bytes).unwrap();
    editor.set_facts(&[("format".to_owned(), FactValue::Text("elf".into()))].into());
    editor.commit(1_000).unwrap();
    bytes[size / 3] ^= 1;
    editor.put(0, &bytes).unwrap();
    editor.set_writer(0..size as u64, Writer { comm: b"dd".to_vec(), pid: 3, ..Writer::default() });
    editor.commit(2_000).unwrap();
    editor.into_storage().into_bytes()
}

/// What a frozen file says, as text.
fn describe(bytes: Vec<u8>) -> String {
    let brick = Brick::open(MemStorage::from(bytes)).unwrap();
    assert_eq!(brick.verify(), vec![]);
    let mut cells = Vec::new();
    brick.cells(3, 0..u64::MAX, &mut cells).unwrap();
    let about =
        (brick.meta(), brick.generations(), brick.writers().unwrap(), brick.facts().unwrap());
    let digest = foundry_brick::hash::checksum(cells.as_flattened());
    format!("{about:#?}\n{:?}\n{digest:?}\n", brick.blake3())
}

#[test]
fn frozen_files_open_and_say_what_they_said() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    for (name, size, payload) in [
        ("v2-small-embedded", 3000, Payload::Embedded),
        ("v2-two-tiles", TILE + 500, Payload::Reference),
    ] {
        let (file, said) =
            (dir().join(format!("{name}.brick")), dir().join(format!("{name}.expect")));
        if update && !file.exists() {
            std::fs::create_dir_all(dir()).unwrap();
            let bytes = write(size, payload);
            std::fs::write(&file, &bytes).unwrap();
            std::fs::write(&said, describe(bytes)).unwrap();
        }
        let bytes = std::fs::read(&file).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
        let wanted = std::fs::read_to_string(&said).unwrap();
        assert_eq!(describe(bytes.clone()), wanted, "{name}");
        // And an old file can be carried on.
        let mut editor = Editor::open(MemStorage::from(bytes)).unwrap();
        editor.set_annotation(Some(b"later".to_vec()));
        assert_eq!(editor.commit(3_000).unwrap().generation, 3);
    }
}
