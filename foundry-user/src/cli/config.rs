//! `config check`: whether the daemon would start on a configuration file.
//!
//! Knows: the judgement, how it is shown. Must never know: the keys.
//! Keeps: exit code 0 says that it would start, 2 that it would not.

use super::output::{print, say_next};
use super::text;
use crate::args::{Config, ConfigCommand};
use crate::config::check::{self, Checked};
use crate::error::{CommandError, Exit};
use crate::next::Step;
use crate::wire_tasks;
use std::path::Path;

/// Where the unit's configuration lies.
const USUAL: &str = "/etc/foundry/foundry.toml";

/// Runs the command.
pub(super) fn run(args: &Config, named: Option<&Path>) -> Result<Exit, CommandError> {
    let ConfigCommand::Check { file, json } = &args.command;
    let file = file.clone().or_else(|| named.map(Path::to_owned)).unwrap_or_else(|| USUAL.into());
    let checked = check::check(&file)?;
    let is_good = checked.config.is_some();
    let next = Step::Configured(&file, is_good).line(None);
    if *json {
        print(&wire_tasks::checked(&file, &checked, &next)?)?;
    } else {
        print(&sheet(&file, &checked))?;
        say_next(&next);
    }
    Ok(if is_good { Exit::Done } else { Exit::Usage })
}

fn sheet(file: &Path, checked: &Checked) -> String {
    let name = file.display();
    let mut out = String::new();
    for mistake in &checked.mistakes {
        out.push_str(&format!("{name}: {}\n", text::clean(&mistake.to_string())));
    }
    if let Some(config) = &checked.config {
        let roots: Vec<String> = config.roots.iter().map(|root| shown(root)).collect();
        out.push_str(&format!("{name}: good; it watches {}\n", roots.join(", ")));
        for schedule in &config.schedules {
            out.push_str(&format!("  compares {} {}\n", shown(&schedule.path), schedule.every));
        }
        for project in &config.projects {
            let queue = project.path.join(&project.results);
            let (from, to) = (shown(&project.path), shown(&queue));
            out.push_str(&format!("  takes tasks from {from}, writes their results to {to}\n"));
        }
    }
    out
}

fn shown(path: &Path) -> String {
    text::clean(&path.to_string_lossy())
}
