//! Rules about any one file: its length, its opening, its letters, its words.
//!
//! Knows: lines. Must never know: layers.

use super::{expect_none, files};

const MOST_LINES: usize = 600;

#[test]
fn files_are_short() {
    let long: Vec<String> = files()
        .iter()
        .filter(|file| file.is(&["rs", "ts", "py", "sh"]))
        .map(|file| (file.text().lines().count(), &file.path))
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    expect_none(
        &format!("a file has at most {MOST_LINES} lines; split it by what it knows"),
        &long,
    );
}

#[test]
fn modules_say_what_they_are() {
    let silent: Vec<String> = files()
        .iter()
        .filter(|file| file.is(&["rs"]) && !file.text().starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    expect_none("a .rs file opens with a `//!` line that says what it is", &silent);
}

#[test]
fn sources_are_ascii() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is(&["rs", "toml"])) {
        for (i, line) in file.text().lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
            found.push(format!("{}:{}: {line}", file.path, i + 1));
        }
    }
    expect_none(".rs and .toml files are ASCII; write other letters as escapes", &found);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here so that this file does not offend against its own rule.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("#[ig", "nore"),
        concat!("should_", "panic"),
    ];
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is(&["rs", "ts", "py", "sh", "toml", "yml"])) {
        for (i, line) in file.text().lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", file.path, i + 1, line.trim()));
            }
        }
    }
    expect_none("finish it, or leave it out; no test is ignored or expects any panic", &found);
}

#[test]
fn lines_end_plainly() {
    let mut found = Vec::new();
    for file in files().iter().filter(|f| f.is(&["rs", "ts", "py", "sh", "toml", "yml", "md"])) {
        let text = file.text();
        if text.contains('\r') || text.contains('\t') || !text.ends_with('\n') {
            found.push(file.path.clone());
        }
    }
    expect_none("no tabs, no carriage returns, and a newline at the end", &found);
}
