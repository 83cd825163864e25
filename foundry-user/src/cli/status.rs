//! `status`: the counters of the running daemon.
//!
//! Knows: the report. Must never know: who counts.

use super::output::{print, say_next};
use super::sync::refused;
use super::{Store, text};
use crate::args::Status;
use crate::control::client::{self, ControlError};
use crate::error::{CommandError, Exit};
use crate::next::Step;
use crate::stats::{COMPARED, Report, recovery};
use crate::wire;

/// Columns of the names.
const NAME: usize = 30;

/// Counters that are bytes.
const BYTES: [&str; 1] = ["bytes"];

/// What a person looks at first, in this order.
const FIRST: [&str; 9] =
    ["artifacts", "pending", "stale", "seen", "coalesced", "lost", "resyncs", "commits", "bytes"];

/// Runs the command.
pub(super) fn run(args: &Status, store: &Store) -> Result<Exit, CommandError> {
    let report = client::status(&store.path()?).map_err(|error| match error {
        ControlError::Timeout => {
            CommandError::NotAllowed("the daemon is too busy to answer; try again".to_owned())
        }
        other => refused(other),
    })?;
    let pending = report.numbers.get("pending").copied().unwrap_or(0);
    let next = store.next(Step::Counted(pending));
    if args.json {
        print(&wire::answer(&wire::status(&report), &next)?)?;
    } else {
        print(&sheet(&report))?;
        say_next(&next);
    }
    Ok(Exit::Done)
}

/// The human form.
fn sheet(report: &Report) -> String {
    let roots: Vec<String> = report.roots.iter().map(|r| text::clean(r)).collect();
    let mut out = String::new();
    let mut add = |name: &str, value: &str| {
        let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
        for (i, part) in text::wrap(&words, text::WIDTH - NAME - 2).iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            out.push_str(&format!("{:NAME$}  {part}\n", text::fit(name, NAME)));
        }
    };
    add("backend", &text::clean(&report.backend));
    add("watches", &roots.join(" "));
    for root in &report.closed {
        add("  cannot be read", &format!("{} (restart the daemon)", text::clean(root)));
    }
    for (path, why) in &report.left_out.some {
        add("  cannot be read", &format!("{} ({why})", text::clean(path)));
    }
    for name in FIRST {
        if let Some(n) = report.numbers.get(name) {
            add(name, &number(name, *n));
        }
    }
    for (kind, n) in report.lost.iter().filter(|(_, n)| **n > 0) {
        let n = text::count(*n);
        let said = recovery(kind).map_or_else(|| n.clone(), |done| format!("{n}: {done}"));
        add(&format!("  lost: {}", text::clean(kind)), &said);
    }
    if let Some(at) = report.numbers.get(COMPARED) {
        let at = i64::try_from(*at).unwrap_or_default().saturating_mul(1_000_000_000);
        add("all compared", &text::time(at));
    }
    let rest = |name: &str| !FIRST.contains(&name) && name != COMPARED;
    for (name, n) in report.numbers.iter().filter(|(name, _)| rest(name)) {
        add(&text::clean(&name.replace('_', " ")), &number(name, *n));
    }
    add("first look", &first_look(report));
    out
}

fn number(name: &str, n: u64) -> String {
    if BYTES.contains(&name) || name.ends_with("_bytes") { text::bytes(n) } else { text::count(n) }
}

/// How far the first look at the trees is, and what it had to do.
fn first_look(report: &Report) -> String {
    let first = &report.first_fold;
    let done = format!(
        "{} of {} files, {} of {}",
        text::count(first.files_done),
        text::count(first.files_found),
        text::bytes(first.bytes_done),
        text::bytes(first.bytes_found),
    );
    if !first.complete {
        return format!("{done} so far");
    }
    format!(
        "{}, {}; {} read ({}), {} as their bricks said",
        text::plural(first.files_found, "file", "files"),
        text::bytes(first.bytes_found),
        text::count(first.files_read),
        text::bytes(first.bytes_read),
        text::count(first.files_agreed),
    )
}
