//! The stock OpenSpec program against a running daemon: a project of its making, carried to its end.
//!
//! Knows: npm. Must never know: what the tests do with the program.
//! Keeps: it is installed into the build's own directory, and nowhere else.

use crate::stage::Tally;
use crate::{live, place, tools};
use std::process::Command;

/// The version whose files and answers are known; a newer one is a reason to look again.
const PACKAGE: &str = "@fission-ai/openspec@1.13.2";

pub(crate) fn stages(tally: &mut Tally) {
    if tools::find("npm").is_none() {
        tally.skip("OpenSpec", "install Node.js 20 with npm");
        return;
    }
    let dir = place::target_dir().join("foundry-openspec");
    let program = dir.join("node_modules/.bin/openspec");
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"]).arg(&dir);
    if !program.exists() && !tally.stage("OpenSpec's program", 5, install.arg(PACKAGE)) {
        return;
    }
    let tests = match live::build("integration", "dev") {
        Ok(tests) => tests,
        Err(why) => return tally.fail("OpenSpec", &why),
    };
    let mut command = Command::new(tests);
    tally.stage("OpenSpec", 5, command.env("FOUNDRY_OPENSPEC", program).arg("tasks::openspec::"));
}
