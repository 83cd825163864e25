//! Logs: from when to when, how fast, which levels, and what most lines look like.
//!
//! Knows: lines, the usual stamps of time. Must never know: whose log it is.
//! Keeps: of a long log the beginning and the end are read, and the facts say so; the number of
//! templates is bounded while counting.

use super::content::Facts;
use crate::binary::Fact;
use crate::binary::source::Source;
use std::collections::BTreeMap;
use std::io;

/// A log of at most so many bytes is read whole.
const WHOLE: u64 = 4 << 20;

/// Bytes at the end of a longer one.
const TAIL: u64 = 3 << 20;

/// Lines at the start that decide whether it is a log.
const ASKED: usize = 40;

/// Templates that are counted; what comes after these is only counted together.
const MAX_TEMPLATES: usize = 1024;

/// Templates that are kept.
const MAX_KEPT: usize = 8;

/// Characters of a template.
const MAX_LEN: usize = 160;

/// Words of a line among which its level is looked for.
const LEVEL_WORDS: usize = 12;

/// Levels by the words that say so.
const LEVELS: &[(&str, &str)] = &[
    ("emerg", "fatal"),
    ("alert", "fatal"),
    ("fatal", "fatal"),
    ("panic", "fatal"),
    ("crit", "critical"),
    ("critical", "critical"),
    ("err", "error"),
    ("error", "error"),
    ("severe", "error"),
    ("warn", "warning"),
    ("warning", "warning"),
    ("notice", "notice"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days before each month, as if no year were a leap year: good enough for a distance.
const DAYS: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// When a line says it was written.
struct Stamp<'a> {
    text: &'a str,
    seconds: i64,
    rest: &'a str,
}

/// Whether text is a log: most lines begin with a time. A name that says so needs fewer of them.
pub(super) fn is_log(head: &[u8], path: &[u8]) -> bool {
    let named = path.ends_with(b".log") || memchr::memmem::find(path, b"/var/log/").is_some();
    let lines = head.split(|&b| b == b'\n').filter(|l| !l.trim_ascii().is_empty()).take(ASKED);
    let (mut all, mut stamped) = (0, 0);
    for line in lines {
        all += 1;
        stamped += usize::from(text(line).as_deref().and_then(stamp).is_some());
    }
    let share = if named { 3 } else { 7 };
    stamped > 0 && (named || all > 1) && stamped * 10 >= all * share
}

/// Adds what the lines say.
pub(super) fn describe(source: &Source<'_>, head: &[u8], facts: &mut Facts) -> io::Result<()> {
    let size = source.size();
    let mut seen = Seen::default();
    if size <= WHOLE {
        let rest = source.window(head.len() as u64, WHOLE)?;
        seen.take(&[head, &rest].concat());
        facts.insert("log.lines".to_owned(), Fact::Number(seen.lines));
    } else {
        seen.take(cut_end(head));
        let tail = source.window(size - TAIL, TAIL)?;
        seen.take(cut_start(&tail));
        let read = head.len() as u64 + TAIL;
        let estimate = u128::from(seen.lines) * u128::from(size) / u128::from(read.max(1));
        let estimate = u64::try_from(estimate).unwrap_or(u64::MAX);
        facts.insert("log.lines_estimated".to_owned(), Fact::Number(estimate));
        facts.insert("log.sampled_bytes".to_owned(), Fact::Number(read));
    }
    seen.facts(facts);
    Ok(())
}

fn cut_end(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memrchr(b'\n', bytes).map_or(bytes.len(), |n| n + 1)]
}

fn cut_start(bytes: &[u8]) -> &[u8] {
    &bytes[memchr::memchr(b'\n', bytes).map_or(0, |n| n + 1)..]
}

fn text(line: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let line = &line[..line.len().min(1024)];
    Some(String::from_utf8_lossy(line)).filter(|l| !l.trim().is_empty())
}

/// What was counted.
#[derive(Default)]
struct Seen {
    lines: u64,
    first: Option<(String, i64)>,
    last: Option<(String, i64)>,
    minute: i64,
    in_minute: u64,
    peak: u64,
    levels: BTreeMap<&'static str, u64>,
    templates: BTreeMap<String, u64>,
    others: u64,
}

impl Seen {
    fn take(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&b| b == b'\n') {
            let Some(line) = text(line) else { continue };
            self.lines += 1;
            let rest = match stamp(&line) {
                Some(stamp) => {
                    self.time(&stamp);
                    stamp.rest
                }
                None => &line,
            };
            if let Some(level) = level(rest) {
                *self.levels.entry(level).or_default() += 1;
            }
            let template = template(rest);
            if let Some(count) = self.templates.get_mut(&template) {
                *count += 1;
            } else if self.templates.len() < MAX_TEMPLATES {
                self.templates.insert(template, 1);
            } else {
                self.others += 1;
            }
        }
    }

    fn time(&mut self, stamp: &Stamp<'_>) {
        let now = (stamp.text.to_owned(), stamp.seconds);
        if self.first.is_none() {
            self.first = Some(now.clone());
        }
        self.last = Some(now);
        let minute = stamp.seconds.div_euclid(60);
        if minute != self.minute {
            (self.minute, self.in_minute) = (minute, 0);
        }
        self.in_minute += 1;
        self.peak = self.peak.max(self.in_minute);
    }

    fn facts(self, facts: &mut Facts) {
        let mut put = |name: &str, fact| facts.insert(format!("log.{name}"), fact);
        if let (Some(first), Some(last)) = (self.first, self.last) {
            let span = u64::try_from(last.1.saturating_sub(first.1)).unwrap_or(0);
            put("first", Fact::Text(first.0));
            put("last", Fact::Text(last.0));
            if span > 0 {
                put("seconds", Fact::Number(span));
                put("lines_per_hour", Fact::Number(self.lines.saturating_mul(3600) / span));
            }
            put("peak_per_minute", Fact::Number(self.peak));
        }
        if !self.levels.is_empty() {
            let levels = self.levels.iter().map(|(level, n)| format!("{level} {n}")).collect();
            put("levels", Fact::List(levels));
        }
        let kinds = self.templates.len() as u64;
        let mut templates: Vec<(String, u64)> = self.templates.into_iter().collect();
        templates.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let templates = templates.into_iter().take(MAX_KEPT).map(|(t, n)| format!("{n}x {t}"));
        put("templates", Fact::List(templates.collect()));
        put("template_count", Fact::Number(kinds));
        if self.others > 0 {
            put("lines_beyond_templates", Fact::Number(self.others));
        }
    }
}

/// What stays the same in lines of one kind: words with digits are places for values.
fn template(line: &str) -> String {
    let mut out = String::new();
    for word in line.split_whitespace() {
        if out.len() >= MAX_LEN {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let (name, value) = word.split_once('=').map_or(("", word), |(n, v)| (n, v));
        let varies = |w: &str| w.bytes().any(|b| b.is_ascii_digit());
        if varies(name) || (name.is_empty() && varies(value)) {
            out.push_str("<*>");
        } else if name.is_empty() {
            out.push_str(word);
        } else {
            out.push_str(name);
            out.push_str("=<*>");
        }
    }
    out.chars().take(MAX_LEN).collect()
}

fn level(line: &str) -> Option<&'static str> {
    let words = line.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| !w.is_empty());
    words.take(LEVEL_WORDS).find_map(|word| {
        LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
    })
}

/// The time at the start of a line, behind at most a bracket; a web server's stands further in.
fn stamp(line: &str) -> Option<Stamp<'_>> {
    let start = line.trim_start_matches(['[', '<', '(', '"', ' ']);
    iso(start)
        .or_else(|| syslog(start))
        .or_else(|| uptime(line))
        .or_else(|| epoch(start))
        .or_else(|| web(line))
}

fn number(text: &str, at: usize, len: usize) -> Option<i64> {
    let digits = text.get(at..at + len)?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

fn clock(text: &str, at: usize) -> Option<i64> {
    let colons = text.get(at + 2..at + 3)? == ":" && text.get(at + 5..at + 6)? == ":";
    let (h, m, s) = (number(text, at, 2)?, number(text, at + 3, 2)?, number(text, at + 6, 2)?);
    (colons && h < 24 && m < 60 && s < 61).then_some(h * 3600 + m * 60 + s)
}

fn day(year: i64, month: i64, day: i64) -> Option<i64> {
    let before = DAYS.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    (1..=31).contains(&day).then_some(year * 365 + year / 4 + before + day)
}

fn of(text: &str, len: usize, seconds: i64) -> Option<Stamp<'_>> {
    Some(Stamp {
        text: text.get(..len)?,
        seconds,
        rest: text.get(len..)?.trim_start_matches(|c: char| !c.is_whitespace()),
    })
}

/// `2026-11-20T10:00:00` and its kin.
fn iso(text: &str) -> Option<Stamp<'_>> {
    let dashes = matches!(text.get(4..5)?, "-" | "/") && matches!(text.get(7..8)?, "-" | "/");
    let between = matches!(text.get(10..11)?, "T" | " " | "t");
    let day = day(number(text, 0, 4)?, number(text, 5, 2)?, number(text, 8, 2)?)?;
    let seconds = day * 86_400 + clock(text, 11)?;
    if dashes && between { of(text, 19, seconds) } else { None }
}

/// `Nov 20 10:00:00`.
fn syslog(text: &str) -> Option<Stamp<'_>> {
    let month = MONTHS.iter().position(|m| text.starts_with(m))?;
    let date = text.get(4..6)?.trim_start();
    let day = DAYS[month] + number(date, 0, date.len())?;
    of(text, 15, day * 86_400 + clock(text, 7)?)
}

/// `[   12.345678]`: seconds since the start.
fn uptime(line: &str) -> Option<Stamp<'_>> {
    let inner = line.strip_prefix('[')?;
    let end = inner.find(']').filter(|&n| n <= 24)?;
    let (seconds, fraction) = inner[..end].trim_start().split_once('.')?;
    let plain = fraction.len() == 6 && fraction.bytes().all(|b| b.is_ascii_digit());
    let seconds = number(seconds, 0, seconds.len()).filter(|_| plain && !seconds.is_empty())?;
    Some(Stamp { text: inner[..end].trim_start(), seconds, rest: &inner[end + 1..] })
}

/// Ten digits.
fn epoch(text: &str) -> Option<Stamp<'_>> {
    let seconds = number(text, 0, 10)?;
    let next = text.get(10..11)?;
    let plausible = (1_000_000_000..3_000_000_000).contains(&seconds);
    if plausible && matches!(next, "." | " " | ",") { of(text, 10, seconds) } else { None }
}

/// `[20/Nov/2026:10:00:00 +0000]` behind the address and the user.
fn web(line: &str) -> Option<Stamp<'_>> {
    let at = line.find('[').filter(|&n| n < 120)? + 1;
    let text = line.get(at..)?;
    let month = MONTHS.iter().position(|m| text.get(3..6) == Some(m))?;
    let month = i64::try_from(month).ok()? + 1;
    let day = day(number(text, 7, 4)?, month, number(text, 0, 2)?)?;
    let stamp = of(text, 20, day * 86_400 + clock(text, 12)?)?;
    Some(Stamp { rest: text.find(']').map_or("", |n| &text[n + 1..]), ..stamp })
}
