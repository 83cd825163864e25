//! Facts: what can be said of an artifact without asking anybody, under names that stay.
//!
//! A file's record is made of its content (`content`) and of what this machine says of it
//! ([`host`]: owner, capabilities, package, libraries). Both are found out where the file is read,
//! and travel with its bytes: a recording holds them, so a replay gives the same bricks.
//! What follows from the brick alone (hash, mode, entropy) is not kept a second time: [`record`]
//! adds it for whoever looks.
//!
//! Knows: files, formats, this machine's tables. Must never know: the store, the pipeline, models.
//! Keeps: one file gives one record; a file of secrets is not read; no text leaves unredacted;
//! the record says which bytes it stands on, so that a change elsewhere need not renew it.

mod archive;
mod content;
mod directory;
pub mod host;
mod image;
pub mod keys;
mod log_lines;
pub mod record;
mod rules;
pub mod search;
mod strings;

#[cfg(test)]
mod tests;

use crate::binary::source::{Budget, Source};
use crate::binary::{Description, Fact, ReadAt};
use crate::pipeline::ranges::Ranges;
use crate::redact;
use host::Host;
use std::fs::File;
use std::io;

/// Version of the record: another meaning of any key is another version.
pub const VERSION: u64 = 1;

/// Bytes of a head that are asked whether they open a file of secrets.
const HEAD: u64 = 64 << 10;

/// The file in question, as its directory shows it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Where it is.
    pub path: &'a [u8],
    /// Bytes.
    pub size: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A record, and what it stands on.
#[derive(Debug, Default)]
pub struct Found {
    /// Regions and facts.
    pub description: Description,
    /// The tiles that were read for it.
    pub read: Ranges,
    /// Bytes that were read.
    pub cost: u64,
}

/// The record of a file.
///
/// # Errors
/// Where the file cannot be read.
pub fn of_file(file: &File, subject: &Subject<'_>, host: &Host) -> io::Result<Found> {
    let budget = Budget::new();
    let source = Source::new(file, subject.size, &budget);
    let mut description = of_content(&source, subject.path)?;
    let digested = host.describe(file, subject, &mut description.facts)?;
    if digested > 0 {
        budget.note(0, digested);
    }
    let cost = budget.spent() + digested;
    Ok(Found { description: finish(description), read: budget.into_read(), cost })
}

/// The record of a file that cannot be read where its description would look: it stands on every
/// byte, so that the next change brings another.
#[must_use]
pub fn unreadable(error: &io::Error) -> Found {
    let why = ("content.unreadable".to_owned(), Fact::Text(error.to_string()));
    let description = Description {
        format: "unreadable".to_owned(),
        facts: [why].into(),
        ..Description::default()
    };
    Found { description: finish(description), read: Ranges::all(), cost: 0 }
}

/// The record of bytes that are no file of this machine.
///
/// # Errors
/// Where `bytes` cannot be read.
pub fn of_bytes(bytes: &dyn ReadAt, size: u64, path: &[u8]) -> io::Result<Description> {
    let budget = Budget::new();
    Ok(finish(of_content(&Source::new(bytes, size, &budget), path)?))
}

fn of_content(source: &Source<'_>, path: &[u8]) -> io::Result<Description> {
    let withheld = match redact::is_withheld(path, &[]) {
        None => redact::is_withheld(path, &source.window(0, HEAD)?),
        by_path => by_path,
    };
    let Some(reason) = withheld else { return content::describe(source, path) };
    let text = |text: &str| Fact::Text(text.to_owned());
    let facts = [
        ("kind".to_owned(), text("withheld")),
        ("content.withheld".to_owned(), text(reason.as_str())),
    ];
    Ok(Description { format: "withheld".to_owned(), facts: facts.into(), ..Description::default() })
}

/// No secret in any text, and the version of the record.
fn finish(mut description: Description) -> Description {
    let clean = |text: &mut String| {
        if let std::borrow::Cow::Owned(clean) = redact::text(text) {
            *text = clean;
        }
    };
    for value in description.facts.values_mut() {
        match value {
            Fact::Text(text) => clean(text),
            Fact::List(texts) => texts.iter_mut().for_each(clean),
            Fact::Number(_) | Fact::Flag(_) => {}
        }
    }
    description.regions.iter_mut().for_each(|region| clean(&mut region.name));
    description.facts.insert("facts.version".to_owned(), Fact::Number(VERSION));
    description
}
