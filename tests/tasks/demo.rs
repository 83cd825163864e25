//! Task files as Geometry OS writes them, dropped into a project that a daemon watches.

use super::*;
use crate::support::{Random, seed};
use std::collections::BTreeSet;
use std::time::Instant;

/// As it stands in Geometry OS.
const DEMO: &str = r#"{
  "task_id": "demo-ls-conversion",
  "type": "convert_binary",
  "source": "/bin/ls",
  "destination": "bin_ls.brick",
  "texture_size": 512,
  "ai_model": "qwen2.5-coder-7b-instruct"
}
"#;

const CONFIG: &str = "[[project]]\npath = \"TREE/p\"\nallow = [\"/bin\", \"/usr/bin\", \"TREE\"]\n";

/// A reader of version 1 as Geometry OS has it, in another language: header, curve, red channel.
const READER: &str = r#"
import struct, sys
data = open(sys.argv[1], 'rb').read()
magic, version, w, h, order, size, packed = struct.unpack_from('<4sIIIIQQ', data)
assert magic == b'V2BR' and version == 1 and w == h == 1 << order, (magic, version, w, h, order)
assert len(data) >= 132 + w * h * 4 and size <= w * h
def d2xy(n, d):
    x = y = 0
    s = 1
    while s < n:
        rx = 1 & (d // 2)
        ry = 1 & (d ^ rx)
        if ry == 0:
            if rx == 1:
                x, y = s - 1 - x, s - 1 - y
            x, y = y, x
        x += s * rx
        y += s * ry
        d //= 4
        s *= 2
    return x, y
out = bytearray(size)
for i in range(size):
    x, y = d2xy(w, i)
    out[i] = data[132 + (y * w + x) * 4]
assert bytes(out) == open(sys.argv[2], 'rb').read(), 'other bytes'
print(w)
"#;

#[test]
fn the_demo_of_geometry_os_becomes_a_brick_that_its_readers_load() {
    let scratch = Scratch::new();
    let inbox = inbox(&scratch);
    let served = Served::start(scratch, CONFIG, &[]);
    // The daemon is told of it by the file system alone.
    act::write(&inbox.join("demo-ls-conversion.task.json"), DEMO.as_bytes()).unwrap();
    let brick = served.scratch.tree().join("p/systems/builder/queue/bin_ls.brick");
    let done = inbox.join("demo-ls-conversion.task.task.json.done");
    until(&served, || done.exists());
    assert!(!inbox.join("demo-ls-conversion.task.json").exists());
    let read = Command::new("python3").args(["-c", READER]).arg(&brick).arg("/bin/ls").output();
    let read = read.unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "512");

    let said = served.ask(&["tasks"]).ok();
    assert!(said.out.contains("done  convert_binary  demo-ls-conversion"), "{said:?}");
    let next = said.err.lines().find_map(|line| line.strip_prefix("next: "));
    let brick = brick.canonicalize().unwrap();
    assert_eq!(next, Some(format!("foundry-user unfold {} -o unfolded", brick.display()).as_str()));
    let back = served.scratch.file("unfolded");
    program::run(&[Path::new("unfold"), &brick, Path::new("-o"), &back]).ok();
    assert!(fs::read(&back).unwrap() == fs::read("/bin/ls").unwrap(), "unfold gave other bytes");
    let json = served.ask(&["tasks", "--json"]).ok().json();
    assert_eq!(json["tasks"][0]["state"], "done");
    assert_eq!(json["next"], json["tasks"][0]["next"]);
    let result = fs::read_to_string(inbox.join("demo-ls-conversion.task.result.json")).unwrap();
    assert!(result.contains("\"v2br\"") && result.contains("\"next\""), "{result}");
}

/// Asks the daemon to look for as long as it takes the events to reach it.
#[expect(clippy::disallowed_methods, reason = "a test ends at last")]
fn until(served: &Served, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "nothing happens:\n{}", served.log());
        // A sync returns when what happened is in the bricks; the hint follows it.
        served.ask(&["sync", "--timeout", "60"]).ok();
    }
}

/// Killed at random moments, over and over, while tasks come in: each is done in the end, its brick is
/// whole and right, and nothing else is left.
#[test]
fn tasks_outlive_kills() {
    let mut random = Random::new(seed());
    let scratch = Scratch::new();
    let inbox = inbox(&scratch);
    let mut served = Served::start(scratch, CONFIG, &[]);
    let mut wanted = BTreeSet::new();
    for round in 0..4 {
        for n in 0..3 {
            let name = format!("t{round}-{n}");
            let len = usize::try_from(random.below(1 << 20)).unwrap();
            let source = served.scratch.tree().join(format!("{name}.source"));
            act::write(&source, &random.bytes(len)).unwrap();
            let text = format!(
                r#"{{"task_id":"{name}","type":"convert_binary","source":"{}","destination":"{name}.brick"}}"#,
                source.display()
            );
            // Half of them appear whole, half are written in place.
            let place = inbox.join(format!("{name}.task.json"));
            if n % 2 == 0 {
                act::write(&inbox.join("half"), text.as_bytes()).unwrap();
                fs::rename(inbox.join("half"), place).unwrap();
            } else {
                act::write(&place, text.as_bytes()).unwrap();
            }
            wanted.insert(name);
        }
        // The daemon gets so far, and no farther.
        for _ in 0..random.below(3) {
            served.ask(&["status"]);
        }
        served = served.kill_and_start();
    }
    served.ask(&["tasks", "--wait"]).ok();
    for name in &wanted {
        assert!(inbox.join(format!("{name}.task.task.json.done")).exists(), "{name}");
        let brick = served.scratch.tree().join(format!("p/systems/builder/queue/{name}.brick"));
        program::run(&[Path::new("verify"), &brick]).ok();
    }
    let queue = served.scratch.tree().join("p/systems/builder/queue");
    let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!(names(&queue), wanted.len(), "one brick for each task, and nothing else");
    assert_eq!(names(&inbox), 2 * wanted.len(), "a mark and a result for each");
}

#[test]
fn what_is_not_allowed_waits_for_somebody() {
    let scratch = Scratch::new();
    let inbox = inbox(&scratch);
    let config = "may-watch = [\"/bin\", \"/usr/bin\"]\n[[project]]\npath = \"TREE/p\"\n";
    let served = Served::start(scratch, config, &[]);
    act::write(&inbox.join("demo.task.json"), DEMO.as_bytes()).unwrap();
    served.ask(&["tasks", "--wait"]).ok();
    let json = served.ask(&["tasks", "--json"]).ok().json();
    let task = &json["tasks"][0];
    assert_eq!(task["state"], "needs approval", "{json}");
    let id = task["id"].as_str().unwrap();
    let next = task["next"].as_str().unwrap();
    assert!(next.starts_with(&format!("foundry-user tasks approve {id}")), "{next}");
    // A name stands for whatever its file says by then; the id of what it says now is told.
    let named = served.ask(&["tasks", "approve", "demo-ls-conversion"]).coded(2);
    assert!(named.err.contains(id), "{}", named.err);
    served.ask(&["tasks", "approve", id]).ok();
    served.ask(&["tasks", "--wait"]).ok();
    assert!(inbox.join("demo.task.task.json.done").exists());
    served.ask(&["tasks", "approve", "0123456789ab"]).coded(2);
}

/// An approval opens no sandbox, and it is said what does.
#[test]
fn what_the_sandbox_does_not_reach_is_told_from_what_is_not_there() {
    let scratch = Scratch::new();
    let inbox = inbox(&scratch);
    let served = Served::start(scratch, "[[project]]\npath = \"TREE/p\"\n", &[]);
    act::write(&inbox.join("demo.task.json"), DEMO.as_bytes()).unwrap();
    served.ask(&["tasks", "--wait"]).ok();
    let json = served.ask(&["tasks", "--json"]).ok().json();
    served.ask(&["tasks", "approve", json["tasks"][0]["id"].as_str().unwrap()]).ok();
    served.ask(&["tasks", "--wait"]).coded(1);
    let said = fs::read_to_string(inbox.join("demo.task.error.json")).unwrap();
    assert!(said.contains("name it in `may-watch`"), "{said}");
}
