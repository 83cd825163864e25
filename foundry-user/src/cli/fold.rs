//! `fold`: one file or directory, once, without a daemon.
//!
//! Knows: a live file or tree, the editor of a brick. Must never know: the store.
//! Keeps: the brick appears whole under its name or not at all; it holds one state of the file.

use super::live::{CHUNK, LiveFile};
use super::output::say;
use super::temporary::{Temporary, refuse_sources};
use super::text;
use super::tree::Trees;
use crate::args::Fold;
use crate::clock;
use crate::error::{CommandError, Exit};
use crate::facts::{self, host::Host};
use crate::store::FileStorage;
use foundry_brick::directory::Directory;
use foundry_brick::storage::Storage;
use foundry_brick::{Committed, Editor, Payload};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How often a file that changes while it is read is begun again.
const ATTEMPTS: u32 = 3;

/// Nanoseconds after which a fold takes long enough to show progress.
const PATIENCE_NS: u64 = 700_000_000;

/// Runs the command.
pub(super) fn run(args: &Fold) -> Result<Exit, CommandError> {
    let path = fs::canonicalize(&args.path).map_err(|e| CommandError::io("open", &args.path, e))?;
    check_output(&path, &args.output)?;
    if path.is_dir() {
        return whole_directory(&path, &args.output);
    }
    let mut attempt = 1;
    loop {
        let live = LiveFile::open(&path)?;
        let temporary = Temporary::beside(&args.output)?;
        let committed = fold(&live, args.payload.into(), &temporary)?;
        if live.changed()? {
            if attempt == ATTEMPTS {
                let what =
                    "changes while it is read; fold it when it is quiet, or watch its directory";
                return Err(CommandError::Invalid { path, what: what.to_owned() });
            }
            attempt += 1;
            continue;
        }
        temporary.keep(&args.output)?;
        say(&format!(
            "{}: {} folded, {} in the brick",
            args.output.display(),
            text::bytes(live.size()),
            text::bytes(committed.appended_bytes)
        ));
        return Ok(Exit::Done);
    }
}

/// Folds a directory: its entries, as they and what is below them look.
fn whole_directory(path: &Path, output: &Path) -> Result<Exit, CommandError> {
    let seen = Trees::new(None).look(path)?;
    let temporary = Temporary::beside(output)?;
    let broken = |e| CommandError::brick(temporary.path(), e);
    let storage = FileStorage::create(temporary.path())
        .map_err(|e| CommandError::io("create", temporary.path(), e))?;
    let meta = crate::directory::meta(path.as_os_str().as_bytes(), Some(&seen.stat));
    let mut editor = Editor::create(storage, meta).map_err(broken)?;
    let mut shown = Directory::default();
    crate::directory::fold(&mut editor, &mut shown, &seen.entries).map_err(broken)?;
    let committed = editor.commit(clock::wall().0).map_err(broken)?;
    let storage = editor.into_storage();
    storage.file().sync_all().map_err(|e| CommandError::io("write", temporary.path(), e))?;
    temporary.keep(output)?;
    say(&format!(
        "{}: {}, {} in the brick",
        output.display(),
        text::plural(seen.entries.len() as u64, "entry", "entries"),
        text::bytes(committed.appended_bytes)
    ));
    Ok(Exit::Done)
}

/// Refuses to write over the artifact itself, or over anything that is no brick.
fn check_output(path: &Path, output: &Path) -> Result<(), CommandError> {
    refuse_sources(output, &[path])?;
    check_replaces_brick(output)
}

/// Refuses to write over anything that is no brick.
pub(super) fn check_replaces_brick(output: &Path) -> Result<(), CommandError> {
    let Ok(existing) = fs::canonicalize(output) else { return Ok(()) };
    let mut magic = [0; 4];
    let is_brick = existing.is_file()
        && fs::File::open(&existing).and_then(|mut f| f.read_exact(&mut magic)).is_ok()
        && magic == *b"V2BR";
    if is_brick {
        return Ok(());
    }
    let what = "is there already and is not a brick; remove it, or choose another name".to_owned();
    Err(CommandError::Invalid { path: output.to_owned(), what })
}

/// Folds the file into a new brick.
fn fold(live: &LiveFile, payload: Payload, to: &Temporary) -> Result<Committed, CommandError> {
    let broken = |e| CommandError::brick(to.path(), e);
    let storage =
        FileStorage::create(to.path()).map_err(|e| CommandError::io("create", to.path(), e))?;
    let mut editor = Editor::create(storage, live.meta(payload)).map_err(broken)?;
    let mut progress = Progress::new(live.size());
    contents(live, &mut editor, &mut |at| progress.reached(at))?;
    let described = facts::of_file(live.file(), &live.subject(), &Host::this());
    let described = described.map_err(|e| CommandError::io("read", live.path(), e))?;
    let (regions, facts) = described.description.into_brick();
    editor.set_regions(&regions);
    editor.set_facts(&facts);
    let committed = editor.commit(clock::wall().0).map_err(broken)?;
    let storage = editor.into_storage();
    storage.file().sync_all().map_err(|e| CommandError::io("write", to.path(), e))?;
    progress.done();
    Ok(committed)
}

/// Gives all bytes of a file to the editor of its brick.
pub(super) fn contents<S: Storage>(
    live: &LiveFile,
    editor: &mut Editor<S>,
    reached: &mut dyn FnMut(u64),
) -> Result<(), CommandError> {
    let broken = |e| CommandError::brick(live.path(), e);
    let mut buf = vec![0; usize::try_from(CHUNK.min(live.size())).unwrap_or(0)];
    for extent in live.extents() {
        if extent.is_hole {
            editor.put_hole(extent.start, extent.end - extent.start).map_err(broken)?;
            reached(extent.end);
            continue;
        }
        let mut at = extent.start;
        while at < extent.end {
            let len = usize::try_from((extent.end - at).min(CHUNK)).unwrap_or(buf.len());
            let n = live.read(at, &mut buf[..len])?;
            // A file that became shorter is read again from its start: zeros stand in meanwhile.
            buf[n..len].fill(0);
            editor.put(at, &buf[..len]).map_err(broken)?;
            at += len as u64;
            reached(at);
        }
    }
    Ok(())
}

/// A bar on a terminal, once the fold takes long.
struct Progress {
    bar: ProgressBar,
    begun_ns: u64,
    is_shown: bool,
}

impl Progress {
    fn new(size: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::hidden());
        let template = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, begun_ns: clock::monotonic().0, is_shown: false }
    }

    fn reached(&mut self, at: u64) {
        if !self.is_shown && clock::monotonic().0.saturating_sub(self.begun_ns) > PATIENCE_NS {
            // Draws on standard error, and only where that is a terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_shown = true;
        }
        self.bar.set_position(at);
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}
