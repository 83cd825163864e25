//! What a file is, by its first bytes.
//!
//! Knows: signatures, encodings. Must never know: what stands behind the first bytes.
//! Keeps: a name for any bytes; names of files play no part.

use super::Fact;

/// Bytes that are looked at.
pub(super) const HEAD: u64 = 64 << 10;

/// What was recognized.
pub(super) struct Sniffed {
    /// Short name of the format: `elf`, `zip`, `text`, `data`, ...
    pub(super) format: &'static str,
    /// What sort of thing that is: `executable`, `script`, `text`, `archive`, ...
    pub(super) kind: &'static str,
    pub(super) facts: Vec<(&'static str, Fact)>,
}

/// A signature: where it stands, what it is, the format, the sort of thing.
type Signature = (usize, &'static [u8], &'static str, &'static str);

/// The first match counts, so a format that builds on another stands before it.
const SIGNATURES: &[Signature] = &[
    (0, b"\x7fELF", "elf", "executable"),
    (0, b"\xce\xfa\xed\xfe", "macho", "executable"),
    (0, b"\xcf\xfa\xed\xfe", "macho", "executable"),
    (0, b"\xfe\xed\xfa\xce", "macho", "executable"),
    (0, b"\xfe\xed\xfa\xcf", "macho", "executable"),
    (0, b"\xca\xfe\xba\xbf", "macho-fat", "executable"),
    (0, b"\0asm", "wasm", "executable"),
    (0, b"dex\n", "dex", "executable"),
    (0, b"BC\xc0\xde", "llvm-bitcode", "object code"),
    (0, b"V2BR", "v2br", "brick"),
    (0, b"PK\x03\x04", "zip", "archive"),
    (0, b"PK\x05\x06", "zip", "archive"),
    (0, b"!<arch>\ndebian-binary", "deb", "package"),
    (0, b"!<arch>\n", "ar", "archive"),
    (0, b"!<thin>\n", "ar", "archive"),
    (257, b"ustar", "tar", "archive"),
    (0, b"070701", "cpio", "archive"),
    (0, b"070702", "cpio", "archive"),
    (0, b"070707", "cpio", "archive"),
    (0, b"\xed\xab\xee\xdb", "rpm", "package"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "archive"),
    (0, b"Rar!\x1a\x07", "rar", "archive"),
    (0, b"MSCF\0\0\0\0", "cab", "archive"),
    (0, b"xar!", "xar", "archive"),
    (0, b"\x1f\x8b", "gzip", "compressed"),
    (0, b"\xfd7zXZ\0", "xz", "compressed"),
    (0, b"BZh", "bzip2", "compressed"),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "compressed"),
    (0, b"\x04\x22\x4d\x18", "lz4", "compressed"),
    (0, b"LZIP", "lzip", "compressed"),
    (0, b"\x1f\x9d", "compress", "compressed"),
    (0, b"\x89PNG\r\n\x1a\n", "png", "image"),
    (0, b"\xff\xd8\xff", "jpeg", "image"),
    (0, b"GIF8", "gif", "image"),
    (8, b"WEBP", "webp", "image"),
    (4, b"ftypavif", "avif", "image"),
    (4, b"ftypheic", "heic", "image"),
    (0, b"II*\0", "tiff", "image"),
    (0, b"MM\0*", "tiff", "image"),
    (0, b"qoif", "qoi", "image"),
    (0, b"8BPS", "psd", "image"),
    (0, b"\0\0\x01\0", "ico", "image"),
    (8, b"WAVE", "wav", "audio"),
    (0, b"fLaC", "flac", "audio"),
    (0, b"OggS", "ogg", "audio"),
    (0, b"ID3", "mp3", "audio"),
    (8, b"AVI ", "avi", "video"),
    (4, b"ftyp", "mp4", "video"),
    (0, b"\x1a\x45\xdf\xa3", "matroska", "video"),
    (0, b"%PDF-", "pdf", "document"),
    (0, b"%!PS", "postscript", "document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole", "document"),
    (0, b"SQLite format 3\0", "sqlite", "database"),
    (0x10, b"\xce\x9a\x57\x13", "gdbm", "database"),
    (0, b"KaRaZy", "lmdb", "database"),
    (0, b"\0\x01\0\0\0", "truetype", "font"),
    (0, b"OTTO", "opentype", "font"),
    (0, b"wOFF", "woff", "font"),
    (0, b"wOF2", "woff2", "font"),
    (0, b"hsqs", "squashfs", "disk image"),
    (0, b"QFI\xfb", "qcow2", "disk image"),
    (0x8001, b"CD001", "iso9660", "disk image"),
    (0x438, b"\x53\xef", "ext", "disk image"),
    (0, b"XFSB", "xfs", "disk image"),
    (0, b"\xde\x12\x04\x95", "gettext", "message catalogue"),
    (0, b"\x95\x04\x12\xde", "gettext", "message catalogue"),
    (0, b"\xd0\x0d\xfe\xed", "device-tree", "firmware"),
    (0, b"LPKSHHRH", "journal", "log"),
    (0, b"\x9f\xeb\x01\0", "btf", "type information"),
    (0, b"-----BEGIN ", "pem", "key or certificate"),
];

/// Names the format of a file of `size` bytes that starts with `head`.
pub(super) fn sniff(head: &[u8], size: u64) -> Sniffed {
    if size == 0 {
        return plain("empty", "empty");
    }
    if head.starts_with(b"#!") && is_text(head) {
        return script(head);
    }
    if let Some(found) = ambiguous(head) {
        return found;
    }
    let matches = |s: &&Signature| head.get(s.0..).is_some_and(|rest| rest.starts_with(s.1));
    if let Some(&(_, _, format, kind)) = SIGNATURES.iter().find(matches) {
        return plain(format, kind);
    }
    text(head, size).unwrap_or_else(|| without_signature(head))
}

fn plain(format: &'static str, kind: &'static str) -> Sniffed {
    Sniffed { format, kind, facts: Vec::new() }
}

/// Signatures that need a second look.
fn ambiguous(head: &[u8]) -> Option<Sniffed> {
    if head.starts_with(b"\xca\xfe\xba\xbe") {
        // Java class files share the magic of fat Mach-O files. Their next four bytes hold a
        // version of at least 45; no fat file has that many members.
        let count = u32::from_be_bytes(head.get(4..8)?.try_into().ok()?);
        let is_fat = (1..45).contains(&count);
        return Some(if is_fat {
            plain("macho-fat", "executable")
        } else {
            plain("java-class", "executable")
        });
    }
    if head.starts_with(b"MZ") {
        let pointer = u32::from_le_bytes(head.get(0x3c..0x40)?.try_into().ok()?);
        let signature = usize::try_from(pointer).ok().and_then(|at| head.get(at..));
        let is_pe = signature.is_some_and(|rest| rest.starts_with(b"PE\0\0"));
        return Some(plain(if is_pe { "pe" } else { "dos" }, "executable"));
    }
    if head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]) {
        return Some(plain("bmp", "image"));
    }
    None
}

fn script(head: &[u8]) -> Sniffed {
    let line = head[2..].split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(&line[..line.len().min(512)]).trim().to_owned();
    let mut words = line.split_whitespace();
    let program = words.next().unwrap_or_default();
    // `/usr/bin/env -S python3 -u` runs python3: options and assignments come before it.
    let runs = if program.ends_with("/env") {
        words.find(|w| !w.starts_with('-') && !w.contains('=')).unwrap_or(program)
    } else {
        program
    };
    let name = runs.rsplit('/').next().unwrap_or(runs).to_owned();
    let mut facts = vec![
        ("interpreter", Fact::Text(program.to_owned())),
        ("language", Fact::Text(name)),
        ("shebang", Fact::Text(line.clone())),
    ];
    facts.extend(encoding(head).map(|e| ("encoding", Fact::Text(e.to_owned()))));
    Sniffed { format: "script", kind: "script", facts }
}

/// Bytes that text does not hold.
fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x08 | 0x1b) || byte == 0x7f
}

fn is_text(head: &[u8]) -> bool {
    !head.iter().any(|&b| is_control(b))
}

/// The encoding of text, where the bytes are text.
fn encoding(head: &[u8]) -> Option<&'static str> {
    for (mark, name) in [
        (&b"\xef\xbb\xbf"[..], "utf-8 with mark"),
        (b"\xff\xfe\0\0", "utf-32le"),
        (b"\0\0\xfe\xff", "utf-32be"),
        (b"\xff\xfe", "utf-16le"),
        (b"\xfe\xff", "utf-16be"),
    ] {
        if head.starts_with(mark) {
            return Some(name);
        }
    }
    if !is_text(head) {
        return None;
    }
    if head.is_ascii() {
        return Some("ascii");
    }
    match std::str::from_utf8(head) {
        Ok(_) => Some("utf-8"),
        // The last character may be cut where the head ends.
        Err(e) if e.error_len().is_none() && head.len() - e.valid_up_to() < 4 => Some("utf-8"),
        // The bytes 0x80 to 0x9f are control characters in every ISO 8859 part.
        Err(_) if !head.iter().any(|b| (0x80..0xa0).contains(b)) && mostly_ascii(head) => {
            Some("iso-8859")
        }
        Err(_) => None,
    }
}

fn mostly_ascii(head: &[u8]) -> bool {
    head.iter().filter(|b| b.is_ascii()).count() * 4 >= head.len() * 3
}

fn text(head: &[u8], size: u64) -> Option<Sniffed> {
    let encoding = encoding(head)?;
    let body = head.trim_ascii_start();
    let starts = |prefix: &[u8]| {
        body.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let (format, kind) = if starts(b"<svg") {
        ("svg", "image")
    } else if starts(b"<?xml") {
        ("xml", "text")
    } else if starts(b"<!doctype html") || starts(b"<html") {
        ("html", "text")
    } else if is_json(body, size) {
        ("json", "text")
    } else {
        ("text", "text")
    };
    let mut facts = vec![("encoding", Fact::Text(encoding.to_owned()))];
    if !encoding.starts_with("utf-16") && !encoding.starts_with("utf-32") {
        let lines = head.iter().filter(|&&b| b == b'\n').count();
        let returns = head.windows(2).filter(|w| w == b"\r\n").count();
        let ending = match (lines, returns) {
            (0, _) => "none",
            (n, r) if n == r => "crlf",
            (_, 0) => "lf",
            _ => "mixed",
        };
        facts.push(("line_ending", Fact::Text(ending.to_owned())));
    }
    Some(Sniffed { format, kind, facts })
}

/// Whether text looks like JSON: the outermost brackets match, where the end is in sight.
fn is_json(body: &[u8], size: u64) -> bool {
    let close = match body.first() {
        Some(b'{') => b'}',
        Some(b'[') => b']',
        _ => return false,
    };
    let inner = body[1..].trim_ascii_start().first();
    let plausible = matches!(inner, Some(b'"' | b'{' | b'[' | b'}' | b']' | b'-' | b'0'..=b'9'));
    let whole_in_sight = size <= HEAD;
    plausible && (!whole_in_sight || body.trim_ascii_end().last() == Some(&close))
}

fn without_signature(head: &[u8]) -> Sniffed {
    if head.iter().all(|&b| b == 0) {
        return plain("zeros", "data");
    }
    // CPython writes its own version in two bytes and ends the magic with CR LF; flags follow,
    // of which only the lowest two bits are in use.
    if head.len() >= 16 && head[2..4] == *b"\r\n" && head[4] <= 3 && head[5..8] == [0; 3] {
        return plain("python-bytecode", "executable");
    }
    plain("data", "data")
}
