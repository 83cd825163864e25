//! What people do to whole trees: after a sync every directory's brick is that of a fresh look.
//!
//! Knows: cargo, git, npm, many names at once. Must never know: how changes are found.
//! Keeps: `verify --all` compares each directory's brick with the tree and its picture with its entries.

use super::start;
use crate::support::{Scratch, act, program, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Names made and removed in one burst.
const NAMES: u64 = 3_000;

/// Packages that are installed.
const PACKAGES: u32 = 60;

fn shell(directory: &Path, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(directory).env("HOME", directory);
    let said = program::finish(command);
    if said.code != Some(0) {
        println!("{script}: {said:?}");
    }
    said.code == Some(0)
}

/// `cargo build` of a small crate.
pub(super) fn a_build(backend: &str) {
    let scratch = Scratch::new();
    let krate = scratch.tree().join("small");
    fs::create_dir_all(krate.join("src")).unwrap();
    let manifest =
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[workspace]\n";
    fs::write(krate.join("Cargo.toml"), manifest).unwrap();
    fs::write(krate.join("src/main.rs"), "fn main() { println!(\"small\"); }\n").unwrap();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--offline", "--quiet"]).current_dir(&krate);
    build.env("CARGO_TARGET_DIR", krate.join("target"));
    program::finish(build).ok();
    daemon.sync();
    daemon.verify_all();
    fs::remove_dir_all(krate.join("target")).unwrap();
    daemon.sync();
    daemon.verify_all();
}

/// `git checkout` between two commits that have little in common.
pub(super) fn a_checkout(backend: &str) {
    let scratch = Scratch::new();
    let made = "git init -q . && git config user.email a@b && git config user.name a
        mkdir -p src/deep/er && for i in $(seq 200); do echo $i > src/f$i; done
        ln -s f1 src/link && git add . && git commit -qm one && git tag one
        git mv src lib && rm lib/f1*
        for i in $(seq 100); do mkdir -p d$i; echo $i > d$i/x; done
        git add -A . && git commit -qm two && git tag two";
    if !shell(&scratch.tree(), made) {
        skip("there is no git");
        return;
    }
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    for tag in ["one", "two", "one"] {
        assert!(shell(&scratch.tree(), &format!("git checkout -q {tag}")));
        daemon.sync();
        daemon.verify_all();
    }
}

/// `npm ci` of a lock file with many small packages, which come from files: no registry is asked.
pub(super) fn an_installation(backend: &str) {
    let scratch = Scratch::new();
    let (app, packed) = (scratch.tree().join("app"), scratch.tree().join("packed"));
    fs::create_dir_all(&app).unwrap();
    fs::create_dir_all(&packed).unwrap();
    let pack = format!(
        "for i in $(seq {PACKAGES}); do mkdir -p p/package/lib/deep/er && cd p/package
        echo '{{\"name\": \"small-'$i'\", \"version\": \"1.0.'$i'\"}}' > package.json
        seq $i 400 > index.js && seq $((i * 3)) > lib/deep/er/f.js && echo $i > lib/deep/README
        cd ../.. && tar -czf small-$i.tgz -C p package && rm -r p; done"
    );
    assert!(shell(&packed, &pack));
    let needs: Vec<String> = (1..=PACKAGES)
        .map(|i| format!("\"small-{i}\": \"file:../packed/small-{i}.tgz\""))
        .collect();
    let manifest = format!("{{\"name\": \"app\", \"dependencies\": {{{}}}}}\n", needs.join(", "));
    fs::write(app.join("package.json"), manifest).unwrap();
    let npm = "--offline --no-audit --no-fund --no-update-notifier --loglevel=error";
    if !shell(&app, &format!("npm install --package-lock-only {npm}")) {
        skip("there is no npm");
        return;
    }
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    // The second one removes what the first has made.
    for _ in 0..2 {
        assert!(shell(&app, &format!("npm ci {npm}")));
        daemon.sync();
        daemon.verify_all();
    }
    assert!(app.join("node_modules/small-7/lib/deep/er/f.js").is_file());
}

/// Thousands of names at once cost a few commits of their directory, not thousands.
pub(super) fn a_burst(backend: &str) {
    let scratch = Scratch::new();
    let dir = scratch.tree().join("many");
    fs::create_dir(&dir).unwrap();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    daemon.sync();
    let commits = || {
        let status = daemon.ask(&["status", "--json"]).ok().json();
        status["directory_commits"].as_u64().expect("a counter")
    };
    let before = commits();
    for i in 0..NAMES {
        act::write(&dir.join(format!("f{i}")), b"x").unwrap();
        if i % 3 == 0 {
            fs::rename(dir.join(format!("f{i}")), dir.join(format!("g{i}"))).unwrap();
        }
        if i % 5 == 1 {
            fs::remove_file(dir.join(format!("f{i}"))).ok();
        }
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o701)).unwrap();
    daemon.sync();
    daemon.verify_all();
    let cost = commits() - before;
    assert!(cost < NAMES / 10, "{cost} commits of three directories for {NAMES} names");
}

/// A restart takes the bricks of directories for what they are, and removes those that are over.
pub(super) fn a_restart(backend: &str) {
    let scratch = Scratch::new();
    for name in ["stays/deep", "goes/deep"] {
        fs::create_dir_all(scratch.tree().join(name)).unwrap();
        fs::write(scratch.tree().join(name).join("f"), [7_u8; 9000]).unwrap();
    }
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    daemon.sync();
    daemon.stop();
    fs::remove_dir_all(scratch.tree().join("goes")).unwrap();
    let Some(daemon) = start(&scratch, backend, &[]) else { return };
    daemon.sync();
    daemon.verify_all();
    let stays = scratch.tree().join("stays/deep");
    let stays = daemon.ask(&["inspect", "--json", stays.to_str().unwrap()]).ok().json();
    assert_eq!(stays["kind"], "directory", "{stays}");
    assert_eq!(stays["generation"], 1, "{stays}");
    let goes = scratch.tree().join("goes");
    daemon.ask(&["inspect", "--json", goes.to_str().unwrap()]).coded(4);
    let world = daemon.ask(&["inspect", "--json", "world"]).ok().json();
    let root = scratch.tree();
    assert_eq!(world["regions"][0]["name"], root.to_str().unwrap(), "{world}");
}
