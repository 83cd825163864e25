//! The names of facts: every key there is, and what it says.
//!
//! Knows: words. Must never know: how a fact is found out.
//! Keeps: one table; `docs/FACTS.md` lists the same keys (a test compares), and no record holds
//! another one (another test looks).

/// A key; `*` stands for one word.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name.
    pub name: &'static str,
    /// What it says.
    pub what: &'static str,
}

const fn key(name: &'static str, what: &'static str) -> Key {
    Key { name, what }
}

/// Every key.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("facts.version", "version of the record"),
    key("kind", "what sort of thing: executable, library, kernel module, script, header, log, archive, image, text, ..."),
    key("format", "name of the format: elf, pe, png, text, ..."),
    key("content.encoding", "encoding of a text"),
    key("content.line_ending", "how lines end: lf, crlf, mixed, none"),
    key("content.malformed", "where the file breaks its format's rules"),
    key("content.partial", "the file has more tables than are read"),
    key("content.unreadable", "why the content could not be described"),
    key("content.withheld", "why the content is not read: it holds secrets"),
    key("identity.blake3", "hash of the content (derived)"),
    key("identity.build_id", "what the linker called this build"),
    key("identity.capabilities", "capabilities that an execution gets"),
    key("identity.gid", "number of the group (derived)"),
    key("identity.go_build_id", "what Go's linker called this build"),
    key("identity.group", "name of the group"),
    key("identity.mode", "permission bits, octal (derived)"),
    key("identity.owner", "name of the owner"),
    key("identity.setgid", "an execution gets the group's rights (derived)"),
    key("identity.setuid", "an execution gets the owner's rights (derived)"),
    key("identity.size", "bytes (derived)"),
    key("identity.uid", "number of the owner (derived)"),
    key("package.architecture", "for which processors the package was made, where its manager says it apart"),
    key("package.configuration", "the package calls it a configuration file"),
    key("package.diverted_from", "where the package thinks it lies"),
    key("package.manager", "who knows the package: dpkg or rpm"),
    key("package.matches", "the content is what the package brought"),
    key("package.name", "the package, with its architecture where that is part of its name"),
    key("package.note", "what the build wrote into the program about its package"),
    key("package.version", "the package's version"),
    key("code.compiler", "what compilers and linkers wrote about themselves"),
    key("code.language", "language of the source, as far as the file tells"),
    key("binary.architectures", "the members of a file for several processors"),
    key("binary.class", "bits of an address"),
    key("binary.debug_info", "debug information is in the file"),
    key("binary.endian", "byte order"),
    key("binary.entry", "address of the first instruction"),
    key("binary.exports", "symbols that others may use"),
    key("binary.functions", "functions with a name"),
    key("binary.machine", "processor"),
    key("binary.objects", "variables with a name"),
    key("binary.pdb", "where the debug information was written"),
    key("binary.regions_omitted", "regions that did not fit"),
    key("binary.section_summary", "name, size and flags of the first sections"),
    key("binary.sections", "number of sections"),
    key("binary.segments", "number of segments"),
    key("binary.stripped", "the names of functions were taken out"),
    key("binary.subsystem", "which Windows runs it"),
    key("binary.type", "executable, shared library, relocatable object, core dump"),
    key("hardening.canary", "functions notice when their stack is written over"),
    key("hardening.control_flow", "hardware checks of jumps: ibt, shstk, bti, pac"),
    key("hardening.fortified", "checked variants of functions that are imported"),
    key("hardening.nx", "the stack cannot be executed"),
    key("hardening.pie", "it can be loaded anywhere"),
    key("hardening.relro", "tables of the linker become read-only: none, partial, full"),
    key("hardening.writable_code", "a segment is writable and executable"),
    key("link.imports", "names taken from elsewhere"),
    key("link.interpreter", "the loader"),
    key("link.kind", "dynamic or static"),
    key("link.missing", "needed libraries that are not where the loader looks"),
    key("link.needed", "libraries"),
    key("link.rpath", "where to look for libraries first (old form)"),
    key("link.runpath", "where to look for libraries first"),
    key("link.soname", "the library's own name"),
    key("imports.names", "the first names taken from elsewhere, sorted"),
    key("capability.*", "something that it can do, with the evidence; that it can does not mean that it does"),
    key("member.*.*", "a fact of one member of a file for several processors"),
    key("module.aliases", "devices that load it"),
    key("module.authors", "who wrote the module"),
    key("module.depends", "modules that it needs"),
    key("module.description", "the module in words"),
    key("module.firmware", "firmware that it loads"),
    key("module.intree", "built with the kernel"),
    key("module.licence", "the module's licence"),
    key("module.name", "the module's name"),
    key("module.namespaces", "namespaces that it imports symbols from"),
    key("module.parameters", "its parameters"),
    key("module.retpoline", "built against speculation"),
    key("module.signed", "somebody's signature is appended"),
    key("module.softdep", "modules that it would like to have"),
    key("module.srcversion", "hash of its source"),
    key("module.vermagic", "the kernel that it was built for"),
    key("module.version", "the module's version"),
    key("script.interpreter", "what runs the script"),
    key("script.shebang", "its first line"),
    key("text.lines", "lines"),
    key("strings.addresses", "IPv4 addresses in it"),
    key("strings.addresses_omitted", "more addresses"),
    key("strings.notable", "texts for people"),
    key("strings.notable_omitted", "more texts"),
    key("strings.paths", "paths in it"),
    key("strings.paths_omitted", "more paths"),
    key("strings.urls", "URLs in it"),
    key("strings.urls_omitted", "more URLs"),
    key("log.first", "time of the first line"),
    key("log.last", "time of the last line"),
    key("log.levels", "lines of each level"),
    key("log.lines", "lines"),
    key("log.lines_beyond_templates", "lines that fit no counted template"),
    key("log.lines_estimated", "lines, from a sample"),
    key("log.lines_per_hour", "mean rate"),
    key("log.peak_per_minute", "most lines in one minute"),
    key("log.sampled_bytes", "bytes of the sample: the log is too long to be read whole"),
    key("log.seconds", "from the first line to the last"),
    key("log.template_count", "kinds of lines"),
    key("log.templates", "the most frequent kinds of lines; <*> varies"),
    key("archive.cut", "the members could not be counted to the end"),
    key("archive.members", "members"),
    key("archive.names", "names of the first members"),
    key("archive.unpacked_bytes", "bytes of all members"),
    key("image.height", "pixels"),
    key("image.width", "pixels"),
    key("entropy.mean", "mean entropy of 64 bytes, 0 to 255 (derived)"),
    key("entropy.profile", "the same for each sixteenth of the artifact (derived)"),
    key("hint.encrypted", "looks like chance, and like no format (derived)"),
    key("hint.packed", "a program that looks compressed, and why (derived)"),
    key("bits", "of a process: bits of an address"),
    key("comm", "of a process: its name"),
    key("contents_denied", "of a process: its memory could not be read"),
    key("dirty_known", "of a process: which pages were written to is known"),
    key("ended", "of a process: it ended while it was looked at"),
    key("exe", "of a process: its program"),
    key("holds_raw_memory", "of a process: the brick holds bytes of its memory"),
    key("mapped_bytes", "of a process: bytes of address space"),
    key("mappings", "of a process: its mappings"),
    key("pagemap_scan", "of a process: how pages were looked at"),
    key("sampled_pages", "of a process: pages that were looked into"),
    key("started_ticks", "of a process: when it started, in ticks since boot"),
    key("unreadable_pages", "of a process: pages that could not be read"),
    key("directory.bytes", "of a directory: bytes of its files (derived)"),
    key("directory.bytes_below", "of a directory: bytes of all entries, with what is below them (derived)"),
    key("directory.directories", "of a directory: directories in it (derived)"),
    key("directory.endings", "of a directory: the most frequent endings of names, and how many have each (derived)"),
    key("directory.files", "of a directory: files in it (derived)"),
    key("directory.hidden", "of a directory: entries whose name begins with a dot (derived)"),
    key("directory.largest", "of a directory: its largest file (derived)"),
    key("directory.links", "of a directory: symbolic links in it (derived)"),
    key("directory.markers", "of a directory: what some entries make it: a repository, a crate, a package, ... (derived)"),
    key("directory.newest", "of a directory: the file that was changed last (derived)"),
    key("directory.oldest", "of a directory: the file that was not changed for the longest time (derived)"),
    key("directory.owners", "of a directory: who owns how many entries (derived)"),
    key("directory.packages", "of a directory: packages of its entries, where its brick says them (derived)"),
    key("directory.processes", "of the world: processes (derived)"),
    key("directory.programs", "of a directory: files that may be executed (derived)"),
    key("directory.setgid", "of a directory: files that give their group's rights (derived)"),
    key("directory.setuid", "of a directory: files that give their owner's rights (derived)"),
    key("directory.specials", "of a directory: devices, pipes and sockets (derived)"),
    key("directory.unreadable", "of a directory: files that could not be read (derived)"),
    key("directory.world_writable", "of a directory: entries that everybody may change (derived)"),
    key("entries", "of a directory: its entries"),
    key("process.ambient", "of a process: capabilities that a program it executes keeps"),
    key("process.build_id", "of a process: what the linker called its program"),
    key("process.capabilities", "of a process: capabilities that it has in effect"),
    key("process.cgroup", "of a process: its control group"),
    key("process.command", "of a process: the words it was started with, without secrets"),
    key("process.effective_uid", "of a process: whose rights it has, where that is not its user"),
    key("process.hardening.*", "of a process: a fact of its program, as for a file"),
    key("process.listening", "of a process: where it waits for connections: table, port, from where"),
    key("process.mapped_files", "of a process: files that are mapped"),
    key("process.no_new_privs", "of a process: nothing that it executes gets more rights"),
    key("process.open_files", "of a process: files that it has open"),
    key("process.open_files_room", "of a process: room of its table of open files"),
    key("process.own_namespaces", "of a process: namespaces that are not those of the first process"),
    key("process.package", "of a process: the package of its program"),
    key("process.package_version", "of a process: the version of that package"),
    key("process.parent", "of a process: number of its parent"),
    key("process.peak_resident_bytes", "of a process: most bytes that were ever in memory"),
    key("process.permitted", "of a process: capabilities that it may take into effect"),
    key("process.program_replaced", "of a process: its program's file is not there any more"),
    key("process.replaced_libraries", "of a process: files that it runs code of and that are not there any more"),
    key("process.seccomp", "of a process: whether its system calls are filtered: off, strict, filter"),
    key("process.sockets", "of a process: sockets that it has open"),
    key("process.started", "of a process: when it started"),
    key("process.threads", "of a process: threads"),
    key("process.traced_by", "of a process: number of whoever traces it"),
    key("process.uid", "of a process: number of its user"),
    key("process.unit", "of a process: the unit of the service manager"),
    key("process.user", "of a process: name of its user"),
    key("resident_bytes", "of a process: bytes in memory"),
    key("swapped_bytes", "of a process: bytes in swap"),
    key("regions_omitted", "of a process: named places that did not fit"),
];

/// Names that the readers of formats use, and their lasting ones.
const LASTING: &[(&str, &str)] = &[
    ("build_id", "identity.build_id"),
    ("compiler", "code.compiler"),
    ("described_in_part", "content.partial"),
    ("encoding", "content.encoding"),
    ("go_build_id", "identity.go_build_id"),
    ("imports", "link.imports"),
    ("language", "code.language"),
    ("line_ending", "content.line_ending"),
    ("linkage", "link.kind"),
    ("malformed", "content.malformed"),
    ("needed", "link.needed"),
    ("rpath", "link.rpath"),
    ("runpath", "link.runpath"),
    ("shebang", "script.shebang"),
    ("soname", "link.soname"),
];

/// The lasting name of what a format's reader calls `name`.
pub(super) fn lasting(name: &str, is_script: bool) -> String {
    let known = |name: &str| KEYS.iter().any(|k| k.name == name);
    if known(name) {
        return name.to_owned();
    }
    if name == "interpreter" {
        return if is_script { "script.interpreter" } else { "link.interpreter" }.to_owned();
    }
    if let Some((_, lasting)) = LASTING.iter().find(|(old, _)| *old == name) {
        return (*lasting).to_owned();
    }
    match name.rsplit_once('.') {
        // Of one member: the member's name, then the fact's.
        Some((member, fact)) => format!("member.{}.{fact}", member.replace('.', "_")),
        None => format!("binary.{name}"),
    }
}

/// Whether the table has this key.
#[must_use]
pub fn is_known(name: &str) -> bool {
    let fits = |key: &Key| {
        let (mut words, mut parts) = (key.name.split('.'), name.split('.'));
        loop {
            match (words.next(), parts.next()) {
                (None, None) => return true,
                (Some(word), Some(part)) if word == "*" || word == part => {}
                _ => return false,
            }
        }
    };
    KEYS.iter().any(fits)
}
