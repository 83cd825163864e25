//! The runner of `tests/system_foundry.yml`.
//!
//! Knows: what each step does and what each expectation holds. Must never know: any one scenario.
//! Keeps: an unknown step, key or scenario name is an error, never a step that is left out.

use super::start;
use crate::support::daemon::Daemon;
use crate::support::{Random, Scratch, act, brick, program};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const SCENARIOS: &str = include_str!("../system_foundry.yml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    about: String,
    /// Done before the daemon starts.
    #[serde(default)]
    before: Vec<Step>,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Write(Change),
    Patch(Change),
    Append(Change),
    Map(Change),
    Replace(Change),
    Hold(Change),
    Punch(Change),
    Truncate { path: PathBuf, size: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Exchange { from: PathBuf, to: PathBuf },
    Link { from: PathBuf, to: PathBuf },
    CopyRange { from: PathBuf, to: PathBuf, at: u64 },
    Symlink { target: PathBuf, path: PathBuf },
    Delete { path: PathBuf },
    Mkdir { path: PathBuf },
    Run(Vec<String>),
    Kill {},
    Start {},
    Expect(Expect),
    Gone { path: PathBuf },
}

/// A file, where in it, and the bytes: a text, random ones from a seed, or one repeated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    path: PathBuf,
    #[serde(default)]
    at: u64,
    text: Option<String>,
    random: Option<u64>,
    byte: Option<u8>,
    #[serde(default)]
    len: usize,
}

impl Change {
    fn bytes(&self) -> Vec<u8> {
        match (&self.text, self.random, self.byte) {
            (Some(text), None, None) => text.clone().into_bytes(),
            (None, Some(seed), None) => Random::new(seed).bytes(self.len),
            (None, None, Some(byte)) => vec![byte; self.len],
            (None, None, None) => Vec::new(),
            _ => panic!("more than one content in {self:?}"),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    path: PathBuf,
    size: Option<u64>,
    changed: Option<Vec<u64>>,
    writer: Option<String>,
    generation: Option<Generation>,
    region: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Generation {
    Newer,
    Same,
}

fn scenarios() -> Vec<Scenario> {
    let document: Document =
        serde_saphyr::from_str(SCENARIOS).unwrap_or_else(|e| panic!("system_foundry.yml: {e}"));
    document.scenarios
}

/// Fails unless `names` are exactly the scenarios of the file.
pub(super) fn assert_complete(names: &[&str]) {
    let in_file: Vec<String> = scenarios().into_iter().map(|scenario| scenario.name).collect();
    assert_eq!(names, in_file, "tests/live.rs must list what system_foundry.yml holds");
}

/// Runs one scenario on one backend.
pub(super) fn run(name: &str, backend: &str) {
    let scenario = scenarios().into_iter().find(|scenario| scenario.name == name);
    let scenario = scenario.unwrap_or_else(|| panic!("no scenario {name}"));
    println!("{name}: {}", scenario.about);
    let scratch = Scratch::new();
    let mut run =
        Run { backend, scratch, daemon: None, held: BTreeMap::new(), seen: BTreeMap::new() };
    for step in &scenario.before {
        run.act(step);
    }
    if !run.start() {
        return;
    }
    for step in &scenario.steps {
        println!("  {step:?}");
        run.step(step);
    }
    run.daemon().verify_all();
    let (status, log) = run.daemon.take().unwrap().stop();
    assert_eq!(status.code(), Some(0), "the daemon's end:\n{log}");
}

struct Run<'a> {
    backend: &'a str,
    scratch: Scratch,
    daemon: Option<Daemon>,
    /// Files that a step holds open.
    held: BTreeMap<PathBuf, File>,
    /// Generations at the last `expect` of each path.
    seen: BTreeMap<PathBuf, u64>,
}

impl Run<'_> {
    fn start(&mut self) -> bool {
        self.daemon = start(&self.scratch, self.backend, &[]);
        // Until the first look has ended, a change may be found by looking: nobody knows its writer.
        self.daemon.iter().for_each(Daemon::sync);
        self.daemon.is_some()
    }

    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("a step that needs the daemon stands between kill and start")
    }

    fn at(&self, path: &PathBuf) -> PathBuf {
        self.scratch.tree().join(path)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Kill {} => self.daemon.take().unwrap().kill(),
            Step::Start {} => assert!(self.start(), "it started once"),
            Step::Expect(expect) => self.expect(expect),
            Step::Gone { path } => {
                self.daemon().sync();
                let found = brick::inspect(&self.scratch.store(), &self.at(path));
                assert!(found.is_none(), "{}: still {found:?}", path.display());
                self.seen.remove(path);
            }
            Step::Rename { from, to } => {
                self.act(step);
                // The brick keeps its generations under its new name.
                if let Some(generation) = self.seen.remove(from) {
                    self.seen.insert(to.clone(), generation);
                }
            }
            _ => self.act(step),
        }
    }

    /// Everything that changes the tree.
    fn act(&mut self, step: &Step) {
        let done = match step {
            Step::Write(change) => act::write(&self.at(&change.path), &change.bytes()),
            Step::Patch(change) => act::patch(&self.at(&change.path), change.at, &change.bytes()),
            Step::Append(change) => act::append(&self.at(&change.path), &change.bytes()),
            Step::Replace(change) => act::replace(&self.at(&change.path), &change.bytes()),
            Step::Map(change) => {
                act::store_through_mapping(&self.at(&change.path), change.at, &change.bytes())
            }
            Step::Punch(change) => {
                act::punch(&self.at(&change.path), change.at, change.len.try_into().unwrap())
            }
            Step::Hold(change) => {
                let path = self.at(&change.path);
                let file = self.held.entry(change.path.clone()).or_insert_with(|| {
                    OpenOptions::new().append(true).create(true).open(&path).unwrap()
                });
                file.write_all(&change.bytes())
            }
            Step::Truncate { path, size } => act::truncate(&self.at(path), *size),
            Step::Rename { from, to } => fs::rename(self.at(from), self.at(to)),
            Step::Exchange { from, to } => act::exchange(&self.at(from), &self.at(to)),
            Step::Link { from, to } => fs::hard_link(self.at(from), self.at(to)),
            Step::CopyRange { from, to, at } => act::copy_range(&self.at(from), &self.at(to), *at),
            Step::Symlink { target, path } => std::os::unix::fs::symlink(target, self.at(path)),
            Step::Delete { path } if self.at(path).is_dir() => fs::remove_dir_all(self.at(path)),
            Step::Delete { path } => fs::remove_file(self.at(path)),
            Step::Mkdir { path } => fs::create_dir_all(self.at(path)),
            Step::Run(argv) => {
                let mut command = Command::new(&argv[0]);
                command.args(&argv[1..]).current_dir(self.scratch.tree());
                program::finish(command).ok();
                Ok(())
            }
            Step::Kill {} | Step::Start {} | Step::Expect(_) | Step::Gone { .. } => {
                panic!("{step:?} changes no tree")
            }
        };
        done.unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }

    fn expect(&mut self, expect: &Expect) {
        self.daemon().sync();
        let file = self.at(&expect.path);
        let store = self.scratch.store();
        let Some(found) = brick::inspect(&store, &file) else {
            panic!("{expect:?}: no brick\ndaemon:\n{}", self.daemon().log());
        };
        let context =
            || format!("{expect:?}\nbrick: {}\ndaemon:\n{}", found.json, self.daemon().log());
        assert_eq!(found.blake3(), brick::b3sum(&file), "hash: {}", context());
        assert_eq!(found.size(), fs::metadata(&file).unwrap().len(), "size: {}", context());
        brick::ask("verify", &store, &file, &[]).ok();
        if let Some(size) = expect.size {
            assert_eq!(found.size(), size, "size: {}", context());
        }
        if let Some(changed) = &expect.changed {
            let before = self.seen.get(&expect.path).copied().unwrap_or(0);
            assert_eq!(&found.changed_since(before), changed, "tiles: {}", context());
        }
        if let Some(region) = &expect.region {
            assert!(found.region_names().contains(&region.as_str()), "regions: {}", context());
        }
        // fanotify's whole-file hints come merged, and say only who came last, if that.
        if let Some(writer) = expect.writer.as_ref().filter(|_| self.backend != "fanotify") {
            assert_eq!(found.last_writer().as_ref(), Some(writer), "writer: {}", context());
        }
        let before = self.seen.get(&expect.path).copied();
        match (expect.generation, before) {
            (Some(Generation::Newer), Some(before)) => {
                assert!(found.generation() > before, "not newer than {before}: {}", context());
            }
            (Some(Generation::Same), Some(before)) => {
                assert_eq!(found.generation(), before, "generation: {}", context());
            }
            (Some(_), None) => panic!("{expect:?}: nothing to compare the generation with"),
            (None, _) => {}
        }
        let generation = found.generation();
        self.seen.insert(expect.path.clone(), generation);
    }
}
