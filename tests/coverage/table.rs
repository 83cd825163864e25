//! What is known of each cell: `tests/data/coverage`, one table for each kernel.
//!
//! Knows: the tables' format. Must never know: how a cell is filled.
//! Keeps: a kernel without a table is held to the newest one that is older.

use super::found::Found;
use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;

static TABLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/data/coverage");

/// The cells of one kernel.
pub(super) struct Known {
    /// The running kernel: `6.12`.
    pub(super) kernel: String,
    /// By file system and backend, then by operation.
    cells: BTreeMap<(String, String), BTreeMap<String, Found>>,
}

/// `6.12.107+deb13-cloud-amd64` as two numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

impl Known {
    pub(super) fn of_this_kernel() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let running = version(&release).unwrap_or_else(|| panic!("kernel {release}"));
        let tables = TABLES.files().filter_map(|file| {
            let version = version(file.path().file_stem()?.to_str()?)?;
            Some((version, file.contents_utf8()?))
        });
        let nearest = tables.filter(|(version, _)| *version <= running).max_by_key(|known| known.0);
        let kernel = format!("{}.{}", running.0, running.1);
        let cells = nearest.map(|(_, text)| parse(text)).unwrap_or_default();
        Self { kernel, cells }
    }

    pub(super) fn cell(&self, file_system: &str, backend: &str, operation: &str) -> Found {
        let column = self.cells.get(&(file_system.to_owned(), backend.to_owned()));
        column.and_then(|column| column.get(operation)).copied().unwrap_or(Found::Unknown)
    }
}

/// A line of column names, then a line for each operation, with tabs between.
fn parse(text: &str) -> BTreeMap<(String, String), BTreeMap<String, Found>> {
    let mut lines = text.lines();
    let columns: Vec<(String, String)> = lines
        .next()
        .unwrap_or_default()
        .split('\t')
        .skip(1)
        .map(|column| {
            let (file_system, backend) = column.split_once('/').unwrap();
            (file_system.to_owned(), backend.to_owned())
        })
        .collect();
    let mut cells: BTreeMap<_, BTreeMap<String, Found>> = BTreeMap::new();
    for line in lines {
        let mut words = line.split('\t');
        let operation = words.next().unwrap_or_default();
        for (column, word) in columns.iter().zip(words) {
            let column = cells.entry(column.clone()).or_default();
            column.insert(operation.to_owned(), Found::of(word));
        }
    }
    cells
}

#[test]
fn a_table_is_read_as_it_was_written() {
    let cells =
        parse("operation\text4/fentry\ttmpfs/fanotify\nwrite\texact\tmissed\ntee\t-\tn/a\n");
    let cell = |file_system: &str, backend: &str, operation: &str| {
        cells[&(file_system.to_owned(), backend.to_owned())][operation]
    };
    assert_eq!(cell("ext4", "fentry", "write"), Found::Exact);
    assert_eq!(cell("tmpfs", "fanotify", "write"), Found::Missed);
    assert_eq!(cell("ext4", "fentry", "tee"), Found::Unknown);
    assert_eq!(cell("tmpfs", "fanotify", "tee"), Found::Refused);
}

#[test]
fn worse_is_worse() {
    assert!(Found::Whole.is_worse_than(Found::Exact) && Found::Missed.is_worse_than(Found::Sweep));
    assert!(
        Found::Missed.is_worse_than(Found::Unknown) && Found::Missed.is_worse_than(Found::Refused)
    );
    assert!(
        !Found::Sweep.is_worse_than(Found::Unknown) && !Found::Exact.is_worse_than(Found::Whole)
    );
    assert!(
        !Found::Refused.is_worse_than(Found::Exact) && !Found::Missed.is_worse_than(Found::Missed)
    );
}
