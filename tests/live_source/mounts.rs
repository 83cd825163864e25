//! File systems to test on: what this machine can make, in memory and on loop devices.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory on some file system, unmounted when it is dropped.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    mounted: Vec<PathBuf>,
    _temp: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        for dir in self.mounted.iter().rev() {
            let gone = rustix::mount::unmount(dir, rustix::mount::UnmountFlags::DETACH);
            if let Err(error) = gone {
                println!("{}: {error}", dir.display());
            }
        }
    }
}

impl Place {
    pub(crate) fn file(&self, size: u64) -> PathBuf {
        let path = self.dir.join("file");
        std::fs::write(&path, vec![b'o'; usize::try_from(size).unwrap()]).unwrap();
        // Clean pages, so that the first store into a mapping is seen as such.
        rustix::fs::sync();
        path
    }
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn loop_mount(name: &'static str, bytes: u64) -> Option<Place> {
    let temp = temp();
    let (image, dir) = (temp.path().join("image"), temp.path().join("mounted"));
    std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
    std::fs::create_dir(&dir).unwrap();
    let made = quiet(Command::new(format!("mkfs.{name}")).arg("-q").arg(&image))
        || quiet(Command::new(format!("/sbin/mkfs.{name}")).arg("-q").arg(&image));
    if !made || !quiet(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&dir)) {
        return None;
    }
    Some(Place { name, dir: dir.clone(), mounted: vec![dir], _temp: temp })
}

fn tmpfs(name: &'static str) -> Option<Place> {
    let temp = temp();
    let dir = temp.path().join("mounted");
    std::fs::create_dir(&dir).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", &dir, "tmpfs", flags, None::<&std::ffi::CStr>).ok()?;
    Some(Place { name, dir: dir.clone(), mounted: vec![dir], _temp: temp })
}

fn overlay() -> Option<Place> {
    let mut place = tmpfs("overlay")?;
    let base = place.dir.clone();
    for part in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(base.join(part)).unwrap();
    }
    let at = |part: &str| base.join(part).display().to_string();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let merged = base.join("merged");
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", &merged, "overlay", flags, Some(options.as_c_str())).ok()?;
    place.mounted.push(merged.clone());
    place.dir = merged;
    Some(place)
}

/// Where the temporary directory is: ext4 on most machines, an initramfs in a virtual one.
fn here() -> Place {
    let temp = temp();
    let dir = temp.path().to_owned();
    let name = match rustix::fs::statfs(&dir).unwrap().f_type {
        0xef53 => "ext4 (root)",
        0x5846_5342 => "xfs (root)",
        0x9123_683e => "btrfs (root)",
        0x794c_7630 => "overlay (root)",
        _ => "memory (root)",
    };
    Place { name, dir, mounted: Vec::new(), _temp: temp }
}

/// Every file system that can be had, and the names of those that cannot.
pub(crate) fn all() -> Vec<Place> {
    let mut places = vec![here()];
    let wanted: [(&str, Option<Place>); 5] = [
        ("ext4", loop_mount("ext4", 64 << 20)),
        ("xfs", loop_mount("xfs", 320 << 20)),
        ("btrfs", loop_mount("btrfs", 256 << 20)),
        ("tmpfs", tmpfs("tmpfs")),
        ("overlay", overlay()),
    ];
    for (name, place) in wanted {
        match place {
            Some(place) => places.push(place),
            None => println!("skipped: no {name} can be mounted here"),
        }
    }
    places
}

/// Whether stores through mappings are seen there.
pub(crate) fn on_disk(path: &Path) -> bool {
    [0xef53, 0x5846_5342, 0x9123_683e].contains(&rustix::fs::statfs(path).unwrap().f_type)
}
