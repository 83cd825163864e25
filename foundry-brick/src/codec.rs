//! Meta, regions, facts and writers as bytes (FORMAT.md, "Blobs").
//!
//! Knows: little-endian integers and counted strings. Must never know: where blobs lie.
//! Keeps: one value has one encoding; decoding is total, and allocates no more than a small
//! multiple of its input, because every element consumes some of it.

use crate::error::{Error, corrupt};
use crate::meta::{FactValue, Facts, Identity, Kind, Meta, Payload, Region, Writer};

/// Appends encoded values.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u8(&mut self, n: u8) {
        self.0.push(n);
    }
    fn u32(&mut self, n: u32) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    fn u64(&mut self, n: u64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    fn i64(&mut self, n: i64) {
        self.0.extend_from_slice(&n.to_le_bytes());
    }
    /// A length and that many bytes. What does not fit 32 bits is cut: nothing real is that long.
    fn bytes(&mut self, bytes: &[u8]) {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.u32(len);
        self.0.extend_from_slice(&bytes[..len as usize]);
    }
    fn count(&mut self, n: usize) -> usize {
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        self.u32(count);
        count as usize
    }
}

/// Takes encoded values.
struct In<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> In<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or(corrupt("blob is cut", self.at))?;
        self.bytes = rest;
        Ok(*head)
    }
    fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }
    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }
    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }
    fn i64(&mut self) -> Result<i64, Error> {
        Ok(i64::from_le_bytes(self.array()?))
    }
    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u32()? as usize;
        let (head, rest) =
            self.bytes.split_at_checked(len).ok_or(corrupt("blob is cut", self.at))?;
        self.bytes = rest;
        Ok(head)
    }
    fn text(&mut self) -> Result<String, Error> {
        let bytes = self.bytes()?.to_vec();
        String::from_utf8(bytes).map_err(|_| corrupt("text is not UTF-8", self.at))
    }
    fn bad<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(corrupt(what, self.at))
    }
}

/// Encodes `meta`.
#[must_use]
pub fn encode_meta(meta: &Meta) -> Vec<u8> {
    let mut out = Out::default();
    out.u8(match meta.kind {
        Kind::File => 0,
        Kind::Directory => 1,
        Kind::Process => 2,
    });
    out.u8(match meta.payload {
        Payload::Reference => 0,
        Payload::Embedded => 1,
    });
    out.u8(u8::from(meta.pid.is_some()));
    out.u8(0);
    out.u32(meta.pid.unwrap_or_default());
    out.u64(meta.identity.dev);
    out.u64(meta.identity.ino);
    out.i64(meta.identity.btime_ns);
    out.u64(meta.size);
    out.u32(meta.mode);
    out.u32(meta.uid);
    out.u32(meta.gid);
    out.u32(meta.nlink);
    out.i64(meta.mtime_ns);
    out.i64(meta.ctime_ns);
    out.u64(meta.blocks);
    out.bytes(&meta.path);
    out.0
}

/// Decodes the meta blob that lies at `at`.
///
/// # Errors
/// Where it is cut or names a kind that this version does not have.
pub fn decode_meta(bytes: &[u8], at: u64) -> Result<Meta, Error> {
    let mut input = In { bytes, at };
    let kind = match input.u8()? {
        0 => Kind::File,
        1 => Kind::Directory,
        2 => Kind::Process,
        _ => return input.bad("unknown kind of artifact"),
    };
    let payload = match input.u8()? {
        0 => Payload::Reference,
        1 => Payload::Embedded,
        _ => return input.bad("unknown kind of payload"),
    };
    let (has_pid, _) = (input.u8()?, input.u8()?);
    let pid = input.u32()?;
    let identity = Identity { dev: input.u64()?, ino: input.u64()?, btime_ns: input.i64()? };
    Ok(Meta {
        kind,
        payload,
        pid: (has_pid != 0).then_some(pid),
        identity,
        size: input.u64()?,
        mode: input.u32()?,
        uid: input.u32()?,
        gid: input.u32()?,
        nlink: input.u32()?,
        mtime_ns: input.i64()?,
        ctime_ns: input.i64()?,
        blocks: input.u64()?,
        path: input.bytes()?.to_vec(),
    })
}

/// Encodes `regions`, in their order.
#[must_use]
pub fn encode_regions(regions: &[Region]) -> Vec<u8> {
    let mut out = Out::default();
    let n = out.count(regions.len());
    for region in &regions[..n] {
        out.u64(region.start);
        out.u64(region.end);
        out.u8(u8::from(region.address.is_some()));
        out.u64(region.address.unwrap_or_default());
        out.bytes(region.kind.as_bytes());
        out.bytes(region.name.as_bytes());
    }
    out.0
}

/// Decodes the regions blob that lies at `at`.
///
/// # Errors
/// Where it is cut or a name is not UTF-8.
pub fn decode_regions(bytes: &[u8], at: u64) -> Result<Vec<Region>, Error> {
    let mut input = In { bytes, at };
    let mut regions = Vec::new();
    for _ in 0..input.u32()? {
        let (start, end, has_address) = (input.u64()?, input.u64()?, input.u8()?);
        let address = input.u64()?;
        let (kind, name) = (input.text()?, input.text()?);
        let address = (has_address != 0).then_some(address);
        regions.push(Region { name, kind, start, end, address });
    }
    Ok(regions)
}

/// Encodes `facts`.
#[must_use]
pub fn encode_facts(facts: &Facts) -> Vec<u8> {
    let mut out = Out::default();
    let n = out.count(facts.len());
    for (name, value) in facts.iter().take(n) {
        out.bytes(name.as_bytes());
        match value {
            FactValue::Text(text) => {
                out.u8(0);
                out.bytes(text.as_bytes());
            }
            FactValue::Number(n) => {
                out.u8(1);
                out.u64(*n);
            }
            FactValue::Flag(flag) => {
                out.u8(2);
                out.u8(u8::from(*flag));
            }
            FactValue::List(texts) => {
                out.u8(3);
                let n = out.count(texts.len());
                texts[..n].iter().for_each(|text| out.bytes(text.as_bytes()));
            }
        }
    }
    out.0
}

/// Decodes the facts blob that lies at `at`.
///
/// # Errors
/// Where it is cut, a text is not UTF-8, or a value has an unknown type.
pub fn decode_facts(bytes: &[u8], at: u64) -> Result<Facts, Error> {
    let mut input = In { bytes, at };
    let mut facts = Facts::new();
    for _ in 0..input.u32()? {
        let name = input.text()?;
        let value = match input.u8()? {
            0 => FactValue::Text(input.text()?),
            1 => FactValue::Number(input.u64()?),
            2 => FactValue::Flag(input.u8()? != 0),
            3 => {
                let mut texts = Vec::new();
                for _ in 0..input.u32()? {
                    texts.push(input.text()?);
                }
                FactValue::List(texts)
            }
            _ => return input.bad("unknown type of fact"),
        };
        facts.insert(name, value);
    }
    Ok(facts)
}

/// Encodes `writer`.
#[must_use]
pub fn encode_writer(writer: &Writer) -> Vec<u8> {
    let mut out = Out::default();
    out.i64(writer.at_ns);
    out.u32(writer.pid);
    out.u32(writer.uid);
    out.bytes(&writer.comm);
    out.bytes(&writer.exe);
    out.0
}

/// Decodes the writer blob that lies at `at`.
///
/// # Errors
/// Where it is cut.
pub fn decode_writer(bytes: &[u8], at: u64) -> Result<Writer, Error> {
    let mut input = In { bytes, at };
    Ok(Writer {
        at_ns: input.i64()?,
        pid: input.u32()?,
        uid: input.u32()?,
        comm: input.bytes()?.to_vec(),
        exe: input.bytes()?.to_vec(),
    })
}
