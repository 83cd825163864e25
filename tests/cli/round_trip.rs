//! fold, inspect, verify, unfold: what comes back is what went in.

use super::{fold, inspect, run};
use crate::support::{Scratch, act, brick};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a tile.
const TILE: usize = 65_536;

/// Bytes that look random and are the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(len)
    .collect()
}

/// Files of every sort of size and content, real programs of this machine among them.
fn files(scratch: &Scratch) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("one", vec![7]),
        ("text", b"#!/bin/sh\necho hello\n".to_vec()),
        ("leaf", noise(64)),
        ("tile", noise(TILE)),
        ("more", noise(TILE + 1)),
        ("many", noise(9 * TILE + 12_345)),
        ("zeros", vec![0; 3 * TILE]),
    ] {
        let path = scratch.tree().join(name);
        fs::write(&path, bytes).unwrap();
        files.push(path);
    }
    files.push(crate::support::program::path());
    files.extend(["/bin/sh", "/etc/passwd", "/usr/bin/env"].map(PathBuf::from));
    files
}

#[test]
fn every_file_comes_back_as_it_was() {
    let scratch = Scratch::new();
    for (i, file) in files(&scratch).into_iter().enumerate() {
        for payload in ["embedded", "reference"] {
            let brick = scratch.file(&format!("{i}-{payload}.brick"));
            fold(&file, &brick, payload);
            check(&file, &brick, payload, &scratch.file("back"));
        }
    }
}

fn check(file: &Path, brick_file: &Path, payload: &str, back: &Path) {
    let real = fs::canonicalize(file).unwrap();
    let said = inspect(brick_file);
    let what = format!("{}: {said}", file.display());
    assert_eq!(said["format"], "V2BR", "{what}");
    assert_eq!(said["version"], 2, "{what}");
    assert_eq!(said["kind"], "file", "{what}");
    assert_eq!(said["path"], real.to_str().unwrap(), "{what}");
    assert_eq!(said["size"], fs::metadata(&real).unwrap().len(), "{what}");
    assert_eq!(said["blake3"], brick::b3sum(&real).as_str(), "{what}");
    assert_eq!(said["generation"], 1, "{what}");
    assert_eq!(said["payload"], payload, "{what}");
    assert!(said["levels"].is_array() && said["regions"].is_array(), "{what}");
    assert!(said["facts"]["kind"].is_string(), "{what}");
    assert!(said["annotation"].is_null(), "{what}");
    for region in said["regions"].as_array().unwrap() {
        assert!(region["name"].is_string() && region["kind"].is_string(), "{region}");
        assert!(region["start"].as_u64() < region["end"].as_u64(), "{region}");
    }
    let verified = run(&[&"verify", &brick_file, &"--json"]).ok().json();
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(verified["bytes"], said["size"], "{verified}");
    run(&[&"unfold", &brick_file, &"-o", &back]).ok();
    assert_eq!(fs::read(back).unwrap(), fs::read(&real).unwrap(), "{what}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(back), mode(&real), "{what}");
}

#[test]
fn a_real_program_shows_its_sections_and_functions() {
    let scratch = Scratch::new();
    let brick = scratch.file("self.brick");
    fold(&crate::support::program::path(), &brick, "reference");
    let said = inspect(&brick);
    let names: Vec<(&str, &str)> = said["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["kind"].as_str().unwrap(), r["name"].as_str().unwrap()))
        .collect();
    assert!(names.contains(&("section", ".text")), "{names:?}");
    assert!(names.contains(&("function", "main")), "no function main");
    assert_eq!(said["facts"]["format"], "elf");
    let shown = run(&[&"inspect", &brick]).ok().out;
    assert!(shown.contains(said["blake3"].as_str().unwrap()), "{shown}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_terabyte_of_holes_is_not_read() {
    let scratch = Scratch::new();
    let file = scratch.tree().join("sparse");
    // A file system that has no room for the size has no such files either.
    if let Err(error) = act::truncate(&file, 1 << 40) {
        return crate::support::skip(&format!("no sparse file of 1 TiB here: {error}"));
    }
    act::patch(&file, 5 << 30, b"somewhere in the middle").unwrap();
    let brick = scratch.file("sparse.brick");
    for payload in ["embedded", "reference"] {
        fold(&file, &brick, payload);
        let said = inspect(&brick);
        assert_eq!(said["size"], 1_u64 << 40);
        assert_eq!(said["hash_pending"], said["blake3"].is_null());
        run(&[&"verify", &brick]).ok();
        assert!(fs::metadata(&brick).unwrap().len() < 1 << 20, "the brick is no hole");
        let back = scratch.file("back");
        run(&[&"unfold", &brick, &"-o", &back]).ok();
        let unfolded = fs::File::open(&back).unwrap();
        assert!(unfolded.metadata().unwrap().blocks() * 512 < 1 << 20, "holes were filled");
        let mut bytes = [0; 23];
        unfolded.read_exact_at(&mut bytes, 5 << 30).unwrap();
        assert_eq!(&bytes, b"somewhere in the middle");
    }
}

#[test]
fn what_differs_is_named() {
    let scratch = Scratch::new();
    let file = scratch.tree().join("artifact");
    fs::write(&file, noise(5 * TILE)).unwrap();
    let kept = scratch.file("kept.brick");
    let referring = scratch.file("referring.brick");
    fold(&file, &kept, "embedded");
    fold(&file, &referring, "reference");

    act::patch(&file, 3 * TILE as u64 - 1, b"xy").unwrap();
    let said = run(&[&"verify", &referring, &"--json"]).coded(1).json();
    assert_eq!(said["ok"], false);
    let difference = &said["differences"][0];
    assert_eq!(difference["what"], "content", "{said}");
    assert_eq!(difference["start"], 2 * TILE, "{said}");
    assert_eq!(difference["end"], 4 * TILE, "{said}");
    let shown = run(&[&"verify", &referring]).coded(1).out;
    assert!(shown.contains("artifact: the content differs in bytes 131072..262144"), "{shown}");
    let back = scratch.file("back");
    let refused = run(&[&"unfold", &referring, &"-o", &back]).coded(1);
    assert!(refused.err.contains("changed since it was folded"), "{}", refused.err);
    assert!(!back.exists(), "half a file was left");
    run(&[&"unfold", &kept, &"-o", &back]).ok();
    assert_eq!(fs::read(&back).unwrap(), noise(5 * TILE));

    act::truncate(&file, 10).unwrap();
    let said = run(&[&"verify", &referring, &"--json"]).coded(1).json();
    assert_eq!(said["differences"][0]["what"], "size", "{said}");

    fs::write(&file, noise(5 * TILE)).unwrap();
    run(&[&"verify", &referring]).ok();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
    let said = run(&[&"verify", &referring, &"--json"]).coded(1).json();
    assert_eq!(said["differences"][0]["what"], "mode", "{said}");

    fs::remove_file(&file).unwrap();
    let said = run(&[&"verify", &referring, &"--json"]).coded(1).json();
    assert_eq!(said["differences"][0]["what"], "gone", "{said}");
    // A brick that has the bytes in it may be alone.
    let alone = run(&[&"verify", &kept]).ok();
    assert!(alone.err.contains("only the brick itself was checked"), "{}", alone.err);
}

#[test]
fn names_that_are_not_unicode_are_names() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 \x1b[31m");
    let file = scratch.tree().join(name);
    fs::write(&file, "x").unwrap();
    let brick = scratch.file("x.brick");
    fold(&file, &brick, "reference");
    let said = inspect(&brick);
    assert!(said["path_hex"].as_str().unwrap().ends_with("636166e9201b5b33316d"), "{said}");
    let shown = run(&[&"inspect", &brick]).ok().out;
    assert!(!shown.contains('\u{1b}'), "an escape code from a file name reached the output");
    run(&[&"verify", &brick]).ok();
}
