//! The eBPF source: dirty state in the kernel, taken and cleared here.
//!
//! Knows: the ABI of the probes; aya stays inside this module. Must never know: content, bricks,
//! other sources.
//! Keeps: what happened before a drain is in its events. A lost doorbell only makes it look at
//! every slot; nothing else carries state (invariant 3).

mod actors;
mod bpf;
mod drain;
mod extents;
mod layout;
mod load;
mod log;
mod modules;
pub mod pins;
mod previous;
pub mod probes;
mod shared;
mod slots;
mod syscalls;
mod takeover;
mod track;
mod watched;

use crate::event::{Event, LossKind};
use crate::sources::{Source, SourceCounters, SourceError};
use crate::tracker::Tracker;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use foundry_common::abi::{global, layouts, reply};
use rustix::event::epoll;
use shared::SharedWords;
use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which family of probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Entry and return of kernel functions: exact ranges, names, mapped stores.
    Fentry,
    /// Raw tracepoints: content only, for kernels that refuse the former.
    Tracepoint,
}

impl Backend {
    /// As `--backend` spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Sizes of everything that can overflow; tests make them tiny.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most artifacts; 64 bytes of kernel memory each at once, about 80 more when used. The daemon makes
    /// room for more where there are more.
    pub artifacts: u32,
    /// Words of bits for files that need more than 64; 8 bytes each.
    pub words: u32,
    /// Bytes of the ring for doorbells and names: a power of two, at least a page.
    pub bell_bytes: u32,
    /// Bytes of the ring for exec, exit and mmap.
    pub life_bytes: u32,
    /// Most processes whose memory is watched; where it is 0, no probe looks for changes of memory.
    pub watched: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            artifacts: 1 << 19,
            words: 1 << 18,
            bell_bytes: 1 << 21,
            life_bytes: 1 << 19,
            watched: 0,
        }
    }
}

/// Words of one [`foundry_common::abi::FileState`].
const STATE_WORDS: usize = 8;

/// What the source and its tracker share.
struct Shared {
    backend: Backend,
    files: SharedWords,
    bitmaps: SharedWords,
    global: SharedWords,
    reply: SharedWords,
    layouts: SharedWords,
    /// Readable while events wait in the state.
    wake: OwnedFd,
    state: Mutex<State>,
}

/// What only one thread may touch at a time.
struct State {
    ebpf: aya::Ebpf,
    interest: aya::maps::HashMap<MapData, [u64; 2], u32>,
    slots: slots::Slots,
    watched: watched::Watched,
    /// Slots whose bits may be of an older geometry.
    growing: std::collections::BTreeSet<u32>,
    /// Events that tracking itself caused.
    pending: Vec<Event>,
    /// Inodes for which there was no slot.
    refused: u64,
    modules: modules::Modules,
    takeover: takeover::Takeover,
    /// Programs that run.
    attached: Vec<&'static str>,
    /// File systems on which writes are seen, and those on which they are not.
    known: std::collections::HashMap<rustix::fs::FsWord, bool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in another thread leaves tables that are whole: each change is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counter(&self, which: usize) -> u64 {
        let word = self.global.word(which);
        word.map_or(0, |word| word.load(std::sync::atomic::Ordering::Relaxed))
    }
}

/// A running backend.
pub struct EbpfSource {
    shared: Arc<Shared>,
    reports: Vec<probes::Report>,
    drain: drain::Drain,
    seen: PerCpuArray<MapData, u64>,
    epoll: OwnedFd,
}

fn io(op: &'static str) -> impl FnOnce(rustix::io::Errno) -> SourceError {
    move |error| SourceError::Io { op, source: error.into() }
}

impl EbpfSource {
    /// Loads and attaches the probes of `backend`.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] with the reason where this kernel or these privileges do not
    /// allow it.
    pub fn start(backend: Backend, limits: &Limits) -> Result<Self, SourceError> {
        Self::start_object(backend, limits, Cow::Borrowed(load::OBJECT))
    }

    /// The same, and takes over what an earlier run of this store has left. Its probes go on until
    /// [`Source::looked`], so that there is no gap.
    ///
    /// # Errors
    /// As [`EbpfSource::start`].
    pub fn start_after(
        backend: Backend,
        limits: &Limits,
        place: &pins::Place,
    ) -> Result<Self, SourceError> {
        let source = Self::start(backend, limits)?;
        let mut state = source.shared.state();
        let state_of = &mut *state;
        state_of.takeover.begin(place, &state_of.modules, &source.shared.global);
        drop(state);
        Ok(source)
    }

    /// The same with another compiled object than the one inside this program.
    ///
    /// # Errors
    /// As [`EbpfSource::start`].
    pub fn start_object(
        backend: Backend,
        limits: &Limits,
        object: Cow<'static, [u8]>,
    ) -> Result<Self, SourceError> {
        let load::Loaded { mut ebpf, reports, modules, links } =
            load::load(backend, limits, object)?;
        let messages = log::Messages::of(&mut ebpf)
            .map_err(|what| SourceError::Invalid { backend: backend.name(), what })?;
        let mut map = |name: &'static str| {
            ebpf.take_map(name).ok_or_else(|| SourceError::Invalid {
                backend: backend.name(),
                what: format!("the object has no map {name}"),
            })
        };
        let broken = |error: aya::maps::MapError| SourceError::Invalid {
            backend: backend.name(),
            what: error.to_string(),
        };
        let bell: RingBuf<MapData> = map("BELL")?.try_into().map_err(broken)?;
        let life: RingBuf<MapData> = map("LIFE")?.try_into().map_err(broken)?;
        let seen = map("SEEN")?.try_into().map_err(broken)?;
        let interest = map("INTEREST")?.try_into().map_err(broken)?;
        let watched = map("WATCHED")?.try_into().map_err(broken)?;
        let mut array = |name: &'static str, words: usize| {
            let aya::maps::Map::Array(data) = map(name)? else {
                return Err(broken(aya::maps::MapError::InvalidMapType { map_type: 0 }));
            };
            SharedWords::open(data.fd().as_fd(), words)
                .map_err(|source| SourceError::Io { op: "dup of a BPF array", source })
        };
        // Reached slot by slot, as they are handed out.
        let files = array("FILES", index(limits.artifacts).saturating_mul(STATE_WORDS))?;
        let mut words = |name: &'static str, words: usize| {
            let array = array(name, words)?;
            let mapped = array.reach(0..words);
            mapped.map_err(|source| SourceError::Io { op: "mmap of a BPF array", source })?;
            Ok::<_, SourceError>(array)
        };
        let bitmaps = words("BITMAPS", index(limits.words))?;
        let global = words("GLOBAL", global::COUNT)?;
        let reply = words("REPLY", reply::COUNT)?;
        let layouts = words("LAYOUTS", layouts::COUNT)?;
        let (wake, epoll) = waiting([bell.as_fd(), life.as_fd(), messages.wait_fd()])?;
        let slots = slots::Slots::new(limits.artifacts, limits.words);
        let running = reports.iter().filter(|report| report.status == probes::Status::Attached);
        let attached: Vec<&'static str> = running.map(|report| report.program).collect();
        let watched = watched::Watched::new(watched, limits.watched, &attached);
        let state = Mutex::new(State {
            ebpf,
            interest,
            slots,
            watched,
            growing: std::collections::BTreeSet::new(),
            pending: Vec::new(),
            refused: 0,
            modules,
            takeover: takeover::Takeover::new(links),
            attached,
            known: std::collections::HashMap::new(),
        });
        let shared =
            Arc::new(Shared { backend, files, bitmaps, global, reply, layouts, wake, state });
        let drain = drain::Drain::new(bell, life, messages, limits)
            .map_err(|source| SourceError::Io { op: "dup of a ring", source })?;
        Ok(Self { shared, reports, drain, seen, epoll })
    }

    /// What became of each probe.
    #[must_use]
    pub fn reports(&self) -> &[probes::Report] {
        &self.reports
    }
}

/// What is readable while events wait: in the state, or in one of the rings. And the first of these.
fn waiting(rings: [BorrowedFd<'_>; 3]) -> Result<(OwnedFd, OwnedFd), SourceError> {
    use rustix::event::EventfdFlags as Flags;
    let wake =
        rustix::event::eventfd(0, Flags::CLOEXEC | Flags::NONBLOCK).map_err(io("eventfd"))?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io("epoll_create"))?;
    for fd in rings.into_iter().chain([wake.as_fd()]) {
        epoll::add(&epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
            .map_err(io("epoll_ctl"))?;
    }
    Ok((wake, epoll))
}

impl Source for EbpfSource {
    fn tracker(&self) -> Arc<dyn Tracker> {
        Arc::new(track::EbpfTracker::new(Arc::clone(&self.shared)))
    }

    fn wait_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn drain(&mut self, out: &mut Vec<Event>) -> Result<(), SourceError> {
        self.drain.run(&self.shared, out)
    }

    fn counters(&self) -> SourceCounters {
        let mut counters = SourceCounters::default();
        let seen = self.seen.get(&0, 0).map_or(0, |values| values.iter().sum());
        let bells = self.drain.bells();
        let lost = |which| self.shared.counter(which);
        counters.seen = seen;
        counters.coalesced = seen.saturating_sub(bells + lost(global::LOST_BELLS));
        for (kind, which) in [
            (LossKind::Doorbell, global::LOST_BELLS),
            (LossKind::Name, global::LOST_NAMES),
            (LossKind::Process, global::LOST_LIFE),
            (LossKind::Range, global::WHOLE_RANGE),
        ] {
            if lost(which) > 0 {
                counters.lost.insert(kind, lost(which));
            }
        }
        let refused = self.shared.state().refused;
        if refused > 0 {
            counters.lost.insert(LossKind::Inode, refused);
        }
        self.shared.state().takeover.count(&mut counters.other);
        counters.other.insert("doorbells", bells);
        counters.other.insert("scans", self.drain.scans());
        counters.other.insert("range unknown", lost(global::WHOLE_UNSURE));
        counters.other.insert("own changes ignored", lost(global::OWN));
        counters.other.insert("long io_submit calls", lost(global::LONG_SUBMIT));
        counters.other.insert("changes of no known file", lost(global::UNNAMED));
        counters.other.insert("invalid records", self.drain.invalid());
        counters
    }

    fn looked(&mut self) {
        self.shared.state().takeover.end();
    }

    fn name(&self) -> &'static str {
        self.shared.backend.name()
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// What one backend would do here.
#[derive(Clone, Debug)]
pub struct BackendReport {
    /// Which.
    pub backend: Backend,
    /// Whether it starts, and why not.
    pub usable: Result<(), String>,
    /// Its probes, where it starts.
    pub probes: Vec<probes::Report>,
    /// What it does not see even then.
    pub blind: Vec<&'static str>,
}

/// Loads and attaches each backend for a moment, best first.
#[must_use]
pub fn probe_backends() -> Vec<BackendReport> {
    let (bell_bytes, life_bytes) = (1 << 16, 1 << 16);
    let limits = Limits { artifacts: 64, words: 64, bell_bytes, life_bytes, watched: 1 };
    let report = |backend| match EbpfSource::start(backend, &limits) {
        Ok(source) => BackendReport {
            backend,
            usable: Ok(()),
            probes: source.reports,
            blind: probes::blind(backend).to_vec(),
        },
        Err(error) => BackendReport {
            backend,
            usable: Err(error.to_string()),
            probes: Vec::new(),
            blind: probes::blind(backend).to_vec(),
        },
    };
    [Backend::Fentry, Backend::Tracepoint].map(report).into()
}
