//! What the running daemon shows: progress of the first look, then a quiet line.
//!
//! Knows: progress, updates, terminals. Must never know: channels, what makes an update.
//! Keeps: on a terminal one line that changes; elsewhere whole lines, and few of them.

use crate::cli::{output, text};
use crate::daemon::Progress;
use crate::event::Actor;
use crate::pipeline::effect::Update;
use indicatif::{ProgressBar, ProgressDrawTarget};
use std::io::IsTerminal;

/// Nanoseconds between two lines of progress where there is no terminal.
const LINE_EVERY_NS: u64 = 5_000_000_000;

/// Shows progress and updates as they come.
pub(super) struct View {
    /// A line that changes, on a terminal.
    bar: Option<ProgressBar>,
    last_line_ns: u64,
    backend: &'static str,
    files: u64,
    first_look_done: bool,
    changes: u64,
    last_change: String,
}

impl View {
    /// A view on standard error.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            bar
        });
        Self {
            bar,
            last_line_ns: 0,
            backend: "",
            files: 0,
            first_look_done: false,
            changes: 0,
            last_change: String::new(),
        }
    }

    /// Takes progress in; whole lines to say come back.
    pub(super) fn progress(&mut self, now: &Progress) -> Vec<String> {
        let mut lines = Vec::new();
        if self.backend.is_empty() && !now.backend.is_empty() {
            self.backend = now.backend;
            lines.push(format!("backend: {}", now.backend));
        }
        self.files = now.first_fold.files_found;
        if self.first_look_done {
            return lines;
        }
        if now.first_fold.complete {
            self.first_look_done = true;
            lines.push(done_line(now));
            self.show(&self.quiet_line());
            return lines;
        }
        let line = progress_line(now);
        if self.bar.is_some() {
            self.show(&line);
        } else if LINE_EVERY_NS <= now.elapsed_ns.saturating_sub(self.last_line_ns) {
            self.last_line_ns = now.elapsed_ns;
            lines.push(line);
        }
        lines
    }

    /// Takes an update in.
    pub(super) fn update(&mut self, update: &Update) {
        match update {
            Update::Committed { path, actor, .. } if self.first_look_done => {
                self.changes += 1;
                self.last_change = change(path, actor.as_ref());
            }
            Update::Removed { path, .. } if self.first_look_done => {
                self.changes += 1;
                self.last_change = format!("{} is gone", short(path));
            }
            _ => return,
        }
        self.show(&self.quiet_line());
    }

    /// Counts updates that came faster than they could be shown.
    pub(super) fn missed(&mut self, n: u64) {
        if self.first_look_done {
            self.changes += n;
        }
    }

    fn show(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text::fit(line, text::WIDTH - 2));
            bar.tick();
        }
    }

    /// How things stand.
    fn quiet_line(&self) -> String {
        let mut line = format!("watching ({})", self.backend);
        if self.changes > 0 {
            let changes = text::plural(self.changes, "change", "changes");
            line.push_str(&format!("; {changes}, last {}", self.last_change));
        }
        line
    }

    /// Says whole lines without disturbing the one that changes.
    pub(super) fn say(&self, lines: &[String]) {
        for line in lines {
            match &self.bar {
                Some(bar) => bar.suspend(|| output::say(line)),
                None => output::say(line),
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

/// A path that leaves room for the rest of the line.
fn short(path: &[u8]) -> String {
    text::fit(&text::lossy(path), text::WIDTH / 2 - 8)
}

/// What changed, and who did it.
fn change(path: &[u8], actor: Option<&Actor>) -> String {
    let path = short(path);
    match actor {
        Some(actor) => format!("{path} by {}", text::lossy(&actor.comm)),
        None => path,
    }
}

/// How far the first look is.
fn progress_line(now: &Progress) -> String {
    let first = &now.first_fold;
    let mut line = format!(
        "first fold: {} of {} files, {} of {}",
        text::count(first.files_done),
        text::count(first.files_found),
        text::bytes(first.bytes_done),
        text::bytes(first.bytes_found),
    );
    if let Some(left) = now.left_ns.filter(|_| now.bytes_per_second > 0) {
        let rate = text::bytes(now.bytes_per_second);
        line.push_str(&format!(", {rate}/s, {} left", text::duration(left / 1_000_000_000)));
    }
    line
}

/// What the first look came to.
fn done_line(now: &Progress) -> String {
    let first = &now.first_fold;
    let mut line = format!(
        "first fold: {}, {} in {}; {} read ({}), {} as their bricks said",
        text::plural(first.files_found, "file", "files"),
        text::bytes(first.bytes_found),
        text::duration(now.elapsed_ns / 1_000_000_000),
        text::count(first.files_read),
        text::bytes(first.bytes_read),
        text::count(first.files_agreed),
    );
    if first.bricks_removed > 0 {
        let gone = text::plural(first.bricks_removed, "brick", "bricks");
        line.push_str(&format!(", {gone} of vanished files removed"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::ArtifactId;
    use crate::stats::FirstFold;

    fn at(second: u64, done: u64, complete: bool) -> Progress {
        let first_fold = FirstFold {
            files_found: 400,
            files_done: done,
            bytes_found: 400_000_000,
            bytes_done: done * 1_000_000,
            files_read: done,
            bytes_read: done * 1_000_000,
            complete,
            ..FirstFold::default()
        };
        Progress {
            backend: "test",
            first_fold,
            elapsed_ns: second * 1_000_000_000,
            bytes_per_second: 10_000_000,
            left_ns: Some((40 - done / 10) * 1_000_000_000),
        }
    }

    #[test]
    fn without_a_terminal_progress_is_a_few_whole_lines() {
        let mut view = View { bar: None, ..View::new() };
        let mut said = Vec::new();
        for second in 0..20 {
            said.extend(view.progress(&at(second, second * 10, false)));
        }
        assert_eq!(
            said,
            [
                "backend: test",
                "first fold: 50 of 400 files, 50.0 MB of 400 MB, 10.0 MB/s, 35 s left",
                "first fold: 100 of 400 files, 100 MB of 400 MB, 10.0 MB/s, 30 s left",
                "first fold: 150 of 400 files, 150 MB of 400 MB, 10.0 MB/s, 25 s left",
            ]
        );
        assert_eq!(
            view.progress(&at(41, 400, true)),
            ["first fold: 400 files, 400 MB in 41 s; 400 read (400 MB), 0 as their bricks said"]
        );
        assert!(view.progress(&at(99, 400, true)).is_empty(), "quiet from now on");
    }

    #[test]
    fn changes_after_the_first_look_are_counted_and_the_last_is_named() {
        let mut view = View { bar: None, ..View::new() };
        let actor = Actor { comm: b"d\x1bd".to_vec(), ..Actor::default() };
        let committed = Update::Committed {
            artifact: ArtifactId(1),
            path: b"/opt/tool".to_vec(),
            generation: 2,
            size: 5,
            changed_tiles: None,
            actor: Some(actor),
            found: false,
        };
        view.update(&committed);
        view.progress(&at(1, 400, true));
        assert_eq!(view.quiet_line(), "watching (test)");
        view.update(&committed);
        view.missed(2);
        view.update(&committed);
        let line = "watching (test); 4 changes, last /opt/tool by d\u{fffd}d";
        assert_eq!(view.quiet_line(), line);
    }
}
