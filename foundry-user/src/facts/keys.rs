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
    key("package.configuration", "the package calls it a configuration file"),
    key("package.diverted_from", "where the package thinks it lies"),
    key("package.manager", "who knows the package: dpkg"),
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
