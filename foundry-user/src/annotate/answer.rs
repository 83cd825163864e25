//! What counts as an answer, and what of it is kept.
//!
//! Knows: the words an answer may use. Must never know: how it was had.
//! Keeps: a claim that cites no fact of its question is dropped and counted; every text is bounded
//! and without control characters; the rest of the program only ever shows what is here.

use super::prompt::Subject;
use serde::{Deserialize, Serialize};

/// What a file may be for.
pub const CATEGORIES: &[&str] = &[
    "command",
    "daemon",
    "library",
    "kernel-module",
    "script",
    "configuration",
    "data",
    "document",
    "media",
    "archive",
    "package",
    "database",
    "log",
    "firmware",
    "source-code",
    "development-tool",
    "network-tool",
    "security-tool",
    "desktop-application",
    "system-component",
    "unknown",
];

/// What a program may be able to do.
pub const CAPABILITIES: &[&str] = &[
    "network-client",
    "network-server",
    "execute-programs",
    "read-files",
    "write-files",
    "debug-processes",
    "load-kernel-code",
    "bpf",
    "cryptography",
    "compression",
    "shell",
    "change-privileges",
    "manage-users",
    "manage-packages",
    "manage-services",
    "mount",
    "raw-devices",
    "graphics",
    "audio",
    "terminal",
    "database",
    "scripting",
    "other",
];

/// How much a person should look at it.
pub const RISKS: &[&str] = &["none", "low", "review", "unknown"];

/// Characters of a summary.
const SUMMARY: usize = 400;

/// Characters of every other text.
const TEXT: usize = 200;

/// Claims of one kind.
const CLAIMS: usize = 12;

/// Facts that one claim may cite.
const EVIDENCE: usize = 8;

/// Something that is claimed, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed.
    pub what: String,
    /// Ids of facts in an answer, names of facts in an annotation.
    pub evidence: Vec<String>,
}

/// A valid answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it is, in a sentence or two.
    pub summary: String,
    /// What it is for.
    pub purpose: String,
    /// One of [`CATEGORIES`].
    pub category: String,
    /// What it can do: one of [`CAPABILITIES`] each.
    pub capabilities: Vec<Claim>,
    /// One of [`RISKS`].
    pub risk: String,
    /// Why.
    pub reasons: Vec<Claim>,
    /// Per cent.
    pub confidence: u8,
}

/// What a model thinks an artifact is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// What of its answer is kept: claims name facts, texts are bounded.
    pub answer: Answer,
    /// Which model answered.
    pub model: String,
    /// Version of the question.
    pub prompt_version: u32,
    /// When it answered, nanoseconds since 1970.
    pub at_ns: i64,
    /// The server was seen to enforce the form of answers.
    pub constrained: bool,
    /// Claims without evidence, which were dropped.
    pub dropped: u32,
}

/// Who answered, how, and when.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) model: String,
    pub(super) constrained: bool,
    pub(super) prompt_version: u32,
    pub(super) at_ns: i64,
}

impl Answer {
    /// Keeps what the facts of the question show.
    pub(super) fn grounded(self, subject: &Subject, source: Source) -> Annotation {
        let mut dropped = 0;
        let mut ground = |claims: Vec<Claim>| -> Vec<Claim> {
            let all = claims.len();
            let kept: Vec<Claim> = claims.into_iter().filter_map(|c| cite(c, subject)).collect();
            dropped += u32::try_from(all - kept.len()).unwrap_or(u32::MAX);
            kept.into_iter().take(CLAIMS).collect()
        };
        let (capabilities, reasons) = (ground(self.capabilities), ground(self.reasons));
        // A warning that points at nothing is none.
        let groundless = reasons.is_empty() && matches!(self.risk.as_str(), "low" | "review");
        let answer = Self {
            summary: plain(&self.summary, SUMMARY),
            purpose: plain(&self.purpose, TEXT),
            category: self.category,
            capabilities,
            risk: if groundless { "unknown".to_owned() } else { self.risk },
            reasons,
            confidence: self.confidence.min(100),
        };
        Annotation {
            answer,
            model: plain(&source.model, TEXT),
            prompt_version: source.prompt_version,
            at_ns: source.at_ns,
            constrained: source.constrained,
            dropped,
        }
    }
}

/// The claim with names for ids; `None` where nothing of the question shows it.
fn cite(claim: Claim, subject: &Subject) -> Option<Claim> {
    let mut evidence: Vec<String> = Vec::new();
    for name in claim.evidence.iter().filter_map(|id| subject.cited(id)) {
        if evidence.len() < EVIDENCE && !evidence.iter().any(|e| e == name) {
            evidence.push(name.to_owned());
        }
    }
    (!evidence.is_empty()).then(|| Claim { what: plain(&claim.what, TEXT), evidence })
}

/// Text that neither a terminal nor a browser takes for anything else, at most `most` characters.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let invisible = |c: char| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control() && !invisible(*c)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foundry_brick::{FactValue, Facts, Meta};

    fn claim(what: &str, evidence: &[&str]) -> Claim {
        let evidence = evidence.iter().map(|e| (*e).to_owned()).collect();
        Claim { what: what.to_owned(), evidence }
    }

    #[test]
    fn what_no_fact_shows_is_dropped() {
        let facts = Facts::from([("needed".to_owned(), FactValue::List(vec![]))]);
        let subject = Subject::new(&Meta::default(), &facts, str::to_owned);
        let answer = Answer {
            summary: "a\u{202e}b\n\u{1b}[31mc".to_owned() + &"x".repeat(900),
            purpose: "p".to_owned(),
            category: "command".to_owned(),
            capabilities: vec![
                claim("network-client", &["f3", "f3", "f99"]),
                claim("shell", &[]),
                claim("bpf", &["f77", "needed"]),
            ],
            risk: "review".to_owned(),
            reasons: vec![claim("because", &["nothing"])],
            confidence: 250,
        };
        let source =
            Source { model: "m".to_owned(), constrained: true, prompt_version: 1, at_ns: 5 };
        let kept = answer.grounded(&subject, source);
        let Annotation { answer: kept, dropped, .. } = kept;
        assert_eq!(kept.capabilities, [claim("network-client", &["needed"])]);
        assert_eq!((dropped, kept.confidence), (3, 100));
        assert_eq!((kept.risk.as_str(), kept.reasons.len()), ("unknown", 0));
        assert!(kept.summary.starts_with("ab [31mcxxx") && kept.summary.chars().count() == 400);
    }
}
