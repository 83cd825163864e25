//! Which source runs.
//!
//! Knows: the backends and their order, whose state is taken over. Must never know: how they work.
//! Keeps: a backend that was named runs or the daemon does not; `auto` takes the best that does.

use super::FatalError;
use super::census;
use super::sizes::Sizes;
use crate::config::Backend;
use crate::sources::composite::{Composite, Sharing};
use crate::sources::ebpf::pins::{self, Place};
use crate::sources::ebpf::{Backend as Probes, EbpfSource, Limits};
use crate::sources::{Source, SourceError, backends};
use std::path::PathBuf;
use std::time::Duration;

/// Best first.
const ORDER: [Backend; 3] = [Backend::Fentry, Backend::Tracepoint, Backend::Fanotify];

/// Processes whose memory the kernel tells of; more are looked at again and again.
const MOST_WATCHED: u32 = 512;

/// No more inodes are followed by probes, which takes 512 MiB of kernel memory; others are compared.
const MOST_ARTIFACTS: u32 = 1 << 23;

/// Starts the backend that was asked for, with room for what is beneath `roots` and for half as much
/// again; `memory` says whether processes are to be watched, too.
pub(super) fn open(
    wanted: Backend,
    sweep: Option<Duration>,
    (roots, memory): (&[PathBuf], bool),
    place: &Place,
) -> Result<Box<dyn Source>, FatalError> {
    let mut usual = Limits::default();
    if wanted != Backend::Fanotify {
        let found = census::count(roots, MOST_ARTIFACTS);
        usual.artifacts = found.saturating_add(found / 2).clamp(usual.artifacts, MOST_ARTIFACTS);
    }
    if memory {
        usual.watched = MOST_WATCHED;
    }
    let sizes = Sizes::from_environment(usual)?;
    let mut tried = vec![];
    for backend in ORDER.into_iter().filter(|b| wanted == Backend::Auto || wanted == *b) {
        match start(backend, sweep, &sizes, place) {
            Ok(source) => return Ok(source),
            Err(error) => {
                tracing::debug!(?backend, %error, "tried");
                tried.push(error.to_string());
            }
        }
    }
    Err(FatalError::NoBackend { tried: tried.join("; ") })
}

fn start(
    backend: Backend,
    sweep: Option<Duration>,
    sizes: &Sizes,
    place: &Place,
) -> Result<Box<dyn Source>, SourceError> {
    let probes = |family| EbpfSource::start_after(family, &sizes.limits, place);
    match backend {
        Backend::Fentry => Ok(Box::new(probes(Probes::Fentry)?)),
        // Raw tracepoints say nothing of names.
        Backend::Tracepoint => {
            let content = Box::new(probes(Probes::Tracepoint)?);
            let parts: Vec<Box<dyn Source>> = vec![content, backends::names(sizes.hints)?];
            Ok(Box::new(Composite::new("tracepoint", Sharing::All, parts)?))
        }
        Backend::Fanotify | Backend::Auto => {
            let source = match sweep {
                Some(period) => backends::swept(sizes.hints, period),
                None => backends::fanotify(sizes.hints),
            }?;
            if place.keep {
                tracing::warn!(
                    "this backend has no probes that could outlive it: nothing is pinned"
                );
            }
            if pins::remove_all(place) {
                tracing::warn!("what an earlier run kept is of no use to this backend: removed");
            }
            Ok(source)
        }
    }
}
