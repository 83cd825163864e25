//! What a directory's brick says of its entries, all in all.
//!
//! Knows: the parts of a directory's brick. Must never know: the directory itself.
//! Keeps: everything follows from the brick, so it is never out of date; lists are bounded and sorted.

use foundry_brick::parts::{Attribute, Part, PartKind, Parts};
use foundry_brick::{FactValue, Facts};
use std::collections::BTreeMap;

/// Names in a list.
const LIST: usize = 16;

/// Permission bits.
const SETUID: u64 = 0o4000;
const SETGID: u64 = 0o2000;
const STICKY: u64 = 0o1000;
const OTHERS_WRITE: u64 = 0o002;
const EXECUTE: u64 = 0o111;

/// What an entry of this name makes its directory.
const MARKERS: [(&str, &str); 24] = [
    (".git", "git repository"),
    (".hg", "mercurial repository"),
    (".svn", "subversion checkout"),
    ("Cargo.toml", "rust crate or workspace"),
    ("package.json", "javascript package"),
    ("pyproject.toml", "python project"),
    ("setup.py", "python project"),
    ("requirements.txt", "python project"),
    ("go.mod", "go module"),
    ("pom.xml", "maven project"),
    ("build.gradle", "gradle project"),
    ("build.gradle.kts", "gradle project"),
    ("CMakeLists.txt", "cmake project"),
    ("meson.build", "meson project"),
    ("Makefile", "make project"),
    ("configure.ac", "autotools project"),
    ("Gemfile", "ruby project"),
    ("composer.json", "php project"),
    ("Dockerfile", "container image source"),
    ("flake.nix", "nix flake"),
    ("openspec", "openspec project"),
    ("debian", "debian package source"),
    ("Kconfig", "kernel source"),
    ("node_modules", "installed javascript packages"),
];

/// Adds what these parts say.
pub(super) fn describe(parts: &Parts, facts: &mut Facts) {
    let all: Vec<&Part> = parts.iter().map(|(_, part)| part).collect();
    let files = all.iter().copied().filter(|part| part.kind == PartKind::FILE).collect();
    let mut about = About { all, files, facts };
    about.counts();
    about.sizes();
    about.rights();
    about.words();
}

struct About<'a> {
    all: Vec<&'a Part>,
    files: Vec<&'a Part>,
    facts: &'a mut Facts,
}

impl About<'_> {
    fn put(&mut self, name: &str, value: FactValue) {
        self.facts.insert(format!("directory.{name}"), value);
    }

    /// A number that says nothing where it is none.
    fn count(&mut self, name: &str, n: usize) {
        if n > 0 {
            self.put(name, FactValue::Number(n as u64));
        }
    }

    fn list(&mut self, name: &str, mut list: Vec<String>) {
        list.truncate(LIST);
        if !list.is_empty() {
            self.put(name, FactValue::List(list));
        }
    }

    /// The names of those among these parts that are so, sorted.
    fn those(&mut self, key: &str, of: &[&Part], is_so: impl Fn(&Part) -> bool) {
        let mut names: Vec<String> =
            of.iter().filter(|part| is_so(part)).map(|part| name(part)).collect();
        names.sort();
        self.list(key, names);
    }

    fn counts(&mut self) {
        for (name, kind) in [
            ("files", PartKind::FILE),
            ("directories", PartKind::DIRECTORY),
            ("links", PartKind::SYMLINK),
            ("specials", PartKind::SPECIAL),
            ("processes", PartKind::PROCESS),
        ] {
            let n = self.all.iter().filter(|part| part.kind == kind).count();
            self.count(name, n);
        }
        let hidden = self.all.iter().filter(|part| part.name.starts_with(b".")).count();
        self.count("hidden", hidden);
    }

    fn sizes(&mut self) {
        let size = |part: &&Part| number(part, Attribute::SIZE);
        let sum =
            |of: &[&Part]| FactValue::Number(of.iter().map(size).fold(0, u64::saturating_add));
        let (own, below) = (sum(&self.files), sum(&self.all));
        self.put("bytes", own);
        self.put("bytes_below", below);
        let time = |part: &&Part| number(part, Attribute::MTIME).cast_signed();
        let files = self.files.clone();
        for (key, part) in [
            ("largest", files.iter().max_by_key(|part| (size(part), &part.name))),
            ("newest", files.iter().max_by_key(|part| (time(part), &part.name))),
            ("oldest", files.iter().min_by_key(|part| (time(part), &part.name))),
        ] {
            if let Some(part) = part {
                self.put(key, FactValue::Text(name(part)));
            }
        }
    }

    fn rights(&mut self) {
        let bits = |part: &Part| number(part, Attribute::MODE);
        let (all, files) = (self.all.clone(), self.files.clone());
        self.count("programs", files.iter().filter(|part| bits(part) & EXECUTE != 0).count());
        self.those("setuid", &files, |part| bits(part) & SETUID != 0);
        self.those("setgid", &files, |part| bits(part) & SETGID != 0);
        self.those("world_writable", &all, |part| {
            let sticky = part.kind == PartKind::DIRECTORY && bits(part) & STICKY != 0;
            part.kind != PartKind::SYMLINK && bits(part) & OTHERS_WRITE != 0 && !sticky
        });
        self.those("unreadable", &all, |part| number(part, Attribute::UNREADABLE) == 1);
        let mut owners: BTreeMap<u64, u64> = BTreeMap::new();
        for uid in all.iter().filter_map(|part| part.numbers.get(&Attribute::UID)) {
            *owners.entry(*uid).or_default() += 1;
        }
        self.list("owners", owners.iter().map(|(uid, n)| format!("uid {uid}: {n}")).collect());
    }

    fn words(&mut self) {
        let packages = self.all.iter().filter_map(|part| part.texts.get(&Attribute::PACKAGE));
        let packages = frequent(packages.map(|name| String::from_utf8_lossy(name).into_owned()));
        self.list("packages", packages);
        let endings = frequent(self.files.iter().filter_map(|part| ending(&name(part))));
        self.list("endings", endings);
        let has = |marker: &str| self.all.iter().any(|part| &*part.name == marker.as_bytes());
        let is = MARKERS.iter().filter(|(marker, _)| has(marker));
        let mut is: Vec<String> = is.map(|(_, what)| (*what).to_owned()).collect();
        is.dedup();
        self.list("markers", is);
    }
}

fn number(part: &Part, what: Attribute) -> u64 {
    part.numbers.get(&what).copied().unwrap_or(0)
}

/// Words with how often each is there, the most frequent first.
fn frequent(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.into_iter().map(|(word, n)| format!("{word}: {n}")).collect()
}

/// How a name ends, where that says what the file is.
fn ending(name: &str) -> Option<String> {
    let (stem, end) = name.rsplit_once('.')?;
    (!stem.is_empty() && (1..=8).contains(&end.len())).then(|| end.to_ascii_lowercase())
}

/// A name as a fact says it.
fn name(part: &Part) -> String {
    let name = String::from_utf8_lossy(&part.name);
    crate::redact::text(&name).into_owned()
}
