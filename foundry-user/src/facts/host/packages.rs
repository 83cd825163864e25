//! Which package a file came with, by dpkg's own files and by rpm's database.
//!
//! Knows: `/var/lib/dpkg`, packages as `rpm` tells them. Must never know: what is in a file.
//! Keeps: an entry takes the same room, whatever its path; what `dpkg -S` says is what is said here, also of
//! diverted files and of directories that moved below `/usr`.

use super::rpm;
use std::collections::BTreeMap;
use std::path::Path;

/// Directories that were moved below `/usr`: packages may still name them without it.
const MOVED: [&str; 6] = ["/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/", "/libx32/"];

/// What every package owns.
#[derive(Debug, Default)]
pub(super) struct Packages {
    packages: Vec<Package>,
    /// Sorted by path.
    files: Vec<Entry>,
    diversions: Vec<Diversion>,
    /// `/bin` leads to `/usr/bin`.
    merged: bool,
}

#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    /// Who knows it.
    manager: &'static str,
    architecture: Option<String>,
    /// Its files have SHA-256 digests, not MD5.
    is_sha256: bool,
    /// Of which state of its two files, or of its header.
    read_from: [State; 2],
}

/// A package, as another database than dpkg's tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packaged {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: Option<String>,
    /// Its files have SHA-256 digests, not MD5.
    pub(super) is_sha256: bool,
    pub(super) files: Vec<PackagedFile>,
    /// Another header has another one.
    pub(super) state: [u8; 32],
}

impl Packaged {
    fn read_from(&self) -> [State; 2] {
        let word = |at: usize| self.state[at..].first_chunk().map_or(0, |b| i64::from_le_bytes(*b));
        [(word(0), word(8), 0), (word(16), word(24), 0)]
    }
}

/// A file of such a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackagedFile {
    pub(super) path: Vec<u8>,
    /// The first 16 bytes of its digest.
    pub(super) digest: Option<[u8; 16]>,
    pub(super) is_configuration: bool,
}

/// When a file was written, and how large it is.
type State = (i64, i64, u64);

fn state(path: &Path) -> State {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map_or((0, 0, 0), |m| (m.mtime(), m.mtime_nsec(), m.size()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: u64,
    package: u32,
    digest: Option<[u8; 16]>,
    is_configuration: bool,
}

/// A file that lies elsewhere than its package says.
#[derive(Debug)]
struct Diversion {
    from: Vec<u8>,
    to: Vec<u8>,
    by: String,
}

/// Whose a file is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) manager: &'static str,
    pub(super) architecture: Option<String>,
    /// The first 16 bytes of it.
    pub(super) digest: Option<[u8; 16]>,
    pub(super) is_sha256: bool,
    pub(super) is_configuration: bool,
    pub(super) diverted_from: Option<Vec<u8>>,
}

/// What `status` says of a package.
#[derive(Default)]
struct Status {
    version: String,
    /// Digests of configuration files, by path.
    configuration: Vec<(u64, [u8; 16])>,
}

/// A path as a key: 64 bits of its hash. Two paths of one machine do not meet by chance.
fn key(path: &[u8]) -> u64 {
    let hash = blake3::hash(path);
    hash.as_bytes()[..8].try_into().map_or(0, u64::from_le_bytes)
}

pub(super) fn digest(hex: &str) -> Option<[u8; 16]> {
    let hex = hex.as_bytes();
    let mut out = [0; 16];
    if hex.len() != 32 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(out)
}

impl Packages {
    /// Reads the database of the machine below `root`. One that is not there has no packages.
    pub(super) fn read(root: &Path) -> Self {
        let dpkg = root.join("var/lib/dpkg");
        let status = read_status(&dpkg.join("status"));
        let mut all = Self {
            diversions: read_diversions(&dpkg.join("diversions")),
            merged: std::fs::symlink_metadata(root.join("bin")).is_ok_and(|m| m.is_symlink()),
            ..Self::default()
        };
        let listed = std::fs::read_dir(dpkg.join("info")).into_iter().flatten().flatten();
        let mut names: Vec<String> = listed
            .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".list")?.to_owned()))
            .collect();
        names.sort();
        for name in names {
            all.add(&dpkg.join("info"), &name, &status);
        }
        for package in rpm::read(root) {
            all.add_packaged(&package);
        }
        all.files.sort_unstable();
        all
    }

    /// `name` may end with an architecture: `libc6:amd64`.
    fn add(&mut self, info: &Path, name: &str, status: &BTreeMap<String, Status>) {
        let file = |end: &str| info.join(format!("{name}.{end}"));
        let read_from = [state(&file("list")), state(&file("md5sums"))];
        let plain = name.split(':').next().unwrap_or(name);
        let known = status.get(name).or_else(|| status.get(plain));
        let Ok(package) = u32::try_from(self.packages.len()) else { return };
        let sums = std::fs::read_to_string(file("md5sums")).unwrap_or_default();
        let mut digests: BTreeMap<u64, [u8; 16]> = sums
            .lines()
            .filter_map(|line| line.split_once("  "))
            .filter_map(|(sum, path)| Some((key(format!("/{path}").as_bytes()), digest(sum)?)))
            .collect();
        let configuration = known.map_or(&[][..], |k| &k.configuration);
        digests.extend(configuration.iter().copied());
        let list = std::fs::read(file("list")).unwrap_or_default();
        for path in list.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            let path = key(path);
            self.files.push(Entry {
                path,
                package,
                digest: digests.get(&path).copied(),
                is_configuration: configuration.iter().any(|(of, _)| *of == path),
            });
        }
        let version = known.map(|k| k.version.clone()).unwrap_or_default();
        let (manager, name) = ("dpkg", name.to_owned());
        let (architecture, is_sha256) = (None, false);
        self.packages.push(Package { name, version, manager, architecture, is_sha256, read_from });
    }

    fn add_packaged(&mut self, packaged: &Packaged) {
        let Ok(package) = u32::try_from(self.packages.len()) else { return };
        self.files.extend(packaged.files.iter().map(|file| Entry {
            path: key(&file.path),
            package,
            digest: file.digest,
            is_configuration: file.is_configuration,
        }));
        self.packages.push(Package {
            name: packaged.name.clone(),
            version: packaged.version.clone(),
            manager: "rpm",
            architecture: packaged.architecture.clone(),
            is_sha256: packaged.is_sha256,
            read_from: packaged.read_from(),
        });
    }

    /// The paths of packages that are others than `before`.
    pub(super) fn changed_since(&self, before: &Self, root: &Path) -> Vec<Vec<u8>> {
        let known: BTreeMap<&str, &Package> =
            before.packages.iter().map(|p| (p.name.as_str(), p)).collect();
        let is_same = |p: &&Package| {
            known
                .get(p.name.as_str())
                .is_some_and(|k| k.version == p.version && k.read_from == p.read_from)
        };
        let info = root.join("var/lib/dpkg/info");
        let mut changed = Vec::new();
        let is_new = |p: &&Package| p.manager == "rpm" && !is_same(p);
        if self.packages.iter().any(|p| is_new(&p)) {
            let of_new = |p: &Packaged| {
                let read_from = p.read_from();
                self.packages.iter().any(|one| is_new(&one) && one.read_from == read_from)
            };
            for package in rpm::read(root).iter().filter(|p| of_new(p)) {
                changed.extend(package.files.iter().flat_map(|file| self.aliases(&file.path)));
            }
        }
        for package in self.packages.iter().filter(|p| p.manager == "dpkg" && !is_same(p)) {
            let list = std::fs::read(info.join(format!("{}.list", package.name)));
            for path in list.unwrap_or_default().split(|&b| b == b'\n').filter(|p| !p.is_empty()) {
                changed.extend(self.aliases(path));
            }
        }
        changed
    }

    /// Whose the file at `path` is.
    pub(super) fn owner(&self, path: &[u8]) -> Option<Owner> {
        if self.files.is_empty() {
            return None;
        }
        let aliases = self.aliases(path);
        let is = |p: &[u8]| aliases.iter().any(|alias| alias == p);
        if let Some(moved) = self.diversions.iter().find(|d| is(&d.to)) {
            let owner = self.listed(&moved.from, |name| !belongs(name, &moved.by))?;
            return Some(Owner { diverted_from: Some(moved.from.clone()), ..owner });
        }
        let diverted = self.diversions.iter().find(|d| is(&d.from));
        let may = |name: &str| diverted.is_none_or(|d| belongs(name, &d.by));
        aliases.iter().find_map(|alias| self.listed(alias, may))
    }

    /// The path, and the same place as a package may name it.
    fn aliases(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let mut names = vec![path.to_vec()];
        if self.merged {
            let starts = |p: &[u8]| MOVED.iter().any(|dir| p.starts_with(dir.as_bytes()));
            match path.strip_prefix(b"/usr") {
                Some(short) if starts(short) => names.push(short.to_vec()),
                None if starts(path) => names.push([b"/usr", path].concat()),
                _ => {}
            }
        }
        names
    }

    fn listed(&self, path: &[u8], may: impl Fn(&str) -> bool) -> Option<Owner> {
        let path = key(path);
        let first = self.files.partition_point(|e| e.path < path);
        let entries = self.files[first..].iter().take_while(|e| e.path == path);
        let mut found: Option<Owner> = None;
        for entry in entries {
            let package = self.packages.get(usize::try_from(entry.package).ok()?)?;
            if !may(&package.name) {
                continue;
            }
            match &mut found {
                // Two architectures of one package share a file.
                Some(owner) => owner.name = format!("{}, {}", owner.name, package.name),
                None => {
                    found = Some(Owner {
                        name: package.name.clone(),
                        version: package.version.clone(),
                        manager: package.manager,
                        architecture: package.architecture.clone(),
                        digest: entry.digest,
                        is_sha256: package.is_sha256,
                        is_configuration: entry.is_configuration,
                        diverted_from: None,
                    });
                }
            }
        }
        found
    }
}

/// Whether a package, with or without its architecture, is `by`.
fn belongs(name: &str, by: &str) -> bool {
    name.split(':').next() == by.split(':').next()
}

/// Three lines each: from, to, by whom.
fn read_diversions(path: &Path) -> Vec<Diversion> {
    let text = std::fs::read(path).unwrap_or_default();
    let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    let one = |three: &[&[u8]]| Diversion {
        from: three[0].to_vec(),
        to: three[1].to_vec(),
        by: String::from_utf8_lossy(three[2]).into_owned(),
    };
    lines.chunks_exact(3).map(one).collect()
}

/// Versions and configuration files, by name with and without the architecture.
fn read_status(path: &Path) -> BTreeMap<String, Status> {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let mut all = BTreeMap::new();
    for paragraph in text.split("\n\n") {
        let (mut name, mut architecture) = ("", "");
        let mut status = Status::default();
        for line in paragraph.lines() {
            if let Some(line) = line.strip_prefix(' ') {
                // Only configuration files have continued lines that begin with a path.
                let mut words = line.split(' ');
                if let (Some(path), Some(sum)) = (words.next(), words.next())
                    && path.starts_with('/')
                    && let Some(sum) = digest(sum)
                {
                    status.configuration.push((key(path.as_bytes()), sum));
                }
            } else if let Some((field, value)) = line.split_once(": ") {
                match field {
                    "Package" => name = value,
                    "Architecture" => architecture = value,
                    "Version" => value.clone_into(&mut status.version),
                    _ => {}
                }
            }
        }
        let full = format!("{name}:{architecture}");
        let plain =
            Status { version: status.version.clone(), configuration: status.configuration.clone() };
        all.insert(full, status);
        all.insert(name.to_owned(), plain);
    }
    all
}
