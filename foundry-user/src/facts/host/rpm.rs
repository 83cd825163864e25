//! Which package a file came with, by rpm's own database.
//!
//! Knows: `rpmdb.sqlite`, the form of a package's header. Must never know: who asks.
//! Keeps: the database is only read, also where nothing may be written beside it; a header that makes
//! no sense is left out; nothing is allocated that the header does not hold.

use super::packages::{Packaged, PackagedFile};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

/// Where distributions keep it.
const PLACES: [&str; 2] = ["usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite"];

/// Longest header that is read.
const MOST: usize = 64 << 20;

/// Tags of a header.
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const ARCHITECTURE: u32 = 1022;
    pub(super) const DIGESTS: u32 = 1035;
    pub(super) const FLAGS: u32 = 1037;
    pub(super) const DIRECTORY_INDEXES: u32 = 1116;
    pub(super) const BASE_NAMES: u32 = 1117;
    pub(super) const DIRECTORY_NAMES: u32 = 1118;
    pub(super) const ALGORITHM: u32 = 5011;
}

/// Types of an entry.
const INT32: u32 = 4;
const STRINGS: [u32; 3] = [6, 8, 9];

/// A file is its package's configuration.
const CONFIGURATION: u32 = 1;

/// The only algorithms that are in use: by default, and by name.
const MD5: u32 = 1;
const SHA256: u32 = 8;

/// The files whose state tells whether the database changed.
pub(super) fn files(root: &Path) -> Vec<PathBuf> {
    let both = |place: &str| [root.join(place), root.join(format!("{place}-wal"))];
    PLACES.iter().flat_map(|place| both(place)).collect()
}

/// Every package of the machine below `root`; none where there is no such database.
pub(super) fn read(root: &Path) -> Vec<Packaged> {
    let found = PLACES.iter().map(|place| root.join(place)).find(|path| path.is_file());
    found
        .and_then(|path| headers(&path))
        .unwrap_or_default()
        .iter()
        .filter_map(|header| package(header))
        .collect()
}

/// Headers as they lie in the database. One that is being written to is read as it was before, where
/// nobody lets us share its log.
fn headers(path: &Path) -> Option<Vec<Vec<u8>>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let all = |db: &Connection| -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut sql = db.prepare("SELECT blob FROM Packages ORDER BY hnum")?;
        sql.query_map([], |row| row.get(0))?.collect()
    };
    let shared = Connection::open_with_flags(path, flags).and_then(|db| all(&db));
    let alone = || {
        let text = path.to_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let uri = text.chars().all(plain).then(|| format!("file:{text}?immutable=1"))?;
        let db = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).ok()?;
        all(&db).ok()
    };
    shared.ok().or_else(alone)
}

/// A header: two counts, an index of so many entries of 16 bytes, so many bytes of data.
struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let count = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..at + 4)?.first_chunk()?));
        let (entries, length) =
            (usize::try_from(count(0)?).ok()?, usize::try_from(count(4)?).ok()?);
        let index = bytes.get(8..8_usize.checked_add(entries.checked_mul(16)?)?)?;
        let data = bytes.get(8 + index.len()..)?.get(..length)?;
        (bytes.len() <= MOST).then_some(Self { index, data })
    }

    /// Type, count and data of an entry.
    fn entry(&self, tag: u32) -> Option<(u32, usize, &'a [u8])> {
        let word = |entry: &[u8], at: usize| {
            entry.get(at..at + 4).and_then(<[u8]>::first_chunk).map(|b| u32::from_be_bytes(*b))
        };
        let entry = self.index.chunks_exact(16).find(|entry| word(entry, 0) == Some(tag))?;
        let (kind, offset, count) = (word(entry, 4)?, word(entry, 8)?, word(entry, 12)?);
        let data = self.data.get(usize::try_from(offset).ok()?..)?;
        Some((kind, usize::try_from(count).ok()?, data))
    }

    fn texts(&self, tag: u32) -> Option<impl Iterator<Item = &'a [u8]> + use<'a>> {
        let (kind, count, data) = self.entry(tag)?;
        STRINGS.contains(&kind).then(|| data.split(|b| *b == 0).take(count))
    }

    fn text(&self, tag: u32) -> Option<String> {
        let text = self.texts(tag)?.next()?;
        (text.len() < 4096).then(|| String::from_utf8_lossy(text).into_owned())
    }

    fn numbers(&self, tag: u32) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let (kind, count, data) = self.entry(tag)?;
        let number = |b: &[u8]| b.first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        (kind == INT32).then(|| data.chunks_exact(4).take(count).map(number))
    }
}

/// What a header says of its package.
pub(super) fn package(bytes: &[u8]) -> Option<Packaged> {
    let header = Header::of(bytes)?;
    let (version, release) = (header.text(tag::VERSION)?, header.text(tag::RELEASE)?);
    let epoch = header.numbers(tag::EPOCH).and_then(|mut n| n.next());
    let epoch = epoch.map_or_else(String::new, |epoch| format!("{epoch}:"));
    let algorithm = header.numbers(tag::ALGORITHM).and_then(|mut n| n.next()).unwrap_or(MD5);
    let directories: Vec<&[u8]> =
        header.texts(tag::DIRECTORY_NAMES).into_iter().flatten().collect();
    let mut digests = header.texts(tag::DIGESTS).into_iter().flatten();
    let mut flags = header.numbers(tag::FLAGS).into_iter().flatten();
    let mut indexes = header.numbers(tag::DIRECTORY_INDEXES).into_iter().flatten();
    let mut files = Vec::new();
    for name in header.texts(tag::BASE_NAMES).into_iter().flatten() {
        let digest = digests.next().filter(|_| matches!(algorithm, MD5 | SHA256));
        let flags = flags.next().unwrap_or(0);
        let directory = directories.get(usize::try_from(indexes.next()?).ok()?)?;
        files.push(PackagedFile {
            path: [directory, name].concat(),
            digest: digest.and_then(start_of_digest),
            is_configuration: flags & CONFIGURATION != 0,
        });
    }
    Some(Packaged {
        name: header.text(tag::NAME)?,
        version: format!("{epoch}{version}-{release}"),
        architecture: header.text(tag::ARCHITECTURE),
        is_sha256: algorithm == SHA256,
        files,
        state: *blake3::hash(bytes).as_bytes(),
    })
}

/// The first 16 bytes of a digest in hexadecimal: no two files agree in so many by chance.
fn start_of_digest(hex: &[u8]) -> Option<[u8; 16]> {
    super::packages::digest(std::str::from_utf8(hex.get(..32)?).ok()?)
}
