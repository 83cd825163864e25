//! Breaking out, tried by threads that gave everything up. What a thread gives up, others keep.

use super::*;
use std::fs;
use std::net::{TcpListener, TcpStream};

/// A watched tree, a store and a place that is none of the daemon's business.
struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tree", "store", "outside"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("file"), name).unwrap();
        }
        Self { dir }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn needs(&self) -> Needs {
        Needs {
            reads: vec![self.at("tree"), "/proc".into()],
            writes: vec![self.at("store")],
            ..Needs::default()
        }
    }
}

/// Runs `body` in a thread that has given up everything but `needs`. `None` without Landlock.
fn confined<T: Send + 'static>(
    needs: Needs,
    body: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let run = move || {
        let kept = enter(&needs).unwrap();
        match kept.landlock {
            Ok(_) => Some(body()),
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    };
    std::thread::spawn(run).join().unwrap()
}

fn refused<T: std::fmt::Debug>(outcome: io::Result<T>) {
    let error = outcome.expect_err("this was possible");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
}

#[test]
fn the_watched_tree_is_read_and_nothing_else() {
    let stage = Stage::new();
    let (tree, outside) = (stage.at("tree/file"), stage.at("outside/file"));
    std::os::unix::fs::symlink(&outside, stage.at("tree/link")).unwrap();
    let (link, dir) = (stage.at("tree/link"), stage.at("outside"));
    confined(stage.needs(), move || {
        assert_eq!(fs::read(&tree).unwrap(), b"tree");
        refused(fs::read(&outside));
        refused(fs::read(&link));
        refused(fs::read_dir(&dir));
        refused(fs::read("/etc/passwd"));
    });
}

#[test]
fn nothing_is_written_outside_the_store() {
    let stage = Stage::new();
    let at = |path: &str| stage.at(path);
    let (inside, changed) = (at("store/made"), at("store/file"));
    let (tree, made, old) = (at("tree/file"), at("outside/made"), at("outside/file"));
    confined(stage.needs(), move || {
        fs::write(&inside, "x").unwrap();
        fs::rename(&inside, &changed).unwrap();
        refused(fs::write(&made, "x"));
        refused(fs::write(&tree, "x"));
        refused(fs::OpenOptions::new().append(true).open(&old));
        refused(fs::remove_file(&tree));
        refused(fs::create_dir(&made));
        // From and to other places is no way either; the kernel calls that another device.
        assert!(fs::rename(&changed, &made).is_err());
        assert!(fs::hard_link(&old, &inside).is_err());
        refused(std::os::unix::fs::symlink(&old, &made));
    });
    assert_eq!(fs::read(stage.at("tree/file")).unwrap(), b"tree");
}

#[test]
fn a_link_that_is_put_in_the_store_leads_nowhere() {
    let stage = Stage::new();
    std::os::unix::fs::symlink(stage.at("outside"), stage.at("store/way")).unwrap();
    let way = stage.at("store/way/made");
    confined(stage.needs(), move || refused(fs::write(&way, "x")));
}

#[test]
fn only_the_ports_that_were_named_are_used() {
    let stage = Stage::new();
    let model = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (model_at, other_at) = (model.local_addr().unwrap(), other.local_addr().unwrap());
    let needs = Needs { connects: vec![model_at.port()], ..stage.needs() };
    if fence::support().is_ok_and(|version| version < 4) {
        return println!("skipped: this Landlock knows no network");
    }
    confined(needs, move || {
        drop(TcpStream::connect(model_at).unwrap());
        refused(TcpStream::connect(other_at));
        refused(TcpListener::bind("127.0.0.1:0"));
    });
    let needs = Needs { listens: vec![0], ..stage.needs() };
    confined(needs, || drop(TcpListener::bind("127.0.0.1:0").unwrap()));
}

#[test]
fn other_processes_are_closed_and_the_witness_is_why_that_does_no_harm() {
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let exe = format!("/proc/{}/exe", child.id());
    assert!(fs::read_link(&exe).is_ok());
    confined(Stage::new().needs(), move || refused(fs::read_link(&exe)));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn capabilities_are_given_up_for_good() {
    let kept = std::thread::spawn(|| {
        let kept = enter(&Needs::default()).unwrap();
        let status = fs::read_to_string("/proc/thread-self/status");
        // Landlock was not told of /proc.
        assert!(status.is_err() || kept.landlock.is_err());
        let sets = rustix::thread::capabilities(None).unwrap();
        assert!(CapabilitySet::DAC_READ_SEARCH.contains(sets.permitted), "{sets:?}");
        assert_eq!((sets.effective, sets.inheritable), (sets.permitted, CapabilitySet::empty()));
        assert!(rustix::thread::no_new_privs().unwrap());
        // What is not permitted cannot be made effective again.
        let all = rustix::thread::CapabilitySets {
            effective: CapabilitySet::SYS_ADMIN,
            permitted: CapabilitySet::SYS_ADMIN,
            inheritable: CapabilitySet::empty(),
        };
        assert!(rustix::thread::set_capabilities(None, all).is_err());
        if rustix::process::geteuid().is_root() {
            let bound = rustix::thread::capability_is_in_bounding_set(CapabilitySet::SYS_ADMIN);
            assert!(!bound.unwrap());
        }
        kept
    });
    let kept = kept.join().unwrap();
    assert!(kept.capabilities.iter().all(|name| *name == "CAP_DAC_READ_SEARCH"), "{kept:?}");
}

#[test]
fn what_is_needed_decides_what_is_kept() {
    let stage = Stage::new();
    let plain = stage.needs();
    assert_eq!(names(plain.capabilities()), ["CAP_DAC_READ_SEARCH"]);
    let low = Needs { listens: vec![80], ..plain.clone() };
    assert!(names(low.capabilities()).contains(&"CAP_NET_BIND_SERVICE"));
    let memory = Needs { processes: true, ..plain };
    assert!(names(memory.capabilities()).contains(&"CAP_SYS_PTRACE"));
}
