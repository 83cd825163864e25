//! `export`: a brick as an image, or for Geometry OS.
//!
//! Knows: bricks, the exports. Must never know: the formats' bytes.
//! Keeps: the file appears whole or not at all.

use super::Store;
use super::brick_file::BrickFile;
use super::composite;
use super::output::say;
use super::payload;
use super::temporary::{Temporary, refuse_sources};
use super::text;
use crate::args::{Export, ExportFormat};
use crate::error::{CommandError, Exit};
use foundry_brick::Kind;
use foundry_brick::export::{
    Blueprint, MAX_PAYLOAD, Palette, Picture, picture_level, png, rts_png, v2br_v1,
};
use foundry_brick::geometry::LEAF_LEVEL;
use std::fs;

/// Any of the three execute bits.
const EXECUTE: u32 = 0o111;

/// Runs the command.
pub(super) fn run(args: &Export, store: &Store) -> Result<Exit, CommandError> {
    let file = BrickFile::open(&args.brick, store)?;
    refuse_sources(&args.output, &[&file.path, &file.artifact()])?;
    let temporary = Temporary::beside(&args.output)?;
    let bytes = match args.format {
        ExportFormat::V2br => {
            let payload = payload::whole(&file, MAX_PAYLOAD)?;
            v2br_v1(&payload, file.brick.meta().mode & EXECUTE != 0)
        }
        ExportFormat::RtsPng => {
            let payload = payload::whole(&file, MAX_PAYLOAD)?;
            let failed = |e| CommandError::brick(&file.path, e);
            let regions = file.brick.regions().map_err(failed)?;
            let meta = file.brick.meta();
            let name = String::from_utf8_lossy(&meta.path);
            let executable = meta.mode & EXECUTE != 0;
            rts_png(&payload, Some(&Blueprint { name: &name, executable, regions: &regions }))
        }
        ExportFormat::Png => picture(args, &file)?,
    };
    let bytes = bytes.map_err(|e| CommandError::brick(&file.path, e))?;
    let failed = |e| CommandError::io("write", &args.output, e);
    fs::write(temporary.path(), &bytes).map_err(failed)?;
    temporary.keep(&args.output)?;
    say(&format!("{}: {}", args.output.display(), text::bytes(bytes.len() as u64)));
    Ok(Exit::Done)
}

/// A picture of the level that fits the side that was asked for.
fn picture(
    args: &Export,
    file: &BrickFile,
) -> Result<Result<Vec<u8>, foundry_brick::Error>, CommandError> {
    let size = file.brick.meta().size;
    if args.palette == Palette::Pages && file.brick.meta().kind != Kind::Process {
        let what = "draws the memory of processes, and this is none: ask for another";
        return Err(CommandError::Usage(format!(
            "{}: --palette pages {what}",
            file.path.display()
        )));
    }
    // A side of 2^order pixels is the largest of the curve that fits.
    let mut level = picture_level(size, args.side.ilog2());
    let parts = file.brick.parts().map_err(|e| CommandError::brick(&file.path, e))?;
    if parts.is_some() {
        // The leaves of a composite are what there is to see: its content is made of them.
        level = level.max(LEAF_LEVEL);
    }
    if level == 0 {
        match payload::whole(file, MAX_PAYLOAD) {
            Ok(bytes) => return Ok(png(Picture::Bytes(&bytes), args.palette)),
            Err(error @ CommandError::Invalid { .. }) => return Err(error),
            Err(error) => {
                say(&format!("{error}"));
                say("the picture is made of the brick's cells instead, one for 64 bytes");
                level = LEAF_LEVEL;
            }
        }
    }
    let cells = file.brick.levels().into_iter().find(|l| l.level == level).map_or(0, |l| l.cells);
    let mut out = Vec::new();
    let read = file.brick.cells(level, 0..cells, &mut out);
    Ok(read.and_then(|()| match parts {
        Some(parts) => {
            let colours = composite::colours(&parts, level, &out, args.palette);
            png(Picture::Colours(&colours), args.palette)
        }
        None => png(Picture::Cells(&out), args.palette),
    }))
}
