//! Tables of fields, and a writer and a reader that follow them.
//!
//! Keeps: a field is written and read where its table says (debug builds compare name and size).

/// One field of a structure on disk; its offset is the sum of the sizes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As FORMAT.md names it.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
}

pub(crate) const fn field(name: &'static str, size: usize) -> Field {
    Field { name, size }
}

pub(crate) const fn total(table: &[Field]) -> usize {
    let (mut sum, mut i) = (0, 0);
    while i < table.len() {
        sum += table[i].size;
        i += 1;
    }
    sum
}

/// Appends fields in the order of a table.
pub(crate) struct Put<'a> {
    table: std::slice::Iter<'static, Field>,
    out: &'a mut Vec<u8>,
}

impl<'a> Put<'a> {
    pub(crate) fn new(table: &'static [Field], out: &'a mut Vec<u8>) -> Self {
        Self { table: table.iter(), out }
    }

    pub(crate) fn field(&mut self, name: &str, bytes: &[u8]) {
        let field = self.table.next();
        debug_assert!(
            field.is_some_and(|f| f.name == name && f.size == bytes.len()),
            "{name} is not the field {field:?}"
        );
        self.out.extend_from_slice(bytes);
    }

    pub(crate) fn u32(&mut self, name: &str, n: u32) {
        self.field(name, &n.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, name: &str, n: u64) {
        self.field(name, &n.to_le_bytes());
    }
}

/// Takes fields in the order of a table.
pub(crate) struct Take<'a> {
    table: std::slice::Iter<'static, Field>,
    bytes: &'a [u8],
}

impl<'a> Take<'a> {
    /// `None` where `bytes` is shorter than the table.
    pub(crate) fn new(table: &'static [Field], bytes: &'a [u8]) -> Option<Self> {
        (total(table) <= bytes.len()).then(|| Self { table: table.iter(), bytes })
    }

    pub(crate) fn field<const N: usize>(&mut self, name: &str) -> [u8; N] {
        let field = self.table.next();
        debug_assert!(
            field.is_some_and(|f| f.name == name && f.size == N),
            "{name} is not the field {field:?}"
        );
        match self.bytes.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.bytes = rest;
                *head
            }
            None => [0; N],
        }
    }

    pub(crate) fn u32(&mut self, name: &str) -> u32 {
        u32::from_le_bytes(self.field(name))
    }

    pub(crate) fn u64(&mut self, name: &str) -> u64 {
        u64::from_le_bytes(self.field(name))
    }

    /// What follows the table.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}
