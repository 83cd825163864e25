//! `unfold`: an artifact's bytes back into a file.
//!
//! Knows: bricks, the live artifact. Must never know: the daemon.
//! Keeps: every byte that is written was checked against the brick's hashes; the file appears whole
//! or not at all.

use super::Store;
use super::brick_file::BrickFile;
use super::compare;
use super::live::LiveFile;
use super::output::say;
use super::temporary::{Temporary, refuse_sources};
use super::text;
use crate::args::Unfold;
use crate::error::{CommandError, Exit};
use foundry_brick::geometry::{TILE_BYTES, tile_len, tiles};
use foundry_brick::{Kind, Payload};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Runs the command.
pub(super) fn run(args: &Unfold, store: &Store) -> Result<Exit, CommandError> {
    let file = BrickFile::open(&args.brick, store)?;
    let meta = file.brick.meta();
    if meta.kind != Kind::File {
        let what = "does not hold a file: only a file's bytes can be written back".to_owned();
        return Err(CommandError::Invalid { path: file.path, what });
    }
    refuse_sources(&args.output, &[&file.path, &file.artifact()])?;
    let temporary = Temporary::beside(&args.output)?;
    write(&file, temporary.path())?;
    temporary.keep(&args.output)?;
    say(&format!("{}: {}", args.output.display(), text::bytes(meta.size)));
    Ok(Exit::Done)
}

fn write(file: &BrickFile, to: &Path) -> Result<(), CommandError> {
    let meta = file.brick.meta();
    let failed = |e| CommandError::io("write", to, e);
    // Nobody else reads it before it has its own mode.
    let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let out = out.map_err(failed)?;
    out.set_len(meta.size).map_err(failed)?;
    match meta.payload {
        Payload::Embedded => embedded(file, &out, to)?,
        Payload::Reference => reference(file, &out, to)?,
    }
    // Set-id bits are not for copies.
    let mode = fs::Permissions::from_mode(meta.mode & 0o777);
    out.set_permissions(mode).map_err(failed)?;
    out.sync_all().map_err(failed)
}

/// Writes one tile; zeros stay a hole.
fn put(out: &File, to: &Path, tile: u64, bytes: &[u8]) -> Result<(), CommandError> {
    if bytes.iter().all(|&b| b == 0) {
        return Ok(());
    }
    let written = out.write_all_at(bytes, tile * TILE_BYTES);
    written.map_err(|e| CommandError::io("write", to, e))
}

/// From the brick, which checks what it reads.
fn embedded(file: &BrickFile, out: &File, to: &Path) -> Result<(), CommandError> {
    let size = file.brick.meta().size;
    let mut buf = tile_buffer();
    for tile in 0..tiles(size) {
        let len = usize::try_from(tile_len(size, tile)).unwrap_or(buf.len());
        let read = file.brick.read_payload(tile * TILE_BYTES, &mut buf[..len]);
        let n = read.map_err(|e| CommandError::brick(&file.path, e))?;
        put(out, to, tile, &buf[..n])?;
    }
    Ok(())
}

/// From the artifact itself, where it still is what the brick says.
fn reference(file: &BrickFile, out: &File, to: &Path) -> Result<(), CommandError> {
    let size = file.brick.meta().size;
    let artifact = file.artifact();
    let live = LiveFile::open(&artifact)?;
    if live.size() != size {
        let what = format!(
            "has {} now, and had {size} when it was folded; its brick does not hold the bytes",
            text::plural(live.size(), "byte", "bytes")
        );
        return Err(CommandError::Invalid { path: artifact, what });
    }
    let different = compare::tiles(&file.brick, &live, |tile, bytes| put(out, to, tile, bytes));
    let different = different.map_err(|e| e.at(&file.path))?;
    if let Some(first) = different.first() {
        let what = format!(
            "changed since it was folded ({} bytes from {}); sync, and try again",
            first.end - first.start,
            first.start
        );
        return Err(CommandError::Invalid { path: artifact, what });
    }
    Ok(())
}

fn tile_buffer() -> Vec<u8> {
    vec![0; usize::try_from(TILE_BYTES).unwrap_or(0)]
}
