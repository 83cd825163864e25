//! What a service manager sees of the daemon, and what it does to it: watchdog, stop.

use super::*;

/// Holds the thread of a process that bears its number, and no other, until its input ends.
const HOLD: &str = r#"
import ctypes, os, sys
libc, pid = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
def ask(request):
    if libc.ptrace(request, pid, None, None) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
ask(SEIZE)
ask(INTERRUPT)
os.waitpid(pid, 0x40000000)
print('held', flush=True)
sys.stdin.read()
ask(DETACH)
"#;

/// It says that it is alive for as long as its loop goes round; one whose loop stands still is silent,
/// although the rest of it lives.
#[test]
fn a_loop_that_stands_still_says_nothing() {
    use std::io::BufRead;
    let watchdog = [("WATCHDOG_USEC", "600000")];
    let served = Served::start(Scratch::new(), "watch = [\"TREE\"]\n", &watchdog);
    for _ in 0..5 {
        served.wait_for("WATCHDOG=1");
    }
    let pid = served.child.id();
    let mut holder = Command::new("python3");
    holder.args(["-c", HOLD, &pid.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut said = String::new();
    std::io::BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "held\n", "only who may trace others (root) can hold a thread");
    // Only the loop is held: every other thread of the daemon sleeps or runs.
    let state = |tid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let threads: Vec<u32> =
        threads.map(|t| t.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    assert!(1 < threads.len() && state(pid) == 't', "{threads:?}");
    assert!(threads.iter().filter(|tid| **tid != pid).all(|tid| "SRDI".contains(state(*tid))));
    served.manager.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buf = [0; 4096];
    let mut heard = 0;
    while served.manager.recv(&mut buf).is_ok() {
        heard += 1;
        assert!(heard < 10, "it goes on saying that it is alive");
    }
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
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
