//! `unfold`: an artifact's bytes back into a file.
//!
//! Knows: bricks, the live artifact. Must never know: the daemon.
//! Keeps: every byte that is written was checked against the brick's hashes; the file appears whole
//! or not at all.

use super::Store;
use super::brick_file::BrickFile;
use super::output::say;
use super::payload;
use super::temporary::{Temporary, refuse_sources};
use super::text;
use crate::args::Unfold;
use crate::error::{CommandError, Exit};
use foundry_brick::Kind;
use foundry_brick::export::{read_rts_png, read_v2br_v1};
use foundry_brick::geometry::TILE_BYTES;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Runs the command.
pub(super) fn run(args: &Unfold, store: &Store) -> Result<Exit, CommandError> {
    if let Some(payload) = foreign(&args.brick)? {
        return write_foreign(&payload, args);
    }
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

/// What a tile of Geometry OS can be.
enum Tile {
    /// A PixelRTS picture.
    Picture,
    /// A brick of version 1.
    Brick,
}

/// Which tile of Geometry OS this is. Only a tile's own names: an artifact that is a picture is unfolded
/// from its brick.
fn tile(path: &Path) -> Option<Tile> {
    path.extension().filter(|extension| *extension == "png" || *extension == "brick")?;
    let mut head = [0; 8];
    File::open(path).ok()?.read_exact_at(&mut head, 0).ok()?;
    let is_picture = path.to_string_lossy().ends_with(".rts.png");
    match &head {
        b"\x89PNG\r\n\x1a\n" if is_picture => Some(Tile::Picture),
        b"V2BR\x01\0\0\0" => Some(Tile::Brick),
        _ => None,
    }
}

/// Whether a brick of ours was unfolded, which `verify` and the others take.
pub(super) fn is_ours(path: &Path) -> bool {
    tile(path).is_none()
}

/// The payload of a tile of Geometry OS; `None` for anything else.
fn foreign(path: &Path) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(tile) = tile(path) else { return Ok(None) };
    let bytes = fs::read(path).map_err(|e| CommandError::io("read", path, e))?;
    let failed = |e| CommandError::brick(path, e);
    let read = match tile {
        Tile::Brick => return Ok(Some(read_v2br_v1(&bytes).map_err(failed)?.payload)),
        Tile::Picture => read_rts_png(&bytes).map_err(failed)?,
    };
    if read.hash_matches == Some(false) {
        let what = "does not hold the bytes that its own metadata names".to_owned();
        return Err(CommandError::Invalid { path: path.to_owned(), what });
    }
    Ok(Some(read.payload))
}

fn write_foreign(payload: &[u8], args: &Unfold) -> Result<Exit, CommandError> {
    refuse_sources(&args.output, &[&args.brick])?;
    let temporary = Temporary::beside(&args.output)?;
    fs::write(temporary.path(), payload).map_err(|e| CommandError::io("write", &args.output, e))?;
    temporary.keep(&args.output)?;
    say(&format!("{}: {}", args.output.display(), text::bytes(payload.len() as u64)));
    Ok(Exit::Done)
}

fn write(file: &BrickFile, to: &Path) -> Result<(), CommandError> {
    let meta = file.brick.meta();
    let failed = |e| CommandError::io("write", to, e);
    // Nobody else reads it before it has its own mode.
    let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let out = out.map_err(failed)?;
    out.set_len(meta.size).map_err(failed)?;
    payload::each_tile(file, |tile, bytes| put(&out, to, tile, bytes))?;
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
