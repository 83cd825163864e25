//! When something is due again: names of periods, calendar expressions, and what was missed.
//!
//! Knows: calendars. Must never know: what is done when it is time, clocks (moments come as values).
//! Keeps: what was missed while nobody ran is caught up once, not once for each time; a clock that
//! went back delays nothing for longer than one period.

mod kept;

pub use kept::Kept;

use crate::event::UnixNs;
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// The periods that have a name.
const NAMED: [(&str, &str); 4] = [
    ("hourly", "0 * * * *"),
    ("daily", "0 0 * * *"),
    ("weekly", "0 0 * * 1"),
    ("monthly", "0 0 1 * *"),
];

/// How often: a named period, or a calendar expression of five fields (`30 3 * * MON-FRI`).
#[derive(Clone, Debug)]
pub struct Every {
    text: String,
    cron: Box<Cron>,
}

impl PartialEq for Every {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Every {}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let named = NAMED.iter().find(|(name, _)| *name == text);
        let pattern = named.map_or(text, |(_, pattern)| pattern);
        if pattern.split_whitespace().count() != 5 {
            return Err(format!(
                "`{text}` is neither hourly, daily, weekly or monthly, nor a calendar expression of \
                 five fields (minute hour day month weekday, as `30 3 * * MON`)"
            ));
        }
        let cron = Cron::from_str(pattern);
        let cron =
            cron.map_err(|e| format!("`{text}` is no calendar expression: {e}").to_lowercase())?;
        Ok(Self { text: text.to_owned(), cron: Box::new(cron) })
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Every {
    /// The first moment after `after`, by the calendar of `zone`; `None` where there is none (a 30th
    /// of February).
    #[must_use]
    pub fn next(&self, after: UnixNs, zone: &TimeZone) -> Option<UnixNs> {
        let after = Timestamp::from_nanosecond(after.0.into()).ok()?;
        let next: Zoned =
            self.cron.find_next_occurrence(&after.to_zoned(zone.clone()), false).ok()?;
        i64::try_from(next.timestamp().as_nanosecond()).ok().map(UnixNs)
    }
}

/// One thing to be done again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: Vec<u8>,
    every: Every,
    /// When it was last done, or first heard of.
    last: UnixNs,
    next: Option<UnixNs>,
    running: bool,
}

/// Everything that is to be done again and again. A machine: moments in, names out.
#[derive(Debug)]
pub struct Schedules {
    zone: TimeZone,
    entries: Vec<Entry>,
}

/// One entry, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What.
    pub name: Vec<u8>,
    /// How often, as it was written.
    pub every: String,
    /// When it is due next.
    pub next: Option<UnixNs>,
    /// Whether it is being done.
    pub running: bool,
}

impl Schedules {
    /// Nothing yet; days begin where `zone` says.
    #[must_use]
    pub const fn new(zone: TimeZone) -> Self {
        Self { zone, entries: Vec::new() }
    }

    /// From now on these, and no others. What is there already goes on as it was; `kept` says when
    /// the others were last done, and what nobody ever did begins to count at `now`.
    pub fn set(&mut self, wanted: &[(Vec<u8>, Every)], kept: &Kept, now: UnixNs) {
        let mut entries = Vec::new();
        for (name, every) in wanted {
            let old = self.entries.iter().find(|e| e.name == *name);
            let last = old.map(|e| e.last).or_else(|| kept.last(name)).unwrap_or(now);
            // What lies ahead was written by a clock that has been set back since.
            let last = last.min(now);
            let next = every.next(last, &self.zone);
            let running = old.is_some_and(|e| e.running);
            let (name, every) = (name.clone(), every.clone());
            entries.push(Entry { name, every, last, next, running });
        }
        self.entries = entries;
    }

    /// What is to be begun now. Each of these is running until [`Schedules::done`].
    pub fn tick(&mut self, now: UnixNs) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        for entry in &mut self.entries {
            if now < entry.last {
                entry.last = now;
                entry.next = entry.every.next(now, &self.zone);
            }
            if !entry.running && entry.next.is_some_and(|next| next <= now) {
                entry.running = true;
                entry.last = now;
                due.push(entry.name.clone());
            }
        }
        due
    }

    /// It has been done: says when it began, which is what is to be kept.
    pub fn done(&mut self, name: &[u8]) -> Option<UnixNs> {
        let entry = self.entries.iter_mut().find(|e| e.name == name && e.running)?;
        entry.running = false;
        entry.next = entry.every.next(entry.last, &self.zone);
        Some(entry.last)
    }

    /// Everything, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> Vec<Due> {
        let one = |e: &Entry| Due {
            name: e.name.clone(),
            every: e.every.to_string(),
            next: e.next,
            running: e.running,
        };
        self.entries.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests;
