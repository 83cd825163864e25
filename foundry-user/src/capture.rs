//! A process's brick in a file: begun, or continued with the next generation.
//!
//! Knows: processes, files of bricks. Must never know: the daemon, the command line.
//! Keeps: the brick is whole at every moment; as long as it is about the same life of the process, what
//! is mapped stays where it was.

use crate::clock;
use crate::directory::{Face, Process, Total};
use crate::process::maps::Mapping;
use crate::process::sample::{Live, Sampled};
use crate::process::{CaptureError, Functions, Look, Relaid, Survey, Target};
use crate::store::Disk;
use crate::store::medium::{Medium, Opened};
use foundry_brick::parts::{Attribute, PAGE_ORDER, Parts};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Committed, Editor, FactValue, Kind, Payload};
use std::io;
use std::path::Path;

/// What a capture came to.
#[derive(Debug)]
pub struct Captured {
    /// The generation.
    pub committed: Committed,
    /// How far its contents were read.
    pub sampled: Sampled,
    /// Bytes in memory.
    pub resident: u64,
    /// What it looks like in the world.
    pub shown: Process,
}

/// As [`capture`], into a file anywhere.
///
/// # Errors
/// As [`capture`].
pub fn capture_into(
    target: &Target,
    place: &Path,
    beside: &Path,
    payload: Payload,
) -> Result<Captured, CaptureError> {
    let dir = place.parent().filter(|dir| !dir.as_os_str().is_empty());
    let disk = Disk::new(dir.unwrap_or(Path::new("."))).map_err(io_error)?;
    capture(&disk, target, (place, beside), payload, &mut Functions::default())
}

/// Captures a process into the brick at `place`; a new one is written at `beside` first, on the same
/// file system. A brick with the bytes of memory is always a new one.
///
/// # Errors
/// Where the process may not be looked at, or the brick cannot be written.
pub fn capture(
    medium: &dyn Medium,
    target: &Target,
    (place, beside): (&Path, &Path),
    payload: Payload,
    functions: &mut Functions,
) -> Result<Captured, CaptureError> {
    let continued =
        if payload == Payload::Reference { existing(medium, target, place, false)? } else { None };
    if let Some((mut editor, parts)) = continued {
        let survey = Survey::take_with(target, Some(parts), functions)?;
        // Nobody tells here what was flushed.
        editor.settle_first();
        let done = survey.refold(&mut editor, &mut Live(target.pid()), clock::wall().0)?;
        let care = Care { own: true, settle: true, compact: true };
        return finish(medium, target, editor, (place, beside), (done, care));
    }
    let survey = Survey::take_with(target, None, functions)?;
    let resident = resident(&survey.parts);
    let (shown, committed, sampled) = begin(medium, beside, |storage| {
        let memory = &mut Live(target.pid());
        let (editor, committed, sampled) =
            survey.fold(storage, memory, payload, clock::wall().0)?;
        let mut storage = editor.into_storage();
        storage.sync().map_err(io_error)?;
        let brick = Brick::open(storage)?;
        let parts = brick.parts()?.unwrap_or_else(|| Parts::new(PAGE_ORDER));
        Ok((shown(target, &brick, &parts)?, committed, sampled))
    })?;
    // What was read by number counts only if the number still means this process.
    if !sampled.ended && !target.is_alive() {
        drop(medium.remove(beside));
        return Err(target.ended().into());
    }
    medium.rename(beside, place).map_err(io_error)?;
    Ok(Captured { committed, sampled, resident, shown })
}

/// What is done beside a commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Care {
    /// What the brick holds need not be doubted: whoever asks wrote it since the machine was started.
    pub own: bool,
    /// The generation before is made durable first: somebody was promised that it is, or it has been long.
    pub settle: bool,
    /// What nobody needs is taken out, where that is much.
    pub compact: bool,
}

/// As [`capture`] where only the layout is another, and is `mappings` now: what stayed is not looked into.
/// `None` where the brick has to be made from everything.
///
/// # Errors
/// As [`capture`].
pub fn follow(
    medium: &dyn Medium,
    target: &Target,
    mappings: &[Mapping],
    places: (&Path, &Path),
    (functions, care): (&Functions, Care),
) -> Result<Option<Captured>, CaptureError> {
    let Some((mut editor, parts)) = existing(medium, target, places.0, care.own)? else {
        return Ok(None);
    };
    let Some(relaid) = Relaid::new(parts, mappings.to_vec())? else { return Ok(None) };
    let brick = Brick::open_settled(medium.open(places.0).map_err(io_error)?)?;
    if care.settle {
        editor.settle_first();
    }
    let memory = &mut Live(target.pid());
    let done = relaid.refold(target, (&mut editor, &brick), memory, functions, clock::wall().0)?;
    finish(medium, target, editor, places, (done, care)).map(Some)
}

/// Puts a look into the brick. `None` where there is no brick that shows a layout.
///
/// # Errors
/// Where the brick cannot be written.
pub fn put(
    medium: &dyn Medium,
    target: &Target,
    look: Look,
    places: (&Path, &Path),
    care: Care,
) -> Result<Option<Captured>, CaptureError> {
    let Some((mut editor, parts)) = existing(medium, target, places.0, care.own)? else {
        return Ok(None);
    };
    let brick = Brick::open_settled(medium.open(places.0).map_err(io_error)?)?;
    if care.settle {
        editor.settle_first();
    }
    let done = look.put(parts, (&mut editor, &brick), clock::wall().0)?;
    finish(medium, target, editor, places, (done, care)).map(Some)
}

/// The layout that the brick at `place` shows, if it is about this life of the process; `own` as in [`Care`].
///
/// # Errors
/// Where the brick cannot be read.
pub fn layout(
    medium: &dyn Medium,
    target: &Target,
    place: &Path,
    own: bool,
) -> Result<Option<Parts>, CaptureError> {
    Ok(existing(medium, target, place, own)?.map(|(_, parts)| parts))
}

/// What a generation that was committed came to.
fn finish(
    medium: &dyn Medium,
    target: &Target,
    editor: Editor<Opened>,
    (place, beside): (&Path, &Path),
    ((parts, committed, sampled), care): ((Parts, Committed, Sampled), Care),
) -> Result<Captured, CaptureError> {
    if care.compact && editor.needs_compaction() {
        begin(medium, beside, |storage| Ok(editor.compact_into(storage)?))?;
        medium.rename(beside, place).map_err(io_error)?;
    }
    let resident = resident(&parts);
    let shown = shown(target, &Brick::open_settled(editor.into_storage())?, &parts)?;
    Ok(Captured { committed, sampled, resident, shown })
}

/// The process as the world shows it.
fn shown<S: Storage>(
    target: &Target,
    brick: &Brick<S>,
    parts: &Parts,
) -> Result<Process, CaptureError> {
    let mut total = Total::default();
    parts.iter().for_each(|(_, part)| total.add(part.length, part.top));
    Ok(Process {
        pid: target.pid(),
        comm: target.comm().as_bytes().to_vec(),
        length: parts.plots().end(),
        top: total.top(),
        face: Face::of_plane(brick, parts)?.into_cells(),
        ended_ns: 0,
    })
}

/// Says in the brick at `place` that the process has ended, at `at_ns`. Gives what it looked like.
///
/// # Errors
/// Where the brick cannot be read or written.
pub fn mark_ended(
    medium: &dyn Medium,
    target: &Target,
    place: &Path,
    at_ns: i64,
) -> Result<Option<Process>, CaptureError> {
    let Some((mut editor, parts)) = existing(medium, target, place, false)? else {
        return Ok(None);
    };
    let storage = medium.open(place).map_err(io_error)?;
    let mut facts = Brick::open_settled(storage)?.facts()?;
    facts.insert("ended".to_owned(), FactValue::Flag(true));
    let at = u64::try_from(at_ns).unwrap_or(0);
    facts.insert("ended_ns".to_owned(), FactValue::Number(at));
    editor.set_facts(&facts);
    editor.settle_first();
    editor.commit(at_ns)?;
    Ok(Some(shown(target, &Brick::open_settled(editor.into_storage())?, &parts)?))
}

/// The brick at `place`, if it is about this life of this process and holds no bytes of it; `own` says that
/// what it holds need not be doubted.
fn existing(
    medium: &dyn Medium,
    target: &Target,
    place: &Path,
    own: bool,
) -> Result<Option<(Editor<Opened>, Parts)>, CaptureError> {
    let storage = match medium.open(place) {
        Ok(storage) => storage,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(e)),
    };
    // Whatever it is that cannot be opened: it is replaced.
    let brick = if own { Brick::open_settled(storage) } else { Brick::open(storage) };
    let Ok(brick) = brick else { return Ok(None) };
    let meta = brick.meta();
    let same = meta.kind == Kind::Process
        && meta.payload == Payload::Reference
        && meta.pid == Some(target.pid())
        && meta.identity.ino == target.started();
    let parts = brick.parts().ok().flatten().filter(|_| same);
    let Some(parts) = parts else { return Ok(None) };
    let storage = brick.into_storage();
    let editor = if own { Editor::open_unbroken(storage) } else { Editor::open(storage) };
    Ok(Some((editor?, parts)))
}

/// Makes the file at `beside`; nothing stays there if `write` fails.
fn begin<T>(
    medium: &dyn Medium,
    beside: &Path,
    write: impl FnOnce(Opened) -> Result<T, CaptureError>,
) -> Result<T, CaptureError> {
    drop(medium.remove(beside));
    let storage = medium.create(beside).map_err(io_error)?;
    let written = write(storage);
    if written.is_err() {
        drop(medium.remove(beside));
    }
    written
}

fn resident(parts: &Parts) -> u64 {
    parts.iter().filter_map(|(_, part)| part.numbers.get(&Attribute::RESIDENT)).sum()
}

fn io_error(error: io::Error) -> CaptureError {
    CaptureError::Brick(foundry_brick::Error::Io(error))
}
