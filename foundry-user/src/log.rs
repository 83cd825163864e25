//! The replay log: every input of a run, in order.
//!
//! A log begins with eight bytes of magic, the format's version (32 bits) and a frame with the
//! [`Header`]; a frame for each input follows. A frame is the length of its payload (32 bits), the
//! first eight bytes of the payload's BLAKE3, and the payload: a postcard encoding. Integers are
//! little-endian. A log that ends inside a frame was cut: everything before is good.
//!
//! Knows: frames. Must never know: what an input causes.
//! Keeps: what is read is what was written, or an error; no allocation beyond what the file holds.

use crate::artifact::OsBytes;
use crate::pipeline::Settings;
use crate::pipeline::input::Input;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

const MAGIC: [u8; 8] = *b"FNDRYLOG";

/// Version of the format. Another order or shape of any input is another version, and so is another order
/// of what is asked of the store; one more input at the end of the list is not. Versions 2 and 3 were of the
/// time when directories were folded without what those in them look like.
const VERSION: u32 = 4;

/// The version whose header says nothing of directories, which had no bricks, nor of rests between looks at
/// what is mapped, which were none.
const OLD_VERSION: u32 = 1;

/// Longest payload: a listing of some million entries.
const MAX_FRAME: u32 = 1 << 30;

/// What a replay must know before the first input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// How much was under way at once.
    pub settings: Settings,
    /// The bricks hold the artifacts' bytes.
    pub embedded: bool,
    /// What was watched.
    pub roots: Vec<OsBytes>,
    /// Which source ran.
    pub source: String,
}

/// The header of version 1.
#[derive(Deserialize)]
struct OldHeader {
    settings: OldSettings,
    embedded: bool,
    roots: Vec<OsBytes>,
    source: String,
}

/// The settings of version 1.
#[derive(Deserialize)]
struct OldSettings {
    reads: u32,
    backlog_reads: u32,
    lists: u32,
    looks: u32,
    fresh: bool,
}

impl From<OldHeader> for Header {
    fn from(old: OldHeader) -> Self {
        let OldHeader { settings, embedded, roots, source } = old;
        let OldSettings { reads, backlog_reads, lists, looks, fresh } = settings;
        let (depth, mapped_rest) = (0, 0);
        let settings = Settings { reads, backlog_reads, lists, looks, fresh, depth, mapped_rest };
        Self { settings, embedded, roots, source }
    }
}

/// Why a log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The first bytes are another file's.
    #[error("not a replay log of foundry-user")]
    NotALog,
    /// Another version.
    #[error("replay log of version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// A frame is not what its checksum says, or not what this version writes.
    #[error("replay log is corrupt at byte {at}: {what}")]
    Corrupt {
        /// Where the frame begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a log.
#[derive(Debug)]
pub struct LogWriter<W> {
    to: W,
    buffer: Vec<u8>,
}

impl<W: Write> LogWriter<W> {
    /// Begins a log.
    ///
    /// # Errors
    /// As the medium fails.
    pub fn new(mut to: W, header: &Header) -> Result<Self, LogError> {
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_le_bytes())?;
        let mut log = Self { to, buffer: vec![] };
        log.frame(header)?;
        Ok(log)
    }

    /// Appends one input.
    ///
    /// # Errors
    /// As the medium fails, and where the input is larger than a frame may be.
    pub fn append(&mut self, input: &Input) -> Result<(), LogError> {
        self.frame(input)
    }

    fn frame(&mut self, what: &impl Serialize) -> Result<(), LogError> {
        self.buffer.clear();
        let buffer = std::mem::take(&mut self.buffer);
        let invalid = |_| io::Error::from(io::ErrorKind::InvalidData);
        self.buffer = postcard::to_extend(what, buffer).map_err(invalid)?;
        let len = u32::try_from(self.buffer.len()).ok().filter(|n| *n <= MAX_FRAME);
        let len = len.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.to.write_all(&len.to_le_bytes())?;
        self.to.write_all(&checksum(&self.buffer))?;
        self.to.write_all(&self.buffer)?;
        Ok(())
    }

    /// Hands everything to the medium.
    ///
    /// # Errors
    /// As the medium fails.
    pub fn flush(&mut self) -> Result<(), LogError> {
        Ok(self.to.flush()?)
    }

    /// Ends the log and gives the medium back.
    ///
    /// # Errors
    /// As the medium fails.
    pub fn finish(mut self) -> Result<W, LogError> {
        self.to.flush()?;
        Ok(self.to)
    }
}

/// Reads a log.
#[derive(Debug)]
pub struct LogReader<R> {
    from: R,
    header: Header,
    at: u64,
    truncated: bool,
    buffer: Vec<u8>,
}

impl<R: Read> LogReader<R> {
    /// Opens a log.
    ///
    /// # Errors
    /// Where it is none, or of another version, or its header is damaged.
    pub fn new(mut from: R) -> Result<Self, LogError> {
        let mut start = [0; 12];
        from.read_exact(&mut start).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => LogError::NotALog,
            _ => e.into(),
        })?;
        if start[..8] != MAGIC {
            return Err(LogError::NotALog);
        }
        let version = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        let empty = Header {
            settings: Settings::default(),
            embedded: false,
            roots: vec![],
            source: String::new(),
        };
        let at = start.len() as u64;
        let mut log = Self { from, header: empty, at, truncated: false, buffer: vec![] };
        let what = "its header is missing";
        let header = match version {
            VERSION => log.frame()?,
            OLD_VERSION => log.frame::<OldHeader>()?.map(Header::from),
            _ => return Err(LogError::Version(version)),
        };
        log.header = header.ok_or(LogError::Corrupt { at, what })?;
        Ok(log)
    }

    /// What the log says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The last frame was cut: the recorder was stopped the hard way.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.truncated
    }

    /// The next input; `None` at the end.
    ///
    /// # Errors
    /// Where a frame is damaged or the medium fails.
    pub fn next_input(&mut self) -> Result<Option<Input>, LogError> {
        self.frame()
    }

    fn frame<T: for<'de> Deserialize<'de>>(&mut self) -> Result<Option<T>, LogError> {
        let at = self.at;
        let corrupt = |what| LogError::Corrupt { at, what };
        let mut head = [0; 12];
        let got = fill(&mut self.from, &mut head)?;
        if got < head.len() {
            self.truncated |= 0 < got;
            return Ok(None);
        }
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if MAX_FRAME < len {
            return Err(corrupt("a frame is longer than any can be"));
        }
        // Grows with what is there, not with what a damaged length says.
        self.buffer.clear();
        let got = (&mut self.from).take(u64::from(len)).read_to_end(&mut self.buffer)? as u64;
        if got < u64::from(len) {
            self.truncated = true;
            return Ok(None);
        }
        if head[4..] != checksum(&self.buffer) {
            return Err(corrupt("a frame does not match its checksum"));
        }
        self.at += head.len() as u64 + got;
        match postcard::take_from_bytes(&self.buffer) {
            Ok((value, [])) => Ok(Some(value)),
            _ => Err(corrupt("a frame is not one input")),
        }
    }
}

fn fill(from: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match from.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

pub(crate) fn checksum(payload: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(payload);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{MonotonicNs, UnixNs};

    fn header() -> Header {
        let roots = vec![b"/w".to_vec()];
        let (settings, source) = (Settings::default(), "test".to_owned());
        Header { settings, embedded: true, roots, source }
    }

    fn log(n: u64) -> (Vec<Input>, Vec<u8>) {
        let tick = |i| Input::Tick { now: MonotonicNs(i), wall: UnixNs(-1) };
        let inputs: Vec<Input> = (0..n).map(tick).chain([Input::Shutdown]).collect();
        let mut writer = LogWriter::new(vec![], &header()).unwrap();
        inputs.iter().for_each(|i| writer.append(i).unwrap());
        (inputs, writer.finish().unwrap())
    }

    fn read(bytes: &[u8]) -> Result<(Vec<Input>, bool), LogError> {
        let mut reader = LogReader::new(bytes)?;
        assert_eq!(*reader.header(), header());
        let mut inputs = vec![];
        while let Some(input) = reader.next_input()? {
            inputs.push(input);
        }
        Ok((inputs, reader.truncated()))
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let (inputs, bytes) = log(9);
        assert_eq!(read(&bytes).unwrap(), (inputs, false));
    }

    fn of_version(version: u32) -> Vec<u8> {
        let header = ((8u32, 6u32, 4u32, 64u32, true), false, vec![b"/w".to_vec()], "test");
        let header = postcard::to_allocvec(&header).unwrap();
        let mut log = [&MAGIC[..], &version.to_le_bytes()].concat();
        log.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
        log.extend(checksum(&header));
        log.extend(header);
        log
    }

    /// Those of version 1 told nothing of `depth` and `mapped_rest`.
    #[test]
    fn a_header_of_version_1_means_what_it_meant() {
        let log = of_version(1);
        let read = LogReader::new(&log[..]).unwrap();
        let usual = Settings { fresh: true, mapped_rest: 0, depth: 0, ..Settings::default() };
        assert_eq!(*read.header(), Header { settings: usual, embedded: false, ..header() });
    }

    /// What was asked of the store then is asked in another order now: a replay would depart from it.
    #[test]
    fn what_cannot_be_replayed_is_refused() {
        for version in [0, 2, 3, 5] {
            let log = of_version(version);
            let refused = LogReader::new(&log[..]);
            assert!(matches!(refused, Err(LogError::Version(v)) if v == version), "{version}");
        }
    }

    #[test]
    fn every_prefix_is_a_clean_end_or_no_log() {
        let (inputs, bytes) = log(5);
        for cut in 0..bytes.len() {
            match read(&bytes[..cut]) {
                Ok((got, _)) => assert_eq!(got, inputs[..got.len()]),
                Err(LogError::NotALog) => assert!(cut < 12),
                Err(LogError::Corrupt { at: 12, .. }) => assert!(cut < 80),
                Err(e) => panic!("{cut}: {e}"),
            }
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let (inputs, bytes) = log(5);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            // A longer length reads as a cut; what comes before is still right.
            if let Ok((got, truncated)) = read(&bad) {
                assert!(truncated && got == inputs[..got.len()], "byte {at}");
            }
        }
    }
}
