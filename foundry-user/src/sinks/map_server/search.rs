//! Finding things: names, symbols, facts, hashes, and bytes.
//!
//! Knows: the world's names, bricks. Must never know: HTTP.
//! Keeps: a search ends at its deadline and says whether it saw everything; answers are bounded.

use super::bricks::{Bricks, Content, ReadFile};
use super::layout::{NodeId, NodeKind};
use super::views::{kind, text};
use super::world::World;
use crate::facts::record;
use crate::facts::search::Query as Words;
use foundry_brick::Brick;
use serde::Serialize;
use std::sync::RwLock;

/// Most hits of one answer.
const MOST_HITS: usize = 200;
/// Largest file whose bytes are searched.
const MOST_CONTENT: u64 = 64 << 20;

#[derive(Debug, Serialize)]
pub(super) struct Hit {
    node: NodeId,
    path: String,
    kind: &'static str,
    text: String,
    start: u64,
    end: u64,
    index: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Hits {
    query: String,
    hits: Vec<Hit>,
    complete: bool,
}

/// What is looked for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// In the files themselves.
    Bytes(Vec<u8>),
    /// In names, and in what bricks say.
    Words(Words),
}

impl Query {
    /// `None` for nothing to look for.
    pub(super) fn parse(query: &str) -> Option<Self> {
        let query = query.trim();
        let Some(quoted) = query.strip_prefix('"') else {
            return Words::parse(query).map(Self::Words);
        };
        let inner = quoted.strip_suffix('"').unwrap_or(quoted);
        (!inner.is_empty()).then(|| Self::Bytes(inner.as_bytes().to_vec()))
    }

    const fn opens_bricks(&self) -> bool {
        !matches!(self, Self::Words(Words::Path(_) | Words::Hash(_)))
    }
}

/// One leaf to look into.
struct Candidate {
    node: NodeId,
    path: Vec<u8>,
    index: u64,
    kind: NodeKind,
}

pub(super) fn search(
    world: &RwLock<World>,
    bricks: &Bricks,
    text_of_query: &str,
    query: &Query,
    expired: &dyn Fn() -> bool,
) -> Hits {
    let (mut hits, mut complete, candidates) = in_memory(world, query);
    if query.opens_bricks() {
        for candidate in candidates {
            if hits.len() >= MOST_HITS || expired() {
                complete = false;
                break;
            }
            look_into(bricks, query, &candidate, &mut hits);
        }
    }
    hits.truncate(MOST_HITS);
    Hits { query: text_of_query.to_owned(), hits, complete }
}

/// Most regions of one artifact that are found in a folder of plain files.
const MOST_REGIONS: usize = 500;

/// Every name, hash, build id and opinion there is: what a search without a server looks through.
pub(super) fn everything(world: &World, bricks: &Bricks) -> Vec<Hit> {
    let mut hits = vec![];
    for (id, node) in (0_u32..).map_while(|id| Some((id, world.layout.node(id)?))) {
        if node.gone || id == super::layout::ROOT {
            continue;
        }
        let index = node.runs.first().map_or(0, |run| run.start);
        let raw = world.layout.path(id);
        let path = text(&raw);
        let hit = |kind: &'static str, words: String, start: u64, end: u64| Hit {
            node: id,
            path: path.clone(),
            kind,
            text: words,
            start,
            end,
            index: index + start,
        };
        hits.push(hit(kind(node.kind), path.clone(), 0, node.size));
        let Some(summary) = world.summary(id) else { continue };
        let hash = summary.blake3.map(|hash| blake3::Hash::from(hash).to_hex().to_string());
        hits.extend(hash.map(|hash| hit("hash", hash, 0, node.size)));
        let Ok(brick) = bricks.open(&raw, None) else { continue };
        let facts = record::of(&brick).unwrap_or_default();
        let build = Words::BuildId(String::new()).in_facts(&facts);
        hits.extend(build.into_iter().map(|line| hit("fact", line, 0, node.size)));
        let note = brick.annotation().ok().flatten();
        let note = note.and_then(|note| Words::Note("summary".to_owned()).in_note(&note));
        hits.extend(note.map(|line| hit("note", line, 0, node.size)));
        let mut regions = brick.regions().unwrap_or_default();
        regions.sort_by_key(|region| std::cmp::Reverse(region.end - region.start));
        let named = regions.into_iter().filter(|region| !region.name.is_empty());
        hits.extend(named.take(MOST_REGIONS).map(|r| hit("symbol", r.name, r.start, r.end)));
    }
    hits
}

/// How far a name is from what was asked for: the same, its beginning, a word of it, a part of it.
fn distance(name: &str, word: &str) -> Option<u8> {
    let at = name.find(word)?;
    if name.len() == word.len() {
        return Some(0);
    }
    let is_word = name.split(|c: char| !c.is_alphanumeric()).any(|part| part == word);
    Some(match (at, is_word) {
        (0, _) => 1,
        (_, true) => 2,
        _ => 3,
    })
}

/// The best of what names and hashes give and whether that is all, and the leaves to open for the rest, newest
/// change first.
fn in_memory(world: &RwLock<World>, query: &Query) -> (Vec<Hit>, bool, Vec<Candidate>) {
    let world = world.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut found = vec![];
    let mut candidates = vec![];
    for (id, node) in (0_u32..).map_while(|id| Some((id, world.layout.node(id)?))) {
        if node.gone || id == super::layout::ROOT {
            continue;
        }
        let index = node.runs.first().map_or(0, |run| run.start);
        let near = match query {
            Query::Words(Words::Path(word) | Words::Anything(word)) => {
                // The whole path only where the word has a slash: names are compared as names.
                if word.contains('/') {
                    distance(&text(&world.layout.path(id)).to_lowercase(), word)
                } else {
                    distance(&text(&node.name).to_lowercase(), word)
                }
            }
            Query::Words(Words::Hash(word)) => {
                let hash = world.summary(id).and_then(|summary| summary.blake3);
                hash.and_then(|hash| {
                    blake3::Hash::from(hash).to_hex().starts_with(word.as_str()).then_some(0)
                })
            }
            _ => None,
        };
        if let Some(near) = near {
            found.push((near, node.name.len(), id));
        }
        if query.opens_bricks() && world.summary(id).is_some() && node.run().is_some() {
            let path = world.layout.path(id);
            candidates
                .push((world.touched(id), Candidate { node: id, path, index, kind: node.kind }));
        }
    }
    candidates.sort_by_key(|(touched, _)| std::cmp::Reverse(*touched));
    // However many hold the word, the one that is called so is among those that are told.
    found.sort_unstable();
    let is_all = found.len() < MOST_HITS;
    let hits = found.iter().take(MOST_HITS).filter_map(|(.., id)| name_hit(&world, *id)).collect();
    (hits, is_all, candidates.into_iter().map(|(_, candidate)| candidate).collect())
}

fn name_hit(world: &World, id: NodeId) -> Option<Hit> {
    let node = world.layout.node(id)?;
    let path = text(&world.layout.path(id));
    let index = node.runs.first().map_or(0, |run| run.start);
    let words = path.clone();
    Some(Hit {
        node: id,
        path,
        kind: kind(node.kind),
        text: words,
        start: 0,
        end: node.size,
        index,
    })
}

fn look_into(bricks: &Bricks, query: &Query, candidate: &Candidate, hits: &mut Vec<Hit>) {
    let Ok(brick) = bricks.open(&candidate.path, None) else { return };
    let mut found = |kind: &'static str, words: String, start: u64, end: u64| {
        hits.push(Hit {
            node: candidate.node,
            path: text(&candidate.path),
            kind,
            text: words,
            start,
            end,
            index: candidate.index + start,
        });
    };
    match query {
        Query::Words(words) => look_for_words(&brick, words, &mut found),
        Query::Bytes(wanted) if candidate.kind == NodeKind::File => {
            let size = brick.meta().size.min(MOST_CONTENT);
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            let n = match Content::open(brick.meta()) {
                Ok(content) => content.read(0, &mut bytes).unwrap_or(0),
                Err(_) => brick.read_payload(0, &mut bytes).unwrap_or(0),
            };
            for at in find_all(&bytes[..n], wanted).into_iter().take(20) {
                found("bytes", text(wanted), at, at + wanted.len() as u64);
            }
        }
        Query::Bytes(_) => {}
    }
}

fn look_for_words(
    brick: &Brick<ReadFile>,
    words: &Words,
    found: &mut impl FnMut(&'static str, String, u64, u64),
) {
    let size = brick.meta().size;
    if let Words::Symbol(word) | Words::Anything(word) = words {
        let regions = brick.regions().unwrap_or_default();
        let named = regions.into_iter().filter(|r| r.name.to_lowercase().contains(word));
        for region in named.take(20) {
            found("symbol", region.name, region.start, region.end);
        }
    }
    if !matches!(words, Words::Symbol(_) | Words::Note(_)) {
        for line in words.in_facts(&record::of(brick).unwrap_or_default()) {
            found("fact", line, 0, size);
        }
    }
    if matches!(words, Words::Note(_) | Words::Anything(_)) {
        let note = brick.annotation().ok().flatten();
        if let Some(line) = note.and_then(|note| words.in_note(&note)) {
            found("note", line.chars().take(200).collect(), 0, size);
        }
    }
}

/// Offsets of `wanted`, without overlaps.
fn find_all(bytes: &[u8], wanted: &[u8]) -> Vec<u64> {
    let Some(first) = wanted.first() else { return vec![] };
    let mut found = vec![];
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| byte == first) {
        at += next;
        if bytes[at..].starts_with(wanted) {
            found.push(at as u64);
            at += wanted.len();
        } else {
            at += 1;
        }
        if found.len() >= 20 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_say_where_to_look() {
        assert_eq!(Query::parse("  "), None);
        assert_eq!(Query::parse("sym:"), None);
        assert_eq!(Query::parse("sym: Main"), Some(Query::Words(Words::Symbol("main".into()))));
        assert_eq!(Query::parse("\"a b\""), Some(Query::Bytes(b"a b".to_vec())));
        let one = Query::Words(Words::KeyValue("hardening.relro".into(), "none".into()));
        assert_eq!(Query::parse("hardening.relro=None"), Some(one));
        let any = Query::Words(Words::Anything("std::vec".into()));
        assert_eq!(Query::parse("std::vec"), Some(any));
    }

    #[test]
    fn the_name_itself_is_nearer_than_what_holds_it() {
        let names = ["git", "git-core", "libexec.git.d", "legitimate", "gi"];
        let near: Vec<Option<u8>> = names.iter().map(|name| distance(name, "git")).collect();
        assert_eq!(near, [Some(0), Some(1), Some(2), Some(3), None]);
        // A path ends with what it is the path of.
        assert_eq!(distance("/usr/bin/git", "/usr/bin/git"), Some(0));
    }

    #[test]
    fn bytes_are_found_everywhere_they_are() {
        assert_eq!(find_all(b"aababab", b"ab"), [1, 3, 5]);
        assert_eq!(find_all(b"ab", b"abc"), Vec::<u64>::new());
        assert_eq!(find_all(b"", b"a"), Vec::<u64>::new());
    }
}
