//! Giving up capabilities, for good.
//!
//! Knows: the capability sets of a thread. Must never know: what they are needed for.
//! Keeps: the bounding and the ambient set are empty and no program that is started gains anything,
//! whoever owns it; what is kept is what was asked for and was there.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io;

/// Every capability that may be left, and one that is given up here.
const NAMES: [(CapabilitySet, &str); 9] = [
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (CapabilitySet::NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE"),
    (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::BPF, "CAP_BPF"),
    (CapabilitySet::CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE"),
];

/// The names of the capabilities in `set` that matter here.
#[must_use]
pub fn names(set: CapabilitySet) -> Vec<&'static str> {
    NAMES.iter().filter(|(bit, _)| set.contains(*bit)).map(|(_, name)| *name).collect()
}

/// From now on nothing that is started gains a capability that is not in `bound`.
pub(super) fn forgo(bound: CapabilitySet) -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    rustix::thread::clear_ambient_capability_set()?;
    for bit in (0..u64::BITS).map(|n| CapabilitySet::from_bits_retain(1 << n)) {
        if bound.contains(bit) {
            continue;
        }
        match rustix::thread::capability_is_in_bounding_set(bit) {
            Ok(true) => {}
            Ok(false) => continue,
            // Beyond the last one that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
        match rustix::thread::remove_capability_from_bounding_set(bit) {
            Ok(()) => {}
            // A user without privileges has none to lose, and no_new_privs keeps it so.
            Err(Errno::PERM) if !may_drop()? => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn may_drop() -> io::Result<bool> {
    Ok(rustix::thread::capabilities(None)?.effective.contains(CapabilitySet::SETPCAP))
}

/// Gives up every capability but those of `wanted` that are there. Says which those are.
pub(super) fn keep(wanted: CapabilitySet) -> io::Result<CapabilitySet> {
    let kept = rustix::thread::capabilities(None)?.permitted & wanted;
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)?;
    let now = rustix::thread::capabilities(None)?;
    if now != sets {
        return Err(io::Error::other("the kernel left capabilities that were given up"));
    }
    Ok(kept)
}
