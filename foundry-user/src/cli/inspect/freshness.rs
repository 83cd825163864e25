//! How fresh a brick is: who hears of changes to its artifact, and when it was last compared.
//!
//! Knows: the daemon of the store, and which sources hear everything. Must never know: the artifact.
//! Keeps: what nobody vouches for is called stale, even where it may well be true.

use super::super::brick_file::BrickFile;
use super::super::{Store, text};
use crate::control::client;
use crate::stats::COMPARED;
use crate::wire::Freshness as Document;
use foundry_brick::Kind;
use std::path::Path;

/// Sources that hear of each change themselves; others are told of most.
const EXACT: [&str; 2] = ["fentry", "tracepoint"];

/// What is known of it.
pub(super) struct Freshness(Option<Document>);

impl Freshness {
    /// Of a brick of the store; of a brick that is just a file there is nothing to say.
    pub(super) fn of(file: &BrickFile, store: &Store) -> Self {
        let Ok(directory) = store.path() else { return Self(None) };
        let in_store = file.path.starts_with(&directory) && file.brick.meta().kind == Kind::File;
        if !in_store {
            return Self(None);
        }
        let at = file.brick.at_ns();
        Self(Some(known(&directory, &file.brick.meta().path, at)))
    }

    /// For people.
    pub(super) fn line(&self) -> Option<String> {
        let known = self.0.as_ref()?;
        let at = text::time(known.compared_ns);
        Some(match known.heard_by.as_deref() {
            None => format!("{at}; may be stale: no daemon watches it now"),
            Some(by) if known.stale => {
                format!("{at}; may be stale: {} is not told of every change", text::clean(by))
            }
            Some(by) => format!("as changes are heard, by {}", text::clean(by)),
        })
    }

    /// For programs.
    pub(super) fn document(&self) -> Option<&Document> {
        self.0.as_ref()
    }
}

fn known(store: &Path, path: &[u8], committed_ns: i64) -> Document {
    let watched = |roots: &[String]| {
        let path = String::from_utf8_lossy(path);
        roots.iter().any(|root| Path::new(&*path).starts_with(root))
    };
    let report = client::status(store).ok().filter(|report| watched(&report.roots));
    let swept = report.as_ref().and_then(|report| report.numbers.get(COMPARED));
    let swept = swept.and_then(|seconds| i64::try_from(*seconds).ok());
    let swept_ns = swept.map_or(0, |seconds| seconds.saturating_mul(1_000_000_000));
    let heard_by = report.map(|report| report.backend);
    let stale = heard_by.as_deref().is_none_or(|by| !EXACT.contains(&by));
    Document { heard_by, compared_ns: committed_ns.max(swept_ns), stale }
}
