//! A project made with the stock OpenSpec program, carried to its end.
//!
//! `cargo xtask test` installs the program from npm into a directory of its own and names it in
//! `FOUNDRY_OPENSPEC`; a plain `cargo test` asks nothing of the network.

use super::*;

/// The program; `None`, and said, where nobody named it.
fn openspec() -> Option<PathBuf> {
    let named = std::env::var_os("FOUNDRY_OPENSPEC").map(PathBuf::from);
    if named.is_none() {
        println!("not asked for: FOUNDRY_OPENSPEC is not set");
    }
    named
}

fn run(program: &Path, project: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(program);
    command.current_dir(project).args(args);
    command.env("OPENSPEC_TELEMETRY", "0").env("DO_NOT_TRACK", "1").env("CI", "1");
    program::finish(command)
}

#[test]
fn a_project_of_the_stock_program_is_carried_to_its_last_box() {
    let Some(openspec) = openspec() else { return };
    let scratch = Scratch::new();
    let project = scratch.tree().join("p");
    fs::create_dir(&project).unwrap();
    run(&openspec, &project, &["init", "--tools", "none", "."]).ok();
    program::run(&[Path::new("tasks"), Path::new("init"), &project]).ok();
    run(&openspec, &project, &["schema", "validate", "foundry-v2"]).ok();
    run(&openspec, &project, &["new", "change", "fold-env", "--schema", "foundry-v2"]).ok();

    let config = "[[project]]\npath = \"TREE/p\"\nallow = [\"/usr/bin\"]\nresults = \"bricks\"\n";
    let served = Served::start(scratch, config, &[]);
    let state = || served.ask(&["tasks", "--json"]).json()["tasks"][0].clone();
    served.ask(&["tasks", "--wait"]).ok();
    assert_eq!(state()["state"], "planned", "{}", state());
    assert!(state()["next"].as_str().unwrap().contains("openspec status --change fold-env"));

    // What an assistant or a person writes: the schema's own templates.
    let change = project.join("openspec/changes/fold-env");
    let templates = project.join("openspec/schemas/foundry-v2/templates");
    for name in ["proposal.md", "foundry.yaml", "tasks.md"] {
        fs::copy(templates.join(name), change.join(name)).unwrap();
    }
    run(&openspec, &project, &["validate", "fold-env", "--strict"]).ok();
    let before = fs::read(templates.join("tasks.md")).unwrap();
    served.ask(&["tasks", "--wait"]).ok();
    let view = state();
    assert_eq!(view["state"], "done", "{view}");
    assert_eq!((&view["boxes"]["done"], &view["boxes"]["total"]), (&2.into(), &2.into()));
    let after = fs::read(change.join("tasks.md")).unwrap();
    assert_eq!(before.iter().zip(&after).filter(|(a, b)| a != b).count(), 2);
    assert_eq!(before.len(), after.len());
    let evidence = fs::read_to_string(change.join("foundry/evidence.jsonl")).unwrap();
    assert_eq!(evidence.lines().count(), 2, "{evidence}");
    program::run(&[Path::new("verify"), &project.join("bricks/env.brick")]).ok();

    run(&openspec, &project, &["validate", "fold-env", "--strict"]).ok();
    let listed = run(&openspec, &project, &["list", "--json"]).ok().json();
    assert_eq!(listed["changes"][0]["completedTasks"], 2, "{listed}");
    assert_eq!(listed["changes"][0]["totalTasks"], 2, "{listed}");
    assert!(view["next"].as_str().unwrap().ends_with("openspec archive fold-env"), "{view}");
    run(&openspec, &project, &["archive", "fold-env", "--yes"]).ok();
    assert!(!change.exists());
    let json = served.ask(&["tasks", "--json"]).ok().json();
    assert_eq!(json["tasks"].as_array().unwrap().len(), 0, "{json}");
}

/// The lines that count as tasks are those that the stock program counts.
#[test]
fn boxes_are_counted_as_the_stock_program_counts_them() {
    let Some(openspec) = openspec() else { return };
    let scratch = Scratch::new();
    let project = scratch.tree().join("p");
    fs::create_dir(&project).unwrap();
    run(&openspec, &project, &["init", "--tools", "none", "."]).ok();
    program::run(&[Path::new("tasks"), Path::new("init"), &project]).ok();
    run(&openspec, &project, &["new", "change", "odd", "--schema", "foundry-v2"]).ok();
    let change = project.join("openspec/changes/odd");
    let lines = [
        "- [ ] 1 a",
        "- [x] 2 b",
        "* [X] 3 c",
        "+ [ ] 4 d",
        "  - [ ] 5 nested",
        "12. [x] 6",
        "3) [ ] 7",
        "- [~] 8",
        "- [] 9",
        "- [  ] 10",
        "- [ x ] 11",
        "-[ ] 12",
        "- [x](link)",
        "- [x][ref]",
        "- [ab] words",
        "- [](link)",
        "1234567890. [ ] 13",
        "[ ] 14",
        "- text [ ]",
        "```",
        "- [x] 15 in a block",
        "```",
    ];
    let config = "[[project]]\npath = \"TREE/p\"\n";
    fs::write(change.join("proposal.md"), "## Why\n\nBecause.\n").unwrap();
    fs::write(change.join("foundry.yaml"), "apiVersion: foundry/v2\nsteps: []\n").unwrap();
    fs::write(change.join("tasks.md"), lines.join("\n") + "\n").unwrap();
    let listed = run(&openspec, &project, &["list", "--json"]).ok().json();
    let served = Served::start(scratch, config, &[]);
    let json = served.ask(&["tasks", "--json"]).json();
    let ours = &json["tasks"][0]["boxes"];
    let theirs = &listed["changes"][0];
    assert_eq!(ours["done"], theirs["completedTasks"], "{ours} {theirs}");
    assert_eq!(ours["total"], theirs["totalTasks"], "{ours} {theirs}");
}
