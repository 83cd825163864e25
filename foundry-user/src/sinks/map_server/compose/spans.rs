//! What each stretch of a tile is: class, last writer, time.
//!
//! Knows: runs, classes. Must never know: cells' values.
//! Keeps: spans ascend and never meet; where several leaves share a cell, the first one's class and
//! the latest one's time stand.

use super::super::classes::{DATA, GONE, RESERVED, UNREADABLE, VOID};
use super::super::world::State;
use super::{Part, Place, TILE_CELLS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First cell after it.
    pub(super) end: u32,
    pub(super) class: u8,
    pub(super) writer: u8,
    pub(super) flags: u8,
    pub(super) at: u32,
}

/// Spans as they come, along the curve.
#[derive(Debug)]
pub(super) struct Spans {
    out: Vec<Span>,
}

impl Spans {
    pub(super) const fn new() -> Self {
        Self { out: vec![] }
    }

    /// All the spans, void to the end; none where all is void.
    pub(super) fn finish(mut self) -> Vec<Span> {
        let end = u32::try_from(TILE_CELLS).unwrap_or(u32::MAX);
        if !self.out.is_empty() && self.reached() < end {
            self.push(Span { end, class: VOID, writer: 0, flags: 0, at: 0 });
        }
        self.out
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
            self.push(Span { end: first, class: VOID, writer: 0, flags: 0, at: 0 });
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
        let plain = |class| Span { end: 0, class, writer: 0, flags: 0, at: 0 };
        let (start, end) = (part.run.start, part.run.end);
        let Some(summary) = part.summary.as_ref().filter(|_| part.state != State::Unreadable)
        else {
            let class = match (part.gone, part.state) {
                (true, _) => GONE,
                (_, State::Unreadable) => UNREADABLE,
                _ => RESERVED,
            };
            self.add(place, start, end, plain(class));
            return;
        };
        // Two lists of stretches, walked side by side, from the tile's first byte of the leaf.
        let skip = place.start().saturating_sub(start);
        let mut at = skip;
        let content = summary.size.min(end - start);
        let mut classes = summary.classes.iter().skip_while(|c| c.0 <= skip).peekable();
        let mut writers = summary.writers.iter().skip_while(|w| w.0 <= skip).peekable();
        while at < content && start + at < place.end() {
            let class = classes.peek().map_or((content, DATA), |c| **c);
            let writer = writers.peek().map_or((content, 0, 0), |w| **w);
            let until = class.0.min(writer.0).min(content);
            let span = Span { end: 0, class: class.1, writer: writer.1, flags: 0, at: writer.2 };
            self.add(place, start + at, start + until, span);
            at = until;
            classes.next_if(|c| c.0 <= until);
            writers.next_if(|w| w.0 <= until);
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
