//! The state of each page: resident, swapped, file, dirty, exclusive, huge.
//!
//! `PAGEMAP_SCAN` names the few populated runs of a mapping that may span terabytes; `pagemap` then
//! says of those pages which are exclusive and, to the privileged, where they are, and `kpageflags`
//! which of them are dirty. Without the scan, `smaps` says which mappings are worth reading.
//!
//! Knows: the bits of these files. Must never know: what is in a page.
//! Keeps: runs cover exactly the range that was asked for, no two neighbours alike.

use super::maps::Mapping;
use super::sys::{self, PageRegion};
use foundry_brick::parts::{PAGE_BYTES, PageRun, page};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// Bits of an entry of `pagemap`.
const PM_SOFT_DIRTY: u64 = 1 << 55;
const PM_EXCLUSIVE: u64 = 1 << 56;
const PM_FILE: u64 = 1 << 61;
const PM_SWAPPED: u64 = 1 << 62;
const PM_PRESENT: u64 = 1 << 63;
const PM_FRAME: u64 = (1 << 55) - 1;

/// Bits of an entry of `kpageflags`.
const KPF_DIRTY: u64 = 1 << 4;
const KPF_HUGE: u64 = 1 << 17;
const KPF_THP: u64 = 1 << 22;
const KPF_ZERO_PAGE: u64 = 1 << 24;

/// Entries read at once.
const ENTRIES: usize = 8192;

/// Asks for pages' states.
#[derive(Debug)]
pub struct Pages {
    pagemap: File,
    /// Where it can be opened: it needs privileges, as frame numbers do.
    kpageflags: Option<File>,
    scan: bool,
    regions: Vec<PageRegion>,
    bytes: Vec<u8>,
    /// Frame numbers were seen, so that a clear dirty bit means clean.
    frames_seen: bool,
    /// A page was marked as written: a kernel without soft-dirty bits marks none, and one with them every
    /// page of a mapping that nobody has cleared the marks of.
    marks_seen: bool,
}

impl Pages {
    /// Asks through `pagemap` of a process; `scan` says whether to try `PAGEMAP_SCAN`.
    #[must_use]
    pub fn new(pagemap: File, kpageflags: Option<File>, scan: bool) -> Self {
        let regions = vec![PageRegion::default(); 1024];
        let bytes = vec![0; 8 * ENTRIES];
        Self { pagemap, kpageflags, scan, regions, bytes, frames_seen: false, marks_seen: false }
    }

    /// Whether `PAGEMAP_SCAN` has not been refused.
    #[must_use]
    pub fn scans(&self) -> bool {
        self.scan
    }

    /// Whether dirty bits are known.
    #[must_use]
    pub fn knows_dirty(&self) -> bool {
        self.frames_seen
    }

    /// Whether the kernel marks pages that are written to.
    #[must_use]
    pub fn marks_writes(&self) -> bool {
        self.marks_seen
    }

    /// The states of the pages of a mapping.
    ///
    /// # Errors
    /// What the kernel says, but for a process that is gone: its pages are just not there.
    pub fn states(&mut self, mapping: &Mapping) -> io::Result<Vec<PageRun>> {
        let mut runs = Runs::new(mapping.start, mapping.end);
        if self.scan {
            match self.scan_into(&mut runs) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
                    self.scan = false;
                    runs = Runs::new(mapping.start, mapping.end);
                }
                result => return gone_is_empty(result).map(|()| runs.finish()),
            }
        }
        if mapping.populated != Some(false) {
            let result = self.entries_into(mapping.start, mapping.end, 0, &mut runs);
            gone_is_empty(result)?;
        }
        Ok(runs.finish())
    }

    fn scan_into(&mut self, runs: &mut Runs) -> io::Result<()> {
        let mut at = runs.at;
        while at < runs.end {
            let mut regions = std::mem::take(&mut self.regions);
            let scanned = sys::pagemap_scan(self.pagemap.as_fd(), at, runs.end, &mut regions);
            let result = scanned.and_then(|(n, walked)| {
                regions[..n].iter().try_for_each(|region| self.region_into(region, runs))?;
                Ok(walked)
            });
            self.regions = regions;
            let walked = result?;
            if walked <= at {
                break;
            }
            at = walked;
        }
        Ok(())
    }

    fn region_into(&mut self, region: &PageRegion, runs: &mut Runs) -> io::Result<()> {
        let bit = |category, bit| if region.categories & category != 0 { bit } else { 0 };
        let state = bit(sys::IS_PRESENT, page::RESIDENT)
            | bit(sys::IS_SWAPPED, page::SWAPPED)
            | bit(sys::IS_FILE, page::FILE)
            | bit(sys::IS_PFNZERO, page::ZERO)
            | bit(sys::IS_HUGE, page::HUGE);
        if state & page::RESIDENT == 0 {
            runs.push(region.start, (region.end - region.start) / PAGE_BYTES, state);
            return Ok(());
        }
        self.entries_into(region.start, region.end, state & (page::HUGE | page::ZERO), runs)
    }

    /// Reads `pagemap` for `[start, end)`; `known` is what is known of all these pages.
    fn entries_into(&mut self, start: u64, end: u64, known: u8, runs: &mut Runs) -> io::Result<()> {
        let mut at = start;
        while at < end {
            let want = usize::try_from((end - at) / PAGE_BYTES).unwrap_or(ENTRIES).min(ENTRIES);
            let got = self.pagemap.read_at(&mut self.bytes[..8 * want], at / PAGE_BYTES * 8)? / 8;
            if got == 0 {
                break;
            }
            let entries: Vec<u64> = words(&self.bytes[..8 * got]).collect();
            self.marks_seen |= entries.iter().any(|entry| entry & PM_SOFT_DIRTY != 0);
            let flags = self.flags(&entries);
            for (entry, flags) in entries.iter().zip(flags) {
                let state = state(*entry, flags);
                let known = if state & page::RESIDENT != 0 { known } else { 0 };
                runs.push(at, 1, state | known);
                at += PAGE_BYTES;
            }
        }
        Ok(())
    }

    /// The entries of `kpageflags` for the frames of `entries`, read in runs of neighbouring frames.
    fn flags(&mut self, entries: &[u64]) -> Vec<u64> {
        let mut flags = vec![0; entries.len()];
        let Some(file) = &self.kpageflags else { return flags };
        let frame = |entry: u64| if entry & PM_PRESENT != 0 { entry & PM_FRAME } else { 0 };
        let mut from = 0;
        while from < entries.len() {
            let first = frame(entries[from]);
            let neighbours = entries[from..].iter().zip(first..);
            let n = neighbours.take_while(|(e, f)| first != 0 && frame(**e) == *f).count();
            if n > 0 {
                let mut bytes = vec![0; 8 * n];
                if file.read_exact_at(&mut bytes, first * 8).is_ok() {
                    self.frames_seen = true;
                    for (flag, word) in flags[from..].iter_mut().zip(words(&bytes)) {
                        *flag = word;
                    }
                }
            }
            from += n.max(1);
        }
        flags
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
}

fn state(entry: u64, flags: u64) -> u8 {
    let bit = |on: bool, bit| if on { bit } else { 0 };
    if entry & PM_PRESENT == 0 {
        return bit(entry & PM_SWAPPED != 0, page::SWAPPED);
    }
    page::RESIDENT
        | bit(entry & PM_FILE != 0, page::FILE)
        | bit(entry & PM_EXCLUSIVE != 0, page::EXCLUSIVE)
        | bit(flags & KPF_DIRTY != 0, page::DIRTY)
        | bit(flags & (KPF_HUGE | KPF_THP) != 0, page::HUGE)
        | bit(flags & KPF_ZERO_PAGE != 0, page::ZERO)
}

/// A process that has ended, or a mapping that has vanished, has no pages.
fn gone_is_empty(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::ENOMEM | libc::EFAULT)) => {
            Ok(())
        }
        other => other,
    }
}

/// Runs under construction: what is skipped is absent.
#[derive(Debug)]
struct Runs {
    at: u64,
    end: u64,
    runs: Vec<PageRun>,
}

impl Runs {
    fn new(at: u64, end: u64) -> Self {
        Self { at, end, runs: Vec::new() }
    }

    fn push(&mut self, start: u64, pages: u64, state: u8) {
        if start < self.at || start >= self.end {
            return;
        }
        self.append((start - self.at) / PAGE_BYTES, 0);
        let pages = pages.min((self.end - start) / PAGE_BYTES);
        self.append(pages, state);
        self.at = start + pages * PAGE_BYTES;
    }

    fn append(&mut self, count: u64, state: u8) {
        match self.runs.last_mut() {
            _ if count == 0 => {}
            Some(last) if last.state == state => last.count += count,
            _ => self.runs.push(PageRun { count, state }),
        }
    }

    fn finish(mut self) -> Vec<PageRun> {
        self.append((self.end - self.at).div_ceil(PAGE_BYTES), 0);
        self.runs
    }
}
