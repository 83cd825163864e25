//! The JSON documents, and nothing else that is JSON.
//!
//! Knows: names of keys, how our values look in them. Must never know: where values come from.
//! Keeps: names are stable, scripts and the map rely on them; the only user of serde_json.

use crate::error::CommandError;
use crate::facts::record;
use crate::stats::{LeftOut, Report};
use foundry_brick::parts::{Attribute, PAGE_ORDER, Part, Parts, Text, page};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Error, FactValue, Facts, Kind, Payload, Region, Writer};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Changed tiles that are listed one by one; a first generation changes all of them.
const MAX_LISTED_TILES: usize = 1 << 16;

/// One document, with a line end.
///
/// # Errors
/// Where a value has no JSON form, which no value here lacks.
pub fn document(value: &impl Serialize) -> Result<String, CommandError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|e| CommandError::io("write", "the JSON document", e.into()))?;
    Ok(text + "\n")
}

/// One document that also says what to run next.
///
/// # Errors
/// As [`document`].
pub fn answer(value: &impl Serialize, next: &str) -> Result<String, CommandError> {
    let value = serde_json::to_value(value);
    let mut value = value.map_err(|e| CommandError::io("write", "the JSON document", e.into()))?;
    if let Value::Object(object) = &mut value {
        object.insert("next".to_owned(), next.into());
    }
    document(&value)
}

/// What `inspect --json` says of one generation.
///
/// # Errors
/// Where the brick is corrupt or cannot be read.
pub fn inspect<S: Storage>(file: &Path, brick: &Brick<S>) -> Result<Value, foundry_brick::Error> {
    let meta = brick.meta();
    let writers = brick.writers()?;
    let last = writers.iter().max_by_key(|(_, w)| w.at_ns).map(|(_, w)| writer(w));
    let changed_in = brick.content_generation();
    let changed = brick.changed_since(changed_in.saturating_sub(1))?;
    let tiles: Vec<u64> = changed.iter().cloned().flatten().take(MAX_LISTED_TILES).collect();
    let ranges: Vec<[u64; 2]> = changed.iter().map(|r| [r.start, r.end]).collect();
    let mut out = json!({
        "format": "V2BR",
        "version": 2,
        "kind": kind(meta.kind),
        "size": meta.size,
        "blake3": brick.blake3().map(|h| hex(&h)),
        "hash_pending": brick.blake3().is_none(),
        "generation": brick.generation(),
        "at_ns": brick.at_ns(),
        "payload": payload(meta.payload),
        "mode": format!("{:04o}", meta.mode),
        "uid": meta.uid,
        "gid": meta.gid,
        "nlink": meta.nlink,
        "blocks": meta.blocks,
        "mtime_ns": meta.mtime_ns,
        "ctime_ns": meta.ctime_ns,
        "identity": {
            "dev": meta.identity.dev,
            "ino": meta.identity.ino,
            "btime_ns": meta.identity.btime_ns,
        },
        "levels": levels(brick),
        "regions": regions(brick)?,
        "facts": facts(&record::of(brick)?),
        "annotation": brick
            .annotation()?
            .map(|note| crate::wire_annotate::shown(&note, brick.blake3().as_ref())),
        "generations": generations(brick),
        "changed_in": changed_in,
        "changed_tiles": tiles,
        "changed_tile_ranges": ranges,
        "last_writer": last,
        "writers": writers.iter().map(|(range, w)| {
            json!({ "start": range.start, "end": range.end, "writer": writer(w) })
        }).collect::<Vec<_>>(),
        "brick": {
            "path": file.to_string_lossy(),
            "epoch": hex(&brick.epoch()),
        },
    });
    if let Value::Object(object) = &mut out {
        name(object, meta.pid, &meta.path);
    }
    Ok(out)
}

/// The artifact's name: a path, or a process number.
fn name(object: &mut Map<String, Value>, pid: Option<u32>, path: &[u8]) {
    if let Some(pid) = pid {
        object.insert("pid".to_owned(), pid.into());
        return;
    }
    object.insert("path".to_owned(), String::from_utf8_lossy(path).into());
    if std::str::from_utf8(path).is_err() {
        // The lossy form cannot be turned back into the name.
        object.insert("path_hex".to_owned(), hex(path).into());
    }
}

fn levels<S: Storage>(brick: &Brick<S>) -> Vec<Value> {
    let one = |l: foundry_brick::LevelInfo| json!({ "level": l.level, "cells": l.cells, "bytes_per_cell": l.bytes_per_cell });
    brick.levels().into_iter().map(one).collect()
}

fn generations<S: Storage>(brick: &Brick<S>) -> Vec<Value> {
    let one = |g: foundry_brick::GenerationInfo| {
        json!({
            "generation": g.number,
            "at_ns": g.at_ns,
            "size": g.size,
            "blake3": g.root.map(|h| hex(&h)),
            "changed_tiles_per_level": g.changed_tiles,
        })
    };
    brick.generations().into_iter().map(one).collect()
}

/// Regions; those that are parts with what is said of them.
fn regions<S: Storage>(brick: &Brick<S>) -> Result<Vec<Value>, Error> {
    let parts = brick.parts()?.unwrap_or_else(|| Parts::new(PAGE_ORDER));
    let start = |(place, part)| Some((parts.run(place)?.start, part));
    let starts: BTreeMap<u64, &Part> = parts.iter().filter_map(start).collect();
    let of = |region: &Region| {
        let part = starts.get(&region.start);
        // A function that begins where a mapping does is another region.
        part.filter(|part| part.kind.name() == region.kind)
    };
    Ok(brick.regions()?.iter().map(|one| region(one, of(one).copied())).collect())
}

/// What is said of a part, by the names of FORMAT.md.
fn attributes(part: &Part) -> Value {
    let number = |(what, n): (&Attribute, &u64)| {
        let value = match *what {
            Attribute::MTIME | Attribute::ENDED => n.cast_signed().into(),
            Attribute::MODE => format!("{n:04o}").into(),
            _ => Value::from(*n),
        };
        (what.name().to_owned(), value)
    };
    let text = |(what, text): (&Attribute, &Text)| {
        (what.name().to_owned(), String::from_utf8_lossy(text).into())
    };
    part.numbers.iter().map(number).chain(part.texts.iter().map(text)).collect()
}

fn region(region: &Region, part: Option<&Part>) -> Value {
    let mut out = json!({
        "name": region.name, "kind": region.kind, "start": region.start, "end": region.end,
    });
    if let (Some(address), Value::Object(object)) = (region.address, &mut out) {
        object.insert("address".to_owned(), address.into());
    }
    if let (Some(part), Value::Object(object)) = (part, &mut out) {
        object.insert("attributes".to_owned(), attributes(part));
        if let Some(link) = &part.link {
            let path = String::from_utf8_lossy(&link.path);
            object.insert("link".to_owned(), json!({ "path": path, "offset": link.offset }));
        }
        if !part.pages.is_empty() {
            object.insert("pages".to_owned(), pages(part));
        }
    }
    out
}

/// How many of a mapping's pages are in each state, by the names of FORMAT.md.
fn pages(part: &Part) -> Value {
    let count = |bit: usize| -> u64 {
        part.pages.iter().filter(|run| run.state >> bit & 1 != 0).map(|run| run.count).sum()
    };
    let one = |(bit, name): (usize, &&str)| ((*name).to_owned(), Value::from(count(bit)));
    page::NAMES.iter().enumerate().map(one).collect()
}

pub(crate) fn facts(facts: &Facts) -> Value {
    let one = |value: &FactValue| match value {
        FactValue::Text(text) => Value::from(text.as_str()),
        FactValue::Number(n) => Value::from(*n),
        FactValue::Flag(flag) => Value::from(*flag),
        FactValue::List(list) => Value::from(list.as_slice()),
    };
    facts.iter().map(|(name, value)| (name.clone(), one(value))).collect::<Map<_, _>>().into()
}

fn writer(writer: &Writer) -> Value {
    json!({
        "comm": String::from_utf8_lossy(&writer.comm),
        "exe": (!writer.exe.is_empty()).then(|| String::from_utf8_lossy(&writer.exe)),
        "pid": writer.pid,
        "uid": writer.uid,
        "at_ns": writer.at_ns,
    })
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Process => "process",
    }
}

const fn payload(payload: Payload) -> &'static str {
    match payload {
        Payload::Reference => "reference",
        Payload::Embedded => "embedded",
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// How fresh a brick of a store is.
#[derive(Debug, Serialize)]
pub struct Freshness {
    /// The source that hears of its artifact's changes now.
    pub heard_by: Option<String>,
    /// When it was last found to be true, or made true, as far as is known.
    pub compared_ns: i64,
    /// A change may have gone unheard since.
    pub stale: bool,
}

/// Adds to what `inspect --json` says how fresh it is; null for a brick of no store.
pub fn add_freshness(inspected: &mut Value, freshness: Option<&Freshness>) {
    if let Some(fields) = inspected.as_object_mut() {
        fields.insert("freshness".to_owned(), json!(freshness));
    }
}

/// What `status --json` says: every number by its name on the top level.
#[must_use]
pub fn status(report: &Report) -> Value {
    let mut out: Map<String, Value> =
        report.numbers.iter().map(|(name, n)| (name.clone(), (*n).into())).collect();
    let first = &report.first_fold;
    for (name, value) in [
        ("backend", json!(report.backend)),
        ("roots", json!(report.roots)),
        ("closed_roots", json!(report.closed)),
        ("left_out", left_out(&report.left_out)),
        ("lost_by_kind", json!(report.lost)),
        ("first_fold", json!(first)),
    ] {
        out.insert(name.to_owned(), value);
    }
    out.into()
}

fn left_out(left_out: &LeftOut) -> Value {
    let one = |(path, why): &(String, String)| json!({ "path": path, "why": why });
    json!({
        "count": left_out.count,
        "behind": left_out.behind,
        "first": left_out.some.iter().map(one).collect::<Vec<_>>(),
    })
}

/// What `search --json` says.
#[derive(Debug, Serialize)]
pub struct SearchDocument {
    /// What was looked for.
    pub query: String,
    /// Bricks that were asked.
    pub bricks: u64,
    /// Where it was found, in the order of paths.
    pub hits: Vec<SearchHit>,
    /// Whether there was no more than what is listed.
    pub complete: bool,
}

/// One place where it was found.
#[derive(Debug, Serialize)]
pub struct SearchHit {
    /// The artifact's path, or `pid:N`.
    pub artifact: String,
    /// `path`, `symbol`, `fact`, `hash` or `annotation`.
    pub what: &'static str,
    /// What stands there.
    pub text: String,
    /// First byte of the artifact that it is about.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

/// What `verify --json` says.
#[derive(Debug, Default, Serialize)]
pub struct VerifyDocument {
    /// Whether nothing differs.
    pub ok: bool,
    /// Bricks that were checked.
    pub bricks: u64,
    /// Bytes of artifacts that were compared.
    pub bytes: u64,
    /// Whatever is not as it must be.
    pub differences: Vec<Difference>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The `.brick` file, where there is one.
    pub brick: Option<String>,
    /// The artifact's path, or `pid:N`.
    pub artifact: String,
    /// `corrupt`, `content`, `size`, `mode`, `owner`, `gone`, `missing`, `unreadable`, ...
    pub what: &'static str,
    /// In words.
    pub detail: String,
    /// First differing byte of the artifact, where it is about bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// First byte after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// Regions that the bytes lie in, innermost last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
}

/// What `doctor --json` says.
#[derive(Debug, Serialize)]
pub struct DoctorDocument {
    /// Release of the running kernel.
    pub kernel: String,
    /// Processor architecture.
    pub arch: &'static str,
    /// Effective user.
    pub uid: u32,
    /// The backend that `--backend auto` takes, where any can run.
    pub auto: Option<&'static str>,
    /// Every backend, best first.
    pub backends: Vec<BackendDocument>,
    /// What the kernel says of itself.
    pub checks: Vec<CheckDocument>,
}

/// What one backend would do here.
#[derive(Debug, Serialize)]
pub struct BackendDocument {
    /// As `--backend` spells it.
    pub backend: &'static str,
    /// Whether it starts.
    pub usable: bool,
    /// Why it does not.
    pub reason: Option<String>,
    /// Its parts.
    pub probes: Vec<ProbeDocument>,
    /// What it does not see even where everything is attached.
    pub blind: Vec<String>,
}

/// One part of a backend.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeDocument {
    /// Name of the program.
    pub program: &'static str,
    /// Name of the hook.
    pub hook: &'static str,
    /// What it sees.
    pub sees: &'static str,
    /// `attached`, `absent` or `refused`.
    pub status: &'static str,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// One thing about the kernel or the privileges.
#[derive(Debug, Serialize)]
pub struct CheckDocument {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do where it is not.
    pub advice: Option<&'static str>,
}
