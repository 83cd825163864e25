//! Who may name whom.
//!
//! Knows: the rooms of ARCHITECTURE.md. Must never know: what is in them.

use super::{expect_none, files, names};

/// A word that only some files may use: where the rule looks, the word, and who may.
struct Rule {
    within: &'static str,
    word: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        within: "foundry-user/src/",
        word: "aya",
        allowed: &["foundry-user/src/sources/ebpf"],
        why: "only the eBPF source knows the loader",
    },
    Rule {
        within: "foundry-user/src/",
        word: "serde_json",
        allowed: &["foundry-user/src/wire"],
        why: "only wire.rs knows JSON",
    },
    Rule {
        within: "foundry-user/src/",
        word: "reqwest",
        allowed: &["foundry-user/src/annotate"],
        why: "only the annotator talks to servers",
    },
    Rule {
        within: "foundry-user/src/",
        word: "rusqlite",
        allowed: &["foundry-user/src/annotate/queue", "foundry-user/src/facts/host/rpm.rs"],
        why: "the queue of questions is our only database, and rpm's the only other's",
    },
    Rule {
        within: "foundry-user/src/",
        word: "wire_annotate",
        allowed: &[
            "foundry-user/src/annotate",
            "foundry-user/src/cli",
            "foundry-user/src/facts/search.rs",
            "foundry-user/src/wire",
            "foundry-user/src/lib.rs",
        ],
        why: "what a model says is data that is shown, and read by nobody else",
    },
    Rule { within: "foundry-brick/src/", word: "tokio", allowed: &[], why: PURE },
    Rule { within: "foundry-brick/src/", word: "std::time", allowed: &[], why: PURE },
    Rule { within: "foundry-brick/src/", word: "std::fs", allowed: &[], why: PURE },
    Rule { within: "foundry-brick/src/", word: "std::env", allowed: &[], why: PURE },
    Rule { within: "foundry-brick/src/", word: "procfs", allowed: &[], why: PURE },
    Rule { within: "foundry-brick/src/", word: "/proc", allowed: &[], why: PURE },
    Rule {
        within: "foundry-common/src/",
        word: "std",
        allowed: &[],
        why: "the kernel side is no_std",
    },
    Rule { within: "foundry-user/src/pipeline", word: "std::fs", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "std::time", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "std::thread", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "std::env", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "tokio", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "rustix", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "libc", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "HashMap", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/pipeline", word: "HashSet", allowed: &[], why: STEP },
    Rule { within: "foundry-user/src/", word: "crate::daemon", allowed: EDGES, why: WIRING },
    Rule { within: "foundry-user/src/sources", word: "crate::store", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/sources", word: "crate::sinks", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/sources", word: "crate::reader", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/store", word: "crate::sources", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/store", word: "crate::sinks", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/store", word: "crate::reader", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/sinks", word: "crate::sources", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/sinks", word: "crate::store", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/reader", word: "crate::sources", allowed: &[], why: APART },
    Rule { within: "foundry-user/src/reader", word: "crate::store", allowed: &[], why: APART },
];

/// Those who start the daemon, and the daemon's own rooms.
const EDGES: &[&str] =
    &["foundry-user/src/daemon", "foundry-user/src/main.rs", "foundry-user/src/cli"];

const PURE: &str = "foundry-brick is pure: bytes come and go through its storage trait";
const STEP: &str = "`step` does no I/O, reads no clock and iterates in one order on every machine";
const APART: &str = "sources, reader, store and sinks never name one another; daemon.rs wires them";
const WIRING: &str = "the daemon knows the rooms, not the other way round";

#[test]
fn rooms_keep_to_themselves() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is(&["rs"]) && !file.is_tests()) {
        for rule in RULES.iter().filter(|rule| file.path.starts_with(rule.within)) {
            if rule.allowed.iter().any(|prefix| file.path.starts_with(prefix)) {
                continue;
            }
            for (line, code) in file.code().filter(|(_, code)| names(code, rule.word)) {
                let at = format!("{}:{line}: {}", file.path, code.trim());
                found.push(format!("{at}\n    ({})", rule.why));
            }
        }
    }
    expect_none("a room names what it must never know", &found);
}

/// Sources by the names of their files; a family shares a first word.
#[test]
fn sources_do_not_know_one_another() {
    const FAMILIES: [&str; 5] = ["ebpf", "replay", "fanotify", "inotify", "proc_connector"];
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is(&["rs"]) && !file.is_tests()) {
        let Some(name) = file.path.strip_prefix("foundry-user/src/sources/") else { continue };
        let Some(own) = FAMILIES.iter().find(|family| name.starts_with(*family)) else { continue };
        for other in FAMILIES.iter().filter(|family| *family != own) {
            let path = format!("sources::{other}");
            for (line, code) in file.code().filter(|(_, code)| code.contains(&path)) {
                found.push(format!("{}:{line}: {}", file.path, code.trim()));
            }
        }
    }
    expect_none("one source names another; the composite and daemon.rs put them together", &found);
}

/// Unsafe code lives where the world is touched, and nowhere else.
#[test]
fn unsafe_lives_in_few_places() {
    const ALLOWED: &[&str] = &[
        "foundry-ebpf/",
        "foundry-user/src/sources/",
        // Two calls to the allocator.
        "foundry-user/src/daemon/memory.rs",
        "foundry-user/src/process/sys.rs",
        // A system call without a safe wrapper.
        "foundry-user/src/reader/settle.rs",
        // Two calls without a wrapper: having a file for oneself.
        "foundry-user/src/tasks/lease.rs",
        // The inner loops with wide registers.
        "foundry-brick/src/simd.rs",
        // A brick that is only read is mapped.
        "foundry-user/src/cli/mapped.rs",
        // Mappings and rings are what some of the tests are about.
        "tests/support/act.rs",
        "tests/support/daemon.rs",
        "tests/support/unseen.rs",
        "tests/live_source/",
        // So are mappings, rings and namespaces.
        "tests/support/ops/sys",
    ];
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is(&["rs"])) {
        if ALLOWED.iter().any(|prefix| file.path.starts_with(prefix)) {
            continue;
        }
        for (line, code) in file.code() {
            let opens = [" {", " fn", " impl", " extern", "("]
                .iter()
                .any(|after| code.contains(&format!("{}{after}", concat!("un", "safe"))));
            if opens {
                found.push(format!("{}:{line}: {}", file.path, code.trim()));
            }
        }
    }
    expect_none("unsafe code outside the rooms that may have it (this list names them)", &found);
}
