//! A configuration that is read again: what comes, what goes, and that nothing is lost.

use super::*;
use std::collections::BTreeMap;

fn roots(served: &Served) -> Vec<String> {
    let json = served.ask(&["status", "--json"]).ok().json();
    json["roots"].as_array().unwrap().iter().map(|r| r.as_str().unwrap().to_owned()).collect()
}

fn has_brick(served: &Served, path: &Path) -> bool {
    let path = path.canonicalize().unwrap();
    served.ask(&["inspect", path.to_str().unwrap(), "--json"]).code == Some(0)
}

/// Directories come with the file; a change in one that stays is never lost, and a file that makes no
/// sense changes nothing.
#[test]
fn a_reload_changes_what_is_watched_and_loses_nothing() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    fs::create_dir(tree.join("stays")).unwrap();
    let mut config = "may-watch = [\"TREE\"]\nwatch = [\"TREE/stays\"".to_owned();
    let served = Served::start(scratch, &format!("{config}]\n"), &[]);
    for n in 0..8 {
        let other = tree.join(format!("comes{n}"));
        fs::create_dir(&other).unwrap();
        act::write(&other.join("before"), b"before").unwrap();
        assert!(!has_brick(&served, &other.join("before")));
        // Changes in what stays and in what comes, in the middle of each reload.
        act::write(&tree.join("stays/changing"), format!("change {n}").as_bytes()).unwrap();
        config.push_str(&format!(", \"TREE/comes{n}\""));
        write_config(&served.scratch, &format!("{config}]\n"));
        let said = served.reload();
        act::write(&other.join("meanwhile"), format!("{n}").as_bytes()).unwrap();
        assert!(said.contains(&format!("comes{n} is watched")), "{said}");
        served.ask(&["sync", "--timeout", "60"]).ok();
        for file in [tree.join("stays/changing"), other.join("before"), other.join("meanwhile")] {
            served.ask(&["verify", file.to_str().unwrap()]).ok();
        }
    }
    let before = roots(&served);
    assert_eq!(before.len(), 9);
    write_config(&served.scratch, &format!("{config}]\nwatsch = 1\n"));
    let said = served.reload();
    assert!(said.contains("not reloaded") && said.contains("did you mean `watch`?"), "{said}");
    assert_eq!(roots(&served), before);
    write_config(&served.scratch, "watch = [\"TREE/stays\"]\n");
    let said = served.reload();
    assert!(said.contains("needs a restart: may-watch"), "{said}");
    assert!(said.contains("comes7 is watched no more"), "{said}");
    assert_eq!(roots(&served).len(), 1);
}

/// What is taken out of the file is left alone from then on, its bricks stay; what stays misses nothing,
/// not even a file that both hold; and what comes back is compared like at a start.
#[test]
fn what_a_reload_takes_away_is_watched_no_more() {
    let scratch = Scratch::new();
    let tree = scratch.tree().canonicalize().unwrap();
    for name in ["stays", "goes", "goes/below"] {
        fs::create_dir(tree.join(name)).unwrap();
    }
    let (stays, goes) = (tree.join("stays"), tree.join("goes"));
    act::write(&goes.join("below/kept"), b"before").unwrap();
    act::write(&goes.join("removed"), b"before").unwrap();
    act::write(&goes.join("shared"), b"before").unwrap();
    fs::hard_link(goes.join("shared"), stays.join("shared")).unwrap();
    let log = scratch.file("run.log");
    let always = format!("may-watch = [\"TREE\"]\nrecord = \"{}\"\n", log.display());
    let watch = |dirs: &str| format!("{always}watch = [{dirs}]\n");
    let both = watch("\"TREE/stays\", \"TREE/goes\"");
    let one = watch("\"TREE/stays\"");
    let mut served = Served::start(scratch, &both, &[]);
    served.ask(&["sync", "--timeout", "60"]).ok();
    let hash = |path: &Path| hash(&served, path);
    for round in 0..4_u8 {
        let before = hash(&goes.join("below/kept"));
        write_config(&served.scratch, &one);
        // In the middle of it: what stays, what goes, and what is in both.
        act::write(&stays.join("changing"), &[round; 70_000]).unwrap();
        let said = served.reload();
        assert!(said.contains("goes is watched no more"), "{said}");
        assert_eq!(roots(&served), [stays.to_str().unwrap()]);
        let seen = served.ask(&["status", "--json"]).ok().json()["artifacts"].as_u64().unwrap();
        act::write(&goes.join("below/kept"), &[round + 1; 9]).unwrap();
        act::write(&goes.join("new"), &[round; 5]).unwrap();
        act::write(&stays.join("shared"), &[round + 9; 80]).unwrap();
        served.ask(&["sync", "--timeout", "60"]).ok();
        let now = served.ask(&["status", "--json"]).ok().json()["artifacts"].as_u64().unwrap();
        assert_eq!((seen, now), (2, 2), "what is in `stays`, and nothing else");
        assert_eq!(hash(&goes.join("below/kept")), before, "its brick stays as it was");
        assert_eq!(hash(&stays.join("shared")), of(&[round + 9; 80]));
        assert_eq!(hash(&stays.join("changing")), of(&[round; 70_000]));
        let removed = goes.join("removed");
        fs::remove_file(&removed).unwrap();
        write_config(&served.scratch, &both);
        let said = served.reload();
        assert!(said.contains("goes is watched") && !said.contains("no more"), "{said}");
        served.ask(&["sync", "--timeout", "60"]).ok();
        assert_eq!(hash(&goes.join("below/kept")), of(&[round + 1; 9]));
        assert_eq!(hash(&goes.join("shared")), of(&[round + 9; 80]));
        // It went while nobody looked.
        served.ask(&["inspect", removed.to_str().unwrap()]).coded(4);
        served.ask(&["verify", "--all"]).ok();
        act::write(&removed, b"again").unwrap();
    }
    what_holds_it_and_what_it_holds(&served, &watch, &goes.join("below/kept"));
    // A recording of all this gives the same bricks.
    signal(served.child.id(), rustix::process::Signal::TERM);
    served.wait_for("STOPPING=1");
    assert!(served.child.wait().unwrap().success(), "{}", served.log());
    let again = served.scratch.file("again");
    let args = [Path::new("replay"), &log, Path::new("--store"), &again];
    program::run(&args).ok();
    let (live, again) = (bricks(&served.scratch.store()), bricks(&again));
    assert_eq!(live.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
    for (name, bytes) in live {
        assert!(again[&name] == bytes, "{} differs", name.display());
    }
}

/// A root gives way to the directory above it, and that to one below it.
fn what_holds_it_and_what_it_holds(served: &Served, watch: &dyn Fn(&str) -> String, file: &Path) {
    let tree = served.scratch.tree().canonicalize().unwrap();
    write_config(&served.scratch, &watch("\"TREE\""));
    served.reload();
    assert_eq!(roots(served), [tree.to_str().unwrap()]);
    served.ask(&["sync", "--timeout", "60"]).ok();
    served.ask(&["verify", "--all"]).ok();
    write_config(&served.scratch, &watch("\"TREE/goes/below\""));
    served.reload();
    act::write(file, b"at last").unwrap();
    served.ask(&["sync", "--timeout", "60"]).ok();
    assert_eq!(hash(served, file), of(b"at last"));
}

/// What the brick says that the file's content is.
fn hash(served: &Served, path: &Path) -> String {
    let json = served.ask(&["inspect", path.to_str().unwrap(), "--json"]).ok().json();
    json["blake3"].as_str().unwrap().to_owned()
}

fn of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Every brick of a store.
fn bricks(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![store.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                todo.push(entry);
            } else if entry.extension().is_some_and(|e| e == "brick") {
                let name = entry.strip_prefix(store).unwrap().to_owned();
                found.insert(name, fs::read(&entry).unwrap());
            }
        }
    }
    found
}
