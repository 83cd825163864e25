//! What to run next: after each command, and in each state of a task.
//!
//! Knows: what was just done or found, how the command line spells what follows. Must never know:
//! how anything is done, where the line is shown.
//! Keeps: the line can be typed as it stands: names are quoted, the store that was named is named
//! again.

use std::borrow::Cow;
use std::path::Path;

/// What was just done, or how things stand.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The daemon began to watch.
    Watching,
    /// The daemon ended.
    Stopped,
    /// Every change is in the bricks.
    Synced,
    /// The counters were shown; so many artifacts are pending.
    Counted(u64),
    /// A brick was made.
    Made(&'a Path),
    /// A brick was shown.
    Shown(&'a Path),
    /// Two bricks were compared, and whether they are the same.
    Compared(&'a Path, bool),
    /// A brick was verified, and whether all of it was true.
    Verified(&'a Path, bool),
    /// Every brick was verified.
    AllVerified(bool),
    /// The bytes of a brick were written to a file.
    Unfolded(&'a Path),
    /// A picture was written.
    Drawn(&'a Path),
    /// A brick was written for another program.
    Exported(&'a Path),
    /// The bricks were searched; the first artifact that has it.
    Found(Option<&'a Path>),
    /// The map was written as plain files.
    Published(&'a Path),
    /// A recording was replayed.
    Replayed,
    /// The machine was looked at, and whether it allows a backend.
    Examined(bool),
    /// A configuration was judged, and whether it was good.
    Configured(&'a Path, bool),
    /// A directory was made ready for tasks.
    Prepared(&'a Path),
    /// The tasks were listed, and whether there are any.
    NoTasks(bool),
    /// A task, or a change, waits for nobody but the daemon; and whether one runs.
    TaskWaits(bool),
    /// A task waits for a model's answer.
    TaskAwaits,
    /// A task asks for more than it may.
    TaskAsks(&'a str),
    /// A task was approved.
    TaskApproved,
    /// A task was set aside, or a step of a change failed.
    TaskRetry(&'a str),
    /// A task wrote a brick of this name.
    TaskMadeBrick(&'a Path),
    /// A file was written that is none of our own kinds.
    Wrote(&'a Path),
    /// A change has no tasks yet.
    ChangePlanned(&'a Path, &'a str),
    /// The steps of a change make no sense.
    ChangeWrong(&'a Path),
    /// What is left of a change is for people.
    ChangeForPeople(&'a Path, &'a str),
    /// Every box of a change is ticked.
    ChangeDone(&'a Path, &'a str),
}

impl Step<'_> {
    /// The command to run next.
    #[must_use]
    pub fn line(&self, store: Option<&Path>) -> String {
        let ours = |args: &str| match store {
            None => format!("foundry-user {args}"),
            Some(store) => format!("foundry-user {args} --store {}", word(store)),
        };
        let on = |verb: &str, path: &Path| ours(&format!("{verb} {}", word(path)));
        match self {
            Self::Watching => ours("status"),
            Self::Stopped | Self::Synced | Self::Replayed | Self::Counted(0) => {
                ours("verify --all")
            }
            Self::Counted(_) | Self::AllVerified(false) | Self::Found(None) => ours("sync"),
            Self::Found(Some(artifact)) => on("inspect", artifact),
            Self::AllVerified(true) => ours("tasks"),
            Self::Made(brick) | Self::Compared(brick, false) | Self::Verified(brick, false) => {
                on("inspect", brick)
            }
            Self::Shown(brick) | Self::Compared(brick, true) | Self::Unfolded(brick) => {
                on("verify", brick)
            }
            Self::Verified(brick, true) => {
                ours(&format!("export {} --format png -o picture.png", word(brick)))
            }
            Self::Drawn(file) => format!("xdg-open {}", word(file)),
            Self::Exported(file) => {
                format!("foundry-user unfold {} -o unfolded", word(file))
            }
            Self::Wrote(file) => format!("ls -l {}", word(file)),
            Self::Published(site) => {
                format!("python3 -m http.server --directory {} --bind 127.0.0.1 8000", word(site))
            }
            Self::Examined(true) => ours("--watch ."),
            Self::Examined(false) => "sudo foundry-user doctor".to_owned(),
            Self::Configured(file, true) => format!("foundry-user --config {}", word(file)),
            Self::Configured(file, false) => format!("foundry-user config check {}", word(file)),
            Self::Prepared(project) => format!(
                "cd {} && openspec new change fold-something --schema foundry-v2",
                word(project)
            ),
            Self::NoTasks(true) => ours("tasks"),
            Self::NoTasks(false) => ours("tasks init ."),
            Self::TaskWaits(true) | Self::TaskApproved => ours("tasks --wait"),
            Self::TaskWaits(false) => ours("--watch ."),
            Self::TaskAwaits => ours("annotate --status"),
            Self::TaskAsks(id) => ours(&format!("tasks approve {id}")),
            Self::TaskRetry(id) => ours(&format!("tasks retry {id}")),
            Self::TaskMadeBrick(brick) => format!("foundry-user inspect {}", word(brick)),
            Self::ChangePlanned(project, name) => {
                format!("cd {} && openspec status --change {name}", word(project))
            }
            Self::ChangeWrong(file) => format!("\"${{EDITOR:-vi}}\" {}", word(file)),
            Self::ChangeForPeople(project, name) => {
                format!("cd {} && openspec instructions apply --change {name}", word(project))
            }
            Self::ChangeDone(project, name) => format!(
                "cd {} && openspec validate {name} --strict && openspec archive {name}",
                word(project)
            ),
        }
    }
}

/// A path as one word of a shell.
fn word(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text;
    }
    let dashed = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    Cow::Owned(format!("'{}'", dashed.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_typed_as_it_stands() {
        let brick = Path::new("/a b/it's.brick");
        let line = Step::Made(brick).line(Some(Path::new("/s")));
        assert_eq!(line, "foundry-user inspect '/a b/it'\\''s.brick' --store /s");
        assert_eq!(Step::Synced.line(None), "foundry-user verify --all");
        let dash = Step::Shown(Path::new("-o")).line(None);
        assert_eq!(dash, "foundry-user verify './-o'");
    }

    /// Every line of ours is one that our own command line takes.
    #[test]
    fn what_is_said_is_understood() {
        use clap::Parser;
        let p = Path::new("x.brick");
        let steps = [
            Step::Watching,
            Step::Stopped,
            Step::Synced,
            Step::Counted(0),
            Step::Counted(2),
            Step::Made(p),
            Step::Shown(p),
            Step::Compared(p, true),
            Step::Compared(p, false),
            Step::Verified(p, true),
            Step::Verified(p, false),
            Step::AllVerified(true),
            Step::AllVerified(false),
            Step::Unfolded(p),
            Step::Replayed,
            Step::Found(None),
            Step::Found(Some(p)),
            Step::Exported(p),
            Step::Examined(true),
            Step::Configured(p, true),
            Step::Configured(p, false),
            Step::NoTasks(true),
            Step::NoTasks(false),
            Step::TaskRetry("0123456789ab"),
            Step::TaskWaits(true),
            Step::TaskWaits(false),
            Step::TaskAsks("0123456789ab"),
            Step::TaskApproved,
            Step::TaskAwaits,
            Step::TaskMadeBrick(p),
        ];
        for step in steps {
            for store in [None, Some(Path::new("/s"))] {
                let line = step.line(store);
                let parsed = crate::args::Cli::try_parse_from(line.split(' '));
                assert!(parsed.is_ok(), "{step:?}: {line}: {parsed:?}");
            }
        }
    }
}
