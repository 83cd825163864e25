//! What `inspect --json` says of one artifact, in the tests' words.
//!
//! Knows: the names of the JSON document, and which tiles a brick says changed when.
//! Must never know: how a brick holds them.

use super::program::{self, Said};
use foundry_brick::storage::MemStorage;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One inspected brick.
#[derive(Clone, Debug)]
pub(crate) struct Brick {
    pub(crate) json: Value,
}

/// Inspects the brick of `artifact` in `store`; `None` where there is none.
pub(crate) fn inspect(store: &Path, artifact: &Path) -> Option<Brick> {
    let said = ask("inspect", store, artifact, &["--json"]);
    match said.code {
        Some(0) => Some(Brick { json: said.json() }),
        _ => {
            assert!(!said.err.is_empty(), "inspect failed without a word: {said:?}");
            None
        }
    }
}

/// Runs `foundry-user COMMAND ARTIFACT --store STORE MORE`.
pub(crate) fn ask(what: &str, store: &Path, artifact: &Path, more: &[&str]) -> Said {
    let mut command = Command::new(program::path());
    command.arg(what).arg(artifact).arg("--store").arg(store).args(more);
    program::finish(command)
}

impl Brick {
    fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {}", self.json))
    }

    pub(crate) fn size(&self) -> u64 {
        self.number("size")
    }

    pub(crate) fn generation(&self) -> u64 {
        self.number("generation")
    }

    pub(crate) fn blake3(&self) -> &str {
        self.json["blake3"].as_str().unwrap_or_else(|| panic!("no hash in {}", self.json))
    }
}

impl Brick {
    /// Names of regions.
    pub(crate) fn region_names(&self) -> Vec<&str> {
        let regions = self.json["regions"].as_array().map_or(&[][..], Vec::as_slice);
        regions.iter().filter_map(|region| region["name"].as_str()).collect()
    }

    /// Indices of the level-0 tiles that changed after generation `number`. One change may take
    /// several generations: the daemon may come while a long write is under way.
    pub(crate) fn changed_since(&self, number: u64) -> Vec<u64> {
        let path = self.json["brick"]["path"].as_str();
        let path = path.unwrap_or_else(|| panic!("no brick in {}", self.json));
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let brick = foundry_brick::Brick::open(MemStorage::from(bytes)).unwrap();
        brick.changed_since(number).unwrap().into_iter().flatten().collect()
    }

    /// Command name of whoever wrote last.
    pub(crate) fn last_writer(&self) -> Option<String> {
        self.json["last_writer"]["comm"].as_str().map(str::to_owned)
    }
}

/// The content's hash as `b3sum` gives it.
pub(crate) fn b3sum(file: &PathBuf) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut reader =
        std::fs::File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    std::io::copy(&mut reader, &mut hasher).unwrap();
    hasher.finalize().to_hex().to_string()
}
