//! Looking into pages without stopping the process: a cell for each, and the bytes to whoever asked.
//!
//! Only pages that are resident are read, so that looking changes nothing: a page in swap stays there, a
//! file that was never touched is not read in.
//!
//! Knows: pages' states, cells. Must never know: where a cell is stored.
//! Keeps: one page's bytes at a time leave the buffer, and only as a cell, unless `raw` is there to
//! take them.

use super::sys;
use foundry_brick::cells::{self, Cell, ZERO_CELL};
use foundry_brick::parts::{PAGE_BYTES, PageRun, Parts, Place, page};
use std::collections::BTreeMap;
use std::io;

/// Pages read with one call: a megabyte.
const BATCH: usize = 256;

const PAGE: usize = 4096;
const _: () = assert!(PAGE as u64 == PAGE_BYTES && BATCH <= sys::MOST_PIECES);

/// So many pages of a part in a row that cannot be read, and the rest is left: a device's memory.
const PATIENCE: u32 = 32;

/// Where pages' bytes come from.
pub trait Memory {
    /// Copies whole pages at `addresses` one after the other into `into`. Gives how many could be
    /// copied: it ends at the first that cannot.
    ///
    /// # Errors
    /// `ESRCH` where the process is gone, `EPERM` where it may not be read; others count as none.
    fn read(&mut self, addresses: &[u64], into: &mut [u8]) -> io::Result<usize>;
}

/// The memory of a live process.
#[derive(Debug)]
pub struct Live(pub u32);

impl Memory for Live {
    fn read(&mut self, addresses: &[u64], into: &mut [u8]) -> io::Result<usize> {
        let pid = i32::try_from(self.0).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
        let pieces: Vec<(u64, usize)> = addresses.iter().map(|a| (*a, PAGE)).collect();
        let copied = sys::read_memory(pid, &pieces, &mut into[..PAGE * addresses.len()])?;
        Ok(copied / PAGE)
    }
}

/// How far the sampling came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Pages that were looked into.
    pub pages: u64,
    /// Resident pages that could not be read.
    pub unreadable: u64,
    /// Resident pages that are left to a later look.
    pub put_off: u64,
    /// The process ended before all was read.
    pub ended: bool,
    /// The kernel shows the layout but not the contents.
    pub denied: bool,
}

/// Cells by tile of the container: 1024 leaves each, one leaf a page.
pub type Leaves = BTreeMap<u64, Vec<Cell>>;

/// Leaves in a tile.
pub const TILE_LEAVES: u64 = 1024;

/// Takes a page's bytes by its place on the plane; places ascend.
pub type Raw<'a> = dyn FnMut(u64, &[u8]) -> Result<(), foundry_brick::Error> + 'a;

/// Looks into every readable resident page of `parts`, in the order of the plane, and notes in `parts`
/// which were seen and what each part looks like from afar.
///
/// # Errors
/// Only those of `raw`.
pub fn sample(
    parts: &mut Parts,
    memory: &mut dyn Memory,
    raw: Option<&mut Raw<'_>>,
) -> Result<(Leaves, Sampled), foundry_brick::Error> {
    let mut places: Vec<(u64, Place)> =
        parts.iter().filter_map(|(place, _)| Some((parts.run(place)?.start, place))).collect();
    places.sort_unstable();
    let mut sampler = Sampler::new(memory, raw);
    for (at, place) in places {
        let Some(part) = parts.get(place) else { continue };
        let Some(address) = part.address else { continue };
        let readable = part.numbers.get(&super::PERMISSIONS).is_none_or(|p| p & page::READ != 0);
        let runs = part.pages.clone();
        let pages = part.length / PAGE_BYTES;
        let seen = if readable {
            sampler.part(at, address, &runs)?
        } else {
            Seen { states: runs, sums: [0; 4], pages: 0 }
        };
        let top = seen.mean(pages);
        parts.update(place, |part| (part.pages, part.top) = (seen.states, top));
    }
    Ok((sampler.leaves, sampler.done))
}

/// Looks into one stretch of memory after the other.
pub(super) struct Sampler<'a, 'r> {
    memory: &'a mut dyn Memory,
    raw: Option<&'a mut Raw<'r>>,
    pub(super) leaves: Leaves,
    pub(super) done: Sampled,
    buffer: Vec<u8>,
}

/// What was seen of one part: states and the sums of the cells of the pages that were seen.
pub(super) struct Seen {
    pub(super) states: Vec<PageRun>,
    pub(super) sums: [u64; 4],
    pub(super) pages: u64,
}

impl Seen {
    /// The mean of the cells of all pages; those not seen look like nothing.
    pub(super) fn mean(&self, pages: u64) -> Cell {
        let unseen = pages.saturating_sub(self.pages);
        std::array::from_fn(|channel| {
            let sum = self.sums[channel] + unseen * u64::from(ZERO_CELL[channel]);
            u8::try_from((sum + pages / 2) / pages.max(1)).unwrap_or(u8::MAX)
        })
    }

    /// Appends what was seen of the next pages.
    pub(super) fn add(&mut self, next: &Self) {
        next.states.iter().for_each(|run| self.push(run.count, run.state));
        self.sums.iter_mut().zip(next.sums).for_each(|(sum, more)| *sum += more);
        self.pages += next.pages;
    }

    pub(super) fn push(&mut self, count: u64, state: u8) {
        match self.states.last_mut() {
            _ if count == 0 => {}
            Some(last) if last.state == state => last.count += count,
            _ => self.states.push(PageRun { count, state }),
        }
    }
}

impl<'a, 'r> Sampler<'a, 'r> {
    pub(super) fn new(memory: &'a mut dyn Memory, raw: Option<&'a mut Raw<'r>>) -> Self {
        let (leaves, done) = (Leaves::new(), Sampled::default());
        Self { memory, raw, leaves, done, buffer: vec![0; BATCH * PAGE] }
    }

    /// Looks into the pages at `address`, which lie at `plane`.
    pub(super) fn part(
        &mut self,
        plane: u64,
        address: u64,
        runs: &[PageRun],
    ) -> Result<Seen, foundry_brick::Error> {
        let mut seen = Seen { states: Vec::new(), sums: [0; 4], pages: 0 };
        let (mut first, mut failures) = (0, 0);
        for run in runs {
            let wanted = run.state & page::RESIDENT != 0 && run.state & page::ZERO == 0;
            if run.state & page::ZERO != 0 {
                // The kernel's page of zeros need not be read to be known.
                self.done.pages += run.count;
                seen.pages += run.count;
                seen.sums[1] += 255 * run.count;
                seen.push(run.count, run.state | page::SAMPLED);
            } else if wanted && failures < PATIENCE {
                self.run((plane, address), first, *run, &mut seen, &mut failures)?;
            } else {
                self.done.unreadable += if wanted { run.count } else { 0 };
                seen.push(run.count, run.state);
            }
            first += run.count;
        }
        Ok(seen)
    }

    /// Reads `run.count` pages from page `first` of a part.
    fn run(
        &mut self,
        (plane, address): (u64, u64),
        first: u64,
        run: PageRun,
        seen: &mut Seen,
        failures: &mut u32,
    ) -> Result<(), foundry_brick::Error> {
        let end = first + run.count;
        let mut next = first;
        while next < end {
            if self.done.ended || self.done.denied || *failures >= PATIENCE {
                self.done.unreadable += end - next;
                seen.push(end - next, run.state);
                break;
            }
            let batch = next..end.min(next + BATCH as u64);
            let addresses: Vec<u64> = batch.clone().map(|p| address + p * PAGE_BYTES).collect();
            let n = self.read(&addresses);
            for (i, page_number) in batch.take(n).enumerate() {
                self.page(plane + page_number * PAGE_BYTES, i, seen)?;
            }
            seen.push(n as u64, run.state | page::SAMPLED);
            next += n as u64;
            if n == addresses.len() {
                *failures = 0;
            } else if !self.done.ended && !self.done.denied {
                // This page cannot be read, or has gone since: the next may be there.
                *failures += 1;
                self.done.unreadable += 1;
                seen.push(1, run.state);
                next += 1;
            }
        }
        Ok(())
    }

    fn read(&mut self, addresses: &[u64]) -> usize {
        match self.memory.read(addresses, &mut self.buffer) {
            Ok(n) => n.min(addresses.len()),
            Err(e) => {
                self.done.ended |= e.raw_os_error() == Some(libc::ESRCH);
                self.done.denied |= e.raw_os_error() == Some(libc::EPERM);
                0
            }
        }
    }

    /// Makes a cell of page `i` of the buffer.
    fn page(&mut self, at: u64, i: usize, seen: &mut Seen) -> Result<(), foundry_brick::Error> {
        let bytes = &self.buffer[i * PAGE..(i + 1) * PAGE];
        let cell = page_cell(bytes);
        for (sum, channel) in seen.sums.iter_mut().zip(cell) {
            *sum += u64::from(channel);
        }
        seen.pages += 1;
        self.done.pages += 1;
        if let Some(raw) = &mut self.raw {
            raw(at, bytes)?;
        }
        if cell != ZERO_CELL {
            let leaf = at / PAGE_BYTES;
            let tile = self.leaves.entry(leaf / TILE_LEAVES);
            let tile = tile.or_insert_with(|| vec![ZERO_CELL; BATCH * 4]);
            if let Ok(slot) = usize::try_from(leaf % TILE_LEAVES) {
                tile[slot] = cell;
            }
        }
        Ok(())
    }
}

/// The cell of a page: what the same bytes have in a file's brick.
#[must_use]
pub fn page_cell(bytes: &[u8]) -> Cell {
    let mut low = Vec::with_capacity(64);
    cells::leaves(bytes, &mut low);
    while low.len() > 1 {
        let mut above = Vec::with_capacity(low.len() / 4);
        cells::parents(&low, &mut above);
        low = above;
    }
    low.first().copied().unwrap_or(ZERO_CELL)
}
