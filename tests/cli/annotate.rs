//! `annotate` where there is no daemon, no model server, or no permission to ask one.

use super::run;
use std::fs;
use std::net::TcpListener;

/// A configuration file that names a server.
fn config(dir: &tempfile::TempDir, section: &str) -> std::path::PathBuf {
    let path = dir.path().join("foundry.toml");
    fs::write(&path, format!("[annotate]\n{section}\n")).unwrap();
    path
}

#[test]
fn without_a_server_status_says_so_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config(&dir, &format!("url = \"http://{free}\""));
    let ask: [&dyn AsRef<std::ffi::OsStr>; 6] =
        [&"annotate", &"--status", &"--store", &store, &"--config", &config];
    let said = run(&ask).ok();
    assert!(
        said.out.contains(&format!("no model server at http://{free}; 0 waiting")),
        "{}",
        said.out
    );
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert!(!store.exists(), "a look changes nothing");
    let json = run(&[&ask[..], &[&"--json"]].concat()).ok().json();
    assert_eq!((&json["reachable"], &json["waiting"]), (&false.into(), &0.into()));
    assert_eq!(json["server"], format!("http://{free}"));
}

#[test]
fn another_machine_is_only_asked_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let remote = config(&dir, "url = \"http://192.0.2.1:1234\"");
    let said =
        run(&[&"annotate", &"--status", &"--config", &remote, &"--store", &dir.path()]).coded(2);
    assert!(said.err.contains("annotate.remote-hosts"), "{}", said.err);
    let unknown = config(&dir, "hosts = []");
    let said = run(&[&"annotate", &"--status", &"--config", &unknown]).coded(2);
    assert!(said.err.contains("unknown key `hosts`"), "{}", said.err);
}

#[test]
fn without_bricks_there_is_nothing_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(&[&"annotate", &"--all", &"--store", &dir.path().join("none")]).coded(4);
    assert!(said.err.contains("--watch DIR"), "{}", said.err);
}
