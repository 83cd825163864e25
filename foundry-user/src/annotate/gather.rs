//! From a brick to a question.
//!
//! Knows: bricks as files, which artifacts are asked about. Must never know: the queue, servers.
//! Keeps: an artifact that not everybody on this machine may read is not told to a server that
//! anybody on this machine may run, unless the configuration says so; what is asked is redacted.

use super::key::Key;
use super::prompt::Subject;
use super::queue::{Priority, Want};
use super::settings::Settings;
use crate::facts::record;
use crate::store::{FileStorage, brick_path};
use crate::wire_annotate;
use foundry_brick::{Brick, Kind, Meta};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The fact that says that a file holds secrets, and was not read for facts.
const WITHHELD: &str = "content.withheld";

/// A brick, as a question.
#[derive(Clone, Debug)]
pub(super) struct Gathered {
    pub(super) want: Want,
    pub(super) subject: Subject,
}

/// The question that the brick of the artifact at `path` is; `None` where there is none to ask.
pub(super) fn gather(store: &Path, path: &[u8], settings: &Settings) -> Option<Gathered> {
    gather_file(&brick_path(store, path), settings).filter(|g| g.want.path == path)
}

/// The same, of a `.brick` file.
pub(super) fn gather_file(file: &Path, settings: &Settings) -> Option<Gathered> {
    let brick = Brick::open(FileStorage::open_to_read(file).ok()?).ok()?;
    let meta = brick.meta();
    // What a directory is follows from what is in it: nobody is asked.
    let asked = meta.kind != Kind::Directory && meta.size != 0;
    if !asked || !(settings.private || is_public(meta)) {
        return None;
    }
    let content = brick.blake3()?;
    let facts = record::of(&brick).ok()?;
    if facts.contains_key(WITHHELD) {
        return None;
    }
    let subject = Subject::new(meta, &facts, redacted);
    let key = Key::of(&subject, settings);
    let note = brick.annotation().ok()?;
    let annotated = note.is_some_and(|note| wire_annotate::is_of(&note, &content));
    let (path, priority) = (meta.path.clone(), Priority::Found);
    let want = Want { path, content, key, priority, annotated };
    Some(Gathered { want, subject })
}

fn redacted(text: &str) -> String {
    crate::redact::text(text).into_owned()
}

/// Whether every user of this machine may read it where it lies. Memory of processes is nobody's.
fn is_public(meta: &Meta) -> bool {
    const OTHERS_READ: u32 = 0o004;
    const OTHERS_ENTER: u32 = 0o001;
    let path = Path::new(OsStr::from_bytes(&meta.path));
    // A directory that is gone keeps nobody out: its files go with it.
    let closed = |dir: &Path| std::fs::metadata(dir).is_ok_and(|m| m.mode() & OTHERS_ENTER == 0);
    let closed_above = path.ancestors().skip(1).any(closed);
    meta.kind != Kind::Process && meta.mode & OTHERS_READ != 0 && !closed_above
}
