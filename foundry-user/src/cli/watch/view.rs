//! What the running daemon shows: progress of the first look, then a quiet line.
//!
//! Knows: reports, terminals. Must never know: channels, what makes a report.
//! Keeps: on a terminal one line that changes; elsewhere whole lines, and few of them.

use crate::cli::text;
use crate::event::MonotonicNs;
use crate::stats::Report;
use indicatif::{ProgressBar, ProgressDrawTarget};
use std::io::IsTerminal;

/// Nanoseconds between two lines of progress where there is no terminal.
const LINE_EVERY_NS: u64 = 5_000_000_000;

/// Share of the newest measurement in the rate, as one part of so many.
const SMOOTHING: u64 = 4;

/// Shows reports as they come.
pub(super) struct View {
    /// A line that changes, on a terminal.
    bar: Option<ProgressBar>,
    begun: MonotonicNs,
    last_line: MonotonicNs,
    rate: Rate,
    first_look_done: bool,
    lost: u64,
}

impl View {
    /// A view on standard error.
    pub(super) fn new(now: MonotonicNs) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            bar
        });
        Self {
            bar,
            begun: now,
            last_line: now,
            rate: Rate::default(),
            first_look_done: false,
            lost: 0,
        }
    }

    /// Takes a report in; whole lines to say come back.
    pub(super) fn update(&mut self, report: &Report, now: MonotonicNs) -> Vec<String> {
        let mut lines = Vec::new();
        self.rate.measure(report.first_fold.bytes_done, now);
        if !self.first_look_done && report.first_fold.complete {
            self.first_look_done = true;
            lines.push(done_line(report, now.0.saturating_sub(self.begun.0)));
        }
        let lost = report.numbers.get("lost").copied().unwrap_or(0);
        if self.lost < lost {
            let more = text::plural(lost - self.lost, "record", "records");
            lines.push(format!("{more} did not fit and were made up for by reading more"));
            self.lost = lost;
        }
        let line = if self.first_look_done {
            quiet_line(report)
        } else {
            progress_line(report, self.rate.bytes_per_second)
        };
        match &self.bar {
            Some(bar) => {
                bar.set_message(text::fit(&line, text::WIDTH - 2));
                bar.tick();
            }
            None if !self.first_look_done
                && LINE_EVERY_NS <= now.0.saturating_sub(self.last_line.0) =>
            {
                self.last_line = now;
                lines.push(line);
            }
            None => {}
        }
        lines
    }

    /// Says whole lines without disturbing the one that changes.
    pub(super) fn say(&self, lines: &[String]) {
        for line in lines {
            match &self.bar {
                Some(bar) => bar.suspend(|| crate::cli::output::say(line)),
                None => crate::cli::output::say(line),
            }
        }
    }

    /// Takes the changing line away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Bytes a second, smoothed.
#[derive(Default)]
struct Rate {
    last: Option<(u64, MonotonicNs)>,
    bytes_per_second: u64,
}

impl Rate {
    /// Nanoseconds below which two measurements are too close.
    const STEP_NS: u64 = 200_000_000;

    fn measure(&mut self, bytes: u64, now: MonotonicNs) {
        let Some((before, then)) = self.last else {
            self.last = Some((bytes, now));
            return;
        };
        let elapsed = now.0.saturating_sub(then.0);
        if elapsed < Self::STEP_NS {
            return;
        }
        let gained = u128::from(bytes.saturating_sub(before)) * 1_000_000_000 / u128::from(elapsed);
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        self.bytes_per_second = if self.bytes_per_second == 0 {
            gained
        } else {
            (self.bytes_per_second / SMOOTHING).saturating_mul(SMOOTHING - 1) + gained / SMOOTHING
        };
        self.last = Some((bytes, now));
    }
}

/// How far the first look is.
fn progress_line(report: &Report, rate: u64) -> String {
    let first = &report.first_fold;
    let mut line = format!(
        "first fold: {} of {} files, {} of {}",
        text::count(first.files_done),
        text::count(first.files_found),
        text::bytes(first.bytes_done),
        text::bytes(first.bytes_found),
    );
    if rate > 0 {
        let left = first.bytes_found.saturating_sub(first.bytes_done) / rate;
        line.push_str(&format!(", {}/s, {} left", text::bytes(rate), text::duration(left)));
    }
    line
}

/// What the first look came to.
fn done_line(report: &Report, took_ns: u64) -> String {
    let first = &report.first_fold;
    format!(
        "first fold: {}, {} in {}; {} read ({}), {} as their bricks said",
        text::plural(first.files_found, "file", "files"),
        text::bytes(first.bytes_found),
        text::duration(took_ns / 1_000_000_000),
        text::count(first.files_read),
        text::bytes(first.bytes_read),
        text::count(first.files_agreed),
    )
}

/// How things stand.
fn quiet_line(report: &Report) -> String {
    let number = |name: &str| report.numbers.get(name).copied().unwrap_or(0);
    format!(
        "{}: {}, {} pending, {} seen, {}",
        report.backend,
        text::plural(number("artifacts"), "artifact", "artifacts"),
        text::count(number("pending")),
        text::plural(number("seen"), "change", "changes"),
        text::plural(number("commits"), "commit", "commits"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::FirstFold;

    fn at(seconds: u64) -> MonotonicNs {
        MonotonicNs(seconds * 1_000_000_000)
    }

    fn report(done: u64, found: u64, complete: bool) -> Report {
        let first_fold = FirstFold {
            files_found: found,
            files_done: done,
            bytes_found: found * 1_000_000,
            bytes_done: done * 1_000_000,
            files_read: done,
            bytes_read: done * 1_000_000,
            complete,
            ..FirstFold::default()
        };
        Report { first_fold, ..Report::default() }
    }

    #[test]
    fn without_a_terminal_progress_is_a_few_whole_lines() {
        let mut view = View { bar: None, ..View::new(at(0)) };
        let mut said = Vec::new();
        for second in 0..20 {
            said.extend(view.update(&report(second * 10, 400, false), at(second)));
        }
        assert_eq!(said.len(), 3, "{said:?}");
        assert_eq!(
            said[0],
            "first fold: 50 of 400 files, 50.0 MB of 400 MB, 9.99 MB/s, 35 s left"
        );
        let done = view.update(&report(400, 400, true), at(21));
        assert_eq!(
            done,
            ["first fold: 400 files, 400 MB in 21 s; 400 read (400 MB), 0 as their bricks said"]
        );
        assert!(view.update(&report(400, 400, true), at(100)).is_empty(), "quiet from now on");
    }

    #[test]
    fn loss_is_said_once() {
        let mut view = View { bar: None, ..View::new(at(0)) };
        let mut lossy = report(0, 0, true);
        view.update(&lossy, at(1));
        lossy.numbers.insert("lost".to_owned(), 3);
        assert_eq!(
            view.update(&lossy, at(2)),
            ["3 records did not fit and were made up for by reading more"]
        );
        assert!(view.update(&lossy, at(3)).is_empty());
    }
}
