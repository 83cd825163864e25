//! `annotate`: a local model's opinion of artifacts.
//!
//! Knows: the annotator's requests, the control client. Must never know: how a model is asked.
//! Keeps: a running daemon does the work; without one the store is worked on under its lock; without a
//! model server everything but the answers is done.

use super::Store;
use super::output::{print, say};
use super::sync::refused;
use super::text;
use crate::annotate::deliver::Deliver;
use crate::annotate::engine::{Engine, EngineError, Turn};
use crate::annotate::queue::Counts;
use crate::annotate::settings::{Section, Settings};
use crate::annotate::{Request, Status, direct};
use crate::args::Annotate;
use crate::clock;
use crate::config::annotate_settings;
use crate::control::client::{self, ControlError};
use crate::error::{CommandError, Exit};
use crate::store::Store as Bricks;
use crate::{wire, wire_annotate};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Between two lines on how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// Columns of the names.
const NAME: usize = 14;

/// Runs the command.
pub(super) fn run(
    args: &Annotate,
    store: &Store,
    section: Option<&Section>,
) -> Result<Exit, CommandError> {
    let settings = annotate_settings(section)?;
    warn_of_remote(&settings);
    let dir = store.path()?;
    let first = match args {
        Annotate { path: Some(path), .. } => Some(Request::Path(name_of(path)?)),
        Annotate { all: true, .. } => Some(Request::All),
        Annotate { retry: true, .. } => Some(Request::Retry),
        Annotate { status: true, .. } => Some(Request::Status),
        _ => None,
    };
    let status = match with_daemon(&dir, first.as_ref(), args.drain) {
        Err(ControlError::NotRunning { .. }) => alone(&dir, settings, first.as_ref(), args.drain)?,
        other => other.map_err(refused)?,
    };
    let status = Status { next: next(&status, args), ..status };
    print(&if args.json {
        wire::document(&wire_annotate::status(&status))?
    } else {
        sheet(&status)
    })?;
    let left = status.counts.waiting + status.counts.leased + status.counts.undelivered;
    Ok(if args.drain && 0 < left { Exit::NotAllowed } else { Exit::Done })
}

/// Says that facts leave this machine, where they do.
pub(super) fn warn_of_remote(settings: &Settings) {
    if settings.enabled && settings.endpoint.is_remote() {
        let server = settings.endpoint.base();
        say(&format!("warning: {server} is not this machine; facts of files are sent there"));
    }
}

fn with_daemon(dir: &Path, first: Option<&Request>, drain: bool) -> Result<Status, ControlError> {
    let said = match first {
        None => None,
        Some(request) => {
            let status = client::annotate(dir, request)?;
            if !drain {
                return Ok(status);
            }
            status.said
        }
    };
    // Somebody who waits wants to see that it goes on.
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let watched = dir.to_owned();
    let showing = std::thread::spawn(move || {
        let mut progress = Progress::default();
        while end.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
            if let Ok(status) = client::annotate(&watched, &Request::Status) {
                progress.show(&status.counts);
            }
        }
    });
    let drained = client::annotate(dir, &Request::Drain);
    drop(ended);
    // It only shows.
    drop(showing.join());
    Ok(Status { said, ..drained? })
}

/// What was last shown of work that somebody waits for.
#[derive(Default)]
struct Progress(Option<Counts>);

impl Progress {
    /// Shows how far it is, where that is news.
    fn show(&mut self, counts: &Counts) {
        let left = counts.waiting + counts.leased;
        if left != 0 && self.0.replace(*counts) != Some(*counts) {
            let answered = text::count(counts.answers);
            let left = text::plural(left, "question waits", "questions wait");
            say(&format!("{answered} answered, {left}"));
        }
    }
}

/// Without a daemon: here, and under the store's lock where anything is changed.
fn alone(
    dir: &Path,
    settings: Settings,
    first: Option<&Request>,
    drain: bool,
) -> Result<Status, CommandError> {
    let failed = |e: EngineError| CommandError::NotAllowed(e.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CommandError::io("start", "the annotator", e))?;
    if first == Some(&Request::Status) {
        return runtime.block_on(direct::status(dir, &settings)).map_err(failed);
    }
    if !dir.is_dir() {
        let what = "no store: there are no bricks to annotate; keep some with \
                    foundry-user --watch DIR, or name their store with --store"
            .to_owned();
        return Err(CommandError::Invalid { path: dir.to_owned(), what });
    }
    let bricks = Bricks::open(dir, foundry_brick::Payload::Reference)
        .map_err(|e| CommandError::NotAllowed(e.to_string()))?;
    let deliver = Deliver::into_store(Arc::new(bricks));
    let enabled = settings.enabled;
    let mut engine = Engine::open(dir, settings, deliver).map_err(failed)?;
    runtime.block_on(async {
        let said = match first {
            None => None,
            Some(request) => Some(engine.take(request).map_err(failed)?),
        };
        let paused =
            if drain && enabled { drained(&mut engine).await.map_err(failed)? } else { None };
        if paused.is_none() {
            engine.look().await;
        }
        let status = engine.status().map_err(|e| failed(e.into()))?;
        Ok(Status { said, paused: paused.or(status.paused), ..status })
    })
}

/// Works until nothing waits, or something keeps it from going on: then that.
async fn drained(engine: &mut Engine) -> Result<Option<String>, EngineError> {
    let (mut progress, mut shown) = (Progress::default(), clock::monotonic());
    loop {
        let now = clock::monotonic();
        if u128::from(now.0 - shown.0) >= PROGRESS.as_nanos() {
            shown = now;
            progress.show(&engine.status()?.counts);
        }
        match engine.turn().await? {
            Turn::Worked => {}
            Turn::Paused { why, .. } => return Ok(Some(why)),
            Turn::Idle { until_ms } => {
                let counts = engine.status()?.counts;
                if counts.waiting + counts.leased + counts.undelivered == 0 {
                    return Ok(None);
                }
                direct::sleep_until(until_ms).await;
            }
        }
    }
}

/// The name under which a store knows what was typed.
fn name_of(typed: &Path) -> Result<Vec<u8>, CommandError> {
    if typed.as_os_str().as_bytes().starts_with(b"pid:") {
        return Ok(typed.as_os_str().as_bytes().to_vec());
    }
    let found = typed.canonicalize().or_else(|_| std::path::absolute(typed));
    let found = found.map_err(|e| CommandError::io("find", typed, e))?;
    Ok(found.into_os_string().into_encoded_bytes())
}

/// The command to run next.
fn next(status: &Status, args: &Annotate) -> Option<String> {
    let counts = &status.counts;
    let command = if !status.enabled {
        return None;
    } else if 0 < counts.dead && !args.retry {
        "foundry-user annotate --retry"
    } else if 0 < counts.waiting && status.reachable == Some(false) {
        return Some(format!(
            "start a model server at {}, then: foundry-user annotate --drain",
            status.server
        ));
    } else if 0 < counts.waiting && !args.drain {
        "foundry-user annotate --drain"
    } else if 0 < counts.delivered {
        "foundry-user inspect PATH"
    } else {
        "foundry-user annotate --all"
    };
    Some(command.to_owned())
}

/// The human form.
fn sheet(status: &Status) -> String {
    let mut out = String::new();
    let mut add = |name: &str, value: &str| {
        let words: Vec<String> = text::clean(value).split(' ').map(str::to_owned).collect();
        for (i, part) in text::wrap(&words, text::WIDTH - NAME - 2).iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            out.push_str(&format!("{name:NAME$}  {part}\n"));
        }
    };
    add("annotation", &status.headline());
    if let Some(said) = &status.said {
        add("done", said);
    }
    if let Some(why) = &status.paused {
        add("paused", why);
    }
    if let (Some(constrained), Some(context)) = (status.constrained, status.context) {
        let form = if constrained { "keeps to the schema" } else { "does NOT keep to the schema" };
        add("model", &format!("{form}, context of {} tokens", text::count(u64::from(context))));
    }
    let counts = &status.counts;
    let bricks = text::plural(counts.delivered, "brick has", "bricks have");
    add("annotated", &format!("{bricks} theirs; {} answers in all", text::count(counts.answers)));
    if 0 < counts.undelivered {
        add("on their way", &text::count(counts.undelivered));
    }
    if 0 < counts.dead {
        add("put aside", &text::count(counts.dead));
    }
    for (why, n) in &status.failures {
        add("  because", &format!("{why} ({})", text::count(*n)));
    }
    let of = |n: u64, limit: u64| match limit {
        0 => text::count(n),
        limit => format!("{} of {}", text::count(n), text::count(limit)),
    };
    let questions = of(status.jobs_this_hour, status.jobs_per_hour);
    add("this hour", &format!("{questions} questions"));
    add("today", &format!("{} tokens", of(status.tokens_today, status.tokens_per_day)));
    if let Some(next) = &status.next {
        add("next", next);
    }
    out
}
