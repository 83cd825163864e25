//! `tasks init`: a directory made ready for tasks and for OpenSpec changes that can be carried out.
//!
//! Knows: the files of the schema foundry-v2. Must never know: how a change is carried out.
//! Keeps: a file that is there already is somebody's, and stays as it is.

use super::confined::Dir;
use super::scan::INBOXES;
use std::io;
use std::path::{Path, PathBuf};

/// Where OpenSpec takes a project's schemas from.
const SCHEMA: &str = "openspec/schemas/foundry-v2";

/// Every file of the schema.
const FILES: [(&str, &str, &str); 4] = [
    ("", "schema.yaml", include_str!("prepare/schema.yaml")),
    ("templates", "proposal.md", include_str!("prepare/proposal.md")),
    ("templates", "foundry.yaml", include_str!("prepare/foundry.yaml")),
    ("templates", "tasks.md", include_str!("prepare/tasks.md")),
];

/// Makes a project ready. Says what was made.
///
/// # Errors
/// As `mkdirat(2)` and `openat(2)`; also where a part of the way is a symbolic link.
pub fn prepare(project: &Path) -> io::Result<Vec<PathBuf>> {
    let dir = Dir::open(project)?;
    let mut made = Vec::new();
    let inbox = Path::new(INBOXES[0]);
    if dir.sub(inbox)?.is_none() {
        dir.make(inbox)?;
        made.push(project.join(inbox));
    }
    for (below, name, text) in FILES {
        let way = Path::new(SCHEMA).join(below);
        let open = dir.make(&way)?;
        if open.names()?.iter().any(|there| there == name) {
            continue;
        }
        open.put(name, text.as_bytes(), 0o644)?;
        made.push(project.join(way).join(name));
    }
    Ok(made)
}
