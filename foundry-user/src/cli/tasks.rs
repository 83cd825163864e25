//! `tasks`: what there is to do in the configured projects, how it stands, and what to do about it.
//!
//! Knows: the look, the daemon's socket. Must never know: how a task is done.
//! Keeps: the list is read from the files, which are the state; it needs no daemon.

use super::output::{print, say, say_next};
use super::{Store, text};
use crate::args::{Tasks, TasksCommand};
use crate::clock;
use crate::config::Project;
use crate::control::client::{self, ControlError};
use crate::error::{CommandError, Exit};
use crate::next::Step;
use crate::schedule::{Every, Kept};
use crate::tasks::{self, Approvals, State, View, look, prepare};
use crate::wire_tasks::{self, Listed};
use jiff::tz::TimeZone;
use std::path::Path;
use std::time::Duration;

/// How long the daemon may take to do everything.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the command.
pub(super) fn run(
    args: &Tasks,
    store: &Store,
    configured: Option<&[Project]>,
) -> Result<Exit, CommandError> {
    match &args.command {
        Some(TasksCommand::Init { project }) => init(project),
        Some(TasksCommand::Approve { id }) => approve(id, store, configured),
        Some(TasksCommand::Retry { id }) => retry(id, store, configured),
        None => list(args, store, configured),
    }
}

/// Everything there is, and whether a daemon runs.
fn found(store: &Store, configured: Option<&[Project]>) -> Result<(Vec<View>, bool), CommandError> {
    let directory = store.path()?;
    let runs = client::status(&directory).is_ok();
    let projects = match configured {
        Some(projects) => projects.to_vec(),
        None => tasks::known(&directory),
    };
    let approvals = Approvals::of(&directory);
    let found = look(&projects, &approvals, store.named.as_deref(), runs, clock::wall());
    Ok((found.into_iter().map(|f| f.view).collect(), runs))
}

fn list(args: &Tasks, store: &Store, configured: Option<&[Project]>) -> Result<Exit, CommandError> {
    let directory = store.path()?;
    if args.wait {
        client::tasks(&directory, PATIENCE).map_err(super::sync::refused)?;
    }
    let (views, runs) = found(store, configured)?;
    let next = overall(&views).map_or_else(|| store.next(Step::NoTasks(false)), str::to_owned);
    let schedules = schedules(&directory);
    if args.json {
        print(&wire_tasks::list(&views, &schedules, runs, &next)?)?;
    } else {
        print(&sheet(&views, &schedules))?;
        say_next(&next);
    }
    let is_trouble = views.iter().any(|view| view.state.is_trouble());
    Ok(if is_trouble { Exit::Difference } else { Exit::Done })
}

/// What to do first, of everything.
fn overall(views: &[View]) -> Option<&str> {
    const ORDER: [State; 7] = [
        State::NeedsApproval,
        State::Failed,
        State::SetAside,
        State::Waiting,
        State::Planned,
        State::ForPeople,
        State::Done,
    ];
    let first = ORDER.iter().find_map(|state| views.iter().find(|view| view.state == *state));
    first.map(|view| view.next.as_str())
}

fn schedules(store: &Path) -> Vec<Listed> {
    let zone = TimeZone::system();
    let one = |(name, at, every): (Vec<u8>, crate::event::UnixNs, String)| Listed {
        path: String::from_utf8_lossy(&name).into_owned(),
        last: at.0,
        next: every.parse::<Every>().ok().and_then(|e| e.next(at, &zone)).map(|at| at.0),
        every,
    };
    Kept::open(store).all().into_iter().map(one).collect()
}

fn sheet(views: &[View], schedules: &[Listed]) -> String {
    let mut out = String::new();
    for view in views {
        let boxes = view.boxes.map(|(done, all)| format!(" {done}/{all}")).unwrap_or_default();
        let (kind, name) = (text::clean(&view.kind), text::clean(&view.name));
        out.push_str(&format!("{}  {}{boxes}  {kind}  {name}\n", view.id, view.state.name()));
        for result in &view.results {
            out.push_str(&format!("    {}\n", text::clean(&result.to_string_lossy())));
        }
        if let Some(detail) = &view.detail {
            out.push_str(&format!("    {}\n", text::clean(detail)));
        }
        out.push_str(&format!("    next: {}\n", text::clean(&view.next)));
    }
    for schedule in schedules {
        let moment = |ns: i64| {
            let at = jiff::Timestamp::from_nanosecond(ns.into()).unwrap_or_default();
            let at = at.to_zoned(TimeZone::system());
            at.strftime("%Y-%m-%d %H:%M").to_string()
        };
        let next = schedule.next.map_or_else(|| "never".to_owned(), moment);
        let path = text::clean(&schedule.path);
        out.push_str(&format!("{path} is compared {}; next {next}\n", schedule.every));
    }
    if views.is_empty() && schedules.is_empty() {
        out.push_str("no task, no change, no schedule\n");
    }
    out
}

/// The task with this id. A name is no id: it stays when its file is changed.
fn named(id: &str, store: &Store, configured: Option<&[Project]>) -> Result<View, CommandError> {
    let (views, _) = found(store, configured)?;
    let called = views.iter().find(|view| view.name == id).map(|view| view.id.clone());
    views.into_iter().find(|view| view.id == id).ok_or_else(|| {
        let id = text::clean(id);
        CommandError::Usage(match called {
            Some(now) => format!("{id} is a name; as its file is now, the task's id is {now}"),
            None => format!("there is no task {id}; `foundry-user tasks` lists them"),
        })
    })
}

fn approve(id: &str, store: &Store, configured: Option<&[Project]>) -> Result<Exit, CommandError> {
    let view = named(id, store, configured)?;
    let directory = store.path()?;
    let added = Approvals::of(&directory).add(id);
    added.map_err(|e| CommandError::io("approve in", &directory, e))?;
    say(&format!("{}: approved, as its file is now", text::clean(&view.name)));
    wake(&directory)?;
    say_next(&store.next(Step::TaskApproved));
    Ok(Exit::Done)
}

fn retry(id: &str, store: &Store, configured: Option<&[Project]>) -> Result<Exit, CommandError> {
    let view = named(id, store, configured)?;
    let retried = tasks::retry(&view);
    retried.map_err(|e| CommandError::io("try again", &view.file, e))?;
    wake(&store.path()?)?;
    say_next(&store.next(Step::TaskApproved));
    Ok(Exit::Done)
}

/// Has a running daemon look, without waiting for what it does.
fn wake(store: &Path) -> Result<(), CommandError> {
    match client::tasks(store, Duration::ZERO) {
        // It looks; where none runs, it will when it starts.
        Ok(()) | Err(ControlError::Timeout | ControlError::NotRunning { .. }) => Ok(()),
        Err(error) => Err(super::sync::refused(error)),
    }
}

fn init(project: &Path) -> Result<Exit, CommandError> {
    let real = project.canonicalize().map_err(|e| CommandError::io("open", project, e))?;
    let made = prepare::prepare(&real).map_err(|e| CommandError::io("prepare", &real, e))?;
    for path in made {
        say(&format!("{}: made", path.display()));
    }
    say(&format!("for the configuration: [[project]] with path = \"{}\"", real.display()));
    say_next(&Step::Prepared(&real).line(None));
    Ok(Exit::Done)
}
