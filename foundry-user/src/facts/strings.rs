//! Texts in a file that say something: addresses, paths, words to people.
//!
//! Knows: printable runs. Must never know: formats.
//! Keeps: few and short texts, the telling ones first, in one order; each is redacted as a whole
//! before it is cut into lines, so that no part of a key is left over.

use super::content::Facts;
use crate::binary::Fact;
use crate::redact;
use std::collections::BTreeSet;

/// Bytes of constants that are searched.
pub(super) const MOST: u64 = 4 << 20;

/// Texts of each sort that are kept.
const MAX_EACH: usize = 40;

/// Texts for people that are kept.
const MAX_NOTABLE: usize = 30;

/// Characters of a text that are kept.
const MAX_LEN: usize = 120;

/// Characters of the shortest text.
const MIN_LEN: usize = 6;

/// Words that begin or mark a text for people.
const TELLING: &[&str] =
    &["usage:", "copyright", "version", "error", "cannot ", "failed", "warning", "license"];

/// Whether a section of this name holds constant texts.
pub(super) fn holds_texts(name: &str) -> bool {
    let name = name.trim_start_matches(['.', '_']);
    ["rodata", "rdata", "cstring", "const", "data.rel.ro"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// The texts found so far.
#[derive(Default)]
struct Texts {
    urls: BTreeSet<String>,
    paths: BTreeSet<String>,
    addresses: BTreeSet<String>,
    notable: BTreeSet<String>,
}

/// Adds the texts of `windows`.
pub(super) fn describe(windows: &[&[u8]], facts: &mut Facts) {
    let mut texts = Texts::default();
    for window in windows {
        for run in window.split(|&b| !is_printable(b)).filter(|run| run.len() >= MIN_LEN) {
            // Printable runs are ASCII.
            let Ok(run) = std::str::from_utf8(run) else { continue };
            for line in redact::text(run).split('\n') {
                texts.take(line.trim());
            }
        }
    }
    for (name, found, most) in [
        ("strings.urls", texts.urls, MAX_EACH),
        ("strings.paths", texts.paths, MAX_EACH),
        ("strings.addresses", texts.addresses, MAX_EACH),
        ("strings.notable", texts.notable, MAX_NOTABLE),
    ] {
        if found.len() > most {
            facts.insert(format!("{name}_omitted"), Fact::Number((found.len() - most) as u64));
        }
        if !found.is_empty() {
            facts.insert(name.to_owned(), Fact::List(found.into_iter().take(most).collect()));
        }
    }
}

impl Texts {
    fn take(&mut self, line: &str) {
        if line.len() < MIN_LEN || self.is_full() {
            return;
        }
        if line.contains("://") {
            self.urls.extend(
                line.split([' ', '<', '>', '"', '\'', '(', ')', ','])
                    .filter(|w| is_url(w))
                    .map(short),
            );
        }
        for word in line.split([' ', '"', '\'', '=', ':', ',', '(', ')', '<', '>', ';']) {
            if is_path(word) {
                self.paths.insert(short(word));
            } else if is_address(word.trim_end_matches('.')) {
                self.addresses.insert(short(word.trim_end_matches('.')));
            }
        }
        let lower = line.get(..line.len().min(MAX_LEN)).unwrap_or_default().to_ascii_lowercase();
        if line.contains(' ') && TELLING.iter().any(|word| lower.contains(word)) {
            self.notable.insert(short(line));
        }
    }

    /// Enough to count as many: a file of nothing but paths is not sorted whole.
    fn is_full(&self) -> bool {
        const ENOUGH: usize = 1 << 14;
        self.urls.len() + self.paths.len() + self.addresses.len() + self.notable.len() > ENOUGH
    }
}

fn is_printable(b: u8) -> bool {
    (0x20..0x7f).contains(&b) || matches!(b, b'\t' | b'\n' | b'\r')
}

fn short(text: &str) -> String {
    text.chars().take(MAX_LEN).collect()
}

fn is_url(word: &str) -> bool {
    let Some((scheme, rest)) = word.split_once("://") else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (2..=12).contains(&scheme.len())
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(plain)
        && rest.len() >= 3
        && !rest.contains('%')
        && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '['))
}

/// A path that begins at the root, in a directory that systems have.
fn is_path(word: &str) -> bool {
    const TOPS: &[&str] = &[
        "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root",
        "run", "sbin", "srv", "sys", "tmp", "usr", "var",
    ];
    let Some(rest) = word.strip_prefix('/') else { return false };
    let (top, below) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+%@".contains(c);
    TOPS.contains(&top) && !below.is_empty() && below.chars().all(plain)
}

/// An IPv4 address that is not a version number: no leading zeros, first part as nets have it.
fn is_address(word: &str) -> bool {
    let host = word.split_once('/').map_or(word, |(host, _)| host);
    host.len() >= 7 && host.parse::<std::net::Ipv4Addr>().is_ok_and(|a| a.octets()[0] >= 10)
}
