//! The capabilities that a program gets when it is executed.
//!
//! Knows: `security.capability`. Must never know: who may execute it.
//! Keeps: an attribute of another shape gives no fact.

use std::fs::File;

/// Names by bit, as in `linux/capability.h`.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `VFS_CAP_FLAGS_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// The capabilities of an open file, as `getcap` writes them.
pub(super) fn of(file: &File) -> Option<Vec<String>> {
    let mut buf = [0_u8; 64];
    let n = rustix::fs::fgetxattr(file, "security.capability", &mut buf[..]).ok()?;
    decode(buf.get(..n)?)
}

/// Names by bits, as the kernel's own tables have them.
pub(super) fn names(bits: u64) -> Vec<String> {
    let name = |bit: usize| NAMES.get(bit).map_or_else(|| bit.to_string(), |n| (*n).to_owned());
    (0..64).filter(|bit| bits >> bit & 1 == 1).map(name).collect()
}

/// Versions 2 and 3: a magic, then permitted and inheritable, low words and high words.
pub(in crate::facts) fn decode(bytes: &[u8]) -> Option<Vec<String>> {
    let word = |i: usize| Some(u32::from_le_bytes(bytes.get(4 * i..4 * i + 4)?.try_into().ok()?));
    let magic = word(0)?;
    if !matches!(magic >> 24, 2 | 3) {
        return None;
    }
    let wide = |low, high| Some(u64::from(word(low)?) | u64::from(word(high)?) << 32);
    let (permitted, inheritable) = (wide(1, 3)?, wide(2, 4)?);
    let effective = magic & EFFECTIVE != 0;
    let one = |bit: usize| {
        let has = |set: u64| set >> bit & 1 == 1;
        let flags =
            [(has(permitted) && effective, "e"), (has(inheritable), "i"), (has(permitted), "p")];
        let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
        let name = NAMES.get(bit).map_or_else(|| bit.to_string(), |n| (*n).to_owned());
        (!flags.is_empty()).then(|| format!("cap_{name}={flags}"))
    };
    Some((0..64).filter_map(one).collect())
}
