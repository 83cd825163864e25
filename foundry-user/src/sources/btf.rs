//! Where the running kernel keeps its fields: a reader of raw BTF.
//!
//! Knows: the BTF format. Must never know: which fields anybody wants, BPF programs.
//! Keeps: BTF is bytes from outside. Every index is checked, nesting is bounded, nothing is
//! allocated beyond four bytes for each twelve of input; and a field that is not there is an error
//! that names it, never a wrong offset.

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
/// Anonymous members inside anonymous members: the kernel nests three deep.
const MAX_NESTING: u32 = 16;
/// Members looked at for one name: the largest structure of a kernel has less than a thousand.
const MAX_MEMBERS: u32 = 1 << 20;

/// Why BTF could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The bytes are not BTF, or are cut.
    #[error("invalid BTF at byte {at}: {what}")]
    Malformed { at: usize, what: &'static str },
    /// No structure has this name.
    #[error("this kernel's BTF has no `struct {0}`")]
    NoStruct(String),
    /// The structure has no such member.
    #[error("this kernel's BTF has no field `{0}`")]
    NoField(String),
    /// The member is there, but not as a number of whole bytes of the size that is read.
    #[error("field `{field}` has {found} bytes where {wanted} are read")]
    Size { field: String, found: u32, wanted: u32 },
    /// The member is a bit field.
    #[error("field `{0}` is a bit field")]
    BitField(String),
}

/// The kinds of types this reader looks into.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// A type's record.
#[derive(Clone, Copy)]
struct Type {
    /// Where what follows the record starts.
    body: usize,
    name: u32,
    kind: u32,
    /// Number of members, parameters or values.
    count: u32,
    /// Whether member offsets carry a bit field size.
    bit_fields: bool,
    /// A size or another type's number, as the kind says.
    size_or_type: u32,
}

/// A field, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the outer structure.
    pub offset: u32,
    /// Its own bytes.
    pub size: u32,
}

/// Types of a kernel, or of one of its modules on top of the kernel's.
pub struct Btf<'a> {
    base: Option<&'a Btf<'a>>,
    bytes: &'a [u8],
    strings: &'a [u8],
    /// Where each type's record lies in `bytes`.
    types: Vec<u32>,
    /// Structures and functions by name.
    names: HashMap<&'a [u8], Vec<u32>>,
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BtfError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map(|c| u16::from_le_bytes(*c)).ok_or(BtfError::Malformed { at, what: "it ends early" })
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk());
    chunk.map(|c| u32::from_le_bytes(*c)).ok_or(BtfError::Malformed { at, what: "it ends early" })
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// A section of the file, by the offset and length that the header gives.
fn section(bytes: &[u8], header: usize, offset: u32, len: u32) -> Result<&[u8], BtfError> {
    let start = header.saturating_add(index(offset));
    let end = start.saturating_add(index(len));
    bytes.get(start..end).ok_or(BtfError::Malformed { at: start, what: "a section lies outside" })
}

impl<'a> Btf<'a> {
    /// Reads a kernel's BTF, as in `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// Where the bytes are not little-endian BTF of version 1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        Self::read(None, bytes)
    }

    /// Reads a module's BTF, whose types and strings continue those of the kernel.
    ///
    /// # Errors
    /// As [`Btf::parse`].
    pub fn module(base: &'a Btf<'a>, bytes: &'a [u8]) -> Result<Self, BtfError> {
        Self::read(Some(base), bytes)
    }

    fn read(base: Option<&'a Btf<'a>>, bytes: &'a [u8]) -> Result<Self, BtfError> {
        if u16_at(bytes, 0)? != MAGIC {
            return Err(BtfError::Malformed { at: 0, what: "no little-endian BTF magic" });
        }
        if bytes.get(2) != Some(&1) {
            return Err(BtfError::Malformed { at: 2, what: "not version 1" });
        }
        let header = index(u32_at(bytes, 4)?);
        if header < HEADER_BYTES {
            return Err(BtfError::Malformed { at: 4, what: "the header is too short" });
        }
        let types = section(bytes, header, u32_at(bytes, 8)?, u32_at(bytes, 12)?)?;
        let strings = section(bytes, header, u32_at(bytes, 16)?, u32_at(bytes, 20)?)?;
        let mut btf =
            Self { base, bytes: types, strings, types: Vec::new(), names: HashMap::new() };
        btf.index_types()?;
        Ok(btf)
    }

    fn index_types(&mut self) -> Result<(), BtfError> {
        let first = self.first_id();
        let mut at = 0;
        while at < self.bytes.len() {
            let found = self.record(at)?;
            self.types.push(number(at));
            let id = first.saturating_add(number(self.types.len() - 1));
            if matches!(found.kind, kind::STRUCT | kind::FUNC | kind::TYPEDEF | kind::UNION) {
                let name = self.name(found.name)?;
                if !name.is_empty() {
                    self.names.entry(name).or_default().push(id);
                }
            }
            at = found.body.saturating_add(body_bytes(&found, at)?);
        }
        if at == self.bytes.len() {
            Ok(())
        } else {
            Err(BtfError::Malformed { at, what: "the last type is cut" })
        }
    }

    fn first_id(&self) -> u32 {
        self.base.map_or(1, |base| base.first_id().saturating_add(number(base.types.len())))
    }

    fn record(&self, at: usize) -> Result<Type, BtfError> {
        let info = u32_at(self.bytes, at + 4)?;
        Ok(Type {
            body: at + 12,
            name: u32_at(self.bytes, at)?,
            kind: info >> 24 & 0x1f,
            count: info & 0xffff,
            bit_fields: info >> 31 == 1,
            size_or_type: u32_at(self.bytes, at + 8)?,
        })
    }

    fn string_bytes(&self) -> usize {
        self.strings.len() + self.base.map_or(0, Btf::string_bytes)
    }

    fn name(&self, offset: u32) -> Result<&'a [u8], BtfError> {
        let at = index(offset);
        let before = self.base.map_or(0, Btf::string_bytes);
        if let (Some(base), true) = (self.base, at < before) {
            return base.name(offset);
        }
        let rest = self.strings.get(at - before..);
        let rest = rest.ok_or(BtfError::Malformed { at, what: "a name lies outside" })?;
        let end = rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or(BtfError::Malformed { at, what: "a name has no end" })?;
        Ok(&rest[..end])
    }

    /// The type with a number, and the BTF whose bytes hold it.
    fn get(&self, id: u32) -> Result<(&Self, Type), BtfError> {
        let first = self.first_id();
        if let (Some(base), true) = (self.base, id < first) {
            return base.get(id);
        }
        let at = id.checked_sub(first).and_then(|nth| self.types.get(index(nth)));
        let at =
            at.ok_or(BtfError::Malformed { at: index(id), what: "no type has this number" })?;
        Ok((self, self.record(index(*at))?))
    }

    fn named(&self, name: &str, wanted: &[u32]) -> Vec<u32> {
        let here = self.names.get(name.as_bytes()).into_iter().flatten().copied();
        let mut found: Vec<u32> = here
            .filter(|id| self.get(*id).is_ok_and(|(_, found)| wanted.contains(&found.kind)))
            .collect();
        if let Some(base) = self.base {
            found.extend(base.named(name, wanted));
        }
        found
    }

    /// The number of a function, if the kernel has it.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.named(name, &[kind::FUNC]).first().copied()
    }

    /// Whether the kernel has a tracepoint of this name.
    #[must_use]
    pub fn tracepoint(&self, name: &str) -> bool {
        !self.named(&format!("btf_trace_{name}"), &[kind::TYPEDEF]).is_empty()
    }

    /// Number of parameters of a function, if the kernel has it.
    #[must_use]
    pub fn parameters(&self, function: &str) -> Option<u32> {
        let (_, found) = self.get(self.function(function)?).ok()?;
        let (_, prototype) = self.get(found.size_or_type).ok()?;
        (prototype.kind == kind::FUNC_PROTO).then_some(prototype.count)
    }

    /// Whether a function returns a pointer.
    #[must_use]
    pub fn returns_pointer(&self, function: &str) -> bool {
        let returned = || {
            let (_, found) = self.get(self.function(function)?).ok()?;
            let (_, prototype) = self.get(found.size_or_type).ok()?;
            let (_, value) = self.get(self.resolve(prototype.size_or_type).ok()?).ok()?;
            Some(value.kind)
        };
        returned() == Some(kind::PTR)
    }

    /// Number of parameters of a tracepoint's probes, its own data included.
    #[must_use]
    pub fn tracepoint_parameters(&self, name: &str) -> Option<u32> {
        let id = *self.named(&format!("btf_trace_{name}"), &[kind::TYPEDEF]).first()?;
        let (_, pointer) = self.get(self.resolve(id).ok()?).ok()?;
        let (_, prototype) = self.get(pointer.size_or_type).ok()?;
        (prototype.kind == kind::FUNC_PROTO).then_some(prototype.count)
    }

    /// Finds `path` inside `struct outer`; members of anonymous structures and unions count as
    /// members of what holds them, and a number is an element of an array. `bytes` is the size that will be read.
    ///
    /// # Errors
    /// Where there is no such field, or it has another size.
    pub fn field(&self, outer: &str, path: &[&str], bytes: u32) -> Result<Field, BtfError> {
        let full = || format!("{outer}.{}", path.join("."));
        let candidates = self.named(outer, &[kind::STRUCT, kind::UNION]);
        if candidates.is_empty() {
            return Err(BtfError::NoStruct(outer.to_owned()));
        }
        let mut error = BtfError::NoField(full());
        for id in candidates {
            match self.walk(id, path, &full) {
                Ok(field) if field.size == bytes => return Ok(field),
                Ok(field) => {
                    error = BtfError::Size { field: full(), found: field.size, wanted: bytes };
                }
                Err(BtfError::NoField(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(error)
    }

    fn walk(
        &self,
        outer: u32,
        path: &[&str],
        full: &dyn Fn() -> String,
    ) -> Result<Field, BtfError> {
        let mut id = outer;
        let mut offset = 0u32;
        let mut budget = MAX_MEMBERS;
        for name in path {
            if let Ok(nth) = name.parse::<u32>() {
                let (element, size) =
                    self.element(id, nth)?.ok_or_else(|| BtfError::NoField(full()))?;
                offset = offset.saturating_add(size.saturating_mul(nth));
                id = element;
                continue;
            }
            let (bits, member) =
                self.member(id, name, 0, &mut budget)?.ok_or_else(|| BtfError::NoField(full()))?;
            if bits % 8 != 0 {
                return Err(BtfError::BitField(full()));
            }
            offset = offset.saturating_add(bits / 8);
            id = self.resolve(member)?;
        }
        Ok(Field { offset, size: self.size(id, 0)? })
    }

    /// Type and size of the elements of an array that has an `nth`.
    fn element(&self, id: u32, nth: u32) -> Result<Option<(u32, u32)>, BtfError> {
        let (home, array) = self.get(id)?;
        if array.kind != kind::ARRAY || u32_at(home.bytes, array.body + 8)? <= nth {
            return Ok(None);
        }
        let element = self.resolve(u32_at(home.bytes, array.body)?)?;
        Ok(Some((element, self.size(element, 0)?)))
    }

    /// Offset in bits and type of a member; a bit field has no whole number of bytes.
    fn member(
        &self,
        id: u32,
        name: &str,
        depth: u32,
        budget: &mut u32,
    ) -> Result<Option<(u32, u32)>, BtfError> {
        let (home, outer) = self.get(id)?;
        if !matches!(outer.kind, kind::STRUCT | kind::UNION) || depth > MAX_NESTING {
            return Ok(None);
        }
        for nth in 0..index(outer.count) {
            let at = outer.body + nth * 12;
            *budget = budget
                .checked_sub(1)
                .ok_or(BtfError::Malformed { at, what: "it nests too much" })?;
            let member_name = home.name(u32_at(home.bytes, at)?)?;
            let member = u32_at(home.bytes, at + 4)?;
            let place = u32_at(home.bytes, at + 8)?;
            let (bits, width) =
                if outer.bit_fields { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            if member_name == name.as_bytes() {
                // An odd place makes the caller say what it is.
                return Ok(Some((if width == 0 { bits } else { bits | 1 }, member)));
            }
            if member_name.is_empty() {
                let inner = self.resolve(member)?;
                if let Some((inside, found)) = self.member(inner, name, depth + 1, budget)? {
                    return Ok(Some((bits.saturating_add(inside), found)));
                }
            }
        }
        Ok(None)
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Result<u32, BtfError> {
        for _ in 0..64 {
            if id == 0 {
                return Ok(0);
            }
            let (_, found) = self.get(id)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Ok(id),
            }
        }
        Err(BtfError::Malformed { at: index(id), what: "types refer to each other in a circle" })
    }

    fn size(&self, id: u32, depth: u32) -> Result<u32, BtfError> {
        let id = self.resolve(id)?;
        if id == 0 || depth > MAX_NESTING {
            return Ok(0);
        }
        let (home, found) = self.get(id)?;
        Ok(match found.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => {
                found.size_or_type
            }
            kind::PTR => 8,
            kind::ARRAY => {
                let element = self.size(u32_at(home.bytes, found.body)?, depth + 1)?;
                element.saturating_mul(u32_at(home.bytes, found.body + 8)?)
            }
            _ => 0,
        })
    }

    /// The value of an enumerator, wherever it is declared.
    #[must_use]
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        for at in &self.types {
            let found = self.record(index(*at)).ok()?;
            let bytes = match found.kind {
                kind::ENUM => 8,
                kind::ENUM64 => 12,
                _ => continue,
            };
            for nth in 0..index(found.count) {
                let at = found.body + nth * bytes;
                if self.name(u32_at(self.bytes, at).ok()?).ok()? == name.as_bytes() {
                    return u32_at(self.bytes, at + 4).ok();
                }
            }
        }
        self.base.and_then(|base| base.enumerator(name))
    }
}

/// Bytes that follow a type's record.
fn body_bytes(found: &Type, at: usize) -> Result<usize, BtfError> {
    let count = index(found.count);
    Ok(match found.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
        kind::ENUM | kind::FUNC_PROTO => count * 8,
        kind::PTR | 7..=12 | 16 | kind::TYPE_TAG => 0,
        _ => return Err(BtfError::Malformed { at, what: "a kind of type that is not known" }),
    })
}

#[cfg(test)]
mod tests;
