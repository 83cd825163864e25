//! What is wrong with a configuration file: where, with which key, and what was probably meant.
//!
//! Knows: TOML's errors and spans. Must never know: what a key is for.
//! Keeps: a message is one line, and names the line of the file it is about.

use std::fmt;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its line, from 1, where it is known.
    pub line: Option<usize>,
    /// The key it is about, where it is about one.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key
            && !self.what.contains(&format!("`{key}`"))
        {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.what)
    }
}

impl Mistake {
    /// A mistake that the parser found in `text`.
    pub(super) fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span();
        let line = span.as_ref().map(|s| 1 + text[..s.start.min(text.len())].matches('\n').count());
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        if let (true, Some((typed, known))) =
            (message.starts_with("unknown field"), names.split_first())
        {
            let what = format!("unknown key `{typed}`; {}", meant(typed, known, "keys are"));
            return Self { line, key: Some((*typed).to_owned()), what };
        }
        let key = span.and_then(|s| key_before(text, s.start));
        if let (true, Some((typed, known))) =
            (message.starts_with("unknown variant"), names.split_first())
        {
            let what = format!("unknown value `{typed}`; {}", meant(typed, known, "values are"));
            return Self { line, key, what };
        }
        Self { line, key, what: message }
    }
}

/// The key whose value stands at `at`.
fn key_before(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?;
    let line = before.rsplit('\n').next()?;
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let is_plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_plain.then(|| key.to_owned())
}

fn meant(typed: &str, known: &[&str], all: &str) -> String {
    // A key that is also taken with `_` is named once.
    let is_twin = |name: &&&str| name.contains('_') && known.contains(&&*name.replace('_', "-"));
    let known: Vec<&str> = known.iter().filter(|name| !is_twin(name)).copied().collect();
    match nearest(typed, &known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{all} {}", known.join(", ")),
    }
}

/// The known word that `typed` was probably meant to be.
pub(crate) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let close = |name: &&&str| edits(typed, name);
    known.iter().min_by_key(close).filter(|name| edits(typed, name) <= 2).copied()
}

/// Edits (insert, delete, replace) between two words.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
