//! What a program can do, told from what it takes from elsewhere.
//!
//! Each rule is a line of the table. A rule that holds says so with its evidence: the imports,
//! libraries or commands it was told by. That a capability is there does not mean that it is used.
//!
//! Knows: names of functions, libraries and commands. Must never know: files.
//! Keeps: the table is data; no capability without evidence.

use super::content::Facts;
use crate::binary::Fact;
use std::collections::BTreeSet;

/// Evidence of one capability that is kept.
const MAX_EVIDENCE: usize = 12;

/// One rule.
pub(super) struct Rule {
    /// The key behind `capability.`.
    pub(super) name: &'static str,
    /// Imports of which one is enough.
    pub(super) imports: &'static [&'static str],
    /// Starts of the names of needed libraries, of which one is enough.
    pub(super) libraries: &'static [&'static str],
    /// Commands in a script, of which one is enough.
    pub(super) commands: &'static [&'static str],
}

const fn rule(
    name: &'static str,
    imports: &'static [&'static str],
    libraries: &'static [&'static str],
    commands: &'static [&'static str],
) -> Rule {
    Rule { name, imports, libraries, commands }
}

/// The table.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    rule("accounts", &["getspnam", "getspent", "putpwent", "putspent", "lckpwdf"], &[], &["useradd", "usermod", "passwd", "chpasswd"]),
    rule("authentication", &["pam_start", "pam_authenticate", "crypt", "crypt_r"], &["libpam.so"], &[]),
    rule("bpf", &["bpf_prog_load", "bpf_map_create", "bpf_object__load", "bpf_object__open"], &["libbpf.so"], &["bpftool", "bpftrace"]),
    rule("capabilities", &["cap_set_proc", "capset", "cap_set_file", "capng_apply"], &[], &["setcap"]),
    rule("change_root", &["chroot", "pivot_root"], &[], &["chroot", "pivot_root"]),
    rule("clock", &["settimeofday", "clock_settime", "adjtimex", "clock_adjtime"], &[], &["hwclock", "timedatectl"]),
    rule("compression", &["inflate", "deflate", "lzma_code", "ZSTD_decompress", "BZ2_bzDecompress"], &["libz.so", "liblzma.so", "libzstd.so", "libbz2.so"], &["gzip", "zstd", "xz"]),
    rule("crypto", &["EVP_EncryptInit_ex", "EVP_DigestInit_ex", "gcry_cipher_open", "gnutls_init", "SSL_connect", "AES_encrypt"], &["libcrypto.so", "libgcrypt.so", "libnettle.so", "libsodium.so", "libmbedcrypto.so"], &["openssl", "gpg"]),
    rule("database", &["sqlite3_open", "sqlite3_open_v2", "PQconnectdb", "mysql_real_connect"], &["libsqlite3.so", "libpq.so"], &["sqlite3", "psql", "mysql"]),
    rule("dbus", &["dbus_bus_get", "sd_bus_open_system", "sd_bus_default_system", "g_bus_get_sync"], &["libdbus-1.so"], &["busctl", "dbus-send"]),
    rule("devices", &["libusb_init", "libusb_open", "udev_new"], &["libusb-1.0.so", "libudev.so"], &[]),
    rule("exec", &["execl", "execle", "execlp", "execv", "execve", "execveat", "execvp", "execvpe", "fexecve", "posix_spawn", "posix_spawnp"], &[], &["exec"]),
    rule("executable_memory", &["mprotect", "pkey_mprotect"], &[], &[]),
    rule("file_watch", &["inotify_add_watch", "fanotify_mark", "fanotify_init"], &[], &["inotifywait"]),
    rule("fork", &["fork", "vfork", "clone", "daemon"], &[], &[]),
    rule("keyring", &["add_key", "request_key", "keyctl"], &["libkeyutils.so"], &["keyctl"]),
    rule("load_library", &["dlopen", "dlmopen", "g_module_open"], &[], &[]),
    rule("load_module", &["init_module", "finit_module", "kmod_module_insert_module", "kmod_module_probe_insert_module"], &["libkmod.so"], &["insmod", "modprobe", "rmmod"]),
    rule("mount", &["mount", "umount", "umount2", "fsmount", "move_mount", "mnt_context_mount"], &["libmount.so"], &["mount", "umount"]),
    rule("namespaces", &["unshare", "setns"], &[], &["unshare", "nsenter"]),
    rule("network_client", &["connect", "getaddrinfo", "gethostbyname", "curl_easy_perform"], &["libcurl"], &["curl", "wget", "nc", "ncat", "ssh", "scp", "rsync"]),
    rule("network_filter", &["iptc_commit", "nft_run_cmd_from_buffer"], &["libnftables.so", "libxtables.so"], &["iptables", "nft"]),
    rule("network_server", &["listen", "accept", "accept4"], &[], &["socat"]),
    rule("packet_capture", &["pcap_open_live", "pcap_create"], &["libpcap.so"], &["tcpdump"]),
    rule("perf_event", &["perf_event_open"], &[], &["perf"]),
    rule("process_memory", &["process_vm_readv", "process_vm_writev"], &[], &[]),
    rule("ptrace", &["ptrace"], &[], &["strace", "gdb"]),
    rule("raw_io", &["iopl", "ioperm"], &[], &[]),
    rule("reboot", &["reboot", "kexec_load"], &[], &["reboot", "shutdown", "poweroff", "kexec"]),
    rule("seccomp", &["seccomp_load", "seccomp_init"], &["libseccomp.so"], &[]),
    rule("services", &["sd_notify", "sd_listen_fds"], &[], &["systemctl", "service"]),
    rule("shell", &["system", "popen", "wordexp"], &[], &["eval"]),
    rule("signals", &["kill", "killpg", "tgkill", "pidfd_send_signal"], &[], &["kill", "pkill", "killall"]),
    rule("sudo", &[], &[], &["sudo", "pkexec", "su"]),
    rule("system_log", &["syslog", "openlog", "sd_journal_print", "sd_journal_send"], &[], &["logger"]),
    rule("terminal", &["forkpty", "openpty", "posix_openpt", "initscr", "tgetent", "setupterm"], &["libncurses", "libtinfo.so", "libreadline.so"], &[]),
    rule("tls", &["SSL_connect", "SSL_accept", "gnutls_handshake", "mbedtls_ssl_handshake"], &["libssl.so", "libgnutls.so"], &[]),
    rule("user_change", &["setuid", "setgid", "seteuid", "setegid", "setreuid", "setresuid", "setresgid", "initgroups", "setgroups"], &[], &["setpriv"]),
    rule("window", &["XOpenDisplay", "wl_display_connect", "gtk_init", "SDL_Init"], &["libX11.so", "libwayland-client.so", "libgtk-", "libQt"], &[]),
    rule("xattr", &["setxattr", "fsetxattr", "lsetxattr"], &[], &["setfattr"]),
];

/// What rules look at.
pub(super) struct Features<'a> {
    imports: Option<&'a BTreeSet<String>>,
    libraries: &'a [String],
    commands: BTreeSet<&'a str>,
}

impl<'a> Features<'a> {
    /// Of a program.
    pub(super) const fn of_program(imports: &'a BTreeSet<String>, libraries: &'a [String]) -> Self {
        Self { imports: Some(imports), libraries, commands: BTreeSet::new() }
    }

    /// Of a script: its words that stand where a command can stand.
    pub(super) fn of_script(head: &'a [u8]) -> Self {
        let mut commands = BTreeSet::new();
        for line in head.split(|&b| b == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let line = line.trim_start();
            if line.starts_with('#') {
                continue;
            }
            for part in line.split(['|', ';', '&', '(', '`', '"', '\'', ',', '[']) {
                // `sudo curl` runs both.
                let words = part.split_whitespace();
                let words =
                    words.filter(|w| !matches!(*w, "if" | "then" | "else" | "do" | "while" | "!"));
                let names = words.take(2).map(|w| w.rsplit('/').next().unwrap_or(w));
                commands.extend(names);
            }
        }
        Self { imports: None, libraries: &[], commands }
    }

    fn evidence(&self, rule: &Rule) -> Vec<String> {
        let import = |name: &&&str| self.imports.is_some_and(|i| i.contains(**name));
        let imports = rule.imports.iter().filter(import).map(|n| format!("import {n}"));
        let needs = |start: &&str| self.libraries.iter().find(|l| l.starts_with(*start));
        let libraries = rule.libraries.iter().filter_map(needs).map(|l| format!("library {l}"));
        let runs = |name: &&&str| self.commands.contains(**name);
        let commands = rule.commands.iter().filter(runs).map(|n| format!("command {n}"));
        imports.chain(libraries).chain(commands).take(MAX_EVIDENCE).collect()
    }
}

/// Adds what the rules say.
pub(super) fn judge(features: &Features<'_>, facts: &mut Facts) {
    for rule in RULES {
        let evidence = features.evidence(rule);
        if !evidence.is_empty() {
            facts.insert(format!("capability.{}", rule.name), Fact::List(evidence));
        }
    }
}
