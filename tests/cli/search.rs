//! `search`: what is in a store is found by what is known of it, and by nothing else.

use super::run;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A store as a recorded run leaves it.
fn store(dir: &tempfile::TempDir) -> PathBuf {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/replay/files.log");
    let store = dir.path().join("store");
    run(&[&"replay", &log, &"--store", &store]).ok();
    store
}

fn hits(store: &Path, query: &str) -> Vec<(String, String, String)> {
    let json = run(&[&"search", &query, &"--store", &store, &"--json"]).ok().json();
    assert_eq!(json["query"], query);
    assert!(json["next"].as_str().unwrap().starts_with("foundry-user "), "{json}");
    let text = |hit: &serde_json::Value, name: &str| hit[name].as_str().unwrap().to_owned();
    let hit = |hit| (text(hit, "artifact"), text(hit, "what"), text(hit, "text"));
    json["hits"].as_array().unwrap().iter().map(hit).collect()
}

#[test]
fn artifacts_are_found_by_path_hash_and_facts() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let all: BTreeSet<String> = hits(&store, "path:/").into_iter().map(|hit| hit.0).collect();
    assert!(5 < all.len(), "{all:?}");
    for path in all.iter().filter(|path| Path::new(path).extension().is_none()) {
        let found = hits(&store, &format!("path:{}", path.to_uppercase()));
        assert!(found.iter().any(|hit| hit.0 == *path && hit.1 == "path"), "{path}: {found:?}");
        let shown = run(&[&"inspect", path, &"--store", &store, &"--json"]).ok().json();
        let (kind, hash) = (&shown["facts"]["kind"], &shown["blake3"]);
        if let (Some(kind), Some(hash)) = (kind.as_str(), hash.as_str().filter(|h| !h.is_empty())) {
            let same = |hit: &(String, String, String)| hit.0 == *path;
            assert!(hits(&store, &format!("kind={kind}")).iter().any(same), "{path}");
            if shown["kind"] == "file" {
                assert!(hits(&store, &format!("hash:{}", &hash[..12])).iter().any(same), "{path}");
            }
        }
    }
    // The human form: paths in their order, and the command to run next.
    let said = run(&[&"search", &"path:/", &"--store", &store]).ok();
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines, all.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.err.contains("next: foundry-user inspect "), "{said:?}");
    let said = run(&[&"search", &"path:/", &"--limit", &"2", &"--store", &store]).ok();
    assert_eq!(said.out.lines().count(), 3, "{said:?}");
    assert!(said.out.contains("--limit N shows them"), "{said:?}");
}

#[test]
fn what_is_not_there_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert_eq!(hits(&store, "no such word anywhere"), []);
    assert_eq!(hits(&store, "capability.bpf="), []);
    let said = run(&[&"search", &"path:nothing", &"--store", &store]).ok();
    assert!(said.out.starts_with("nothing in "), "{said:?}");
    assert!(said.err.contains("next: foundry-user sync"), "{said:?}");
    run(&[&"search", &"  ", &"--store", &store]).coded(2);
    run(&[&"search", &"sym:", &"--store", &store]).coded(2);
    run(&[&"search", &"x", &"--store", &dir.path().join("none")]).coded(5);
}
