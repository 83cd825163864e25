//! Debian's archive: as this machine is set up, with the suites that have newer kernels, or for another
//! architecture.
//!
//! Knows: apt's settings. Must never know: what is fetched.
//! Keeps: the machine's own lists and sources stay as they are; nothing is installed.

use crate::{Outcome, place, tools};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Suites that carry kernels newer than a stable release's own.
const SUITES: [&str; 2] = ["trixie-backports", "sid"];

/// Where to look.
pub(crate) struct Apt {
    settings: Vec<String>,
}

impl Apt {
    /// With the sources of this machine, for its own architecture or for another, which has a state of its
    /// own then.
    pub(crate) fn of_this_machine(architecture: Option<&str>) -> Result<Self> {
        let Some(architecture) = architecture else {
            return Ok(Self { settings: Vec::new() });
        };
        let apt = Self { settings: own_state("here", Some(architecture))? };
        println!("== reading what there is for {architecture}");
        apt.update()?;
        Ok(apt)
    }

    /// With the suites above, from the mirror that this machine uses, in a state of their own.
    pub(crate) fn of_the_mirror(architecture: Option<&str>) -> Result<Self> {
        let mut settings = own_state("mirror", architecture)?;
        let dir = place::target_dir().join("vm/apt");
        fs::create_dir_all(dir.join("parts"))?;
        let mirror = mirror()?;
        let lines = SUITES.map(|suite| format!("deb {mirror} {suite} main\n"));
        fs::write(dir.join("sources.list"), lines.concat())?;
        let dir = dir.display();
        settings.push(format!("Dir::Etc::sourcelist={dir}/sources.list"));
        settings.push(format!("Dir::Etc::sourceparts={dir}/parts"));
        let apt = Self { settings };
        println!("== reading what {mirror} has in {}", SUITES.join(" and "));
        apt.update()?;
        Ok(apt)
    }

    fn update(&self) -> Outcome {
        tools::succeed(self.command("apt-get").args(["update", "-q"]).stdout(Stdio::null()))
    }

    /// `program`, one of apt's, looking there.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for setting in &self.settings {
            command.arg("-o").arg(setting);
        }
        command
    }

    /// What a package says that it needs, as names.
    pub(crate) fn needs(&self, package: &str) -> Result<Vec<String>> {
        let listed = self.command("apt-cache").args(["depends", package]).output()?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let needed = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(needed.map(str::to_owned).collect())
    }

    /// Unpacks packages into `place`, which holds no other package's file.
    pub(crate) fn unpack<S: AsRef<str>>(&self, packages: &[S], place: &Path) -> Outcome {
        let names: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
        println!("== fetching {}", names.join(" "));
        fs::create_dir_all(place)?;
        let mut download = self.command("apt-get");
        download.args(["download", "-q"]).args(&names).current_dir(place);
        tools::succeed(download.stdout(Stdio::null()))?;
        for entry in fs::read_dir(place)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                tools::succeed(Command::new("dpkg-deb").arg("-x").arg(&path).arg(place))?;
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Settings for a state that the machine's own knows nothing of.
fn own_state(name: &str, architecture: Option<&str>) -> Result<Vec<String>> {
    let suffix = architecture.map(|name| format!("-{name}")).unwrap_or_default();
    let dir = place::target_dir().join("vm/apt").join(format!("{name}{suffix}"));
    for inner in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(inner))?;
    }
    let shown = dir.display();
    let mut settings = vec![
        format!("Dir::State={shown}/state"),
        format!("Dir::Cache={shown}/cache"),
        "Acquire::Languages=none".to_owned(),
        // Whoever runs this may write there, and apt's own user may not.
        "APT::Sandbox::User=".to_owned(),
    ];
    if let Some(architecture) = architecture {
        // What is installed here is of no interest there.
        fs::write(dir.join("status"), "")?;
        settings.push(format!("Dir::State::status={shown}/status"));
        settings.push(format!("APT::Architecture={architecture}"));
        settings.push(format!("APT::Architectures={architecture}"));
    }
    Ok(settings)
}

/// The mirror of Debian's main archive that this machine is set up with.
fn mirror() -> Result<String> {
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
