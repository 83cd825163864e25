//! The committed recordings of real runs.

use super::files;
use super::perturbed::{Style, live_through, phases, size};
use crate::daemon::replay;
use std::path::PathBuf;

fn logs() -> Vec<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/replay");
    let mut logs: Vec<PathBuf> =
        std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    logs.retain(|path| path.extension().is_some_and(|e| e == "log"));
    logs.sort();
    assert!(!logs.is_empty(), "no recordings in {}", dir.display());
    logs
}

#[test]
fn twice_the_same_files() {
    for log in logs() {
        let dir = tempfile::tempdir().unwrap();
        let stores = ["a", "b"].map(|name| dir.path().join(name));
        for store in &stores {
            let replayed = replay::run(&log, store).unwrap();
            assert!(!replayed.truncated, "{}", log.display());
        }
        let first = files(&stores[0]);
        assert!(!first.is_empty(), "{}", log.display());
        assert!(first == files(&stores[1]), "{}", log.display());
    }
}

#[test]
fn in_order_repeated_shuffled_and_lost() {
    let given: Option<u64> = option_env!("FOUNDRY_SEED").and_then(|s| s.parse().ok());
    let seeds = given.map_or(1..4, |seed| seed..seed + 1);
    for log in logs() {
        let phases = phases(&log);
        assert!(0 < size(&phases), "{}", log.display());
        for seed in seeds.clone() {
            println!("{}: seed {seed}", log.display());
            let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for (window, duplicate, lose) in
                [(1, 0, 0), (1, 3, 0), (16, 0, 0), (16, 4, 0), (16, 4, 3)]
            {
                live_through(&log, &phases, Style { window, duplicate, lose, seed });
            }
        }
    }
}
