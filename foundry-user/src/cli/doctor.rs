//! `doctor`: what this kernel and these privileges allow, and which backend would run.
//!
//! Knows: what the sources say of themselves, `/proc` and `/sys`. Must never know: how a source works.
//! Keeps: everything that is said was tried, or read from the kernel; nothing stays loaded.

mod kernel;

use super::output::print;
use super::text;
use crate::args::Doctor;
use crate::error::{CommandError, Exit};
use crate::next::Step;
use crate::sources::ebpf::probes::{Report, Status};
use crate::sources::ebpf::{self, BackendReport};
use crate::sources::fanotify::{Fanotify, Options};
use crate::sources::inotify::Inotify;
use crate::sources::proc_connector::ProcConnector;
use crate::wire::{self, BackendDocument, DoctorDocument, ProbeDocument};

/// The backend that needs another source for names.
const TRACEPOINT: &str = "tracepoint";

/// What hints of whole files cannot say.
const HINTS_BLIND: [&str; 6] = [
    "which bytes of a file changed: the whole file is read again",
    "who changed it, but for its process number",
    "stores through mappings: files that are mapped for writing are swept",
    "writes by libaio: swept, and each sync compares all files",
    "changes made on another machine to files of network file systems: swept",
    "writes through hard links that are made outside later: swept, by default each minute",
];

/// What inotify does not see beside that.
const INOTIFY_BLIND: &str = "changes under a mount or a bind mount of the same files elsewhere";

/// Runs the command.
pub(super) fn run(args: &Doctor) -> Result<Exit, CommandError> {
    let hints = hints();
    let mut backends: Vec<BackendDocument> =
        ebpf::probe_backends().into_iter().map(from_probes).collect();
    backends.iter_mut().filter(|b| b.backend == TRACEPOINT).for_each(|b| with_names(b, &hints));
    backends.push(hints);
    let auto = backends.iter().find(|b| b.usable).map(|b| b.backend);
    let found = DoctorDocument {
        kernel: kernel::release(),
        arch: std::env::consts::ARCH,
        uid: rustix::process::geteuid().as_raw(),
        auto,
        backends,
        checks: kernel::checks(),
    };
    let next = Step::Examined(auto.is_some()).line(None);
    print(&if args.json { wire::answer(&found, &next)? } else { sheet(&found) })?;
    Ok(if auto.is_some() { Exit::Done } else { Exit::NotAllowed })
}

fn from_probes(report: BackendReport) -> BackendDocument {
    let (usable, reason) = match report.usable {
        Ok(()) => (true, None),
        Err(reason) => (false, Some(reason)),
    };
    BackendDocument {
        backend: report.backend.name(),
        usable,
        reason,
        probes: report.probes.into_iter().map(probe).collect(),
        blind: report.blind.into_iter().map(str::to_owned).collect(),
    }
}

/// Raw tracepoints say nothing of names: those come from whatever gives hints here.
fn with_names(backend: &mut BackendDocument, hints: &BackendDocument) {
    backend.blind.retain(|what| !what.starts_with("names"));
    let Some(source) = hints.probes.iter().take(2).find(|p| p.status == "attached") else {
        if backend.usable {
            backend.usable = false;
            backend.reason.clone_from(&hints.reason);
        }
        return;
    };
    if backend.usable {
        let sees = "names of directory entries";
        backend.probes.push(ProbeDocument { sees, ..source.clone() });
    }
}

fn probe(report: Report) -> ProbeDocument {
    let (status, reason) = match report.status {
        Status::Attached => ("attached", None),
        Status::Absent => ("absent", None),
        Status::Refused(reason) => ("refused", Some(reason)),
    };
    ProbeDocument { program: report.program, hook: report.hook, sees: report.sees, status, reason }
}

/// The backend without BPF: fanotify, or inotify in its place.
fn hints() -> BackendDocument {
    let mut blind: Vec<String> = HINTS_BLIND.map(str::to_owned).to_vec();
    let fanotify = Fanotify::open(Options::default()).map(drop);
    let inotify = Inotify::open(false).map(drop);
    let processes = ProcConnector::open().map(drop);
    let tried = [
        (
            "fanotify",
            "directory entries and files, by file handle",
            fanotify.map_err(|e| e.to_string()),
        ),
        ("inotify", "the same where fanotify refuses", inotify.map_err(|e| e.to_string())),
        ("proc connector", "programs that start and end", processes.map_err(|e| e.to_string())),
    ];
    let usable = tried[0].2.is_ok() || tried[1].2.is_ok();
    if tried[0].2.is_err() {
        blind.push(INOTIFY_BLIND.to_owned());
    }
    let reason = tried[0].2.clone().err().filter(|_| !usable);
    let probes = tried.map(|(hook, sees, outcome)| ProbeDocument {
        program: hook,
        hook,
        sees,
        status: if outcome.is_ok() { "attached" } else { "refused" },
        reason: outcome.err(),
    });
    BackendDocument { backend: "fanotify", usable, reason, probes: probes.to_vec(), blind }
}

/// The human form.
fn sheet(found: &DoctorDocument) -> String {
    let mut out = String::new();
    let mut add = |indent: usize, line: &str| {
        // What does not fit goes on below, under its own start.
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for (i, part) in text::wrap(&words, text::WIDTH - indent - 2).iter().enumerate() {
            let deeper = if i == 0 { indent } else { indent + 2 };
            out.push_str(&format!("{:deeper$}{part}\n", ""));
        }
    };
    add(
        0,
        &format!("Linux {} on {}, as user {}", text::clean(&found.kernel), found.arch, found.uid),
    );
    match found.auto {
        Some(backend) => add(0, &format!("--backend auto takes: {backend}")),
        None => add(0, "no backend can run here"),
    }
    for backend in &found.backends {
        add(0, "");
        let attached = backend.probes.iter().filter(|p| p.status == "attached").count();
        match &backend.reason {
            Some(reason) => add(0, &format!("{}: no; {}", backend.backend, text::clean(reason))),
            None => add(
                0,
                &format!("{}: yes, {attached} of {} probes", backend.backend, backend.probes.len()),
            ),
        }
        for probe in backend.probes.iter().filter(|p| p.status != "attached") {
            let reason = match &probe.reason {
                Some(reason) => format!("refused: {}", text::clean(reason)),
                None => "this kernel has no such hook".to_owned(),
            };
            add(2, &format!("- {} ({}): {reason}", probe.hook, probe.sees));
        }
        if backend.usable {
            backend.blind.iter().for_each(|what| add(2, &format!("does not see {what}")));
        }
    }
    add(0, "");
    for check in &found.checks {
        let mark = if check.ok { "ok" } else { "no" };
        add(0, &format!("{mark}  {}: {}", check.name, check.detail));
        if let Some(advice) = check.advice.filter(|_| !check.ok) {
            add(4, advice);
        }
    }
    out
}
