//! The map in the browser: its types, its tests, whether its committed build is a fresh one, and
//! whether a real browser shows it.
//!
//! Knows: npm, git, Debian's Chromium. Must never know: what the map shows.

use crate::stage::Tally;
use crate::{place, tools};
use std::path::Path;
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
    browser(tally, &dir);
}

/// The map in Debian's browser, against the daemon that was just built.
fn browser(tally: &mut Tally, dir: &Path) {
    const WHAT: &str = "the map in a browser";
    // As root the daemon sees every write; without, what a page shows of them is not for certain.
    let Some(mut node) = tools::as_root("node") else {
        return tally.skip(WHAT, "run this as root, or allow sudo without a password");
    };
    for (program, package) in [("chromium", "chromium"), ("python3", "python3")] {
        if let Err(why) = tools::ensure_debian(program, package) {
            return tally.skip(WHAT, &why);
        }
    }
    let build = ["build", "--locked", "--package", "foundry-user"];
    if !tally.stage("the daemon for the browser", 15, place::cargo().args(build)) {
        return;
    }
    let daemon = place::target_dir().join("debug/foundry-user");
    // A minute and a half on a machine that does nothing else.
    tally.stage(WHAT, 10, node.current_dir(dir).arg("browser/run.mjs").arg(daemon));
}
