//! `cargo xtask llm-test`: the annotator against a real model server.
//!
//! llama.cpp's own HTTP server (from the Python package `xllamacpp`, a wheel of 34 MB) serves a tiny
//! model that `tests/llm/model_server.py` writes: it knows nothing, and its answers are valid only
//! where the server enforces the schema. A daemon folds one program; what the model says of it must
//! be in its brick.
//!
//! Not a part of `test`: it needs a package registry.
//!
//! Knows: Python, `foundry-user`'s command line. Must never know: the server's protocol.
//! Keeps: whatever it starts ends with it; nothing is installed but into the target directory.

use crate::Outcome;
use crate::place;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The version it was last seen to work with.
const PACKAGE: &str = "xllamacpp==2026.10.11549";

pub(crate) fn run(_args: &[String]) -> Outcome {
    let built = place::cargo().args(["build", "--package", "foundry-user"]).status()?;
    if !built.success() {
        return Err("the build failed; what cargo said is above".into());
    }
    let dir = place::target_dir().join("llm-test");
    let python = python(&dir)?;
    let mut server = Running::start(
        Command::new(python)
            .arg(place::root().join("tests/llm/model_server.py"))
            .arg(dir.join("model.gguf"))
            .arg("0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(dir.join("server.log"))?),
    )?;
    let url = server.line(|_| true)?;
    println!("llama.cpp listens at {url}");
    annotate(&dir, &url)
}

/// Python with llama.cpp.
fn python(dir: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let python = dir.join("python/bin/python");
    if !python.exists() {
        std::fs::create_dir_all(dir)?;
        must(Command::new("python3").args(["-m", "venv"]).arg(dir.join("python")))?;
        must(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            PACKAGE,
        ]))?;
    }
    Ok(python)
}

/// Folds a program, asks about it, and looks at what its brick says.
fn annotate(dir: &Path, url: &str) -> Outcome {
    let program = place::target_dir().join("debug/foundry-user");
    let (tree, store, config) = (dir.join("tree"), dir.join("store"), dir.join("foundry.toml"));
    for old in [&tree, &store] {
        // There may be none.
        drop(std::fs::remove_dir_all(old));
    }
    std::fs::create_dir_all(&tree)?;
    let copy = tree.join("true");
    std::fs::copy("/bin/true", &copy)?;
    let settings = "pause-cpu = 0\npause-memory = 0\n# What the directories above let others see.\nprivate = true\n";
    std::fs::write(&config, format!("[annotate]\nurl = \"{url}\"\n{settings}"))?;
    let foundry = || {
        let mut command = Command::new(&program);
        command.arg("--store").arg(&store).arg("--config").arg(&config);
        command
    };
    let log = std::fs::File::create(dir.join("daemon.log"))?;
    let daemon = ["--backend", "fanotify", "--no-listen"];
    let mut daemon = Running::start(
        foundry().arg("--watch").arg(&tree).args(daemon).stderr(Stdio::piped()).stdout(log),
    )?;
    daemon.line(|line| line.contains("as their bricks said"))?;
    must(foundry().arg("annotate").arg(&copy).arg("--drain"))?;
    let said = foundry().arg("inspect").arg(&copy).arg("--json").output()?;
    let text = String::from_utf8_lossy(&said.stdout);
    must(foundry().arg("inspect").arg(&copy))?;
    for words in ["\"summary\": \"ok\"", "\"model\": \"foundry-test\"", "\"constrained\": true"] {
        if !text.contains(words) {
            return Err(format!("the brick does not say {words}; see {}", dir.display()).into());
        }
    }
    println!("a real model's answer is in the brick");
    Ok(())
}

fn must(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self(command.spawn().map_err(|e| format!("{command:?}: {e}"))?))
    }

    /// The first line it prints for which `wanted` says so.
    fn line(
        &mut self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, Box<dyn std::error::Error>> {
        let out = self.0.stdout.take().map(|o| Box::new(o) as Box<dyn std::io::Read>);
        let err = || self.0.stderr.take().map(|e| Box::new(e) as Box<dyn std::io::Read>);
        let Some(from) = out.or_else(err) else { return Err("nothing to read".into()) };
        for line in BufReader::new(from).lines() {
            let line = line?;
            if wanted(&line) {
                return Ok(line);
            }
        }
        Err("it ended without saying what it should".into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whatever else it is doing, the test is over.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
