//! What this machine says of a file: its owner's name, its capabilities, its package, the libraries
//! that it would find.
//!
//! Knows: the machine's tables, through one root directory. Must never know: content, but its digest.
//! Keeps: a table is read again when it changed, and not for every file; one that cannot be read
//! leaves its facts out; a withheld file is not read for its digest either.

mod capabilities;
mod libraries;
mod packages;
mod rpm;

use super::Subject;
use super::content::Facts;
use crate::binary::{Fact, ReadAt};
use packages::Packages;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file larger than this is not compared with its package's digest.
const MAX_DIGESTED: u64 = 256 << 20;

/// The machine, as seen below one directory.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    users: Table<Names>,
    groups: Table<Names>,
    packages: Table<Packages>,
    /// Which packages the last answer of [`Self::changed_paths`] was about.
    compared: Mutex<Option<Arc<Packages>>>,
    libraries: Table<Vec<PathBuf>>,
}

/// Names by number.
#[derive(Debug, Default)]
struct Names(Vec<(u32, String)>);

/// A table that was read, and of which state of its files.
#[derive(Debug)]
struct Table<T>(Mutex<Option<Read<T>>>);

/// The state of the files, and what was read from them.
type Read<T> = (Vec<(i64, i64, u64)>, Arc<T>);

impl<T> Table<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The table, read again where one of `files` is another than it was.
    fn get(&self, files: &[PathBuf], read: impl FnOnce() -> T) -> Arc<T> {
        let state = |path: &PathBuf| {
            std::fs::metadata(path).map_or((0, 0, 0), |m| (m.mtime(), m.mtime_nsec(), m.size()))
        };
        let states: Vec<_> = files.iter().map(state).collect();
        let mut held = lock(&self.0);
        match &*held {
            Some((of, table)) if *of == states => Arc::clone(table),
            _ => {
                let table = Arc::new(read());
                *held = Some((states, Arc::clone(&table)));
                table
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        Self::below(Path::new("/"))
    }

    /// The machine whose root directory is `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            users: Table::new(),
            groups: Table::new(),
            packages: Table::new(),
            compared: Mutex::new(None),
            libraries: Table::new(),
        }
    }

    /// Adds what the machine says. Says how many bytes of content were read for it.
    pub(super) fn describe(
        &self,
        file: &File,
        subject: &Subject<'_>,
        facts: &mut Facts,
    ) -> io::Result<u64> {
        let users = self.names(&self.users, "etc/passwd");
        let groups = self.names(&self.groups, "etc/group");
        for (key, names, id) in
            [("identity.owner", users, subject.uid), ("identity.group", groups, subject.gid)]
        {
            if let Some(name) = names.of(id) {
                facts.insert(key.to_owned(), Fact::Text(name));
            }
        }
        if let Some(list) = capabilities::of(file) {
            facts.insert("identity.capabilities".to_owned(), Fact::List(list));
        }
        let files = [self.root.join("usr/lib"), self.root.join("etc/ld.so.conf.d")];
        let usual = self.libraries.get(&files, || libraries::usual(&self.root));
        libraries::describe(&self.root, &usual, subject.path, facts);
        self.package(file, subject, facts)
    }

    /// The name of a user.
    pub(crate) fn user(&self, uid: u32) -> Option<String> {
        self.names(&self.users, "etc/passwd").of(uid)
    }

    /// Name and version of the package that a path is of.
    pub(crate) fn package_of(&self, path: &[u8]) -> Option<(String, String)> {
        self.packages().owner(path).map(|owner| (owner.name, owner.version))
    }

    fn names(&self, table: &Table<Names>, path: &str) -> Arc<Names> {
        let path = self.root.join(path);
        table.get(std::slice::from_ref(&path), || Names::read(&path))
    }

    fn packages(&self) -> Arc<Packages> {
        let dpkg = self.root.join("var/lib/dpkg");
        let mut files = rpm::files(&self.root);
        files.extend([dpkg.join("status"), dpkg.join("info"), dpkg.join("diversions")]);
        let packages = self.packages.get(&files, || Packages::read(&self.root));
        // What was said first is what later changes are compared with.
        lock(&self.compared).get_or_insert_with(|| Arc::clone(&packages));
        packages
    }

    /// Paths of which the packages say something else than at the last call, as far as they are
    /// `wanted`: dpkg puts files in their places before it writes down whose they are.
    pub(crate) fn changed_paths(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let now = self.packages();
        let before = lock(&self.compared).replace(Arc::clone(&now));
        match before {
            Some(before) if !Arc::ptr_eq(&before, &now) => {
                let mut paths = now.changed_since(&before, &self.root);
                paths.retain(|path| wanted(path));
                paths
            }
            _ => Vec::new(),
        }
    }

    fn package(&self, file: &File, subject: &Subject<'_>, facts: &mut Facts) -> io::Result<u64> {
        let packages = self.packages();
        let Some(owner) = packages.owner(subject.path) else { return Ok(0) };
        let mut put = |name: &str, fact| facts.insert(format!("package.{name}"), fact);
        put("manager", Fact::Text(owner.manager.to_owned()));
        if let Some(architecture) = owner.architecture {
            put("architecture", Fact::Text(architecture));
        }
        put("name", Fact::Text(owner.name));
        if !owner.version.is_empty() {
            put("version", Fact::Text(owner.version));
        }
        if owner.is_configuration {
            put("configuration", Fact::Flag(true));
        }
        if let Some(path) = owner.diverted_from {
            put("diverted_from", Fact::Text(String::from_utf8_lossy(&path).into_owned()));
        }
        let withheld = facts.contains_key("content.withheld");
        let Some(digest) = owner.digest.filter(|_| !withheld && subject.size <= MAX_DIGESTED)
        else {
            return Ok(0);
        };
        let found = if owner.is_sha256 {
            hash::<sha2::Sha256>(file, subject.size)?
        } else {
            hash::<md5::Md5>(file, subject.size)?
        };
        let matches = found.starts_with(&digest);
        facts.insert("package.matches".to_owned(), Fact::Flag(matches));
        Ok(subject.size)
    }
}

impl Names {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let one = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            Some((fields.nth(1)?.parse().ok()?, name))
        };
        Self(text.lines().filter_map(one).collect())
    }

    /// The first name counts, as everywhere.
    fn of(&self, id: u32) -> Option<String> {
        self.0.iter().find(|(known, _)| *known == id).map(|(_, name)| name.clone())
    }
}

/// The digest that packages are signed for.
fn hash<D: md5::Digest>(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let mut hash = D::new();
    let mut buf = vec![0; 256 << 10];
    let mut at = 0;
    while at < size {
        let n = file.read_at(&mut buf, at)?;
        if n == 0 {
            break;
        }
        hash.update(&buf[..n]);
        at += n as u64;
    }
    Ok(hash.finalize().to_vec())
}

/// Names of capabilities by their bits.
pub(crate) fn capability_names(bits: u64) -> Vec<String> {
    capabilities::names(bits)
}

#[cfg(test)]
pub(super) use capabilities::decode as decode_capabilities;
#[cfg(test)]
pub(super) use libraries::{describe as missing, usual};

/// Name and paths of a header of rpm.
#[cfg(test)]
pub(super) fn rpm_package(header: &[u8]) -> Option<(String, Vec<Vec<u8>>)> {
    let package = rpm::package(header)?;
    Some((package.name, package.files.into_iter().map(|file| file.path).collect()))
}

/// The package of a path, for the comparison with dpkg.
#[cfg(test)]
pub(super) fn package_name(host: &Host, path: &Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    let packages = host.packages();
    packages.owner(path.as_os_str().as_bytes()).map(|owner| owner.name)
}
