//! What each stretch of a tile is: class, last writer, time.
//!
//! Knows: runs, classes. Must never know: cells' values.
//! Keeps: spans ascend and never meet; where several leaves share a cell, the first one's class and
//! the latest one's time stand.

use super::super::classes::{DATA, GONE, RESERVED, ROOM, UNREADABLE, VOID};
use super::super::layout::Run;
use super::super::world::State;
use super::{Part, Place, TILE_CELLS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First cell after it.
    pub(super) end: u32,
    pub(super) class: u8,
    pub(super) writer: u8,
    pub(super) flags: u8,
    /// State of the pages, where they are a process's.
    pub(super) pages: u8,
    pub(super) at: u32,
}

const NOTHING: Span = Span { end: 0, class: VOID, writer: 0, flags: 0, pages: 0, at: 0 };

/// Spans as they come, along the curve.
#[derive(Debug)]
pub(super) struct Spans {
    out: Vec<Span>,
}

impl Spans {
    pub(super) const fn new() -> Self {
        Self { out: vec![] }
    }

    /// All the spans, void to the end, and directories' room where nothing lies in them; none where all
    /// is void.
    pub(super) fn finish(mut self, place: Place, ground: &[Run]) -> Vec<Span> {
        let end = u32::try_from(TILE_CELLS).unwrap_or(u32::MAX);
        if self.reached() < end {
            self.push(Span { end, ..NOTHING });
        }
        let mut laid = Self::new();
        let mut from = 0;
        for span in &self.out {
            if span.class == VOID {
                laid.lay(place, ground, from, span.end);
            } else {
                laid.push(*span);
            }
            from = span.end;
        }
        if laid.out.iter().all(|span| span.class == VOID) { vec![] } else { laid.out }
    }

    /// What is void in `[from, to)`: room where it is a directory's. Of a cell that is partly a
    /// directory's, half decides.
    fn lay(&mut self, place: Place, ground: &[Run], from: u32, to: u32) {
        let half = (1_u64 << place.cell_shift()) / 2;
        let cell = |index: u64| {
            let at = index.saturating_sub(place.start()).saturating_add(half);
            u32::try_from(at >> place.cell_shift()).unwrap_or(u32::MAX).clamp(from, to)
        };
        for run in ground {
            let (start, end) = (cell(run.start), cell(run.end));
            if start < end && end > self.reached().max(from) {
                if start > self.reached().max(from) {
                    self.push(Span { end: start, ..NOTHING });
                }
                self.push(Span { end, class: ROOM, ..NOTHING });
            }
        }
        if self.reached() < to {
            self.push(Span { end: to, ..NOTHING });
        }
    }

    fn reached(&self) -> u32 {
        self.out.last().map_or(0, |span| span.end)
    }

    fn push(&mut self, span: Span) {
        match self.out.last_mut() {
            Some(last) if Span { end: span.end, ..*last } == span => last.end = span.end,
            _ => self.out.push(span),
        }
    }

    /// A stretch of the world's indices.
    fn add(&mut self, place: Place, from: u64, to: u64, what: Span) {
        let (from, to) = (from.max(place.start()), to.min(place.end()));
        if from >= to {
            return;
        }
        let cell = |index: u64| u32::try_from(index >> place.cell_shift()).unwrap_or(u32::MAX);
        let first = cell(from - place.start());
        let end = cell(to - 1 - place.start()) + 1;
        let reached = self.reached();
        if end <= reached {
            self.share(end, what);
            return;
        }
        if first > reached {
            self.push(Span { end: first, ..NOTHING });
        }
        self.push(Span { end, ..what });
    }

    /// The cell that ends at `end` is another leaf's, too.
    fn share(&mut self, end: u32, what: Span) {
        let before = self.out.len().checked_sub(2).map_or(0, |i| self.out[i].end);
        let Some(last) = self.out.last_mut() else { return };
        if last.end == end && before + 1 == end && what.at > last.at {
            (last.writer, last.at) = (what.writer, what.at);
        }
    }

    pub(super) fn part(&mut self, place: Place, part: &Part) {
        let plain = |class| Span { class, ..NOTHING };
        let (start, end) = (part.run.start, part.run.end);
        let Some(summary) = part.summary.as_ref().filter(|_| !part.state.is_unreadable()) else {
            let class = match (part.gone, part.state) {
                (true, _) => GONE,
                (_, State::Unreadable(_)) => UNREADABLE,
                _ => RESERVED,
            };
            self.add(place, start, end, plain(class));
            return;
        };
        // Three lists of stretches, walked side by side, from the tile's first byte of the leaf.
        let skip = place.start().saturating_sub(start);
        let mut at = skip;
        let content = summary.size.min(end - start);
        let mut classes = summary.classes.iter().skip_while(|c| c.0 <= skip).peekable();
        let mut writers = summary.writers.iter().skip_while(|w| w.0 <= skip).peekable();
        let mut pages = summary.pages.iter().skip_while(|p| p.0 <= skip).peekable();
        while at < content && start + at < place.end() {
            let class = classes.peek().map_or((content, DATA), |c| **c);
            let writer = writers.peek().map_or((content, 0, 0), |w| **w);
            let page = pages.peek().map_or((content, 0), |p| **p);
            let until = class.0.min(writer.0).min(page.0).min(content);
            let (class, pages_state) = (class.1, page.1);
            let span =
                Span { class, writer: writer.1, pages: pages_state, at: writer.2, ..NOTHING };
            self.add(place, start + at, start + until, span);
            at = until;
            classes.next_if(|c| c.0 <= until);
            writers.next_if(|w| w.0 <= until);
            pages.next_if(|p| p.0 <= until);
        }
        self.add(place, start + content, end, plain(RESERVED));
    }

    /// Marks what lies in `[from, to)` as changed since it was folded.
    pub(super) fn differs(&mut self, from: u32, to: u32) {
        let mut start = 0;
        for span in &mut self.out {
            if span.end > from && start < to && span.class > RESERVED {
                span.flags |= 1;
            }
            start = span.end;
        }
    }
}
