//! A model's answer goes through the daemon into a brick, and into a recording.

use super::*;
use crate::annotate::tests::mock::Mock;
use crate::annotate::tests::stage::settings;
use crate::annotate::{Request, Settings, Status};
use crate::wire_annotate;
use std::io::Write as _;

const LONGER: &[u8] = b"#!/bin/sh\necho second, and longer\n";

fn annotation(stage: &Stage, name: &str) -> Option<(u64, bool)> {
    let path = stage.tree(name).into_os_string().into_encoded_bytes();
    let file = crate::store::brick_path(&stage.store(), &path);
    let brick = foundry_brick::Brick::open(crate::store::FileStorage::open_to_read(&file).unwrap());
    let brick = brick.unwrap();
    let note = brick.annotation().unwrap()?;
    Some((brick.generation(), wire_annotate::is_of(&note, &brick.blake3().unwrap())))
}

fn ask(stage: &Stage, request: &Request) -> Status {
    client::annotate(&stage.store(), request).unwrap()
}

/// Changes are heard a moment later: asked for by name, the question is there at once.
fn annotated(stage: &Stage, name: &str) -> Status {
    let path = stage.tree(name).into_os_string().into_encoded_bytes();
    ask(stage, &Request::Path(path));
    ask(stage, &Request::Drain)
}

#[test]
fn answers_reach_their_bricks_and_a_replay_has_them_too() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mock = runtime.block_on(Mock::good());
    // A temporary directory is closed to others.
    let annotate = Settings { private: true, ..settings(&mock.url) };
    let stage = Stage { annotate, ..Stage::new(true) };
    fs::write(stage.tree("tool"), "#!/bin/sh\necho first\n").unwrap();
    let daemon = stage.start();
    daemon.sync();
    let status = annotated(&stage, "tool");
    assert_eq!((status.counts.answers, status.counts.delivered), (1, 1), "{status:?}");
    assert_eq!(status.model.as_deref(), Some("test-model"));
    assert_eq!(annotation(&stage, "tool"), Some((2, true)));
    // Another content, in one change: the old opinion is shown as that until the new one is there. Cut
    // short first and written then, it would be two contents where the daemon is quick.
    let mut tool = fs::OpenOptions::new().write(true).open(stage.tree("tool")).unwrap();
    assert_eq!(tool.write(LONGER).unwrap(), LONGER.len());
    daemon.sync();
    let status = annotated(&stage, "tool");
    assert_eq!((status.counts.answers, status.counts.delivered), (2, 1), "{status:?}");
    // Emptied and written: that may be seen as two changes.
    let (generation, current) = annotation(&stage, "tool").unwrap();
    assert!(current && (4..=5).contains(&generation), "{generation}");
    // Under another name it is the same brick.
    fs::rename(stage.tree("tool"), stage.tree("moved")).unwrap();
    daemon.sync();
    assert_eq!(annotation(&stage, "moved").map(|a| a.1), Some(true));
    daemon.sync();
    daemon.stop();
    let live = files(&stage.store());
    let store = stage.dir.path().join("replayed");
    replay::run(&stage.log(), &store).unwrap();
    assert!(files(&store) == live, "the replay differs");
}

#[test]
fn without_a_server_or_switched_off_everything_else_works() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    let annotate = Settings { private: true, ..settings(&url) };
    let stage = Stage { annotate, ..Stage::new(false) };
    fs::write(stage.tree("tool"), "#!/bin/sh\n").unwrap();
    let daemon = stage.start();
    daemon.sync();
    let status = annotated(&stage, "tool");
    assert_eq!(status.headline(), format!("no model server at {url}; 1 waiting"));
    stage.check();
    daemon.stop();
    let off = Stage::new(false);
    let daemon = off.start();
    let refused = client::annotate(&off.store(), &Request::Status).unwrap_err();
    assert!(refused.to_string().contains("annotation is off"), "{refused}");
    daemon.stop();
}
