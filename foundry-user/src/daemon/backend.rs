//! Which source runs.
//!
//! Knows: the backends and their order. Must never know: how they work.
//! Keeps: a backend that was named runs or the daemon does not; `auto` takes the best that does.

use super::FatalError;
use super::sizes::Sizes;
use crate::config::Backend;
use crate::sources::composite::{Composite, Sharing};
use crate::sources::ebpf::{Backend as Probes, EbpfSource};
use crate::sources::{Source, SourceError, backends};
use std::time::Duration;

/// Best first.
const ORDER: [Backend; 3] = [Backend::Fentry, Backend::Tracepoint, Backend::Fanotify];

/// Processes whose memory the kernel tells of; more are looked at again and again.
const MOST_WATCHED: u32 = 512;

/// Starts the backend that was asked for; `memory` says whether processes are to be watched, too.
pub(super) fn open(
    wanted: Backend,
    sweep: Option<Duration>,
    memory: bool,
) -> Result<Box<dyn Source>, FatalError> {
    let mut sizes = Sizes::from_environment()?;
    if memory {
        sizes.limits.watched = MOST_WATCHED;
    }
    let mut tried = vec![];
    for backend in ORDER.into_iter().filter(|b| wanted == Backend::Auto || wanted == *b) {
        match start(backend, sweep, &sizes) {
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
) -> Result<Box<dyn Source>, SourceError> {
    match backend {
        Backend::Fentry => Ok(Box::new(EbpfSource::start(Probes::Fentry, &sizes.limits)?)),
        // Raw tracepoints say nothing of names.
        Backend::Tracepoint => {
            let content = Box::new(EbpfSource::start(Probes::Tracepoint, &sizes.limits)?);
            let parts: Vec<Box<dyn Source>> = vec![content, backends::names(sizes.hints)?];
            Ok(Box::new(Composite::new("tracepoint", Sharing::All, parts)?))
        }
        Backend::Fanotify | Backend::Auto => match sweep {
            Some(period) => backends::swept(sizes.hints, period),
            None => backends::fanotify(sizes.hints),
        },
    }
}
