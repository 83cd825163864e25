//! Kernels from Debian's archive, unpacked under `target/vm`.
//!
//! Knows: how packages of kernels are named, where one keeps what. Must never know: what runs on it.
//! Keeps: nothing is installed on this machine.

use super::processor::Processor;
use crate::apt::Apt;
use crate::{place, tools};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// File systems and the block device for images, where the kernel has them as modules.
const MODULES: [&str; 5] = ["loop", "ext4", "xfs", "btrfs", "overlay"];

/// A kernel image, and its modules if it came in a package.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    modules: Option<PathBuf>,
}

impl Kernel {
    /// `name` is a version such as `6.12`, or the path of an image.
    pub(super) fn get(name: &str, processor: Processor) -> Result<Self> {
        if name.contains('/') {
            return Ok(Self { image: name.into(), modules: None });
        }
        let foreign = processor.foreign();
        let suffix = foreign.map(|name| format!("-{name}")).unwrap_or_default();
        let dir = place::target_dir().join("vm").join(format!("{name}{suffix}"));
        if let Some(found) = unpacked(&dir) {
            return Ok(found);
        }
        let mut apt = Apt::of_this_machine(foreign)?;
        let package = match newest_package(&apt, name, processor) {
            Ok(package) => package,
            Err(here) => {
                apt = Apt::of_the_mirror(foreign).map_err(|why| format!("{here}; {why}"))?;
                newest_package(&apt, name, processor)?
            }
        };
        apt.unpack(&parts(&apt, &package)?, &dir)?;
        unpacked(&dir).ok_or_else(|| format!("{package} holds no kernel image").into())
    }

    /// Modules that tests need with what those need, in the order in which they are loaded.
    pub(super) fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let Some(dir) = &self.modules else { return Ok(Vec::new()) };
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        let all = walk(&dir.join("kernel"))?;
        for wanted in MODULES {
            if let Some(path) = all.iter().find(|path| stem(path) == wanted) {
                depend(path, &all, &mut seen, &mut order)?;
            }
        }
        Ok(order)
    }
}

/// Appends a module after everything that it says it depends on.
fn depend(
    path: &Path,
    all: &[PathBuf],
    seen: &mut BTreeSet<String>,
    order: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    if !seen.insert(stem(path)) {
        return Ok(());
    }
    let bytes = plain(path)?;
    for needed in dependencies(&bytes) {
        if let Some(path) = all.iter().find(|path| stem(path) == needed) {
            depend(path, all, seen, order)?;
        }
    }
    order.push((format!("{}.ko", stem(path)), bytes));
    Ok(())
}

/// The names in a module's own `depends=` and `softdep=pre:` notes.
fn dependencies(module: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for (key, separator) in [(&b"\0depends="[..], ','), (&b"\0softdep=pre: "[..], ' ')] {
        let mut at = 0;
        while let Some(found) = find(&module[at..], key) {
            let start = at + found + key.len();
            let end = find(&module[start..], b"\0").map_or(module.len(), |len| start + len);
            let text = String::from_utf8_lossy(&module[start..end]).into_owned();
            names.extend(text.split(separator).map(|name| name.trim().replace('-', "_")));
            at = end;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The module's name: `crc32c_generic` for `crc32c-generic.ko.xz`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split(".ko").next().unwrap_or_default().replace('-', "_")
}

fn plain(path: &Path) -> Result<Vec<u8>> {
    let packed = path.extension().is_some_and(|extension| extension == "xz");
    if !packed {
        return Ok(fs::read(path)?);
    }
    let xz = tools::ensure_debian("xz", "xz-utils")?;
    let output = Command::new(xz).arg("-dc").arg(path).output()?;
    Ok(output.stdout)
}

fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_string_lossy().contains(".ko") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn unpacked(dir: &Path) -> Option<Kernel> {
    let places = ["lib/modules", "usr/lib/modules"];
    let modules = places.iter().find_map(|place| entries(&dir.join(place)).into_iter().next());
    let in_boot = entries(&dir.join("boot")).into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    });
    let beside = modules.as_ref().map(|modules| modules.join("vmlinuz"));
    let image = in_boot.or_else(|| beside.filter(|image| image.is_file()))?;
    Some(Kernel { image, modules })
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(dir).into_iter().flatten();
    listed.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The newest package of a kernel series for virtual machines.
fn newest_package(apt: &Apt, series: &str, processor: Processor) -> Result<String> {
    let mut search = apt.command("apt-cache");
    let found = search.args(["search", "--names-only", "linux-image"]).output()?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let start = format!("linux-image-{series}.");
    let flavour = format!("-cloud-{}", processor.debian());
    let of_series = text.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| {
        name.starts_with(&start) && name.contains(&flavour) && !name.ends_with("-dbg")
    });
    let newest = of_series.max_by_key(|name| {
        let numbers: Vec<u32> = name
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        (numbers, name.ends_with("-unsigned"))
    });
    newest.map(str::to_owned).ok_or_else(|| {
        format!("no Debian package of a {series} kernel; try `apt-get update`, or give the path of an image").into()
    })
}

/// The packages that hold a kernel: itself, or since 6.19 those that it depends on.
fn parts(apt: &Apt, package: &str) -> Result<Vec<String>> {
    let of_kernel = apt.needs(package)?.into_iter().filter(|name| {
        ["linux-binary-", "linux-modules-"].iter().any(|start| name.starts_with(start))
    });
    Ok(std::iter::once(package.to_owned()).chain(of_kernel).collect())
}
