//! What the bytes of a file say: the format's own facts under their lasting names, and more by kind.
//!
//! Knows: which kind is looked into by whom. Must never know: where the file lies on this machine.
//! Keeps: a fixed number of bytes is read of a file of any size; a part that cannot be understood
//! leaves its facts out.

use super::{archive, image, keys, log_lines, rules, strings};
use crate::binary::source::Source;
use crate::binary::{self, Description, Fact};
use std::collections::BTreeMap;
use std::io;

/// Facts by name.
pub(super) type Facts = BTreeMap<String, Fact>;

/// Bytes at the start of a text that are looked at.
pub(super) const TEXT: u64 = 1 << 20;

/// Names of imports that are kept.
const MAX_IMPORTS: usize = 256;

/// Describes `source`; its path tells a log or a header from other text where the content may be either.
pub(super) fn describe(source: &Source<'_>, path: &[u8]) -> io::Result<Description> {
    let mut got = binary::describe_within(source)?;
    let is_script = got.format == "script";
    let old = std::mem::take(&mut got.facts);
    got.facts =
        old.into_iter().map(|(name, fact)| (keys::lasting(&name, is_script), fact)).collect();
    let kind = match got.facts.get("kind") {
        Some(Fact::Text(kind)) => kind.clone(),
        _ => String::new(),
    };
    match (kind.as_str(), got.format.as_str()) {
        ("text" | "script", _) => text(source, path, &mut got)?,
        ("archive" | "package" | "compressed", format) => {
            archive::describe(source, format, &mut got.facts)?;
        }
        ("image", format) => image::describe(source, format, &mut got.facts)?,
        ("executable" | "kernel module", _) => program(source, &mut got)?,
        ("data" | "document" | "database" | "firmware" | "disk image", _) => {
            let bytes = source.window(0, TEXT)?;
            strings::describe(&[&bytes], &mut got.facts);
        }
        _ => {}
    }
    Ok(got)
}

/// A program, a library, a module: what it takes from elsewhere tells what it can do.
fn program(source: &Source<'_>, got: &mut Description) -> io::Result<()> {
    if let Some(kind) = program_kind(&got.facts) {
        got.facts.insert("kind".to_owned(), Fact::Text(kind.to_owned()));
    }
    let needed = match got.facts.get("link.needed") {
        Some(Fact::List(needed)) => needed.clone(),
        _ => Vec::new(),
    };
    rules::judge(&rules::Features::of_program(&got.imports, &needed), &mut got.facts);
    if !got.imports.is_empty() {
        let names = got.imports.iter().take(MAX_IMPORTS).cloned().collect();
        got.facts.insert("imports.names".to_owned(), Fact::List(names));
    }
    let constants: Vec<(u64, u64)> = got
        .regions
        .iter()
        .filter(|r| r.kind == "section" && strings::holds_texts(&r.name))
        .map(|r| (r.start, r.end - r.start))
        .collect();
    let mut left = strings::MOST;
    let mut windows = Vec::new();
    for (start, len) in constants {
        windows.push(source.window(start, len.min(left))?);
        left = left.saturating_sub(len);
    }
    let windows: Vec<&[u8]> = windows.iter().map(Vec::as_slice).collect();
    strings::describe(&windows, &mut got.facts);
    Ok(())
}

/// Programs and libraries are executables to the map; only what is neither has a kind of its own.
fn program_kind(facts: &Facts) -> Option<&'static str> {
    if matches!(facts.get("kind"), Some(Fact::Text(kind)) if kind == "kernel module") {
        return None;
    }
    let Some(Fact::Text(kind)) = facts.get("binary.type") else { return None };
    match kind.as_str() {
        "shared library" => Some("library"),
        "relocatable object" => Some("object code"),
        "core dump" => Some("core dump"),
        _ => None,
    }
}

fn text(source: &Source<'_>, path: &[u8], got: &mut Description) -> io::Result<()> {
    let head = source.window(0, TEXT)?;
    if let Some(Fact::Text(encoding)) = got.facts.get("content.encoding")
        && (encoding.starts_with("utf-16") || encoding.starts_with("utf-32"))
    {
        return Ok(());
    }
    let is_script = got.format == "script";
    if !is_script && log_lines::is_log(&head, path) {
        got.facts.insert("kind".to_owned(), Fact::Text("log".to_owned()));
        return log_lines::describe(source, &head, &mut got.facts);
    }
    if is_script {
        rules::judge(&rules::Features::of_script(&head), &mut got.facts);
    } else if is_header(&head, path) {
        got.facts.insert("kind".to_owned(), Fact::Text("header".to_owned()));
        got.facts.insert("code.language".to_owned(), Fact::Text("c".to_owned()));
    }
    if source.size() <= TEXT {
        let lines = memchr::memchr_iter(b'\n', &head).count() as u64;
        got.facts.insert("text.lines".to_owned(), Fact::Number(lines));
    }
    strings::describe(&[&head], &mut got.facts);
    Ok(())
}

/// Whether text is a C header: by its name, and by a word only the preprocessor knows.
fn is_header(head: &[u8], path: &[u8]) -> bool {
    let named = [&b".h"[..], b".hh", b".hpp", b".hxx"].iter().any(|end| path.ends_with(end));
    let words = [&b"#ifndef"[..], b"#define", b"#include", b"#pragma once"];
    named && words.iter().any(|word| memchr::memmem::find(head, word).is_some())
}
