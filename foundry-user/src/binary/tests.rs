//! The parsers against another implementation, against damage, and on what is easy to get wrong.
//!
//! `FOUNDRY_BINARY_CORPUS` names more files and directories (separated by colons) for the
//! comparison and for the damage, such as a collection of PE and Mach-O programs.

mod damage;
mod oracle;
mod samples;

use super::*;

fn described(bytes: &[u8]) -> Description {
    describe(&bytes, bytes.len() as u64).expect("memory can be read")
}

fn text(description: &Description, name: &str) -> String {
    match description.facts.get(name) {
        Some(Fact::Text(text)) => text.clone(),
        other => panic!("{name} is {other:?} in {:?}", description.facts),
    }
}

#[test]
fn content_is_named_by_its_bytes() {
    let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
    let cases: &[(&[u8], &str, &str)] = &[
        (b"", "empty", "empty"),
        (b"\0\0\0\0", "zeros", "data"),
        (b"hello\nworld\n", "text", "text"),
        ("gr\u{fc}n\n".as_bytes(), "text", "text"),
        (b"{\"a\": 1}\n", "json", "text"),
        (b"{ block }\n", "text", "text"),
        (b"<?xml version='1.0'?><a/>", "xml", "text"),
        (b"  <SVG xmlns='x'/>", "svg", "image"),
        (b"<!DOCTYPE html><p>", "html", "text"),
        (b"#!/bin/sh\necho\n", "script", "script"),
        (b"PK\x03\x04....", "zip", "archive"),
        (b"\x1f\x8b\x08\0", "gzip", "compressed"),
        (b"\x89PNG\r\n\x1a\n\0", "png", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp", "image"),
        (b"!<arch>\ndebian-binary   ", "deb", "package"),
        (b"!<arch>\nfoo.o/", "ar", "archive"),
        (b"\xca\xfe\xba\xbe\0\0\0\x41\0\0", "java-class", "executable"),
        (b"MZ", "text", "text"),
        (b"\x80\x81\x82\x03", "data", "data"),
        (&tar, "tar", "archive"),
    ];
    for (bytes, format, kind) in cases {
        let got = described(bytes);
        assert_eq!(got.format, *format, "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(text(&got, "kind"), *kind, "{format}");
        assert!(got.regions.is_empty(), "{format}");
    }
}

#[test]
fn scripts_say_what_runs_them() {
    for (line, interpreter, language) in [
        ("#!/bin/sh", "/bin/sh", "sh"),
        ("#! /usr/bin/perl -w", "/usr/bin/perl", "perl"),
        ("#!/usr/bin/env python3", "/usr/bin/env", "python3"),
        ("#!/usr/bin/env -S LANG=C python3 -u", "/usr/bin/env", "python3"),
        ("#!", "", ""),
    ] {
        let got = described(format!("{line}\nbody\n").as_bytes());
        assert_eq!(text(&got, "interpreter"), interpreter, "{line}");
        assert_eq!(text(&got, "language"), language, "{line}");
    }
}

#[test]
fn encodings_are_told_apart() {
    let cut = [vec![b'a'; 65_535], "\u{e9}".as_bytes().to_vec()].concat();
    for (bytes, encoding) in [
        (&b"plain"[..], "ascii"),
        ("na\u{ef}ve".as_bytes(), "utf-8"),
        (&cut, "utf-8"),
        (b"\xef\xbb\xbfx", "utf-8 with mark"),
        (b"\xff\xfeh\0i\0", "utf-16le"),
        (b"\xfe\xff\0h\0i", "utf-16be"),
        (b"Stra\xdfe und Stra\xdfe", "iso-8859"),
    ] {
        assert_eq!(text(&described(bytes), "encoding"), encoding, "{bytes:?}");
    }
    assert_eq!(text(&described(b"a\r\nb\r\n"), "line_ending"), "crlf");
    assert_eq!(text(&described(b"a\r\nb\n"), "line_ending"), "mixed");
}

/// A file that says it is enormous, and holds a program at its start.
struct Sparse<'a>(&'a [u8]);

impl ReadAt for Sparse<'_> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        assert!(buf.len() <= 32 << 20, "a window of {} bytes", buf.len());
        buf.fill(0);
        self.0.read_at(buf, offset)?;
        Ok(buf.len())
    }
}

#[test]
fn a_huge_file_costs_what_its_headers_cost() {
    let program = std::fs::read("/proc/self/exe").unwrap();
    let small = described(&program);
    let huge = describe(&Sparse(&program), 1 << 40).unwrap();
    assert_eq!(huge.format, "elf");
    assert_eq!(huge.facts, small.facts);
    assert_eq!(huge.regions, small.regions);
}

#[test]
fn a_failing_medium_is_an_error_not_a_description() {
    struct Failing;
    impl ReadAt for Failing {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    assert_eq!(describe(&Failing, 10).unwrap_err().raw_os_error(), Some(5));
}

#[test]
fn our_own_program_has_the_functions_we_wrote() {
    let program = std::fs::read("/proc/self/exe").unwrap();
    let got = described(&program);
    assert_eq!(text(&got, "linkage"), "dynamic");
    assert_eq!(text(&got, "type"), "position-independent executable");
    assert_eq!(got.facts["stripped"], Fact::Flag(false));
    assert!(text(&got, "interpreter").contains("ld-linux"));
    let name = "our_own_program_has_the_functions_we_wrote";
    let ours = got.regions.iter().filter(|r| r.kind == "function" && r.name.contains(name));
    assert!(ours.count() > 0, "no function is called {name}");
    let Fact::List(needed) = &got.facts["needed"] else { panic!("needed") };
    assert!(needed.iter().any(|n| n == "libc.so.6"), "{needed:?}");
}

/// What must hold of any description of `size` bytes.
fn check_invariants(got: &Description, size: u64, what: &str) {
    assert!(got.regions.len() <= MAX_REGIONS, "{what}");
    let mut names = 0;
    for region in &got.regions {
        assert!(region.start < region.end && region.end <= size, "{what}: {region:?}");
        names += region.name.len() as u64;
    }
    // Lossy decoding makes three bytes of one.
    assert!(names <= 3 * (size + (64 << 10)), "{what}: {names} bytes of names in {size} bytes");
    let key = |r: &Region| (r.start, std::cmp::Reverse(r.end));
    assert!(got.regions.is_sorted_by_key(key), "{what}: not in order");
}
