//! What the daemon gives up before it looks at anybody's bytes: privileges that only starting needed,
//! and every place that is not its business.
//!
//! Knows: capabilities, Landlock, which places a daemon needs. Must never know: what is read there.
//! Keeps: what was given up cannot be had back, by no thread and no program that is started later; so
//! it is called while there is one thread. What this kernel cannot take away is said, not hidden.
//!
//! Whoever is in Landlock may not look into processes outside of it, whatever its capabilities: that
//! is what [`crate::witness`] is for.

mod capabilities;
mod fence;

pub use capabilities::names;
pub use fence::support;

use crate::config::{Listen, WatchConfig};
use rustix::thread::CapabilitySet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the kernel makes up about itself and its processes.
const KERNEL: [&str; 4] = ["/proc", "/sys/kernel/btf", "/sys/fs/cgroup", "/dev/urandom"];

/// What this machine says of files: names of owners, packages, where libraries lie. A single file that
/// is replaced (a user was added) is closed until the next start, and its facts are left out: the
/// directory that it lies in holds what nobody here should read.
const HOST: [&str; 6] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/ld.so.conf.d",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
];

/// What names of hosts mean, for the one that a model is asked at.
const NAMES: [&str; 3] = ["/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"];

/// Directories that are listed for it, and no more.
const LISTED: [&str; 1] = ["/usr/lib"];

/// Ports below this one are for the privileged.
const FIRST_FREE_PORT: u16 = 1024;

/// What has to stay possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files and trees that are read.
    pub reads: Vec<PathBuf>,
    /// Trees that are listed, and whose files stay closed.
    pub lists: Vec<PathBuf>,
    /// Directories in which files are made, changed and removed, and single files that are written.
    pub writes: Vec<PathBuf>,
    /// Ports that are listened on; 0 is any.
    pub listens: Vec<u16>,
    /// Ports of TCP servers that are asked: those of models.
    pub connects: Vec<u16>,
    /// Other processes' memory is read here, not by the witness: then there can be no Landlock.
    pub processes: bool,
}

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Capabilities, by name.
    pub capabilities: Vec<&'static str>,
    /// Version of Landlock's interface in force, or why there is none.
    pub landlock: Result<u8, String>,
}

impl Needs {
    /// What watching as `config` says needs.
    #[must_use]
    pub fn of(config: &WatchConfig) -> Self {
        let mut reads = config.roots.clone();
        reads.extend(KERNEL.into_iter().chain(HOST).map(PathBuf::from));
        let mut writes = vec![config.store.clone()];
        writes.extend(config.record.clone());
        let mut listens = match config.listen {
            Listen::Off => vec![],
            Listen::Usual => vec![crate::config::DEFAULT_LISTEN.port()],
            Listen::At(address) => vec![address.port()],
        };
        if let Some((builder, address)) = &config.geometry_os {
            writes.push(builder.clone());
            listens.push(address.port());
        }
        for project in &config.projects {
            // Its task files are marked where they lie, and its boxes ticked.
            writes.push(project.path.clone());
            reads.extend(project.allow.iter().cloned());
        }
        reads.extend(config.may_watch.iter().cloned());
        // The configuration is read again, from a file that may be another one by then.
        reads.extend(config.file.iter().filter_map(|f| f.path.parent()).map(Path::to_owned));
        let lists = LISTED.map(PathBuf::from).to_vec();
        let mut connects = vec![];
        if config.annotate.enabled {
            connects.push(config.annotate.endpoint.port());
            reads.extend(NAMES.map(PathBuf::from));
        }
        Self { reads, lists, writes, listens, connects, processes: !config.processes.is_empty() }
    }

    /// The capabilities that these needs come to, where they are there to be kept.
    fn capabilities(&self) -> CapabilitySet {
        // The watched trees are read whoever owns them.
        let mut kept = CapabilitySet::DAC_READ_SEARCH;
        if self.listens.iter().any(|port| (1..FIRST_FREE_PORT).contains(port)) {
            kept |= CapabilitySet::NET_BIND_SERVICE;
        }
        // Root owns what it makes; in somebody else's directory only this lets it write.
        if self.writes.iter().any(|path| is_anothers(path)) {
            kept |= CapabilitySet::DAC_OVERRIDE;
        }
        if self.processes {
            kept |= CapabilitySet::SYS_PTRACE;
        }
        kept
    }
}

fn is_anothers(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    std::fs::metadata(path).is_ok_and(|stat| stat.uid() != own)
}

/// Gives up everything but `needs`, in the calling thread and whatever it starts from now on.
///
/// # Errors
/// Where something that this kernel has could not be given up: then nothing should go on.
pub fn enter(needs: &Needs) -> io::Result<Kept> {
    capabilities::forgo(CapabilitySet::empty())?;
    let landlock = if needs.processes {
        Err("it would hide the memory of processes, which is asked for".to_owned())
    } else {
        fence::enter(needs)?
    };
    let capabilities = names(capabilities::keep(needs.capabilities())?);
    Ok(Kept { capabilities, landlock })
}

/// As [`enter`], for the witness: it looks into processes, wherever they are, and writes nothing.
///
/// # Errors
/// As [`enter`].
pub fn enter_as_witness() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    capabilities::forgo(CapabilitySet::empty())?;
    // Not even a file of its own user.
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), maximum: Some(0) })?;
    capabilities::keep(WITNESS)?;
    Ok(())
}

/// Looking into any process, and following the kernel's links to what it maps.
const WITNESS: CapabilitySet = CapabilitySet::SYS_PTRACE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHECKPOINT_RESTORE);

/// What a daemon with `needs` would keep of the capabilities that this process has, and what its
/// witness would.
///
/// # Errors
/// Of capget(2).
pub fn would_keep(needs: &Needs) -> io::Result<(Vec<&'static str>, Vec<&'static str>)> {
    let have = rustix::thread::capabilities(None)?.permitted;
    Ok((names(have & needs.capabilities()), names(have & WITNESS)))
}

/// Whether the calling thread is the only one of its process: others would keep what they have.
#[must_use]
pub fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(test)]
mod tests;
