//! What a machine says of a file, on a machine made for the test.

use super::super::*;
use super::{check, shown};
use std::path::{Path, PathBuf};

/// `hello\n`, as `md5sum` says.
const HELLO: &str = "b1946ac92492d2347c6235b4d2611184";

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        machine.put("etc/passwd", "root:x:0:0::/:/bin/sh\nann:x:7:8::/:/bin/sh\n");
        machine.put("etc/group", "root:x:0:\nstaff:x:8:ann\n");
        let status = format!(
            "Package: base\nArchitecture: amd64\nVersion: 1.2-3\nConffiles:\n /etc/base.conf {HELLO}\n\n\
             Package: other\nArchitecture: all\nVersion: 9\n"
        );
        machine.put("var/lib/dpkg/status", &status);
        let info = "var/lib/dpkg/info";
        machine.put(
            &format!("{info}/base:amd64.list"),
            "/.\n/usr\n/bin/tool\n/etc/base.conf\n/usr/bin/moved\n",
        );
        machine.put(
            &format!("{info}/base:amd64.md5sums"),
            &format!("{HELLO}  bin/tool\n{HELLO}  usr/bin/moved\n"),
        );
        machine.put(&format!("{info}/other.list"), "/.\n/usr/bin/moved\n/usr/lib/nobody\n");
        machine.put("var/lib/dpkg/diversions", "/usr/bin/moved\n/usr/bin/moved.base\nother\n");
        std::os::unix::fs::symlink("usr/bin", machine.path("bin")).unwrap();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn record(&self, host: &Host, path: &str, text: &str) -> Description {
        self.put(path, text);
        let file = File::open(self.path(path)).unwrap();
        let at = format!("/{path}");
        let subject = Subject { path: at.as_bytes(), size: text.len() as u64, uid: 7, gid: 8 };
        let found = of_file(&file, &subject, host).unwrap();
        check(&found.description, path);
        found.description
    }
}

#[test]
fn owners_and_packages_have_names() {
    let machine = Machine::new();
    let host = Host::below(machine.dir.path());
    // The package says /bin/tool; it lies in /usr/bin.
    let got = machine.record(&host, "usr/bin/tool", "hello\n");
    assert_eq!(shown(&got, "identity.owner"), "ann");
    assert_eq!(shown(&got, "identity.group"), "staff");
    assert_eq!(shown(&got, "package.name"), "base:amd64");
    assert_eq!(shown(&got, "package.version"), "1.2-3");
    assert_eq!(shown(&got, "package.matches"), "true");
    let got = machine.record(&host, "usr/bin/tool", "hullo\n");
    assert_eq!(shown(&got, "package.matches"), "false");
    let got = machine.record(&host, "etc/base.conf", "hello\n");
    assert_eq!(shown(&got, "package.configuration"), "true");
    assert_eq!(shown(&got, "package.matches"), "true");
    let got = machine.record(&host, "opt/own", "hello\n");
    assert!(!got.facts.contains_key("package.name"), "{:?}", got.facts);
}

#[test]
fn diverted_files_are_whose_they_are() {
    let machine = Machine::new();
    let host = Host::below(machine.dir.path());
    let got = machine.record(&host, "usr/bin/moved", "hello\n");
    assert_eq!(shown(&got, "package.name"), "other");
    let got = machine.record(&host, "usr/bin/moved.base", "hello\n");
    assert_eq!(shown(&got, "package.name"), "base:amd64");
    assert_eq!(shown(&got, "package.diverted_from"), "/usr/bin/moved");
    assert_eq!(shown(&got, "package.matches"), "true");
}

#[test]
fn a_new_package_is_known_at_once() {
    let machine = Machine::new();
    let host = Host::below(machine.dir.path());
    let got = machine.record(&host, "opt/late", "hello\n");
    assert!(!got.facts.contains_key("package.name"));
    machine.put("var/lib/dpkg/info/late.list", "/opt/late\n");
    let got = machine.record(&host, "opt/late", "hello\n");
    assert_eq!(shown(&got, "package.name"), "late");
}

#[test]
fn what_a_package_changed_is_named_once() {
    let machine = Machine::new();
    let host = Host::below(machine.dir.path());
    let changed = || host.changed_paths(|path| path.starts_with(b"/usr/") || path == b"/opt/late");
    assert_eq!(changed(), Vec::<Vec<u8>>::new(), "nothing was said before");
    machine.put("var/lib/dpkg/info/late.list", "/opt/late\n/var/elsewhere\n/lib/late.so\n");
    assert_eq!(changed(), [b"/opt/late".to_vec(), b"/usr/lib/late.so".to_vec()]);
    assert_eq!(changed(), Vec::<Vec<u8>>::new());
    // Another version of a package: its digests are others, its list is not.
    let sums = format!("{HELLO}  usr/lib/nobody\n");
    machine.put("var/lib/dpkg/info/other.md5sums", &sums);
    assert_eq!(changed(), [b"/usr/bin/moved".to_vec(), b"/usr/lib/nobody".to_vec()]);
}

#[test]
fn a_withheld_file_has_an_owner_and_no_digest() {
    let machine = Machine::new();
    let host = Host::below(machine.dir.path());
    machine.put("var/lib/dpkg/info/keys.list", "/etc/shadow\n");
    machine.put("var/lib/dpkg/info/keys.md5sums", &format!("{HELLO}  etc/shadow\n"));
    let got = machine.record(&host, "etc/shadow", "hello\n");
    assert_eq!(shown(&got, "content.withheld"), "password database");
    assert_eq!(shown(&got, "identity.owner"), "ann");
    assert_eq!(shown(&got, "package.name"), "keys");
    assert!(!got.facts.contains_key("package.matches"));
}

#[test]
fn missing_libraries_are_named() {
    let machine = Machine::new();
    let mut facts = content::Facts::from([
        ("link.kind".to_owned(), Fact::Text("dynamic".into())),
        ("link.runpath".to_owned(), Fact::Text("$ORIGIN/../own:/opt/x".into())),
        (
            "link.needed".to_owned(),
            Fact::List(["liba.so", "libb.so", "libc.so", "libgone.so"].map(str::to_owned).into()),
        ),
    ]);
    machine.put("usr/own/liba.so", "");
    machine.put("usr/lib/x86_64-linux-gnu/libb.so", "");
    machine.put("etc/ld.so.conf.d/y.conf", "# y\n/opt/y\n");
    machine.put("opt/y/libc.so", "");
    machine.put("usr/bin/x", "");
    let usual = host::usual(machine.dir.path());
    host::missing(machine.dir.path(), &usual, b"/usr/bin/tool", &mut facts);
    assert_eq!(facts.get("link.missing"), Some(&Fact::List(vec!["libgone.so".into()])));
}

#[test]
fn capabilities_are_written_as_getcap_does() {
    let word = u32::to_le_bytes;
    let bytes = [word(0x0200_0001), word(1 << 13 | 1 << 10), word(0), word(0), word(0)].concat();
    let got = host::decode_capabilities(&bytes).unwrap();
    assert_eq!(got, ["cap_net_bind_service=ep", "cap_net_raw=ep"]);
    assert_eq!(host::decode_capabilities(&bytes[..10]), None);
    assert_eq!(host::decode_capabilities(&[9; 20]), None);
}

/// The same question to dpkg itself, where there is one.
#[test]
fn dpkg_says_the_same() {
    let mut paths: Vec<PathBuf> = std::fs::read_dir("/usr/bin")
        .unwrap()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.symlink_metadata().is_ok_and(|m| m.is_file()))
        .collect();
    paths.sort();
    let step = paths.len().div_ceil(20).max(1);
    let host = Host::this();
    for path in paths.into_iter().step_by(step) {
        let Ok(said) = std::process::Command::new("dpkg").arg("-S").arg(&path).output() else {
            println!("skipped: no dpkg here");
            return;
        };
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let said = said.lines().find(|l| !l.starts_with("diversion "));
        let said = said.and_then(|l| l.split_once(": ")).map(|(names, _)| names.to_owned());
        let got = host::package_name(&host, Path::new(&path));
        // dpkg names every package that lists a diverted path.
        let agrees = match (&said, &got) {
            (Some(said), Some(got)) => {
                got.split(", ").all(|one| said.split(", ").any(|s| s == one))
            }
            (None, None) => true,
            // dpkg does not look below /usr for what a package put beside it.
            (None, Some(_)) => path.starts_with("/usr"),
            _ => false,
        };
        assert!(agrees, "{}: dpkg {said:?}, here {got:?}", path.display());
    }
}

/// A database that rpm itself wrote: see tests/data/rpm.
#[test]
fn rpm_knows_whose_a_file_is() {
    const DATABASE: &[u8] = include_bytes!("../../../../tests/data/rpm/rpmdb.sqlite");
    for place in ["var/lib/rpm", "usr/lib/sysimage/rpm"] {
        let machine = Machine::new();
        let host = Host::below(machine.dir.path());
        let before = machine.record(&host, "etc/demo.conf", "set = 1\n");
        assert!(!before.facts.contains_key("package.name"), "{before:?}");
        // It comes while somebody looks.
        std::fs::create_dir_all(machine.path(place)).unwrap();
        std::fs::write(machine.path(&format!("{place}/rpmdb.sqlite")), DATABASE).unwrap();
        let got = machine.record(&host, "usr/bin/demo", "hello\n");
        assert_eq!(shown(&got, "package.manager"), "rpm");
        assert_eq!(shown(&got, "package.name"), "demo");
        assert_eq!(shown(&got, "package.version"), "1.2-3");
        assert_eq!(shown(&got, "package.architecture"), "noarch");
        assert_eq!(got.facts["package.matches"], Fact::Flag(true));
        assert!(!got.facts.contains_key("package.configuration"));
        let changed = machine.record(&host, "usr/bin/demo", "hellO\n");
        assert_eq!(changed.facts["package.matches"], Fact::Flag(false));
        let configuration = machine.record(&host, "etc/demo.conf", "set = 1\n");
        assert_eq!(configuration.facts["package.configuration"], Fact::Flag(true));
        assert_eq!(configuration.facts["package.matches"], Fact::Flag(true));
        let shared = machine.record(&host, "usr/share/demo/shared", "shared\n");
        assert_eq!(shown(&shared, "package.name"), "other, demo");
        // dpkg's packages are known beside rpm's.
        assert_eq!(
            shown(&machine.record(&host, "usr/bin/tool", "hello\n"), "package.name"),
            "base:amd64"
        );
        let mut paths = host.changed_paths(|path| path.starts_with(b"/usr/share"));
        paths.sort();
        let wanted = ["/usr/share/demo", "/usr/share/demo/a", "/usr/share/demo/shared"];
        paths.dedup();
        assert_eq!(paths, wanted.map(|path| path.as_bytes().to_vec()));
        assert!(host.changed_paths(|_| true).is_empty());
    }
}

/// Headers that are cut or changed anywhere are read without a panic, and what is read of them fits.
#[test]
fn damaged_headers_of_rpm_are_survived() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/rpm/rpmdb.sqlite");
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(path, dir.path().join("db")).unwrap();
    let db = rusqlite::Connection::open(dir.path().join("db")).unwrap();
    let header: Vec<u8> =
        db.query_row("SELECT blob FROM Packages WHERE hnum = 1", [], |row| row.get(0)).unwrap();
    let whole = host::rpm_package(&header).unwrap();
    assert!(!whole.1.is_empty(), "{whole:?}");
    for cut in 0..header.len() {
        host::rpm_package(&header[..cut]);
    }
    for at in 0..header.len() {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut bad = header.clone();
            bad[at] = byte;
            let files = host::rpm_package(&bad).map_or(0, |p| p.1.len());
            assert!(files <= header.len(), "byte {at}");
        }
    }
}
