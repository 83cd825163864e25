//! What the documents say is so: the paths they name exist.
//!
//! Knows: Markdown's back quotes. Must never know: what a document is about.

use super::{expect_none, files, root};

/// Back-quoted text of one line that looks like a path of this repository.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2).filter(|quoted| {
        let known = ["foundry-", "xtask/", "tests/", "deploy/", ".ci/", ".cargo/"];
        quoted.contains(['/', '.'])
            && known.iter().any(|start| quoted.starts_with(start))
            && !quoted.contains([' ', '*', '<', '{', ':'])
    })
}

#[test]
fn documents_name_what_exists() {
    let mut missing = Vec::new();
    for file in files().iter().filter(|file| file.is(&["md"])) {
        for (i, line) in file.text().lines().enumerate() {
            for path in paths(line).filter(|path| !root().join(path).exists()) {
                missing.push(format!("{}:{}: {path}", file.path, i + 1));
            }
        }
    }
    expect_none("a document names a path that is not there", &missing);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut missing = Vec::new();
    for file in files().iter().filter(|file| file.is(&["md"])) {
        let dir = std::path::Path::new(&file.path).parent().unwrap().to_path_buf();
        for (i, line) in file.text().lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                if !target.is_empty()
                    && !target.contains("://")
                    && !root().join(&dir).join(target).exists()
                {
                    missing.push(format!("{}:{}: {target}", file.path, i + 1));
                }
            }
        }
    }
    expect_none("a link leads nowhere", &missing);
}

/// The code map names every module of the daemon, so that nobody has to guess where a thing lives.
#[test]
fn every_module_is_on_the_map() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let missing: Vec<String> = files()
        .iter()
        .filter_map(|file| file.path.strip_prefix("foundry-user/src/")?.strip_suffix(".rs"))
        .filter(|module| !module.contains('/') && !["lib", "main"].contains(module))
        .filter(|module| !map.contains(&format!("`{module}`")))
        .map(str::to_owned)
        .collect();
    expect_none("a module is missing from the code map of ARCHITECTURE.md", &missing);
}
