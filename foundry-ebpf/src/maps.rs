//! Every BPF map: what it holds, and what it costs.
//!
//! Knows: sizes as declared here; the loader may change `max_entries`.
//! Must never know: when anything is written.
//! Keeps: arrays that user space maps are arrays of plain integers.

use crate::foundry_common::abi::{FileState, NAME_BYTES, global, layouts, reply};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};

const BPF_F_NO_PREALLOC: u32 = 1;
const BPF_F_MMAPABLE: u32 = 1 << 10;

/// Inode key to slot. Grows on demand: about 64 bytes an entry, and 16 for each bucket of its table.
#[map]
pub static INTEREST: HashMap<[u64; 2], u32> = HashMap::with_max_entries(1 << 19, BPF_F_NO_PREALLOC);

/// Dirty state by slot, mapped by user space: 64 bytes each.
#[map]
pub static FILES: Array<FileState> = Array::with_max_entries(1 << 19, BPF_F_MMAPABLE);

/// Bits of files that do not fit one word, mapped by user space: 8 bytes each.
#[map]
pub static BITMAPS: Array<u64> = Array::with_max_entries(1 << 18, BPF_F_MMAPABLE);

/// Flags and counters that everybody shares, by `abi::global`: one page.
#[map]
pub static GLOBAL: Array<u64> = Array::with_max_entries(global::COUNT as u32, BPF_F_MMAPABLE);

/// Changes to tracked artifacts seen, for each CPU.
#[map]
pub static SEEN: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Answers of the control program: one page.
#[map]
pub static REPLY: Array<u64> = Array::with_max_entries(reply::COUNT as u32, BPF_F_MMAPABLE);

/// Doorbells and directory entries.
#[map]
pub static BELL: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// exec, exit and mmap: apart, so that neither can starve the other.
#[map]
pub static LIFE: RingBuf = RingBuf::with_byte_size(1 << 19, 0);

/// Processes whose memory is watched, to their words of [`LAYOUTS`]: about 64 bytes each.
#[map]
pub static WATCHED: HashMap<u32, u32> =
    HashMap::with_max_entries(layouts::COUNT as u32, BPF_F_NO_PREALLOC);

/// What happened to their memory, by `abi::layouts`, mapped by user space: one page.
#[map]
pub static LAYOUTS: Array<u64> = Array::with_max_entries(layouts::COUNT as u32, BPF_F_MMAPABLE);

/// The bytes that the running system call of a thread changed: slot, start, end. 24 bytes each.
#[map]
pub static TASKS: LruHashMap<u32, [u64; 3]> = LruHashMap::with_max_entries(1 << 14, 0);

/// The tracked inode whose change time the running system call of a thread touched: slot.
#[map]
pub static TOUCHED: LruHashMap<u32, u32> = LruHashMap::with_max_entries(1 << 14, 0);

/// The name that a rename takes away, kept from its entry to its return: 264 bytes each.
#[map]
pub static RENAMES: LruHashMap<u32, Renaming> = LruHashMap::with_max_entries(1 << 10, 0);

/// See [`RENAMES`].
#[repr(C)]
pub struct Renaming {
    /// Slot of the directory that it leaves, times two, plus one if there is a name.
    pub slot: u64,
    /// The name.
    pub name: [u8; NAME_BYTES],
}
