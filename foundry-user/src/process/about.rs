//! What is known of a process beside its memory: who runs it, as what, with which rights, since when.
//!
//! Knows: `/proc/PID`, the machine's tables. Must never know: plots, bricks.
//! Keeps: what cannot be seen is left out; every list is bounded; no text leaves unredacted.

use super::Target;
use super::maps::Mapping;
use crate::binary;
use crate::facts::host::{Host, capability_names};
use crate::redact;
use foundry_brick::parts::page;
use foundry_brick::{FactValue, Facts};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Bytes of a file below `/proc/PID` that are read.
const MOST: u64 = 1 << 16;

/// Bytes of a table of sockets that are read.
const MOST_SOCKETS: u64 = 4 << 20;

/// Characters of a command line.
const COMMAND: usize = 1000;

/// Entries of a list.
const LIST: usize = 64;

/// Open files that are looked at.
const FILES: usize = 4096;

/// Programs whose facts are kept.
const PROGRAMS: usize = 64;

/// What `/proc/PID/ns` names.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// This machine, for names and packages.
static HOST: LazyLock<Host> = LazyLock::new(Host::this);

/// What a program says of itself, by its file as it is: it is asked for again and again.
static KNOWN: Mutex<BTreeMap<Program, Facts>> = Mutex::new(BTreeMap::new());

/// Device, inode, modification time in nanoseconds, size.
type Program = (u64, u64, i64, u64);

/// Everything but what its mappings say, under names that begin with `process.`. Takes milliseconds: the
/// kernel's tables of sockets are long.
pub(super) fn facts(target: &Target) -> Facts {
    let mut about = About { target, facts: Facts::new() };
    about.command();
    about.status();
    about.times();
    about.groups();
    about.namespaces();
    about.files();
    about.program();
    about.facts
}

/// What its mappings say.
pub(super) fn of_mappings(target: &Target, mappings: &[Mapping]) -> Facts {
    let mut about = About { target, facts: Facts::new() };
    about.replaced(mappings);
    about.facts
}

/// Names of what its mappings say.
pub(super) const OF_MAPPINGS: [&str; 2] = ["process.mapped_files", "process.replaced_libraries"];

/// Of these facts, those that [`facts`] gave.
pub(super) fn kept(all: Facts) -> Facts {
    let wanted =
        |name: &str| name.starts_with("process.") && OF_MAPPINGS.iter().all(|other| *other != name);
    all.into_iter().filter(|(name, _)| wanted(name)).collect()
}

struct About<'a> {
    target: &'a Target,
    facts: Facts,
}

impl About<'_> {
    fn put(&mut self, name: &str, value: FactValue) {
        self.facts.insert(format!("process.{name}"), value);
    }

    fn text(&mut self, name: &str, text: &str) {
        let clean: String = redact::text(text).chars().take(COMMAND).collect();
        if !clean.is_empty() {
            self.put(name, FactValue::Text(clean));
        }
    }

    fn number(&mut self, name: &str, n: u64) {
        self.put(name, FactValue::Number(n));
    }

    fn list(&mut self, name: &str, all: impl IntoIterator<Item = String>) {
        let clean = |text: String| redact::text(&text).into_owned();
        let list: Vec<String> = all.into_iter().take(LIST).map(clean).collect();
        if !list.is_empty() {
            self.put(name, FactValue::List(list));
        }
    }

    fn read(&self, name: &str, most: u64) -> Option<String> {
        let mut bytes = Vec::new();
        self.target.file(name).ok()?.take(most).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The words it was started with. They are everybody's to see, and a secret among them is withheld.
    fn command(&mut self) {
        let Some(words) = self.read("cmdline", MOST) else { return };
        self.text("command", words.trim_end_matches('\0').replace('\0', " ").trim());
    }

    fn status(&mut self) {
        let Some(status) = self.read("status", MOST) else { return };
        let fields: BTreeMap<&str, &str> =
            status.lines().filter_map(|line| line.split_once(":\t")).collect();
        let field = |name: &str| fields.get(name).map(|value| value.trim());
        let number = |name: &str| field(name)?.split_whitespace().next()?.parse::<u64>().ok();
        if let Some(uid) = number("Uid").and_then(|uid| u32::try_from(uid).ok()) {
            self.number("uid", uid.into());
            if let Some(name) = HOST.user(uid) {
                self.text("user", &name);
            }
            let effective =
                field("Uid").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
            if let Some(effective) = effective.filter(|effective| *effective != u64::from(uid)) {
                self.number("effective_uid", effective);
            }
        }
        for (name, key) in
            [("parent", "PPid"), ("threads", "Threads"), ("open_files_room", "FDSize")]
        {
            if let Some(n) = number(key) {
                self.number(name, n);
            }
        }
        if let Some(tracer) = number("TracerPid").filter(|pid| *pid != 0) {
            self.number("traced_by", tracer);
        }
        if let Some(peak) = number("VmHWM") {
            self.number("peak_resident_bytes", peak.saturating_mul(1024));
        }
        let bits = |name: &str| field(name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        for (name, key) in
            [("capabilities", "CapEff"), ("permitted", "CapPrm"), ("ambient", "CapAmb")]
        {
            if let Some(bits) = bits(key) {
                self.list(name, capability_names(bits));
            }
        }
        if let Some(flag) = number("NoNewPrivs") {
            self.put("no_new_privs", FactValue::Flag(flag == 1));
        }
        if let Some(mode) = number("Seccomp") {
            let name = ["off", "strict", "filter"].get(usize::try_from(mode).unwrap_or(9));
            self.text("seccomp", name.unwrap_or(&"unknown"));
        }
    }

    /// When it began, by the machine's clock.
    fn times(&mut self) {
        let Ok(stat) = std::fs::read_to_string("/proc/stat") else { return };
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<u64>().ok());
        let Some(booted) = booted else { return };
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let at = booted.saturating_add(self.target.started() / ticks);
        let at = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        if let Some(at) = at {
            self.text("started", &at.to_string());
        }
    }

    /// Its control group, and the unit of the service manager that this is.
    fn groups(&mut self) {
        let Some(groups) = self.read("cgroup", MOST) else { return };
        let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::")) else { return };
        self.text("cgroup", group);
        let is_unit =
            |part: &&str| [".service", ".scope", ".slice"].iter().any(|end| part.ends_with(end));
        if let Some(unit) = group.rsplit('/').find(is_unit) {
            self.text("unit", unit);
        }
    }

    /// The namespaces that are not those of the first process, as far as both can be seen.
    fn namespaces(&mut self) {
        let of = |pid: u32, name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
        let own = |name: &&str| {
            let (mine, first) = (of(self.target.pid(), name), of(1, name));
            mine.is_some() && first.is_some() && mine != first
        };
        let own: Vec<String> =
            NAMESPACES.iter().filter(|name| own(name)).map(|name| (*name).to_owned()).collect();
        self.list("own_namespaces", own);
    }

    /// How many files it has open, how many of them sockets, and where it listens.
    fn files(&mut self) {
        let directory = format!("/proc/{}/fd", self.target.pid());
        let Ok(open) = std::fs::read_dir(directory) else { return };
        let links = open.flatten().take(FILES).filter_map(|fd| std::fs::read_link(fd.path()).ok());
        let links: Vec<String> = links.map(|to| to.to_string_lossy().into_owned()).collect();
        let inode = |link: &String| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
        let sockets: BTreeSet<u64> = links.iter().filter_map(inode).collect();
        self.number("open_files", links.len() as u64);
        self.number("sockets", sockets.len() as u64);
        let mut listening = BTreeSet::new();
        for table in ["tcp", "tcp6"] {
            let Some(rows) = self.read(&format!("net/{table}"), MOST_SOCKETS) else { continue };
            let rows = rows.lines().filter_map(listener);
            let own = rows.filter(|(inode, _)| sockets.contains(inode));
            listening.extend(own.map(|(_, port)| format!("{table} {port}")));
        }
        self.list("listening", listening);
    }

    /// What its program's file says, and whose it is.
    fn program(&mut self) {
        let Ok(exe) = std::fs::read_link(format!("/proc/{}/exe", self.target.pid())) else {
            return;
        };
        let exe = exe.into_os_string().into_encoded_bytes();
        if exe.ends_with(b" (deleted)") {
            self.put("program_replaced", FactValue::Flag(true));
        }
        if let Ok(file) = self.target.file("exe") {
            self.facts.extend(known(&file).unwrap_or_default());
        }
        if let Some((name, version)) = HOST.package_of(&exe) {
            self.text("package", &name);
            self.text("package_version", &version);
        }
    }

    /// Files that it runs code of and that are not there any more: it wants a restart.
    fn replaced(&mut self, mappings: &[Mapping]) {
        let code = mappings.iter().filter(|m| m.permissions & page::EXECUTE != 0);
        let gone = code.filter_map(|m| m.name.strip_suffix(b" (deleted)"));
        let gone: BTreeSet<String> =
            gone.map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        self.list("replaced_libraries", gone);
        let files = mappings.iter().filter(|m| m.inode != 0 && m.name.starts_with(b"/"));
        let files: BTreeSet<&[u8]> = files.map(|m| &*m.name).collect();
        self.number("mapped_files", files.len() as u64);
    }
}

/// The socket of a row that listens, and its port with the address, as the kernel shows it.
fn listener(row: &str) -> Option<(u64, String)> {
    const LISTEN: &str = "0A";
    let mut words = row.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let everywhere = address.bytes().all(|b| b == b'0');
    let from = if everywhere { "everywhere" } else { "here" };
    (state == LISTEN).then(|| (inode, format!("{port} {from}")))
}

/// The build id, and how the program is hardened.
fn known(file: &File) -> Option<Facts> {
    let meta = file.metadata().ok()?;
    let mtime = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    let program: Program = (meta.dev(), meta.ino(), mtime, meta.len());
    let mut held = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(facts) = held.get(&program) {
        return Some(facts.clone());
    }
    let described = crate::facts::of_bytes(file, meta.len(), b"");
    let (_, all) = described.unwrap_or_else(|_| binary::Description::default()).into_brick();
    let wanted = |name: &str| name == "identity.build_id" || name.starts_with("hardening.");
    let facts: Facts = all
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, value)| (format!("process.{}", name.replace("identity.", "")), value))
        .collect();
    if held.len() >= PROGRAMS {
        held.clear();
    }
    held.insert(program, facts.clone());
    Some(facts)
}
