//! The map in the browser: its types, its tests, and whether its committed build is a fresh one.
//!
//! Knows: npm, git. Must never know: what the map shows.

use crate::stage::Tally;
use crate::{place, tools};
use std::process::Command;

pub(crate) fn stages(tally: &mut Tally) {
    let dir = place::root().join("foundry-web");
    if tools::find("npm").is_none() {
        tally.skip("the map", "install Node.js 20 with npm");
        return;
    }
    let npm = |args: &[&str]| {
        let mut command = Command::new("npm");
        command.current_dir(&dir).args(args);
        command
    };
    if !tally.stage("the map's packages", 10, &mut npm(&["ci", "--no-audit", "--no-fund"])) {
        return;
    }
    tally.stage("the map's types", 5, &mut npm(&["run", "check"]));
    tally.stage("the map's tests", 5, &mut npm(&["test"]));
    if dir.join("dist").exists() && tally.stage("the map's build", 5, &mut npm(&["run", "build"])) {
        let mut diff = Command::new("git");
        diff.current_dir(place::root()).args(["status", "--porcelain", "--", "foundry-web/dist"]);
        match diff.output() {
            Ok(out) if out.status.success() && out.stdout.is_empty() => tally.passed += 1,
            Ok(out) => tally.fail(
                "foundry-web/dist is not a fresh build",
                &String::from_utf8_lossy(&out.stdout),
            ),
            Err(error) => tally.fail("foundry-web/dist cannot be compared", &error.to_string()),
        }
    }
}
