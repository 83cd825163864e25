//! Files that tasks make: bricks, and bricks for other programs.
//!
//! Knows: open sources, the directory of results, formats. Must never know: tasks, who asked.
//! Keeps: what gets its name was read back and is what was read from the source; it is as private as
//! its source; nothing that is not ours is written over.

use super::confined::Dir;
use super::file::Format;
use super::source::{Source, SourceError};
use crate::binary::{self, ReadAt};
use crate::clock;
use crate::store::FileStorage;
use foundry_brick::export::{MAX_PAYLOAD, read_rts_png, read_v2br_v1, rts_png, v2br_v1_at};
use foundry_brick::{Brick, Editor};
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Bytes that are read at a time: whole tiles.
const CHUNK: usize = 1 << 20;

/// How often a file that changes while it is read is begun again.
const ATTEMPTS: u32 = 3;

/// Any of the three execute bits.
const EXECUTE: u32 = 0o111;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where it lies.
    pub path: PathBuf,
    /// `brick`, `v2br`, `rts-png`, `analysis`.
    pub format: &'static str,
    /// What it was made of.
    pub source: PathBuf,
    /// Bytes of that.
    pub size: u64,
    /// BLAKE3 of those bytes, in hex; empty where it was made of no bytes.
    pub blake3: String,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something else is there already.
    #[error("{} is there already and is no result of a task; remove it, or name another destination", .0.display())]
    Taken(PathBuf),
    /// The result cannot be written.
    #[error("cannot write {}: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
    /// The format cannot hold it, or what was written does not read back.
    #[error("{}: {}", .0.display(), .1)]
    Brick(PathBuf, String),
}

/// Makes a brick of what lies at `real`, called `name` in `to`.
///
/// # Errors
/// As [`MakeError`] says; then nothing has that name that had it not before.
pub(super) fn brick(
    real: &std::path::Path,
    to: &Dir,
    name: &OsStr,
    format: Format,
    texture: Option<u32>,
) -> Result<Made, MakeError> {
    let place = to.path().join(name);
    let failed = |e| MakeError::Write(place.clone(), e);
    if !to.may_replace(name).map_err(failed)? {
        return Err(MakeError::Taken(place));
    }
    for _ in 0..ATTEMPTS {
        let source = Source::open(real)?;
        let half = to.begin(name).map_err(failed)?;
        let hash = match format {
            Format::Brick => container(&source, to, &half),
            Format::V2br | Format::RtsPng => foreign(&source, to, &half, format, texture),
        };
        let hash = match hash {
            Ok(hash) if source.is_unchanged() => hash,
            Ok(_) => continue,
            Err(_) if !source.is_unchanged() => continue,
            Err(Trouble::Io(e)) => return Err(failed(e)),
            Err(Trouble::What(what)) => return Err(MakeError::Brick(place, what)),
        };
        let file = to.file(&half, false).map_err(failed)?;
        // Whoever may not read the source may not read its bytes here.
        let mode = if source.mode() & 0o004 != 0 { 0o644 } else { 0o600 };
        let set = file.set_permissions(std::fs::Permissions::from_mode(mode));
        set.and_then(|()| file.sync_all()).map_err(failed)?;
        to.finish(&half, name).map_err(failed)?;
        return Ok(Made {
            path: place,
            format: format.name(),
            source: source.path().to_owned(),
            size: source.size(),
            blake3: hash.to_hex().to_string(),
        });
    }
    drop(to.begin(name));
    let what = "changes while it is read; watch its directory instead";
    Err(SourceError::Unfit(real.to_owned(), what).into())
}

enum Trouble {
    Io(io::Error),
    What(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<foundry_brick::Error> for Trouble {
    fn from(error: foundry_brick::Error) -> Self {
        match error {
            foundry_brick::Error::Io(e) => Self::Io(e),
            other => Self::What(other.to_string()),
        }
    }
}

/// A container of version 2 with the bytes in it, read back.
fn container(source: &Source, to: &Dir, half: &OsStr) -> Result<blake3::Hash, Trouble> {
    let place = to.place(half);
    let mut editor = Editor::create(FileStorage::create(&place)?, source.meta())?;
    let mut hasher = blake3::Hasher::new();
    let size = source.size();
    let mut buf = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        if source.read_at(&mut buf[..len], at)? != len {
            return Err(Trouble::What("became shorter while it was read".to_owned()));
        }
        hasher.update(&buf[..len]);
        editor.put(at, &buf[..len])?;
        at += len as u64;
    }
    let (regions, facts) = binary::describe(source, size)?.into_brick();
    editor.set_regions(&regions);
    editor.set_facts(&facts);
    editor.commit(clock::wall().0)?;
    editor.into_storage().file().sync_all()?;
    let hash = hasher.finalize();
    let back = Brick::open(FileStorage::open_to_read(&place)?)?;
    if let Some(problem) = back.verify().first() {
        return Err(Trouble::What(format!("does not read back: {}", problem.what)));
    }
    if back.blake3() != Some(*hash.as_bytes()) {
        return Err(Trouble::What("reads back as something else".to_owned()));
    }
    Ok(hash)
}

/// A brick for another program, read back.
fn foreign(
    source: &Source,
    to: &Dir,
    half: &OsStr,
    format: Format,
    texture: Option<u32>,
) -> Result<blake3::Hash, Trouble> {
    let size = usize::try_from(source.size()).unwrap_or(usize::MAX);
    if MAX_PAYLOAD < size {
        return Err(Trouble::What("is too large for this format".to_owned()));
    }
    let mut payload = vec![0; size];
    if source.read_at(&mut payload, 0)? != size {
        return Err(Trouble::What("became shorter while it was read".to_owned()));
    }
    let bytes = match format {
        Format::RtsPng => rts_png(&payload, None)?,
        _ => v2br_v1_at(&payload, source.mode() & EXECUTE != 0, texture.map(u32::ilog2))?,
    };
    let back = match format {
        Format::RtsPng => read_rts_png(&bytes)?.payload,
        _ => read_v2br_v1(&bytes)?.payload,
    };
    if back != payload {
        return Err(Trouble::What("reads back as something else".to_owned()));
    }
    let mut file = std::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).open(to.place(half))?;
    io::Write::write_all(&mut file, &bytes)?;
    file.sync_all()?;
    Ok(blake3::hash(&payload))
}
