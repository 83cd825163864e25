//! What of the watched trees cannot be read, above all roots that are removed, made again or replaced
//! while the daemon runs.
//!
//! Knows: what a path leads to, whether it can be read. Must never know: what lies beneath.
//! Keeps: what cannot be read is said in each `status`, and no `sync` says that all is well.

use super::FatalError;
use super::run_loop::Loop;
use crate::clock;
use crate::diagnostics::shown;
use crate::event::Event;
use crate::pipeline::input::{Input, ReadFailure};
use crate::pipeline::unreadable::Unread;
use crate::reader::RootNews;
use crate::stats::LeftOut;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Of what cannot be read, so much is named.
const SAID: usize = 10;

impl Loop {
    /// A watched root may have been removed, made again, or moved: nothing above it says so.
    pub(super) async fn look_at_roots(&mut self) -> Result<(), FatalError> {
        let look = |root: &PathBuf| match self.parts.reader.look_at_root(root) {
            RootNews::Same => None,
            news => Some((root.clone(), news)),
        };
        let news: Vec<_> = self.parts.roots.iter().filter_map(look).collect();
        for (root, news) in news {
            self.closed.remove(&root);
            match news {
                RootNews::Same => {}
                RootNews::Replaced(stat) => {
                    // The sandbox lets a directory that it was not made for be found, but not read.
                    if let Err(error) = std::fs::read_dir(&root) {
                        let path = name(&root);
                        tracing::warn!(root = path, %error, "it was made again: restart to watch it");
                        self.closed.insert(root.clone());
                    }
                    let root = root.into_os_string().into_encoded_bytes();
                    self.feed(Input::Watch { root, stat }).await?;
                }
                RootNews::Gone => self.sweep().await?,
            }
        }
        Ok(())
    }

    /// What was closed may have been opened to us: its mode can change, unlike a sandbox.
    pub(super) async fn look_at_closed(&mut self) -> Result<(), FatalError> {
        let before = self.closed.len();
        self.closed.retain(|root| std::fs::read_dir(root).is_err());
        if self.closed.len() < before { self.sweep().await } else { Ok(()) }
    }

    /// What cannot be read, but for roots that are closed: of those more is said.
    pub(super) fn left_out(&self) -> LeftOut {
        let mut unread = self.pipeline.unread();
        unread.retain(|u| !self.closed.contains(Path::new(OsStr::from_bytes(&u.path))));
        let behind = unread.iter().filter(|u| u.behind);
        let broken = behind.clone().filter(|u| u.failure != ReadFailure::Denied);
        let mut first: Vec<&Unread> = unread.iter().collect();
        first.sort_by_key(|u| !u.behind);
        let said = |u: &&Unread| (shown(&u.path).into_owned(), u.failure.to_string());
        LeftOut {
            count: unread.len() as u64,
            behind: behind.count() as u64,
            broken: broken.count() as u64,
            some: first.iter().take(SAID).map(said).collect(),
        }
    }

    async fn sweep(&mut self) -> Result<(), FatalError> {
        self.feed(Input::Event(Event::Sweep { at: clock::monotonic() })).await
    }

    /// Whether every root that is there can be read; else what to do.
    pub(super) fn all_open(&self) -> Result<(), String> {
        if self.closed.is_empty() {
            return Ok(());
        }
        let which: Vec<String> = self.closed.iter().map(|root| name(root)).collect();
        Err(format!(
            "{} cannot be read: made again while the daemon ran, it is not what the sandbox was made \
             for; restart the daemon",
            which.join(", ")
        ))
    }
}

/// A path, as one word of a line.
fn name(root: &Path) -> String {
    shown(root.as_os_str().as_bytes()).escape_debug().collect()
}
