//! `cargo xtask coverage [--check] [(here | KERNEL)[:COLUMNS]...]`: fills the tables of
//! `tests/data/coverage`, and writes COVERAGE.md from them; or fails where a cell is worse than there.
//!
//! Knows: the tables' format, which test fills them. Must never know: what a cell means to the test.
//! Keeps: the document is a function of the tables; a cell that was not looked at stays as it was.

use crate::vm::{self, Job};
use crate::{Outcome, live, place, tools};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const FILE_SYSTEMS: [&str; 5] = ["ext4", "xfs", "btrfs", "tmpfs", "overlay"];
const BACKENDS: [&str; 3] = ["fentry", "tracepoint", "fanotify"];
/// What a line of the matrix begins with.
const LINE: &str = "coverage\t";
const UNKNOWN: &str = "-";

/// One kernel's table: operations in their order, and a cell for each column.
#[derive(Default)]
struct Table {
    rows: Vec<(String, BTreeMap<String, String>)>,
}

/// Every column, in the order in which they are written.
fn columns() -> Vec<String> {
    let of = |system: &&str| BACKENDS.map(|backend| format!("{system}/{backend}"));
    FILE_SYSTEMS.iter().flat_map(of).collect()
}

pub(crate) fn run(args: &[String]) -> Outcome {
    let check = args.iter().any(|arg| arg == "--check");
    let mut worse = Vec::new();
    for word in args.iter().filter(|arg| *arg != "--check") {
        // `6.12:fentry` or `6.12:fentry::ext4,fanotify` is some columns of a kernel.
        let (place, columns) = word.split_once(':').unwrap_or((word, ""));
        let filters: Vec<String> =
            columns.split(',').map(|columns| format!("coverage::{columns}")).collect();
        let mut lines = Vec::new();
        let mut keep = |line: &str| {
            println!("{line}");
            lines.extend(line.split_once(LINE).map(|(_, rest)| rest.to_owned()));
        };
        let ended = match place {
            "here" => run_here(&filters, &mut keep),
            kernel => run_there(kernel, &filters, &mut keep),
        };
        // What a machine said before it died was seen.
        if !check {
            record(&lines)?;
        }
        let well = ended?;
        if lines.is_empty() {
            return Err(format!("{word}: the matrix said nothing").into());
        }
        if check && !well {
            worse.push(word.as_str());
        }
    }
    if !worse.is_empty() {
        return Err(format!("worse than COVERAGE.md says: {}", worse.join(", ")).into());
    }
    if !check {
        fs::write(place::root().join("COVERAGE.md"), document()?)?;
    }
    Ok(())
}

/// Runs columns on this kernel; whether no cell is worse than it was.
fn run_here(filters: &[String], keep: &mut dyn FnMut(&str)) -> Result<bool> {
    let tests = live::build("integration", "dev")?;
    let mut command = tools::as_root("env").ok_or("it needs root, or sudo without a password")?;
    command.arg("FOUNDRY_LIVE=1").arg(tests).args(filters).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            keep(&line?);
        }
    }
    Ok(child.wait()?.success())
}

/// The same on another kernel.
fn run_there(kernel: &str, filters: &[String], keep: &mut dyn FnMut(&str)) -> Result<bool> {
    let tests = live::build("integration", vm::PROFILE)?;
    let daemon = place::target_dir().join(vm::PROFILE).join("foundry-user");
    // The newest does not bear probes that come and go on two emulated processors at once.
    let threads = if kernel == vm::NEWEST { 1 } else { 2 };
    let mut arguments = filters.to_vec();
    arguments.push(format!("--test-threads={threads}"));
    let job = Job::new(vec![(&tests, &arguments)], vec![Path::new(&daemon)]);
    Ok(vm::boot(kernel, &job, keep)? == 0)
}

fn table_path(kernel: &str) -> PathBuf {
    place::root().join("tests/data/coverage").join(format!("{kernel}.tsv"))
}

/// Enters lines of `kernel, file system, backend, operation, cell` into the tables.
fn record(lines: &[String]) -> Outcome {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.trim_end().split('\t').collect();
        let [kernel, system, backend, operation, cell] = words[..] else {
            return Err(format!("not a line of the matrix: {line:?}").into());
        };
        if !tables.contains_key(kernel) {
            let text = fs::read_to_string(table_path(kernel)).unwrap_or_default();
            tables.insert(kernel.to_owned(), Table::parse(&text));
        }
        if let Some(table) = tables.get_mut(kernel) {
            table.set(operation, format!("{system}/{backend}"), cell);
        }
    }
    for (kernel, table) in tables {
        fs::write(table_path(&kernel), table.text())?;
    }
    Ok(())
}

impl Table {
    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').skip(1).collect();
        let mut table = Self::default();
        for line in lines {
            let mut words = line.split('\t');
            let operation = words.next().unwrap_or_default();
            for (column, cell) in columns.iter().zip(words) {
                table.set(operation, (*column).to_owned(), cell);
            }
        }
        table
    }

    fn set(&mut self, operation: &str, column: String, cell: &str) {
        if !self.rows.iter().any(|(known, _)| known == operation) {
            self.rows.push((operation.to_owned(), BTreeMap::new()));
        }
        if let Some((_, row)) = self.rows.iter_mut().find(|(known, _)| known == operation) {
            row.insert(column, cell.to_owned());
        }
    }

    fn text(&self) -> String {
        let mut text = format!("operation\t{}\n", columns().join("\t"));
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort();
        for (operation, row) in rows {
            text.push_str(operation);
            for column in columns() {
                text.push('\t');
                text.push_str(row.get(&column).map_or(UNKNOWN, String::as_str));
            }
            text.push('\n');
        }
        text
    }
}

/// What stands before the tables.
const HEAD: &str = "\
# Coverage

Every way in which Linux lets the bytes of a file change, and how Foundry comes to know of it.
This page is written by `cargo xtask coverage` from the tables in `tests/data/coverage`, and those by tests: on each file system and with each backend a daemon watches while every operation is performed on a tree of its own, `sync` is called, and the bricks are compared, cell by cell, with fresh folds of the files.
How a change was found is read from the recording that the daemon made of itself.
A test fails when a cell gets worse than it stands here.
`cargo xtask test`, and so CI, looks at every column of the backends that the running kernel has, and at fentry on ext4 on 6.12, in a virtual machine.
`cargo xtask coverage --check 6.1 6.12 7.2` looks at every column of Debian's kernels, in one boot of each; that takes seven minutes of processor time a kernel.

A cell has a letter for each backend: *fentry*, *tracepoint*, *fanotify*.

| letter | the change was found |
|---|---|
| E | exactly: only the tiles (64 KiB) that were touched were read again, or only the name that changed was looked at |
| W | as a whole: the whole file was read again, or the whole directory listed |
| S | by sweep: no event told which file it was; files that are mapped where stores are not told, or are the disk of a loop device, are read again each second, or as often as a tenth of the time allows, and at every `sync` |
| **M** | not at all: after `sync` the brick is not what the file is |
| . | the file system or the kernel does not have this operation |
| - | this backend does not run on this kernel (the 6.18 that was looked at refuses fentry), or nobody has looked |

";

/// What a cell is shown as.
fn letter(cell: &str) -> &str {
    match cell {
        "exact" => "E",
        "whole" => "W",
        "sweep" => "S",
        "missed" => "**M**",
        "n/a" => ".",
        _ => UNKNOWN,
    }
}

/// COVERAGE.md, as the tables have it.
fn document() -> Result<String> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(place::root().join("tests/data/coverage"))? {
        let path = entry?.path();
        let kernel = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let version: Vec<u32> = kernel.split('.').filter_map(|part| part.parse().ok()).collect();
        if version.len() == 2 {
            tables.push((version, kernel, Table::parse(&fs::read_to_string(&path)?)));
        }
    }
    tables.sort_by(|one, other| one.0.cmp(&other.0));
    let mut text = HEAD.to_owned();
    for (_, kernel, table) in &tables {
        text.push_str(&format!("## Linux {kernel}\n\n{}\n", table.shown()));
    }
    Ok(text.trim_end().to_owned() + "\n")
}

impl Table {
    fn shown(&self) -> String {
        let mut text = format!(
            "| operation | {} |\n|---|{}\n",
            FILE_SYSTEMS.join(" | "),
            "---|".repeat(FILE_SYSTEMS.len())
        );
        let mut missed = 0_usize;
        for (operation, row) in &self.rows {
            let cells = FILE_SYSTEMS.map(|system| {
                let letters = BACKENDS.map(|backend| {
                    row.get(&format!("{system}/{backend}")).map_or(UNKNOWN, |cell| letter(cell))
                });
                letters.join(" ")
            });
            text.push_str(&format!("| {operation} | {} |\n", cells.join(" | ")));
            missed += row.values().filter(|cell| *cell == "missed").count();
        }
        let said = match missed {
            0 => "No cell is missed.".to_owned(),
            1 => "One cell is missed.".to_owned(),
            n => format!("{n} cells are missed."),
        };
        format!("{said}\n\n{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_what_the_tables_say() {
        let written = fs::read_to_string(place::root().join("COVERAGE.md")).unwrap();
        assert!(
            document().unwrap() == written,
            "run `cargo xtask coverage` and commit COVERAGE.md"
        );
    }

    #[test]
    fn a_table_keeps_what_was_not_looked_at() {
        let mut table = Table::default();
        table.set("write", "ext4/fentry".to_owned(), "exact");
        table.set("tee", "ext4/fentry".to_owned(), "missed");
        let mut again = Table::parse(&table.text());
        assert_eq!(again.text(), table.text());
        again.set("write", "tmpfs/fanotify".to_owned(), "whole");
        let shown = again.shown();
        assert!(shown.contains("| write | E - - | - - - | - - - | - - W | - - - |"), "{shown}");
        assert!(shown.starts_with("One cell is missed."), "{shown}");
    }
}
