//! What a service manager sees of the daemon, and what it does to it: reload, watchdog, stop.

use super::*;

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
    write_config(&served.scratch, "watch = [\"TREE/stays\"]\n");
    let said = served.reload();
    assert!(said.contains("needs a restart: may-watch"), "{said}");
    assert!(said.contains("comes7 is watched until a restart"), "{said}");
    assert_eq!(roots(&served), before);
}

/// It says that it is alive for as long as it is; one that stands still is silent.
#[test]
fn a_daemon_that_stands_still_says_nothing() {
    let watchdog = [("WATCHDOG_USEC", "600000")];
    let served = Served::start(Scratch::new(), "watch = [\"TREE\"]\n", &watchdog);
    for _ in 0..5 {
        served.wait_for("WATCHDOG=1");
    }
    signal(served.child.id(), rustix::process::Signal::STOP);
    served.manager.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buf = [0; 4096];
    let mut heard = 0;
    while served.manager.recv(&mut buf).is_ok() {
        heard += 1;
        assert!(heard < 10, "it goes on saying that it is alive");
    }
    signal(served.child.id(), rustix::process::Signal::CONT);
    served.manager.set_read_timeout(Some(LIMIT)).unwrap();
    served.wait_for("WATCHDOG=1");
}

#[test]
fn an_end_is_announced() {
    let served = Served::start(Scratch::new(), "watch = [\"TREE\"]\n", &[]);
    signal(served.child.id(), rustix::process::Signal::TERM);
    served.wait_for("STOPPING=1");
}

#[test]
fn a_configuration_is_judged_before_it_is_used() {
    let scratch = Scratch::new();
    let file = scratch.file("foundry.toml");
    write_config(&scratch, "watch = [\"TREE\"]\n");
    let said = program::run(&[Path::new("config"), Path::new("check"), &file]).ok();
    assert!(said.out.contains("good; it watches"), "{said:?}");
    assert!(said.err.contains("next: foundry-user --config "), "{said:?}");
    write_config(&scratch, "watch = [\"TREE\"]\n[[schedule]]\npath = \"TREE\"\nevry = \"daily\"\n");
    let args = [Path::new("config"), Path::new("check"), &file, Path::new("--json")];
    let json = program::run(&args).coded(2).json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["mistakes"][0]["key"], "evry", "{json}");
    assert_eq!(json["mistakes"][0]["line"], 7, "{json}");
    let what = json["mistakes"][0]["what"].as_str().unwrap();
    assert!(what.contains("did you mean `every`?"), "{json}");
    assert!(json["next"].as_str().unwrap().contains("config check"), "{json}");
}

/// A comparison that was missed while nobody ran is made once, after the first look; one that was made
/// is remembered.
#[test]
fn what_was_missed_is_compared_once() {
    let scratch = Scratch::new();
    let tree = scratch.tree().canonicalize().unwrap();
    act::write(&tree.join("one"), &[7; 100_000]).unwrap();
    act::write(&tree.join("two"), b"two").unwrap();
    let config = "watch = [\"TREE\"]\n[[schedule]]\npath = \"TREE\"\nevery = \"monthly\"\n";
    let served = Served::start(scratch, config, &[]);
    let audited = |served: &Served| {
        served.ask(&["sync"]).ok();
        // The second sync begins after whatever the first one's moment made due.
        served.ask(&["sync"]).ok();
        let json = served.ask(&["status", "--json"]).ok().json();
        (json["audited"].as_u64().unwrap(), json["drifted"].as_u64().unwrap())
    };
    assert_eq!(audited(&served), (0, 0), "a month begins to count now");
    let listed = served.ask(&["tasks", "--json"]).ok().json();
    assert_eq!(listed["schedules"][0]["every"], "monthly", "{listed}");
    // It was last done in 1970, says the store: one entry, its name, the moment, the period.
    let name = tree.to_str().unwrap();
    let mut kept = vec![1, u8::try_from(name.len()).unwrap()];
    assert!(name.len() < 128, "{name}");
    kept.extend(name.bytes().chain([0, 7]).chain(*b"monthly"));
    act::write(&served.scratch.store().join("schedules"), &kept).unwrap();
    let served = served.kill_and_start();
    assert_eq!(audited(&served), (2, 0));
    let listed = served.ask(&["tasks", "--json"]).ok().json();
    assert!(0 < listed["schedules"][0]["last_ns"].as_i64().unwrap(), "{listed}");
    let served = served.kill_and_start();
    assert_eq!(audited(&served), (0, 0), "it was remembered");
}
