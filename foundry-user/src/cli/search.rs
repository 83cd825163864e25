//! `search`: which artifacts of the store have it.
//!
//! Knows: the store's directory, bricks, queries. Must never know: how a fact was found out.
//! Keeps: the answer is in the order of paths, whatever order the bricks were asked in; a brick that
//! is gone or broken by now is passed over.

use super::brick_file::BrickFile;
use super::output::{print, say_next};
use super::{Store, text};
use crate::args::Search;
use crate::error::{CommandError, Exit};
use crate::facts::search::Query;
use crate::next::Step;
use crate::store;
use crate::wire::{self, SearchDocument, SearchHit};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Runs the command.
pub(super) fn run(args: &Search, store: &Store) -> Result<Exit, CommandError> {
    let query = Query::parse(&args.query)
        .ok_or_else(|| CommandError::Usage(format!("{:?} says nothing to look for", args.query)))?;
    let directory = store.path()?;
    let io = |e| CommandError::io("list", &directory, e);
    let directory = std::fs::canonicalize(&directory).map_err(io)?;
    let bricks = store::bricks(&directory).map_err(io)?;
    let mut hits = find(&query, &bricks);
    hits.sort_by(|a, b| (&a.artifact, a.what, a.start).cmp(&(&b.artifact, b.what, b.start)));
    let complete = hits.len() <= args.limit;
    hits.truncate(args.limit);
    let n = bricks.len() as u64;
    let found = SearchDocument { query: args.query.clone(), bricks: n, hits, complete };
    let first = found.hits.first().map(|hit| std::path::Path::new(&hit.artifact));
    let next = store.next(Step::Found(first));
    if args.json {
        print(&wire::answer(&found, &next)?)?;
    } else {
        print(&sheet(&found))?;
        say_next(&next);
    }
    Ok(Exit::Done)
}

/// Asks each brick on whichever processor is free.
fn find(query: &Query, bricks: &[PathBuf]) -> Vec<SearchHit> {
    let found = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(path) = bricks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let hits = in_one(query, path);
                    found.lock().unwrap_or_else(PoisonError::into_inner).extend(hits);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn in_one(query: &Query, path: &std::path::Path) -> Vec<SearchHit> {
    let Ok(file) = BrickFile::at(path.to_owned()) else { return Vec::new() };
    let artifact = match file.brick.meta().pid {
        Some(pid) => format!("pid:{pid}"),
        None => text::lossy(&file.brick.meta().path),
    };
    let hits = query.find_in(&file.brick).unwrap_or_default().into_iter();
    let hit = |hit: crate::facts::search::Hit| SearchHit {
        artifact: artifact.clone(),
        what: hit.what,
        text: hit.text,
        start: hit.start,
        end: hit.end,
    };
    hits.map(hit).collect()
}

/// The human form: a path, then what was found in it.
fn sheet(found: &SearchDocument) -> String {
    let mut out = String::new();
    let mut last = "";
    for hit in &found.hits {
        if hit.artifact != last {
            out.push_str(&format!("{}\n", text::clean(&hit.artifact)));
            last = &hit.artifact;
        }
        if hit.what != "path" {
            let words = format!("  {:<10} {}", hit.what, text::clean(&hit.text));
            out.push_str(&text::fit(&words, text::WIDTH));
            out.push('\n');
        }
    }
    if !found.complete {
        out.push_str("... and more; --limit N shows them\n");
    }
    if found.hits.is_empty() {
        out.push_str(&format!("nothing in {}\n", text::plural(found.bricks, "brick", "bricks")));
    }
    out
}
