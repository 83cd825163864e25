//! What the annotator is asked, and what it says of itself.
//!
//! Knows: words. Must never know: how they come about.
//! Keeps: plain values, which go over the control socket.

use super::queue::{Counts, Wanted};
use crate::artifact::OsBytes;
use serde::{Deserialize, Serialize};

/// Something the annotator is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Say how things stand.
    Status,
    /// Ask about the artifact at this path, or about all beneath it, before anything else.
    Path(OsBytes),
    /// Ask about everything that has a brick.
    All,
    /// Try again what was put aside.
    Retry,
    /// Answer when nothing more can be done for now.
    Drain,
}

/// How several questions stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Bricks that are questions.
    pub questions: u64,
    /// Those that have the answer of their content.
    pub answered: u64,
    /// Those whose question was put aside.
    pub aside: u64,
}

impl Tally {
    /// These, and one more question for each of `all`.
    #[must_use]
    pub fn and(self, all: &[Wanted]) -> Self {
        let n = |wanted: Wanted| all.iter().filter(|one| **one == wanted).count() as u64;
        Self {
            questions: self.questions + all.len() as u64,
            answered: self.answered + n(Wanted::Done),
            aside: self.aside + n(Wanted::Aside),
        }
    }
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether models are asked at all.
    pub enabled: bool,
    /// The server's address.
    pub server: String,
    /// Whether it answered when it was last spoken to; `None` before.
    pub reachable: Option<bool>,
    /// The model that is asked.
    pub model: Option<String>,
    /// Whether the server keeps to schemas.
    pub constrained: Option<bool>,
    /// Tokens of context.
    pub context: Option<u32>,
    /// The queue.
    pub counts: Counts,
    /// Why questions failed, and how many.
    pub failures: Vec<(String, u64)>,
    /// Why nothing is asked at the moment.
    pub paused: Option<String>,
    /// Questions asked in this hour.
    pub jobs_this_hour: u64,
    /// So many at most; 0 for any number.
    pub jobs_per_hour: u64,
    /// Tokens spent today.
    pub tokens_today: u64,
    /// So many at most; 0 for any number.
    pub tokens_per_day: u64,
    /// A daemon does the work.
    pub daemon: bool,
    /// What was done, in words.
    pub said: Option<String>,
    /// How the questions stand that were asked for.
    pub tally: Option<Tally>,
    /// The command to run next, where there is one.
    pub next: Option<String>,
}

impl Status {
    /// The one line that matters most.
    #[must_use]
    pub fn headline(&self) -> String {
        let waiting = self.counts.waiting + self.counts.leased;
        if !self.enabled {
            return format!("annotation is off (annotate.enabled = false); {waiting} waiting");
        }
        match (self.reachable, &self.model) {
            (Some(false), _) => format!("no model server at {}; {waiting} waiting", self.server),
            (_, Some(model)) => format!("{model} at {}; {waiting} waiting", self.server),
            (_, None) => format!("a server at {}; {waiting} waiting", self.server),
        }
    }
}
