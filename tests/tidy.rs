//! The house rules that a compiler does not know.
//!
//! Knows: the text of the repository. Must never know: what the code does.
//! Keeps: every rule of ARCHITECTURE.md that names this file as its keeper.

mod documents;
mod layers;
mod text;

use std::path::{Path, PathBuf};

/// Top of the repository.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// One file of the repository, by its path from the top.
struct File {
    path: String,
    bytes: Vec<u8>,
}

impl File {
    fn is(&self, extensions: &[&str]) -> bool {
        let extension = self.path.rsplit_once('.').map_or("", |(_, after)| after);
        extensions.contains(&extension)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_else(|_| panic!("{}: not UTF-8", self.path))
    }

    /// Whether the file is nothing but tests, which may touch the world where their subject may not.
    fn is_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Numbered lines, with comments of the `//` kind cut off, up to a module of tests at the end:
    /// what the compiler acts on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text().lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'))
            .unwrap_or(lines.len());
        lines
            .into_iter()
            .take(tests)
            .enumerate()
            .map(|(i, line)| (i + 1, line.split_once("//").map_or(line, |(code, _)| code)))
    }
}

/// Every file a person wrote: build output, dependencies and other repositories are left out.
fn files() -> Vec<File> {
    const SKIP: [&str; 5] = ["target", "node_modules", ".git", "dist", "prebuilt"];
    let root = root();
    let mut found = Vec::new();
    let mut dirs = vec![root.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !SKIP.contains(&name.as_str()) {
                dirs.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                let short = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push(File { path: short, bytes: std::fs::read(&path).unwrap() });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the walk found next to nothing in {}", root.display());
    found
}

/// Fails with every offence at once, so that one run is enough to mend them all.
fn expect_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}\n  {}", offences.join("\n  "));
}

/// Whether `word` stands in `text` with nothing of an identifier on either side.
fn names(text: &str, word: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part_of_a_name)
            && !text[at + word.len()..].chars().next().is_some_and(part_of_a_name)
    })
}

#[test]
fn words_are_found_whole() {
    assert!(names("use aya::Ebpf;", "aya"));
    assert!(!names("let malaya = 1; aya_log();", "aya"));
    assert!(names("(std::time)", "std::time"));
}
