//! Which sources together make a backend that needs no BPF.
//!
//! Knows: the sources without BPF. Must never know: artifacts, the pipeline.
//! Keeps: what one source refuses, the next one gets; what nobody can give is named.

use crate::sources::composite::{Composite, Sharing};
use crate::sources::fanotify::{Fanotify, Options};
use crate::sources::inotify::Inotify;
use crate::sources::proc_connector::ProcConnector;
use crate::sources::sweeper::Sweeper;
use crate::sources::{Source, SourceError};
use std::time::Duration;

/// The fanotify backend: names and whole-file hints (inotify where fanotify refuses, as a whole or for
/// one directory), and processes where the kernel tells them.
///
/// # Errors
/// [`SourceError::Unavailable`] where neither fanotify nor inotify can be had.
pub fn fanotify(options: Options) -> Result<Box<dyn Source>, SourceError> {
    Ok(Box::new(hinting(options)?))
}

/// As [`fanotify`], and a sweep every `period` for what it is not told: writes through names elsewhere,
/// stores through mappings, whatever could not be marked.
///
/// # Errors
/// As [`fanotify`].
pub fn swept(options: Options, period: Duration) -> Result<Box<dyn Source>, SourceError> {
    Ok(Box::new(hinting(options)?.with_optional(Box::new(Sweeper::every(period)?))?))
}

fn hinting(options: Options) -> Result<Composite, SourceError> {
    let (name, parts) = hints(options)?;
    let whole = Composite::new(name, Sharing::FirstOf, parts)?;
    match ProcConnector::open() {
        Ok(processes) => whole.with_optional(Box::new(processes)),
        Err(_) => Ok(whole),
    }
}

/// Names of directory entries only, beside a source of content.
///
/// # Errors
/// As [`fanotify`].
pub fn names(options: Options) -> Result<Box<dyn Source>, SourceError> {
    let (name, parts) = hints(Options { names_only: true, ..options })?;
    Ok(Box::new(Composite::new(name, Sharing::FirstOf, parts)?))
}

/// Sources that stand in for one another.
type Parts = Vec<Box<dyn Source>>;

/// Fanotify, then inotify, as far as they can be had; and the name of the first.
fn hints(options: Options) -> Result<(&'static str, Parts), SourceError> {
    let fanotify = Fanotify::open(options);
    let inotify = Inotify::open(options.names_only);
    match (fanotify, inotify) {
        (Ok(first), Ok(second)) => Ok(("fanotify", vec![Box::new(first), Box::new(second)])),
        (Ok(first), Err(_)) => Ok(("fanotify", vec![Box::new(first)])),
        (Err(_), Ok(second)) => Ok(("inotify", vec![Box::new(second)])),
        (Err(refusal), Err(_)) => Err(refusal),
    }
}
