//! Places and ports, held by Landlock.
//!
//! Knows: Landlock's rules. Must never know: why a place is needed.
//! Keeps: what no rule names is refused; a place that is not there is no hole.
//!
//! Asking what a file is (`statx`) is not among the things that Landlock can refuse.

use super::Needs;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use std::io;
use std::path::Path;

/// The newest version whose rights are all handled here; older kernels do what they can.
const KNOWN: ABI = ABI::V6;

/// Restricts the calling thread to `needs`; `Ok(Err(why))` where this kernel has no Landlock.
pub(super) fn enter(needs: &Needs) -> io::Result<Result<u8, String>> {
    let failed = |error: landlock::RulesetError| io::Error::other(format!("landlock: {error}"));
    let mut scope = Scope::from_all(KNOWN);
    if std::env::var_os("NOTIFY_SOCKET")
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"))
    {
        // The service manager waits there to be told.
        scope.remove(Scope::AbstractUnixSocket);
    }
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|rules| rules.scope(scope))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in &needs.reads {
        rules = allow(rules, path, read).map_err(failed)?;
    }
    for path in &needs.lists {
        rules = allow(rules, path, AccessFs::ReadDir.into()).map_err(failed)?;
    }
    // Neither programs nor devices are made or run.
    let write = AccessFs::from_all(KNOWN)
        & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    for path in &needs.writes {
        rules = allow(rules, path, write).map_err(failed)?;
    }
    for port in &needs.listens {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp)).map_err(failed)?;
    }
    for port in &needs.connects {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(failed)?;
    }
    let status = rules.restrict_self().map_err(failed)?;
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => Err(missing(&status.landlock)),
        _ => version(&status.landlock),
    })
}

type Created = landlock::RulesetCreated;

/// One place, and what lies beneath it. One that is not there needs no rule.
fn allow(
    rules: Created,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<Created, landlock::RulesetError> {
    let Ok(place) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(place, access))
}

/// The version in force here, or why there is none. Restricts nothing.
///
/// # Errors
/// With the reason, in words.
pub fn support() -> Result<u8, String> {
    // Only what restricts says which version it is, so a thread of its own is given up for it.
    let restrict = || {
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self);
        rules.map_err(|error| error.to_string()).and_then(|status| version(&status.landlock))
    };
    std::thread::spawn(restrict).join().unwrap_or_else(|_| Err("it could not be tried".to_owned()))
}

fn version(status: &LandlockStatus) -> Result<u8, String> {
    match status {
        LandlockStatus::Available { effective_abi, .. } => Ok(*effective_abi as u8),
        other => Err(missing(other)),
    }
}

fn missing(status: &LandlockStatus) -> String {
    match status {
        LandlockStatus::NotEnabled => {
            "this kernel has it, but did not enable it: boot with lsm=landlock,...".to_owned()
        }
        LandlockStatus::NotImplemented => "this kernel is built without it".to_owned(),
        LandlockStatus::Available { .. } => "nothing could be enforced".to_owned(),
    }
}
