//! What a directory's brick says of each entry, and what an entry looks like from afar.
//!
//! Knows: entries as `statx` tells them, cells. Must never know: files, where bricks lie, the pipeline.
//! Keeps: an entry is a function of the tree below it as it is, whatever happened before, so that a
//! directory's brick can be compared with a fresh look.

use crate::artifact::{FileKind, OsBytes, Stat};
use foundry_brick::cells::{self, Cell, ZERO_CELL};
use foundry_brick::directory::Directory;
use foundry_brick::geometry::{self, top_level};
use foundry_brick::parts::{Attribute, PAGE_BYTES, PAGE_ORDER, Part, PartKind, Parts, Text};
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Editor, Error, FactValue, Facts, Identity, Kind, Meta};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// The name of the brick above all roots and processes.
pub const WORLD: &[u8] = b"world";

/// What an entry takes in the directories above it comes in pages.
const ROOM: u64 = 1 << (2 * PAGE_ORDER as u32);

/// No entry takes more of a plane than 16 TiB.
const MOST: u64 = 1 << 44;

/// A face has at most 4^3 cells.
const FACE_LEVELS: u32 = 3;

/// A file, directory or process as the directory above shows it: at most 64 cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// Bytes that it shows: of a file, or of the plane of another artifact.
    extent: u64,
    level: u32,
    /// `None` where there is but one, the top: most files are small.
    cells: Option<Arc<[Cell]>>,
    top: Cell,
    digest: u64,
    /// The package that a file came with.
    package: Option<Text>,
}

impl Face {
    /// The level whose cells are the face of a file of `size` bytes: none is finer than a page.
    #[must_use]
    pub const fn level(size: u64) -> u32 {
        let (top, page) = (top_level(size), PAGE_ORDER as u32);
        if top <= page {
            top
        } else if top - FACE_LEVELS < page {
            page
        } else {
            top - FACE_LEVELS
        }
    }

    /// The face of a file of `size` bytes whose level [`Face::level`] has these cells.
    #[must_use]
    pub fn new(size: u64, cells: Vec<Cell>) -> Self {
        Self::at_level(size, Self::level(size), cells)
    }

    fn at_level(extent: u64, level: u32, cells: Vec<Cell>) -> Self {
        let top = coarser(&cells, u32::MAX).first().copied().unwrap_or(ZERO_CELL);
        let digest = blake3::hash(cells.as_flattened());
        let digest = digest.as_bytes().first_chunk().map_or(0, |start| u64::from_le_bytes(*start));
        let cells = (cells.len() != 1).then(|| cells.into());
        Self { extent, level, cells, top, digest, package: None }
    }

    /// The face that a file's brick shows.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn of_brick<S: Storage>(brick: &Brick<S>) -> Result<Self, Error> {
        let size = brick.meta().size;
        let (level, mut found) = (Self::level(size), Vec::new());
        brick.cells(level, 0..geometry::cells(size, level), &mut found)?;
        let package = match brick.facts()?.remove("package.name") {
            Some(FactValue::Text(name)) => Some(name.into_bytes().into()),
            _ => None,
        };
        Ok(Self::new(size, found).of_package(package))
    }

    /// The same, of a file that came with this package.
    #[must_use]
    pub fn of_package(self, package: Option<Text>) -> Self {
        Self { package, ..self }
    }

    /// The package that a file came with.
    #[must_use]
    pub fn package(&self) -> Option<&Text> {
        self.package.as_ref()
    }

    fn cells(&self) -> &[Cell] {
        self.cells.as_deref().unwrap_or(std::slice::from_ref(&self.top))
    }

    /// The cells, and their level of the plane.
    #[must_use]
    pub fn into_cells(self) -> (u32, Vec<Cell>) {
        (self.level, self.cells().to_vec())
    }

    /// The face that a brick of parts shows: everything up to the last plot of its plane.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn of_plane<S: Storage>(brick: &Brick<S>, parts: &Parts) -> Result<Self, Error> {
        let (extent, leaf) = (parts.plots().end(), u32::from(parts.leaf_order()));
        let level = Self::level(extent).max(leaf);
        let (stored, mut found) = (level - leaf + geometry::LEAF_LEVEL, Vec::new());
        brick.cells(stored, 0..geometry::cells(brick.meta().size, stored), &mut found)?;
        Ok(Self::at_level(extent, level, found))
    }

    /// The face of a file whose leaves (level 3) are these.
    #[must_use]
    pub fn of_leaves(size: u64, leaves: &[Cell]) -> Self {
        Self::new(size, coarser(leaves, Self::level(size) - geometry::LEAF_LEVEL))
    }

    /// The cells `range` of the plane's level `order`.
    fn at(&self, order: u32, range: Range<u64>) -> Vec<Cell> {
        let shown = coarser(self.cells(), order.saturating_sub(self.level));
        let finer = self.level.saturating_sub(order).saturating_mul(2);
        let cell = |i: u64| {
            let at = i.checked_shr(finer).and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| shown.get(at)).or(shown.last()).copied().unwrap_or(ZERO_CELL)
        };
        range.map(cell).collect()
    }
}

/// The cells `levels` above these, or the only one above all.
fn coarser(cells: &[Cell], levels: u32) -> Vec<Cell> {
    let mut out = cells.to_vec();
    for _ in 0..levels {
        if out.len() <= 1 {
            break;
        }
        let mut above = Vec::with_capacity(out.len().div_ceil(4));
        cells::parents(&out, &mut above);
        out = above;
    }
    out
}

/// What is below a directory, all in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    room: u64,
    sums: [u128; 4],
}

impl Total {
    /// Adds a file, link or device of `size` bytes.
    pub fn add(&mut self, size: u64, top: Cell) {
        let room = size.max(1).div_ceil(ROOM).saturating_mul(ROOM);
        self.room = self.room.saturating_add(room);
        for (sum, channel) in self.sums.iter_mut().zip(top) {
            *sum += u128::from(channel) * u128::from(room);
        }
    }

    /// Adds a directory with all that is below it. One that is empty takes a page.
    pub fn add_all(&mut self, other: &Self) {
        if other.room == 0 {
            self.add(0, ZERO_CELL);
            return;
        }
        self.room = self.room.saturating_add(other.room);
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
    }

    /// The mean of everything by area.
    #[must_use]
    pub fn top(&self) -> Cell {
        let room = u128::from(self.room);
        if room == 0 {
            return ZERO_CELL;
        }
        self.sums.map(|sum| u8::try_from((sum + room / 2) / room).unwrap_or(u8::MAX))
    }
}

/// A directory as an entry of the one above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// What is below it.
    pub total: Total,
    /// How many entries it has.
    pub entries: u64,
    /// What its brick looks like; one that has none, or is empty, is drawn flat.
    pub face: Option<Face>,
}

impl Below {
    /// Its face, and the levels of its own plane that lie below one of the plane above.
    ///
    /// Plots leave room, and the room of each level would add up: so a directory takes about as much as what is
    /// below it, a quarter of its plane, or a sixteenth, ..., and never more than twice as much.
    fn drawn(&self) -> Option<(&Face, u32)> {
        let face = self.face.as_ref().filter(|face| face.extent != 0)?;
        let most = self.total.room.clamp(ROOM, MOST) * 2;
        let mut scale = 0;
        while face.extent.div_ceil(1 << (2 * scale)) > most {
            scale += 1;
        }
        Some((face, scale))
    }
}

/// What an entry is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A regular file; without a face as long as nothing of it could be read.
    File(Option<Face>),
    /// A directory.
    Directory(Below),
    /// A symbolic link, a device, a pipe, a socket.
    Other(FileKind),
    /// A process: its number, its name, its mapped bytes, its top cell, when it ended.
    Process(Process),
}

/// A process as an entry of the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, as the kernel keeps it.
    pub comm: OsBytes,
    /// Bytes of its brick's plane.
    pub length: u64,
    /// What it looks like from afar.
    pub top: Cell,
    /// The cells of its face, and their level of its plane.
    pub face: (u32, Vec<Cell>),
    /// When it ended, nanoseconds since the epoch; 0 while it lives.
    pub ended_ns: i64,
}

impl Process {
    fn drawn(&self) -> Option<Face> {
        let (level, cells) = &self.face;
        (!cells.is_empty()).then(|| Face::at_level(self.length, *level, cells.clone()))
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory. Its brick is that of the directory's path, a slash and this name; in
    /// the world, that of this name.
    pub name: OsBytes,
    /// What `statx` says; `None` where that is not known.
    pub stat: Option<Stat>,
    /// What it is made of.
    pub body: Body,
}

impl Entry {
    /// Adds this entry to what is below its directory.
    pub fn add_to(&self, total: &mut Total) {
        let size = self.stat.map_or(0, |stat| stat.size);
        match &self.body {
            Body::File(face) => total.add(size, face.as_ref().map_or(ZERO_CELL, |face| face.top)),
            Body::Directory(below) => total.add_all(&below.total),
            Body::Other(_) => total.add(0, ZERO_CELL),
            Body::Process(process) => total.add(process.length, process.top),
        }
    }

    /// As a part of the directory's brick.
    #[must_use]
    pub fn part(&self) -> Part {
        let mut part = Part { name: self.name.as_slice().into(), ..Part::default() };
        let mut numbers = BTreeMap::new();
        if let Some(stat) = &self.stat {
            numbers.insert(Attribute::MODE, u64::from(stat.mode));
            numbers.insert(Attribute::UID, u64::from(stat.uid));
            numbers.insert(Attribute::GID, u64::from(stat.gid));
            numbers.insert(Attribute::MTIME, stat.mtime_ns.cast_unsigned());
            numbers.insert(Attribute::INODE, stat.identity.ino);
        }
        let size = self.stat.map_or(0, |stat| stat.size);
        match &self.body {
            Body::File(face) => {
                numbers.insert(Attribute::SIZE, size);
                (part.kind, part.length, part.top) = (PartKind::FILE, size, ZERO_CELL);
                match face {
                    Some(face) => {
                        part.top = face.top;
                        numbers.insert(Attribute::FACE, face.digest);
                        let package = face.package.iter().cloned();
                        part.texts.extend(package.map(|name| (Attribute::PACKAGE, name)));
                    }
                    None => {
                        numbers.insert(Attribute::UNREADABLE, 1);
                    }
                }
            }
            Body::Directory(below) => {
                let total = &below.total;
                numbers.insert(Attribute::SIZE, total.room);
                numbers.insert(Attribute::ENTRIES, below.entries);
                part.kind = PartKind::DIRECTORY;
                (part.length, part.top) = (total.room, total.top());
                if let Some((face, scale)) = below.drawn() {
                    part.length = face.extent.div_ceil(1 << (2 * scale));
                    numbers.insert(Attribute::FACE, face.digest);
                    numbers.insert(Attribute::SCALE, u64::from(scale));
                }
            }
            Body::Other(kind) => {
                let link = *kind == FileKind::Symlink;
                part.kind = if link { PartKind::SYMLINK } else { PartKind::SPECIAL };
                part.top = ZERO_CELL;
                numbers.insert(Attribute::SIZE, size);
            }
            Body::Process(process) => {
                (part.kind, part.length) = (PartKind::PROCESS, process.length);
                part.top = process.top;
                numbers.insert(Attribute::PID, u64::from(process.pid));
                if let Some(face) = process.drawn() {
                    numbers.insert(Attribute::FACE, face.digest);
                }
                if process.ended_ns != 0 {
                    numbers.insert(Attribute::ENDED, process.ended_ns.cast_unsigned());
                }
                part.texts.insert(Attribute::COMM, process.comm.as_slice().into());
            }
        }
        // More than this is only ever sparse.
        part.length = part.length.min(MOST);
        part.numbers = numbers;
        part
    }
}

/// Faces of a directory's entries, by name: what its brick is drawn from.
#[derive(Debug)]
pub struct Faces(BTreeMap<OsBytes, (Face, u32)>);

impl Faces {
    /// Those of these entries.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let face = |entry: &Entry| {
            let shown = match &entry.body {
                Body::File(face) => (face.clone()?, 0),
                Body::Directory(below) => {
                    below.drawn().map(|(face, scale)| (face.clone(), scale))?
                }
                Body::Process(process) => (process.drawn()?, 0),
                Body::Other(_) => return None,
            };
            Some((entry.name.clone(), shown))
        };
        Self(entries.iter().filter_map(face).collect())
    }

    /// Cells of an entry, as [`foundry_brick::directory::Cells`] asks for them. What has no face is drawn
    /// flat.
    #[must_use]
    pub fn cells(&self, part: &Part, order: u8, range: Range<u64>) -> Vec<Cell> {
        match self.0.get(&*part.name) {
            Some((face, scale)) => face.at(u32::from(order) + scale, range),
            None => vec![part.top; usize::from(!range.is_empty())],
        }
    }
}

/// Makes `shown` these entries, and has the editor of its brick fold what differs. Commit it then.
///
/// # Errors
/// Those of the editor.
pub fn fold<S: Storage>(
    editor: &mut Editor<S>,
    shown: &mut Directory,
    entries: &[Entry],
) -> Result<(), Error> {
    let mut parts: Vec<Part> = entries.iter().map(Entry::part).collect();
    if shown.replace(parts.clone()).is_err() {
        // Sparse files can be larger, all in all, than any plane: then sizes are not to be seen.
        *shown = Directory::default();
        parts.iter_mut().for_each(|part| part.length = part.length.min(PAGE_BYTES));
        shown.replace(parts).map_err(|_| Error::Usage("a directory is larger than any plane"))?;
    }
    if shown.is_dirty() {
        let faces = Faces::of(entries);
        shown.fold(editor, &mut |part, order, range| Ok(faces.cells(part, order, range)))?;
    }
    let number = FactValue::Number(entries.len() as u64);
    editor.set_facts(&Facts::from([("entries".to_owned(), number)]));
    Ok(())
}

/// What a brick says of the directory itself.
#[must_use]
pub fn meta(path: &[u8], stat: Option<&Stat>) -> Meta {
    let mut meta = Meta { kind: Kind::Directory, path: path.to_vec(), ..Meta::default() };
    if let Some(stat) = stat {
        let id = stat.identity;
        meta.identity = Identity { dev: id.dev, ino: id.ino, btime_ns: id.btime_ns };
        (meta.mode, meta.uid, meta.gid, meta.nlink) = (stat.mode, stat.uid, stat.gid, stat.nlink);
        (meta.mtime_ns, meta.ctime_ns) = (stat.mtime_ns, stat.ctime_ns);
    }
    meta
}

#[cfg(test)]
mod tests;
