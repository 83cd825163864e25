//! Debian's archive, as this machine is set up, or with the suites that have newer kernels.
//!
//! Knows: apt's settings. Must never know: what is fetched.
//! Keeps: the machine's own lists and sources stay as they are.

use crate::place;
use std::fs;
use std::process::Command;

/// Suites that carry kernels newer than a stable release's own.
const SUITES: [&str; 2] = ["trixie-backports", "sid"];

/// Where to look.
pub(super) struct Apt {
    settings: Vec<String>,
}

impl Apt {
    /// With the sources of this machine.
    pub(super) fn of_this_machine() -> Self {
        Self { settings: Vec::new() }
    }

    /// With the suites above, from the mirror that this machine uses, in a state of their own.
    pub(super) fn of_the_mirror() -> Result<Self, Box<dyn std::error::Error>> {
        let dir = place::target_dir().join("vm/apt");
        for inner in ["state/lists/partial", "cache/archives/partial", "parts"] {
            fs::create_dir_all(dir.join(inner))?;
        }
        let mirror = mirror()?;
        let lines = SUITES.map(|suite| format!("deb {mirror} {suite} main\n"));
        fs::write(dir.join("sources.list"), lines.concat())?;
        let dir = dir.display();
        let settings = [
            format!("Dir::State={dir}/state"),
            format!("Dir::Cache={dir}/cache"),
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            format!("Dir::Etc::sourceparts={dir}/parts"),
            "Acquire::Languages=none".to_owned(),
            // Whoever runs this may write there, and apt's own user may not.
            "APT::Sandbox::User=".to_owned(),
        ];
        let apt = Self { settings: settings.into() };
        println!("== reading what {mirror} has in {}", SUITES.join(" and "));
        super::succeed(apt.command("apt-get").args(["update", "-q"]))?;
        Ok(apt)
    }

    /// `program`, one of apt's, looking there.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for setting in &self.settings {
            command.arg("-o").arg(setting);
        }
        command
    }
}

/// The mirror of Debian's main archive that this machine is set up with.
fn mirror() -> Result<String, Box<dyn std::error::Error>> {
    let format = "$(ORIGIN) $(RELEASE) $(REPO_URI)";
    let mut command = Command::new("apt-get");
    let listed = command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let text = String::from_utf8_lossy(&listed.output()?.stdout).into_owned();
    let main = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (origin, suite, uri) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian" && !suite.contains('-')).then(|| uri.to_owned())
    });
    main.ok_or_else(|| "this machine names no mirror of Debian".into())
}
