//! Tests of the BTF reader, on blobs made by hand and on the running kernel.

use super::*;

/// Builds BTF by hand.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = number(self.strings.len());
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn int(&mut self, name: &str, bytes: u32) {
        let name = self.string(name);
        self.words(&[name, kind::INT << 24, bytes, 0]);
    }

    fn plain(&mut self, name: &str, kind: u32, target: u32) {
        let name = self.string(name);
        self.words(&[name, kind << 24, target]);
    }

    fn aggregate(&mut self, name: &str, kind: u32, bytes: u32, members: &[(&str, u32, u32)]) {
        let name = self.string(name);
        self.words(&[name, kind << 24 | number(members.len()), bytes]);
        for (member, id, bits) in members {
            let member = self.string(member);
            self.words(&[member, *id, *bits]);
        }
    }

    fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let (types, strings) = (number(self.types.len()), number(self.strings.len()));
        for word in [24, 0, types, types, strings] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// 1 u32, 2 pointer, 3 anonymous union {path: 4 bytes, u: u32}, 4 struct inner, 5 struct outer, 6 typedef.
fn sample() -> Vec<u8> {
    let mut b = Builder::new();
    b.int("u32", 4);
    b.plain("", kind::PTR, 1);
    b.aggregate("", kind::UNION, 8, &[("f_path", 4, 0), ("other", 1, 32)]);
    b.aggregate("inner", kind::STRUCT, 8, &[("a", 1, 0), ("b", 1, 32)]);
    b.aggregate("outer", kind::STRUCT, 24, &[("p", 2, 0), ("", 3, 64), ("t", 6, 128)]);
    b.plain("inner_t", kind::TYPEDEF, 4);
    b.build()
}

#[test]
fn anonymous_unions_and_typedefs_are_looked_into() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.field("outer", &["p"], 8), Ok(Field { offset: 0, size: 8 }));
    assert_eq!(btf.field("outer", &["f_path", "b"], 4), Ok(Field { offset: 12, size: 4 }));
    assert_eq!(btf.field("outer", &["other"], 4), Ok(Field { offset: 12, size: 4 }));
    assert_eq!(btf.field("outer", &["t", "b"], 4), Ok(Field { offset: 20, size: 4 }));
}

#[test]
fn elements_of_arrays_are_found() {
    let mut b = Builder::new();
    b.int("u64", 8);
    // An array: its elements' type, its index' type, and how many.
    b.words(&[0, kind::ARRAY << 24, 0, 1, 1, 31]);
    b.aggregate("regs", kind::STRUCT, 256, &[("before", 1, 0), ("regs", 2, 64)]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.field("regs", &["regs", "0"], 8).unwrap().offset, 8);
    assert_eq!(btf.field("regs", &["regs", "30"], 8).unwrap().offset, 248);
    for missing in [&["regs", "31"][..], &["before", "0"], &["0"], &["regs", "0", "0"]] {
        assert!(matches!(btf.field("regs", missing, 8), Err(BtfError::NoField(_))), "{missing:?}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.field("missing", &["p"], 8), Err(BtfError::NoStruct("missing".into())));
    let error = btf.field("outer", &["f_path", "c"], 4).unwrap_err();
    assert_eq!(error, BtfError::NoField("outer.f_path.c".into()));
    assert!(matches!(btf.field("outer", &["p"], 4), Err(BtfError::Size { found: 8, .. })));
}

#[test]
fn bit_fields_are_refused() {
    let mut b = Builder::new();
    b.int("u32", 4);
    let name = b.string("flags");
    b.words(&[name, 1 << 31 | kind::STRUCT << 24 | 2, 4]);
    let (whole, part) = (b.string("whole"), b.string("part"));
    b.words(&[whole, 1, 0, part, 1, 3 << 24 | 8]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.field("flags", &["whole"], 4), Ok(Field { offset: 0, size: 4 }));
    assert_eq!(btf.field("flags", &["part"], 4), Err(BtfError::BitField("flags.part".into())));
}

#[test]
fn a_module_continues_its_kernel() {
    let base_bytes = sample();
    let base = Btf::parse(&base_bytes).unwrap();
    let mut b = Builder { types: Vec::new(), strings: Vec::new() };
    let at = base.string_bytes();
    b.strings.extend_from_slice(b"mod\0x\0");
    b.words(&[number(at), kind::STRUCT << 24 | 1, 8, number(at + 4), 4, 0]);
    let bytes = b.build();
    let module = Btf::module(&base, &bytes).unwrap();
    assert_eq!(module.field("mod", &["x", "b"], 4), Ok(Field { offset: 4, size: 4 }));
    assert_eq!(module.field("outer", &["p"], 8), Ok(Field { offset: 0, size: 8 }));
}

#[test]
fn circles_end() {
    let mut b = Builder::new();
    b.plain("t", kind::TYPEDEF, 1);
    b.aggregate("s", kind::STRUCT, 8, &[("", 2, 0), ("x", 1, 0)]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    assert!(matches!(btf.field("s", &["x"], 4), Err(BtfError::Malformed { .. })));
}

#[test]
fn nesting_without_end_is_refused_quickly() {
    let mut b = Builder::new();
    // Sixteen anonymous members, each of them the structure itself: 16^16 paths.
    b.aggregate("s", kind::STRUCT, 8, &[("", 1, 0); 16]);
    let bytes = b.build();
    let btf = Btf::parse(&bytes).unwrap();
    assert!(matches!(btf.field("s", &["x"], 4), Err(BtfError::Malformed { .. })));
}

#[test]
fn cut_and_broken_bytes_are_errors_never_panics() {
    let good = sample();
    for len in 0..good.len() {
        assert!(Btf::parse(&good[..len]).is_err(), "{len} bytes");
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(btf) = Btf::parse(&bytes) {
                for path in [&["p"][..], &["f_path", "b"], &["t", "b"]] {
                    // Any answer is allowed, as long as there is one.
                    drop(btf.field("outer", path, 4));
                }
                assert_eq!(btf.parameters("outer"), None);
                assert_eq!(btf.enumerator("x"), None);
            }
        }
    }
}

#[test]
fn the_running_kernel_has_files_with_inodes() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        eprintln!("skipped: this kernel shows no BTF");
        return;
    };
    let btf = Btf::parse(&bytes).unwrap();
    assert!(btf.field("file", &["f_inode"], 8).is_ok());
    assert!(btf.field("file", &["f_path", "dentry"], 8).is_ok());
    assert!(btf.field("dentry", &["d_name", "name"], 8).is_ok());
    assert_eq!(btf.parameters("vfs_fallocate"), Some(4));
    assert!(btf.tracepoint("sys_exit") && !btf.tracepoint("no_such_tracepoint"));
}
