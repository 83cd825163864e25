//! `diff` of two looks at one directory: what came, what went, what changed, and nothing else.

use super::run;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn names(list: &serde_json::Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        list.as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn two_looks_at_a_directory() {
    let dir = TempDir::new().unwrap();
    let (tree, a, b) =
        (dir.path().join("t"), dir.path().join("a.brick"), dir.path().join("b.brick"));
    let picture = dir.path().join("d.png");
    fs::create_dir_all(tree.join("below")).unwrap();
    for name in ["stays", "goes", "grows", "mode", "below/deep"] {
        fs::write(tree.join(name), name.repeat(3000)).unwrap();
    }
    run(&[&"fold", &tree, &"-o", &a]).ok();
    run(&[&"diff", &a, &a, &"--json"]).ok();
    fs::remove_file(tree.join("goes")).unwrap();
    fs::write(tree.join("comes"), "here").unwrap();
    fs::write(tree.join("grows"), "grown".repeat(9000)).unwrap();
    fs::write(tree.join("below/deep"), [0xff; 9000]).unwrap();
    fs::set_permissions(tree.join("mode"), fs::Permissions::from_mode(0o400)).unwrap();
    run(&[&"fold", &tree, &"-o", &b]).ok();
    let said = run(&[&"diff", &a, &b, &"--json", &"--png", &picture]).coded(1).json();
    assert_eq!(names(&said["parts_added"]), ["comes"], "{said}");
    assert_eq!(names(&said["parts_removed"]), ["goes"], "{said}");
    let changed: Vec<serde_json::Value> = said["parts_changed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["part"].clone())
        .collect();
    assert_eq!(names(&changed.into()), ["below", "grows", "mode"], "{said}");
    let text = run(&[&"diff", &a, &b]).coded(1).out;
    for wanted in ["+ comes", "- goes", "~ grows", "mode: 0"] {
        assert!(text.contains(wanted), "no `{wanted}` in {text}");
    }
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    // Two pictures of one look: what no entry has is no part of either.
    run(&[&"export", &a, &"--format", &"png", &"-o", &picture]).ok();
    run(&[&"export", &a, &"--format", &"png", &"--palette", &"pages", &"-o", &picture]).coded(2);
}

#[test]
fn a_file_and_a_directory_are_not_compared() {
    let dir = TempDir::new().unwrap();
    let (tree, a, b) =
        (dir.path().join("t"), dir.path().join("a.brick"), dir.path().join("b.brick"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "text").unwrap();
    run(&[&"fold", &tree, &"-o", &a]).ok();
    run(&[&"fold", &tree.join("file"), &"-o", &b]).ok();
    let said = run(&[&"diff", &a, &b]).coded(2).err;
    assert!(said.contains("shows a directory") && said.contains("shows a file"), "{said}");
}
