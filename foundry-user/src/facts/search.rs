//! Finding artifacts by what is known of them: path, symbols, facts, hashes, annotations.
//!
//! Knows: bricks, words. Must never know: where bricks lie, how an answer is shown.
//! Keeps: one brick is asked at a time; its hits are bounded, the best first; letters of either case
//! are the same.

use super::record;
use foundry_brick::storage::Storage;
use foundry_brick::{Brick, Error, FactValue, Facts};

/// Hits in one brick.
const MAX_HITS: usize = 20;

/// Characters of a hit's text.
const MAX_TEXT: usize = 200;

/// Digits of a hash that are enough to mean it.
const MIN_HASH: usize = 8;

/// What is looked for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Part of the path.
    Path(String),
    /// Part of a region's name.
    Symbol(String),
    /// Part of a fact's value.
    Fact(String),
    /// A fact by its key, and its value or one of its values.
    KeyValue(String, String),
    /// Part of the annotation.
    Note(String),
    /// Start of the build id.
    BuildId(String),
    /// Start of the content's hash.
    Hash(String),
    /// Any of these.
    Anything(String),
}

/// One place where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// `path`, `symbol`, `fact`, `hash` or `annotation`.
    pub what: &'static str,
    /// Name and value, or what stands there.
    pub text: String,
    /// First byte of the artifact that it is about.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

impl Query {
    /// `None` where there is nothing to look for.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let query = query.trim().to_lowercase();
        if let Some((word, rest)) = query.split_once(':') {
            let rest = rest.trim().to_owned();
            let make: Option<fn(String) -> Self> = match word {
                "path" => Some(Self::Path),
                "sym" => Some(Self::Symbol),
                "fact" => Some(Self::Fact),
                "note" => Some(Self::Note),
                "build-id" => Some(Self::BuildId),
                "hash" => Some(Self::Hash),
                _ => None,
            };
            match make {
                Some(_) if rest.is_empty() => return None,
                Some(_) if word == "fact" && rest.contains('=') => return Self::parse(&rest),
                Some(make) => return Some(make(rest)),
                None => {}
            }
        }
        if let Some((key, value)) = query.split_once('=')
            && is_key(key.trim())
        {
            return Some(Self::KeyValue(key.trim().to_owned(), value.trim().to_owned()));
        }
        (!query.is_empty()).then_some(Self::Anything(query))
    }

    /// Where `brick` has it.
    ///
    /// # Errors
    /// Where the brick is corrupt or cannot be read.
    pub fn find_in<S: Storage>(&self, brick: &Brick<S>) -> Result<Vec<Hit>, Error> {
        let size = brick.meta().size;
        let whole = |what, text: String| Hit { what, text: short(&text), start: 0, end: size };
        let mut hits = Vec::new();
        if let Self::Path(word) | Self::Anything(word) = self {
            let path = match brick.meta().pid {
                Some(pid) => format!("pid:{pid}"),
                None => String::from_utf8_lossy(&brick.meta().path).into_owned(),
            };
            hits.extend(path.to_lowercase().contains(word).then(|| whole("path", path)));
        }
        if let Self::Hash(word) | Self::Anything(word) = self
            && let Some(hash) = brick.blake3().filter(|_| is_hash(word, self))
        {
            let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
            hits.extend(hex.starts_with(word).then(|| whole("hash", hex)));
        }
        if !matches!(self, Self::Path(_) | Self::Hash(_) | Self::Symbol(_) | Self::Note(_)) {
            let found = self.in_facts(&record::of(brick)?);
            hits.extend(found.into_iter().map(|text| whole("fact", text)));
        }
        if let Self::Symbol(word) | Self::Anything(word) = self {
            let regions = brick.regions()?.into_iter();
            let named = regions.filter(|r| r.name.to_lowercase().contains(word));
            let hit = |r: foundry_brick::Region| Hit {
                what: "symbol",
                text: short(&r.name),
                start: r.start,
                end: r.end,
            };
            hits.extend(named.take(MAX_HITS).map(hit));
        }
        if matches!(self, Self::Note(_) | Self::Anything(_))
            && let Some(note) = brick.annotation()?
        {
            hits.extend(self.in_note(&note).map(|line| whole("annotation", line)));
        }
        hits.truncate(MAX_HITS);
        Ok(hits)
    }

    /// The first line of an annotation, as a person is shown it, that it is about.
    #[must_use]
    pub fn in_note(&self, note: &[u8]) -> Option<String> {
        let (Self::Note(word) | Self::Anything(word)) = self else { return None };
        let lines = crate::wire_annotate::lines(note, None).into_iter();
        let lines = lines.map(|(name, value)| format!("{}: {value}", name.trim()));
        let mut found = lines.filter(|line| line.to_lowercase().contains(word));
        found.next()
    }

    /// The facts that it is about, as `key: value`.
    #[must_use]
    pub fn in_facts(&self, facts: &Facts) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in facts {
            let values = match value {
                FactValue::Text(text) => vec![text.clone()],
                FactValue::Number(n) => vec![n.to_string()],
                FactValue::Flag(true) => vec!["yes".to_owned(), "true".to_owned()],
                FactValue::Flag(false) => vec!["no".to_owned(), "false".to_owned()],
                FactValue::List(texts) => texts.clone(),
            };
            let is_list = matches!(value, FactValue::List(_));
            let hit = values.iter().find(|value| {
                let value = value.to_lowercase();
                match self {
                    Self::Fact(word) | Self::Anything(word) => value.contains(word),
                    Self::BuildId(word) => key == "identity.build_id" && value.starts_with(word),
                    Self::KeyValue(wanted, word) => {
                        // `capability.ptrace=` asks for the key alone.
                        key == wanted
                            && (word.is_empty()
                                || value == *word
                                || is_list && value.contains(word))
                    }
                    _ => false,
                }
            });
            found.extend(hit.map(|value| format!("{key}: {value}")));
        }
        found.truncate(MAX_HITS);
        found
    }
}

/// Anything may be a hash, but `hash:` says so.
fn is_hash(word: &str, query: &Query) -> bool {
    matches!(query, Query::Hash(_))
        || word.len() >= MIN_HASH && word.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_key(word: &str) -> bool {
    super::keys::is_known(word)
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
