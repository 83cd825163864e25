//! The whole record of a brick: the facts it holds, and those that follow from it.
//!
//! Knows: bricks. Must never know: the artifact itself, the store.
//! Keeps: what follows from the brick is never stored beside it, so it cannot be out of date.

use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Error, FactValue, Facts, Kind};

/// Parts of the artifact that the entropy profile names.
const PARTS: u64 = 16;

/// Cells that are read for it.
const MAX_CELLS: u64 = 4096;

/// Mean entropy above which bytes look compressed or encrypted: 64 bytes by chance have 247 of 255.
const DENSE: u64 = 238;

/// A program that takes fewer names than this from elsewhere unpacks the rest of itself, maybe.
const FEW_IMPORTS: u64 = 12;

/// Bytes below which the entropy says nothing.
const MIN_SIZE: u64 = 4096;

/// The record of `brick`.
///
/// # Errors
/// Where the brick is corrupt or cannot be read.
pub fn of<S: Storage>(brick: &Brick<S>) -> Result<Facts, Error> {
    let mut facts = brick.facts()?;
    let meta = brick.meta();
    let mut put = |name: &str, value| facts.insert(name.to_owned(), value);
    match meta.kind {
        Kind::File => {}
        Kind::Directory => drop(put("kind", FactValue::Text("directory".to_owned()))),
        Kind::Process => drop(put("kind", FactValue::Text("process".to_owned()))),
    }
    if meta.kind == Kind::File {
        put("identity.size", FactValue::Number(meta.size));
        put("identity.mode", FactValue::Text(format!("{:04o}", meta.mode & 0o7777)));
        put("identity.uid", FactValue::Number(meta.uid.into()));
        put("identity.gid", FactValue::Number(meta.gid.into()));
        for (bit, name) in [(0o4000, "identity.setuid"), (0o2000, "identity.setgid")] {
            if meta.mode & bit != 0 {
                put(name, FactValue::Flag(true));
            }
        }
        if let Some(hash) = brick.blake3() {
            let hex = hash.iter().map(|b| format!("{b:02x}")).collect();
            put("identity.blake3", FactValue::Text(hex));
        }
        entropy(brick, &mut facts)?;
    }
    if meta.kind == Kind::Directory
        && let Some(parts) = brick.parts()?
    {
        super::directory::describe(&parts, &mut facts);
    }
    Ok(facts)
}

fn entropy<S: Storage>(brick: &Brick<S>, facts: &mut Facts) -> Result<(), Error> {
    let levels = brick.levels();
    let Some(level) = levels.iter().find(|l| l.cells <= MAX_CELLS) else { return Ok(()) };
    let mut cells = Vec::new();
    brick.cells(level.level, 0..level.cells, &mut cells)?;
    let mean = |cells: &[foundry_brick::cells::Cell]| {
        let sum: u64 = cells.iter().map(|cell| u64::from(cell[0])).sum();
        sum / (cells.len() as u64).max(1)
    };
    let all = mean(&cells);
    facts.insert("entropy.mean".to_owned(), FactValue::Number(all));
    if level.cells >= PARTS {
        let size = cells.len().div_ceil(usize::try_from(PARTS).unwrap_or(1));
        let profile = cells.chunks(size).map(|part| mean(part).to_string()).collect();
        facts.insert("entropy.profile".to_owned(), FactValue::List(profile));
    }
    if brick.meta().size >= MIN_SIZE {
        hints(all, facts);
    }
    Ok(())
}

fn hints(mean: u64, facts: &mut Facts) {
    let text = |name: &str| match facts.get(name) {
        Some(FactValue::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let kind = text("kind");
    if kind == "data" && mean >= DENSE {
        facts.insert("hint.encrypted".to_owned(), FactValue::Flag(true));
    }
    let imports = match facts.get("link.imports") {
        Some(FactValue::Number(n)) => *n,
        _ => 0,
    };
    let is_program = matches!(kind.as_str(), "executable" | "library");
    if is_program && mean >= DENSE && imports < FEW_IMPORTS {
        let why = format!("entropy {mean} of 255, imports {imports}");
        facts.insert("hint.packed".to_owned(), FactValue::Text(why));
    }
}
