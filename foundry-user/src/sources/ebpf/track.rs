//! Pointing the probes at inodes.
//!
//! Knows: the control program, the interest map, slots. Must never know: what happens to a slot later.
//! Keeps: when `track` returns, every later change to the inode sets its dirty state.

use super::previous::MAPPED_WORD;
use super::probes::{self, Status};
use super::slots::{Claimed, Key, Released};
use super::{Backend, STATE_WORDS, Shared, State, extents, index, load};
use crate::artifact::{ArtifactId, FileKind};
use crate::clock;
use crate::event::{Actor, Event, Extents};
use crate::sources::btf::Btf;
use crate::tracker::{MemoryNews, Tracker};
use aya::programs::{RawTracePointRunOptions, TestRun};
use foundry_common::abi::{Geometry, reply};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, MutexGuard};

/// Slots that wait for a grace period before one is waited for anyway.
const MOST_QUARANTINED: usize = 4096;

/// File systems whose shared mappings take a fault on the first store into a clean page.
const FAULTING: &[rustix::fs::FsWord] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
];

/// See [`Tracker`].
pub(super) struct EbpfTracker {
    shared: Arc<Shared>,
}

/// What the kernel says about an open file.
struct Described {
    key: Key,
    mapped: bool,
}

impl EbpfTracker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Tracker for EbpfTracker {
    fn track(
        &self,
        fd: BorrowedFd<'_>,
        artifact: ArtifactId,
        kind: FileKind,
        size: u64,
    ) -> io::Result<()> {
        let mut state = self.shared.state();
        if kind != FileKind::Directory && self.shared.backend == Backend::Fentry {
            see_writes(&mut state, fd)?;
        }
        let described = self.shared.describe(&mut state, fd)?;
        if let Some(slot) = state.slots.of(artifact)
            && state.slots.get(slot).is_some_and(|held| held.key != described.key)
        {
            state = self.shared.release(state, artifact);
        }
        let directory = kind == FileKind::Directory;
        let unknown = state.slots.of(artifact).is_none();
        let claimed;
        (state, claimed) = self.shared.claim(state, described.key, artifact, directory);
        let first = matches!(claimed, Claimed::New(_));
        let slot = match claimed {
            Claimed::Old(slot) => slot,
            Claimed::New(slot) => {
                let prepared = self.shared.prepare(&state, slot, size);
                let mut insert = || state.interest.insert(described.key, slot, 0);
                if let Err(error) = prepared.and_then(|()| insert().map_err(io::Error::other)) {
                    state.slots.release(artifact);
                    return Err(error);
                }
                slot
            }
            Claimed::Quarantined | Claimed::Full => {
                state.refused += 1;
                let text = "no slot is left for another inode; raise the limit of artifacts";
                return Err(io::Error::other(text));
            }
        };
        if !directory {
            if described.mapped {
                self.shared.note_mapped(slot);
            }
            if unknown {
                let sees_stores = || self.sees_mapped_stores(fd);
                state.takeover.look(artifact, &described.key, sees_stores);
            }
            state = self.shared.grow(state, slot, size);
        }
        // Told once: a file is tracked again by every read, which this event asks for. Later mappings
        // are seen when they are made.
        if first && described.mapped {
            let (actor, at) = (Actor::default(), clock::monotonic());
            let (shared_writable, executable) = (true, false);
            self.shared.push(
                &mut state,
                [Event::Mmap { artifact, actor, shared_writable, executable, at }],
            );
        }
        Ok(())
    }

    fn untrack(&self, artifact: ArtifactId) {
        drop(self.shared.release(self.shared.state(), artifact));
    }

    fn sees_mapped_stores(&self, fd: BorrowedFd<'_>) -> bool {
        rustix::fs::fstatfs(fd).is_ok_and(|found| FAULTING.contains(&found.f_type))
    }

    fn missed(&self, artifact: ArtifactId) -> Option<Extents> {
        self.shared.state().takeover.take(artifact)
    }

    fn watch_memory(&self, pid: u32) -> bool {
        self.shared.watch_memory(pid)
    }

    fn unwatch_memory(&self, pid: u32) {
        self.shared.unwatch_memory(pid);
    }

    fn take_memory(&self, pid: u32) -> Option<MemoryNews> {
        self.shared.take_memory(pid)
    }
}

impl Shared {
    /// Asks the kernel for the key of the inode behind `fd`.
    fn describe(&self, state: &mut State, fd: BorrowedFd<'_>) -> io::Result<Described> {
        let mut options = RawTracePointRunOptions::new();
        options.args[0] = u64::try_from(fd.as_raw_fd()).map_err(io::Error::other)?;
        let control = load::control(&mut state.ebpf).map_err(io::Error::other)?;
        control.test_run(options).map_err(io::Error::other)?;
        // The program ran in this thread and has returned.
        let word = |nth| self.reply.word(nth).map_or(0, |word| word.load(SeqCst));
        if word(reply::VALID) != 1 {
            return Err(io::Error::other("the kernel has no inode behind this descriptor"));
        }
        let key = [word(reply::KEY0), word(reply::KEY1)];
        Ok(Described { key, mapped: word(reply::MAPPED) > 0 })
    }

    fn claim<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        key: Key,
        artifact: ArtifactId,
        directory: bool,
    ) -> (MutexGuard<'a, State>, Claimed) {
        match state.slots.claim(key, artifact, directory) {
            Claimed::Quarantined => {
                let mut state = self.grace(state);
                let claimed = state.slots.claim(key, artifact, directory);
                (state, claimed)
            }
            other => (state, other),
        }
    }

    /// Waits until no probe can still be using what was released, then frees it. Nobody else waits
    /// meanwhile: what is taken out of quarantine is nobody's until it is freed.
    fn grace<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let slots = state.slots.take_quarantine();
        drop(state);
        let passed = grace_period().is_ok();
        let mut state = self.state();
        if !passed {
            state.slots.quarantine_again(slots);
            return state;
        }
        state.slots.free(slots, |slot, geometry| {
            self.take_summary(slot);
            for nth in 0..geometry.words {
                self.take_word(geometry, nth);
            }
        });
        state
    }

    fn release<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        artifact: ArtifactId,
    ) -> MutexGuard<'a, State> {
        if let Released::Key(key) = state.slots.release(artifact) {
            // It is not there only if inserting it failed.
            drop(state.interest.remove(&key));
            if state.slots.quarantined() >= MOST_QUARANTINED {
                return self.grace(state);
            }
        }
        state
    }

    /// Makes the state of a slot that was handed out what it is at first.
    fn prepare(&self, state: &State, slot: u32, size: u64) -> io::Result<()> {
        let Some(held) = state.slots.get(slot) else { return Ok(()) };
        let base = index(slot) * STATE_WORDS;
        self.files.reach(base..base + STATE_WORDS)?;
        let values = [0, held.geometry.pack(), 0, u64::from(held.generation), size, 0];
        for (nth, value) in values.into_iter().enumerate() {
            if let Some(word) = self.files.word(base + nth) {
                word.store(value, SeqCst);
            }
        }
        Ok(())
    }

    /// Gives a file that outgrew its bits finer ones. What was dirty in the old ones becomes an event.
    /// Until no probe sets bits of the old geometry any more, a drain takes what is dirty for the whole
    /// file: nobody waits meanwhile.
    fn grow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        slot: u32,
        size: u64,
    ) -> MutexGuard<'a, State> {
        let Some(held) = state.slots.get(slot) else { return state };
        let (old, generation) = (held.geometry, held.generation);
        // One step at a time; until then the bits it has are coarse for what is new, and right.
        if state.growing.contains(&slot) {
            return state;
        }
        let Some(new) = state.slots.grow(slot, size) else { return state };
        let Some(word) = self.files.word(index(slot) * STATE_WORDS + 1) else { return state };
        word.store(new.pack(), SeqCst);
        state.growing.insert(slot);
        drop(state);
        let certain = grace_period().is_ok();
        let mut state = self.state();
        state.growing.remove(&slot);
        self.grown(&mut state, (slot, generation), (old, new), certain);
        state
    }

    /// The old geometry is out of use, if that is `certain`.
    fn grown(
        &self,
        state: &mut State,
        (slot, generation): (u32, u32),
        (old, new): (Geometry, Geometry),
        certain: bool,
    ) {
        if state.slots.get(slot).is_none_or(|held| held.generation != generation) {
            // It was released meanwhile, and is cleared with its new words.
            if certain {
                for nth in 0..old.words {
                    self.take_word(old, nth);
                }
                state.slots.free_words(old);
            }
            return;
        }
        let summary = self.take_summary(slot);
        let dirty_old = if summary == 0 || !certain {
            None
        } else {
            extents::extents(old, if old.words == 0 { summary } else { u64::MAX }, |nth| {
                self.take_word(old, nth)
            })
        };
        let dirty_new = extents::extents(new, summary, |nth| self.take_word(new, nth));
        if certain {
            state.slots.free_words(old);
        }
        let whole = (!certain).then_some(Extents::Whole);
        let owners = state.slots.get(slot).map(|held| held.owners.clone()).unwrap_or_default();
        let at = clock::monotonic();
        for extents in [dirty_old, dirty_new, whole].into_iter().flatten() {
            let events = owners.iter().map(|artifact| Event::Dirty {
                artifact: *artifact,
                extents: extents.clone(),
                actor: None,
                at,
            });
            self.push(state, events);
        }
    }

    fn push(&self, state: &mut State, events: impl IntoIterator<Item = Event>) {
        state.pending.extend(events);
        // The counter cannot overflow before the reader is awake; an error says that it is.
        match rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            Ok(_) | Err(_) => {}
        }
    }

    /// Leaves word to the next run that stores into this file may go unseen.
    pub(super) fn note_mapped(&self, slot: u32) {
        if let Some(word) = self.files.word(index(slot) * STATE_WORDS + MAPPED_WORD) {
            word.store(1, Relaxed);
        }
    }

    /// Takes and clears the summary. The fine bits are taken after it.
    pub(super) fn take_summary(&self, slot: u32) -> u64 {
        let word = self.files.word(index(slot) * STATE_WORDS);
        word.map_or(0, |word| word.swap(0, SeqCst))
    }

    /// Takes and clears the flags of a slot.
    pub(super) fn take_flags(&self, slot: u32) -> u64 {
        let word = self.files.word(index(slot) * STATE_WORDS + 2);
        word.map_or(0, |word| word.swap(0, SeqCst))
    }

    /// Whether anything in a slot is dirty.
    pub(super) fn is_dirty(&self, slot: u32) -> bool {
        let word = self.files.word(index(slot) * STATE_WORDS);
        word.is_some_and(|word| word.load(Relaxed) != 0)
    }

    /// Takes and clears word `nth` of a run.
    pub(super) fn take_word(&self, geometry: Geometry, nth: u32) -> u64 {
        let word = self.bitmaps.word(index(geometry.base) + index(nth));
        word.map_or(0, |word| word.swap(0, SeqCst))
    }
}

/// Makes sure that writes on the file system of `fd` are seen: its module may have been loaded after
/// the source was started.
///
/// # Errors
/// Where no probe sees them: only a sweep does.
fn see_writes(state: &mut State, fd: BorrowedFd<'_>) -> io::Result<()> {
    let magic = rustix::fs::fstatfs(fd)?.f_type;
    let writers = probes::writers(magic);
    let seen = match state.known.get(&magic) {
        Some(seen) => *seen,
        None => {
            let running = writers.iter().any(|name| state.attached.contains(name));
            let seen = running || attach_late(state, writers);
            state.known.insert(magic, seen);
            seen
        }
    };
    if seen {
        return Ok(());
    }
    // Attaching takes privileges that are given up after the start.
    let hint = match writers {
        [] => "",
        _ => ": if its module was loaded after the daemon's start, start that again",
    };
    let text = format!("no probe sees writes on a file system of type {magic:#x}{hint}");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// Attaches those of `programs` that this kernel has by now.
fn attach_late(state: &mut State, programs: &[&'static str]) -> bool {
    let Ok(bytes) = std::fs::read(load::BTF_PATH) else { return false };
    let Ok(kernel) = Btf::parse(&bytes) else { return false };
    let specs = probes::of(Backend::Fentry).iter().filter(|s| programs.contains(&s.program));
    let mut attached = false;
    for spec in specs {
        if state.modules.attach(spec, &kernel) == Status::Attached {
            state.attached.push(spec.program);
            attached = true;
        }
    }
    attached
}

/// Returns when every program that runs now has ended.
fn grace_period() -> io::Result<()> {
    Ok(rustix::thread::membarrier(rustix::thread::MembarrierCommand::Global)?)
}
