//! What the kernel says of itself in `/proc` and `/sys`.
//!
//! Knows: a few files there. Must never know: sources.
//! Keeps: a file that cannot be read is "unknown", never a failure of the command.

use crate::process::{Abilities, Target};
use crate::sandbox;
use crate::sources::ebpf::pins;
use crate::wire::CheckDocument;
use std::fs;

/// Capabilities that matter, by their bits.
const CAPABILITIES: [(&str, u32); 5] = [
    ("CAP_BPF", 39),
    ("CAP_PERFMON", 38),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_DAC_READ_SEARCH", 2),
    ("CAP_NET_ADMIN", 12),
];

/// Watches below which a large tree does not fit inotify.
const FEW_WATCHES: u64 = 100_000;

/// Release of the running kernel.
pub(super) fn release() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned())
}

/// Everything worth knowing before the probes are blamed.
pub(super) fn checks() -> Vec<CheckDocument> {
    vec![
        types(),
        capabilities(),
        lockdown(),
        unprivileged(),
        watches(),
        cgroups(),
        landlock(),
        kept(),
        pins(),
        memory(),
    ]
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn types() -> CheckDocument {
    let size = fs::metadata("/sys/kernel/btf/vmlinux").map(|m| m.len());
    CheckDocument {
        name: "types of the kernel (BTF)",
        ok: size.is_ok(),
        detail: match size {
            Ok(size) => format!("/sys/kernel/btf/vmlinux, {size} bytes"),
            Err(e) => format!("/sys/kernel/btf/vmlinux: {}", e.to_string().to_lowercase()),
        },
        advice: Some("the probes need a kernel that was built with CONFIG_DEBUG_INFO_BTF"),
    }
}

fn capabilities() -> CheckDocument {
    let status = read("/proc/self/status").unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let missing: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(_, bit)| bits & (1 << bit) == 0)
        .map(|(name, _)| *name)
        .collect();
    CheckDocument {
        name: "capabilities",
        ok: missing.is_empty(),
        detail: if missing.is_empty() {
            "all that are of use".to_owned()
        } else {
            format!("without {}", missing.join(", "))
        },
        advice: Some("run with sudo; the probes need CAP_BPF and CAP_PERFMON or CAP_SYS_ADMIN"),
    }
}

fn lockdown() -> CheckDocument {
    let state = read("/sys/kernel/security/lockdown");
    // The word in brackets is the one in force.
    let word = state.as_deref().and_then(|s| s.split(['[', ']']).nth(1));
    CheckDocument {
        name: "lockdown",
        ok: word != Some("confidentiality"),
        detail: word.unwrap_or("not in this kernel").to_owned(),
        advice: Some("in confidentiality mode BPF may not read kernel memory: boot without it"),
    }
}

fn unprivileged() -> CheckDocument {
    let state = read("/proc/sys/kernel/unprivileged_bpf_disabled");
    CheckDocument {
        name: "bpf(2)",
        ok: state.is_some(),
        detail: match state.as_deref() {
            None => "not in this kernel".to_owned(),
            Some("0") => "for every user, in part".to_owned(),
            Some(_) => "for privileged users only".to_owned(),
        },
        advice: Some("the probes need a kernel that was built with CONFIG_BPF_SYSCALL"),
    }
}

fn watches() -> CheckDocument {
    let limit = read("/proc/sys/fs/inotify/max_user_watches").and_then(|n| n.parse::<u64>().ok());
    CheckDocument {
        name: "inotify watches",
        ok: limit.is_some_and(|n| FEW_WATCHES <= n),
        detail: limit.map_or_else(|| "unknown".to_owned(), |n| format!("{n} a user")),
        advice: Some(
            "only matters where fanotify is refused; raise sysctl fs.inotify.max_user_watches",
        ),
    }
}

/// Where probes that outlive the daemon are pinned.
fn pins() -> CheckDocument {
    let detail = match (pins::is_mounted(), pins::count()) {
        (false, _) => format!("{} is no bpffs; --pins mounts it", pins::BPFFS),
        (true, Ok(0)) => format!("bpffs at {}, nothing pinned", pins::BPFFS),
        (true, Ok(n)) => format!(
            "bpffs at {}, those of {n} runs pinned: a start without --pins on their store ends them",
            pins::BPFFS
        ),
        (true, Err(_)) => format!("bpffs at {}, only root sees what is pinned", pins::BPFFS),
    };
    CheckDocument {
        name: "probes that outlive the daemon",
        ok: fs::metadata(pins::BPFFS).is_ok(),
        detail,
        advice: Some("--pins needs a kernel that was built with CONFIG_BPF_SYSCALL"),
    }
}

/// Tried on this very process.
fn memory() -> CheckDocument {
    let tried = Target::open(std::process::id()).and_then(|target| target.abilities());
    let detail = match &tried {
        Ok(Abilities { asks_mappings, scans_pages, knows_dirty, marks_writes }) => {
            let of = |able: &bool, yes: &str, no: &str| (if *able { yes } else { no }).to_owned();
            [
                of(asks_mappings, "mappings one by one", "mappings as text"),
                of(scans_pages, "populated pages by a scan", "every page is asked for"),
                of(knows_dirty, "dirty pages known", "dirty pages not known"),
                of(
                    marks_writes,
                    "soft-dirty marks, which are left to others such as CRIU",
                    "no soft-dirty marks",
                ),
                "what pages hold is read again and compared".to_owned(),
            ]
            .join(", ")
        }
        Err(error) => error.to_string(),
    };
    CheckDocument {
        name: "memory of processes",
        ok: tried.is_ok(),
        detail,
        advice: Some(
            "capture and --watch-process need /proc; run as root for other users' processes",
        ),
    }
}

fn cgroups() -> CheckDocument {
    let ok = fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
    CheckDocument {
        name: "cgroup version 2",
        ok,
        detail: if ok { "mounted" } else { "not mounted" }.to_owned(),
        advice: Some("without it a writer's control group is not known; nothing else is lost"),
    }
}

fn landlock() -> CheckDocument {
    let support = sandbox::support();
    CheckDocument {
        name: "landlock",
        ok: support.is_ok(),
        detail: match support {
            Ok(version) => format!("version {version}: the daemon reaches its trees and its store"),
            Err(why) => why,
        },
        advice: Some("the daemon runs without it, and may reach what its user may"),
    }
}

fn kept() -> CheckDocument {
    let listed = |names: Vec<&'static str>| match names.as_slice() {
        [] => "none".to_owned(),
        some => some.join(" "),
    };
    let kept = sandbox::would_keep(&sandbox::Needs::default());
    CheckDocument {
        name: "capabilities after the start",
        ok: kept.is_ok(),
        detail: match kept {
            Ok((daemon, witness)) => {
                format!("the daemon: {}; its witness: {}", listed(daemon), listed(witness))
            }
            Err(error) => error.to_string(),
        },
        advice: None,
    }
}
