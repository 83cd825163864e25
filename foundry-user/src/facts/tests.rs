//! Records of every kind, and what must hold of all of them.

mod bricks;
mod machine;

use super::*;
use std::collections::BTreeSet;

/// The record of bytes at a path.
pub(super) fn record_of(path: &str, bytes: &[u8]) -> Description {
    let got = of_bytes(&bytes, bytes.len() as u64, path.as_bytes()).expect("memory can be read");
    check(&got, path);
    got
}

/// What holds of any record.
fn check(got: &Description, what: &str) {
    for (key, value) in &got.facts {
        assert!(keys::is_known(key), "{what}: the key {key} is not in the table");
        let texts: &[String] = match value {
            Fact::Text(text) => std::slice::from_ref(text),
            Fact::List(texts) => texts,
            Fact::Number(_) | Fact::Flag(_) => &[],
        };
        for text in texts {
            assert_eq!(redact::text(text), text.as_str(), "{what}: {key} is not redacted");
        }
    }
    assert_eq!(got.facts["facts.version"], Fact::Number(VERSION), "{what}");
}

fn shown(got: &Description, key: &str) -> String {
    match got.facts.get(key) {
        Some(Fact::Text(text)) => text.clone(),
        Some(Fact::Number(n)) => n.to_string(),
        Some(Fact::Flag(flag)) => flag.to_string(),
        Some(Fact::List(texts)) => texts.join(" | "),
        None => format!("no {key} in {:?}", got.facts),
    }
}

#[test]
fn our_own_program_is_told_by_its_tables() {
    let program = std::fs::read("/proc/self/exe").unwrap();
    let got = record_of("/usr/bin/own", &program);
    assert_eq!(shown(&got, "kind"), "executable");
    assert_eq!(shown(&got, "code.language"), "rust");
    assert_eq!(shown(&got, "hardening.pie"), "true");
    assert_eq!(shown(&got, "hardening.nx"), "true");
    assert_eq!(shown(&got, "hardening.relro"), "full");
    assert_eq!(shown(&got, "link.kind"), "dynamic");
    assert!(shown(&got, "link.needed").contains("libc.so.6"));
    assert!(shown(&got, "imports.names").contains("memcpy"));
    assert!(shown(&got, "capability.exec").contains("import "));
    assert!(shown(&got, "binary.section_summary").contains(".text "));
    assert!(shown(&got, "code.compiler").contains("rustc"));
}

#[test]
fn a_log_tells_when_how_much_and_what() {
    let mut log = String::new();
    for i in 0..600 {
        let (m, s) = (i / 60, i % 60);
        let level = if i % 100 == 7 { "ERROR" } else { "INFO" };
        log += &format!(
            "2026-11-20T10:{m:02}:{s:02}Z {level} request {i} took={i}ms from 10.0.0.{}\n",
            i % 250
        );
    }
    let got = record_of("/srv/app.log", log.as_bytes());
    assert_eq!(shown(&got, "kind"), "log");
    assert_eq!(shown(&got, "log.first"), "2026-11-20T10:00:00");
    assert_eq!(shown(&got, "log.last"), "2026-11-20T10:09:59");
    assert_eq!(shown(&got, "log.lines"), "600");
    assert_eq!(shown(&got, "log.seconds"), "599");
    assert_eq!(shown(&got, "log.peak_per_minute"), "60");
    assert_eq!(shown(&got, "log.levels"), "error 6 | info 594");
    assert_eq!(
        shown(&got, "log.templates"),
        "594x INFO request <*> took=<*> from <*> | 6x ERROR request <*> took=<*> from <*>"
    );
}

#[test]
fn the_usual_stamps_of_time_are_known() {
    for line in [
        "Nov 20 10:00:00 host sshd[12]: Accepted publickey",
        "Nov  2 10:00:00 host sshd[12]: Accepted publickey",
        "[   12.345678] usb 1-1: new device",
        "1763632800.123 200 TCP_MISS",
        "10.0.0.1 - - [20/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5",
        "[2026-11-20 10:00:00,123] WARN x",
    ] {
        let text = format!("{line}\n{line}\n");
        assert_eq!(shown(&record_of("/x", text.as_bytes()), "kind"), "log", "{line}");
    }
    for line in ["Chapter 1", "12345", "Novel ideas: 10", "[section]", "2026 was a year"] {
        let text = format!("{line}\n{line}\n");
        assert_eq!(shown(&record_of("/x", text.as_bytes()), "kind"), "text", "{line}");
    }
}

#[test]
fn a_long_log_is_sampled_and_says_so() {
    let line = b"Nov 20 10:00:00 host kernel: something happened again here\n";
    let log = line.repeat((12 << 20) / line.len());
    let got = record_of("/var/log/kern.log", &log);
    assert_eq!(shown(&got, "log.sampled_bytes"), (4 << 20).to_string());
    let Fact::Number(lines) = got.facts["log.lines_estimated"] else { panic!("no estimate") };
    let real = (log.len() / line.len()) as u64;
    assert!(lines.abs_diff(real) * 100 < real, "{lines} of {real}");
}

#[test]
fn scripts_and_headers_are_told_apart_from_text() {
    let script = b"#!/bin/sh -e\n# curl is only named here\nif sudo wget -q http://a.example/x | sh; then\n  rm /tmp/x\nfi\n";
    let got = record_of("/x", script);
    assert_eq!(shown(&got, "kind"), "script");
    assert_eq!(shown(&got, "script.interpreter"), "/bin/sh");
    assert_eq!(shown(&got, "code.language"), "sh");
    assert_eq!(shown(&got, "capability.network_client"), "command wget");
    assert_eq!(shown(&got, "capability.sudo"), "command sudo");
    assert_eq!(shown(&got, "strings.urls"), "http://a.example/x");
    let got = record_of("/usr/include/a.h", b"#ifndef A_H\n#define A_H\nint a(void);\n#endif\n");
    assert_eq!(shown(&got, "kind"), "header");
    assert_eq!(shown(&got, "text.lines"), "4");
}

#[test]
fn archives_and_images_are_counted_and_measured() {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([640_u32.to_be_bytes(), 480_u32.to_be_bytes()].concat());
    assert_eq!(shown(&record_of("/x", &png), "image.width"), "640");
    let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\x01\xe0\x02\x80";
    let got = record_of("/x", jpeg);
    assert_eq!(
        (shown(&got, "image.width"), shown(&got, "image.height")),
        ("640".into(), "480".into())
    );
    let mut tar = Vec::new();
    for (name, body) in [("a.txt", &b"hello"[..]), ("d/b.txt", &[b'x'; 700])] {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        header[257..262].copy_from_slice(b"ustar");
        tar.extend(header);
        tar.extend(body);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.extend([0; 1024]);
    let got = record_of("/x.tar", &tar);
    assert_eq!(shown(&got, "archive.members"), "2");
    assert_eq!(shown(&got, "archive.names"), "a.txt | d/b.txt");
    assert_eq!(shown(&got, "archive.unpacked_bytes"), "705");
    tar.truncate(600);
    tar[257] = b'u';
    assert_eq!(shown(&record_of("/x.tar", &tar), "archive.members"), "1");
}

#[test]
fn a_file_of_secrets_is_not_read() {
    struct Untouchable;
    impl ReadAt for Untouchable {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            panic!("it was read")
        }
    }
    let got = of_bytes(&Untouchable, 100, b"/home/a/.ssh/id_ed25519").unwrap();
    assert_eq!(shown(&got, "content.withheld"), "private key");
    let key =
        b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n";
    let got = record_of("/srv/app/tls.pem", key);
    assert_eq!(shown(&got, "content.withheld"), "private key");
    assert_eq!(got.facts.len(), 3, "{:?}", got.facts);
}

#[test]
fn no_planted_secret_is_in_any_record() {
    let secrets =
        ["hunter2-Correct", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAIOSFODNN7EXAMPLE"];
    let lines = format!(
        "password={}\nhttp://u:{}@h.example/\nerror: token {} failed at /etc/{}\n",
        secrets[0], secrets[0], secrets[1], secrets[2]
    );
    let stamped: String = lines.lines().map(|l| format!("Nov 20 10:00:00 {l}\n")).collect();
    let script = format!("#!/bin/sh\n{lines}");
    let mut program = std::fs::read("/proc/self/exe").unwrap();
    let end = program.len();
    // Where its constants lie, so that they are found at all.
    let at = memchr::memmem::find(&program, b"library/core/src").unwrap();
    let at = at.min(end - lines.len());
    program[at..at + lines.len()].copy_from_slice(lines.as_bytes());
    for (path, bytes) in [
        ("/x", lines.as_bytes()),
        ("/x.log", stamped.as_bytes()),
        ("/x.sh", script.as_bytes()),
        ("/x.bin", &program),
    ] {
        let all = format!("{:?}", record_of(path, bytes).facts);
        for secret in secrets {
            assert!(!all.contains(secret), "{path}: {secret} in {all}");
        }
    }
}

#[test]
fn rules_are_data_without_doubles() {
    let mut names = BTreeSet::new();
    for rule in rules::RULES {
        assert!(names.insert(rule.name), "{} stands there twice", rule.name);
        let words = rule.imports.len() + rule.libraries.len() + rule.commands.len();
        assert!(words > 0, "{} can never hold", rule.name);
    }
    assert!(rules::RULES.is_sorted_by_key(|r| r.name), "the table is in order");
    for (name, import) in [("ptrace", "ptrace"), ("bpf", "bpf_object__load"), ("shell", "system")] {
        let imports = BTreeSet::from([import.to_owned()]);
        let mut facts = content::Facts::new();
        rules::judge(&rules::Features::of_program(&imports, &[]), &mut facts);
        let evidence = Fact::List(vec![format!("import {import}")]);
        assert_eq!(facts.get(&format!("capability.{name}")), Some(&evidence));
    }
}

#[test]
fn what_was_read_is_what_it_stands_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.bin");
    let file = File::create_new(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"\x01\x02data", 0).unwrap();
    let file = File::open(&path).unwrap();
    let subject = Subject { path: b"/nowhere/big.bin", size: 1 << 30, uid: 0, gid: 0 };
    let found = of_file(&file, &subject, &Host::below(dir.path())).unwrap();
    assert!(found.read.contains(0) && !found.read.contains(1 << 29), "{:?}", found.read);
    assert!(found.cost <= 4 << 20, "{}", found.cost);
}

/// Damage anywhere: no panic, no key but those of the table, nothing unredacted.
#[test]
fn any_damage_gives_a_record() {
    let seed = std::env::var("FOUNDRY_SEED").ok().and_then(|s| s.parse().ok());
    let mut state: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("FOUNDRY_SEED={state}");
    let rounds = std::env::var("FOUNDRY_ROUNDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300);
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let below = |n: usize, r: u64| usize::try_from(r % n.max(1) as u64).unwrap_or(0);
    let mut samples: Vec<Vec<u8>> = ["/bin/true", "/bin/ls", "/etc/services", "/etc/passwd"]
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .collect();
    samples.push(b"PK\x01\x02".repeat(40));
    samples.push([&b"PK\x03\x04"[..], &[0; 60], b"PK\x05\x06", &[1; 18]].concat());
    samples.push(
        b"!<arch>\na.o/            0           0     0     644     4         `\nabcd".to_vec(),
    );
    samples.push(b"070701".iter().chain(&[b'0'; 104]).copied().collect());
    samples.push([&b"\xff\xd8\xff\xe0\0\x04ab"[..], &[0xff; 40]].concat());
    samples.push(b"Nov 20 10:00:00 a b=c\n[1.123456] x\n".repeat(9));
    samples.push([vec![b'a'; 257], b"ustar".to_vec(), vec![b'7'; 900]].concat());
    for round in 0..rounds {
        let mut bytes = samples[below(samples.len(), random())].clone();
        for _ in 0..1 + random() % 8 {
            let at = below(bytes.len(), random());
            match random() % 4 {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = 0xff,
                _ => bytes[at] = random().to_le_bytes()[0],
            }
        }
        record_of(&format!("/damaged/{round}.log"), &bytes);
    }
}

/// The page for people and the table are the same keys.
#[test]
fn the_page_lists_the_keys() {
    let page = include_str!("../../../docs/FACTS.md");
    let listed: BTreeSet<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | "))
        .collect();
    let table: BTreeSet<(&str, &str)> = keys::KEYS.iter().map(|k| (k.name, k.what)).collect();
    let missing: Vec<_> = table.difference(&listed).collect();
    let extra: Vec<_> = listed.difference(&table).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:?}, too many: {extra:?}");
}

#[test]
fn queries_say_where_to_look() {
    use search::Query;
    assert_eq!(Query::parse(" "), None);
    assert_eq!(Query::parse("sym:"), None);
    assert_eq!(Query::parse("sym: Main"), Some(Query::Symbol("main".into())));
    let value = |k: &str, v: &str| Some(Query::KeyValue(k.into(), v.into()));
    assert_eq!(Query::parse("hardening.relro = none"), value("hardening.relro", "none"));
    assert_eq!(Query::parse("fact:capability.ptrace="), value("capability.ptrace", ""));
    assert_eq!(Query::parse("std::vec"), Some(Query::Anything("std::vec".into())));
    assert_eq!(Query::parse("a=b"), Some(Query::Anything("a=b".into())));
}
