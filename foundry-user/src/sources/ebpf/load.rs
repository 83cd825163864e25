//! Loads the compiled programs and attaches what this kernel takes.
//!
//! Knows: aya, the object. Must never know: slots, events.
//! Keeps: a probe that this kernel lacks is reported, not fatal, unless the backend is of no use
//! without it; the verifier sees the settings before the programs.

use super::layout::Layout;
use super::modules::Modules;
use super::pins::Attached;
use super::probes::{self, Hook, Report, Spec, Status};
use super::{Backend, Limits, log, syscalls};
use crate::sources::SourceError;
use crate::sources::btf::Btf;
use aya::programs::links::FdLink;
use aya::programs::{FEntry, FExit, Program, ProgramError, RawTracePoint};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use std::borrow::Cow;

/// The compiled probes, as `cargo xtask ebpf` made them.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!("../../../../foundry-ebpf/prebuilt/foundry-ebpf.o");

/// Lines of the verifier's log that are told.
const LOG_LINES: usize = 4;

pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Programs that run.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) reports: Vec<Report>,
    pub(super) modules: Modules,
    /// Dropping them detaches.
    pub(super) links: Vec<Attached>,
}

fn unavailable(backend: Backend, reason: impl Into<String>) -> SourceError {
    SourceError::Unavailable { backend: backend.name(), reason: reason.into() }
}

/// Creates the BPF maps, loads the control program and every probe of `backend`.
///
/// # Errors
/// Where the kernel shows no BTF, lacks a field, or refuses something essential.
pub(super) fn load(
    backend: Backend,
    limits: &Limits,
    object: Cow<'static, [u8]>,
) -> Result<Loaded, SourceError> {
    let bytes = std::fs::read(BTF_PATH).map_err(|error| {
        unavailable(
            backend,
            format!("cannot read {BTF_PATH}: {error}; it needs CONFIG_DEBUG_INFO_BTF"),
        )
    })?;
    let kernel = Btf::parse(&bytes).map_err(|error| unavailable(backend, error.to_string()))?;
    let layout =
        Layout::find(&kernel, backend).map_err(|error| unavailable(backend, error.to_string()))?;
    let calls = syscalls::table();
    let narrow_calls = syscalls::table_of_32_bit();
    let log_level = log::level();
    let mut ebpf = EbpfLoader::new()
        .override_global("OFFSETS", &layout.offsets[..], true)
        .override_global("SETTINGS", &layout.settings[..], true)
        .override_global("SYSCALLS", &calls[..], true)
        .override_global("SYSCALLS32", &narrow_calls[..], true)
        .override_global(log::LEVEL, &log_level, true)
        .map_max_entries(log::RING, log::ring_bytes(log_level))
        .map_max_entries("INTEREST", limits.artifacts)
        .map_max_entries("WATCHED", limits.watched.max(1))
        .map_max_entries("FILES", limits.artifacts)
        .map_max_entries("BITMAPS", limits.words)
        .map_max_entries("BELL", limits.bell_bytes)
        .map_max_entries("LIFE", limits.life_bytes)
        // Asked for by the loader only when a program is refused.
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .load(&object)
        .map_err(|error| unavailable(backend, describe(&error)))?;
    load_control(&mut ebpf).map_err(|error| unavailable(backend, describe(&error)))?;
    let types = aya::Btf::from_sys_fs().map_err(|error| unavailable(backend, describe(&error)))?;
    let mut modules = Modules::new(&ebpf, object)
        .map_err(|source| SourceError::Io { op: "dup of a BPF map", source })?;
    let (mut reports, mut links) = (Vec::new(), Vec::new());
    let wanted = |spec: &&Spec| {
        limits.watched > 0 || probes::of_memory().all(|program| program != spec.program)
    };
    for spec in probes::of(backend).iter().filter(wanted) {
        let status = match attach(&mut ebpf, spec, &kernel, &types, &mut links) {
            Status::Absent => modules.attach(spec, &kernel),
            other => other,
        };
        let (program, hook, sees) = (spec.program, spec.hook.name(), spec.sees);
        reports.push(Report { program, hook, sees, status });
    }
    without_other_names(&mut reports);
    assess(backend, &reports)?;
    Ok(Loaded { ebpf, reports, modules, links })
}

/// A hook that has another name on this kernel, and is attached there, is nothing to tell of.
fn without_other_names(reports: &mut Vec<Report>) {
    let attached = |report: &&Report| report.status == Status::Attached;
    let programs: Vec<_> = reports.iter().filter(attached).map(|report| report.program).collect();
    reports.retain(|report| report.status != Status::Absent || !programs.contains(&report.program));
}

/// Whether everything essential is attached.
fn assess(backend: Backend, reports: &[Report]) -> Result<(), SourceError> {
    for spec in probes::of(backend).iter().filter(|spec| spec.essential) {
        let mut of = reports.iter().filter(|report| report.program == spec.program);
        if of.clone().any(|report| report.status == Status::Attached) {
            continue;
        }
        let refused = of.find_map(|report| match &report.status {
            Status::Refused(why) => Some((report.hook, why.as_str())),
            _ => None,
        });
        let (hook, why) = refused.unwrap_or((spec.hook.name(), "this kernel does not have it"));
        return Err(unavailable(backend, format!("{hook}: {why}")));
    }
    Ok(())
}

/// An error with its causes, on one line.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.replace('\n', " ").trim_end().to_owned()
}

fn load_control(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    control(ebpf)?.load()
}

/// The control program.
pub(super) fn control(ebpf: &mut Ebpf) -> Result<&mut RawTracePoint, ProgramError> {
    let program = ebpf.program_mut("control");
    program.ok_or(ProgramError::NotLoaded)?.try_into()
}

fn attach(
    ebpf: &mut Ebpf,
    spec: &Spec,
    kernel: &Btf<'_>,
    types: &aya::Btf,
    links: &mut Vec<Attached>,
) -> Status {
    let present = match spec.hook {
        Hook::Tracepoint(name) => kernel.tracepoint(name),
        Hook::Entry(name) | Hook::Exit(name) => kernel.function(name).is_some(),
    };
    if !present {
        return Status::Absent;
    }
    let Some(program) = ebpf.program_mut(spec.program) else {
        return Status::Refused("the object has no such program".to_owned());
    };
    match start(program, spec.hook, types) {
        Ok(link) => {
            links.push((spec.program, link));
            Status::Attached
        }
        Err(ProgramError::LoadError { io_error, verifier_log }) => {
            Status::Refused(refusal(&io_error, &verifier_log.to_string()))
        }
        Err(error) => Status::Refused(describe(&error)),
    }
}

/// Why the verifier refused a program: the end of what it said, before its statistics.
pub(super) fn refusal(error: &std::io::Error, log: &str) -> String {
    let said = log.lines().filter(|line| !line.is_empty() && !line.starts_with("processed "));
    let last: Vec<&str> = said.collect();
    let from = last.len().saturating_sub(LOG_LINES);
    format!("{error}: {}", last[from..].join(" | ")).trim_end_matches([':', ' ']).to_owned()
}

fn start(program: &mut Program, hook: Hook, types: &aya::Btf) -> Result<FdLink, ProgramError> {
    Ok(match hook {
        Hook::Tracepoint(name) => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            let link = program.attach(name)?;
            program.take_link(link)?.into()
        }
        Hook::Entry(name) => {
            let program: &mut FEntry = program.try_into()?;
            program.load(name, types)?;
            let link = program.attach()?;
            program.take_link(link)?.into()
        }
        Hook::Exit(name) => {
            let program: &mut FExit = program.try_into()?;
            program.load(name, types)?;
            let link = program.attach()?;
            program.take_link(link)?.into()
        }
    })
}
