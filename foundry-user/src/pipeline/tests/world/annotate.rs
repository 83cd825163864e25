//! Somebody annotates bricks of the simulated world, knowing only what they showed some time ago.

use super::*;
use crate::pipeline::effect::AnnotationOutcome;
use crate::pipeline::input::Annotated;

/// What was asked and not answered yet, and the content each brick showed when somebody looked.
#[derive(Default)]
pub(in super::super) struct Annotator {
    last: u64,
    open: BTreeSet<u64>,
    seen: Vec<(OsBytes, [u8; 32])>,
    /// Annotations that reached a brick.
    pub(in super::super) stored: u64,
    /// Annotations that came too late.
    pub(in super::super) late: u64,
}

impl Sim {
    /// Looks at a brick, or annotates one that was looked at before.
    pub(in super::super) fn annotate_some(&mut self) {
        if self.rng.one_in(2) {
            let n = self.rng.below(self.store.len());
            if let Some((path, stored)) = self.store.iter().nth(n) {
                let seen = (path.clone(), *blake3::hash(&stored.data).as_bytes());
                self.annotator.seen.push(seen);
            }
            return;
        }
        if self.annotator.seen.is_empty() {
            return;
        }
        let n = self.rng.below(self.annotator.seen.len());
        let (path, content) = self.annotator.seen.swap_remove(n);
        self.annotator.last += 1;
        let ticket = self.annotator.last;
        self.annotator.open.insert(ticket);
        self.step(Input::Annotated(Annotated { ticket, path, content, note: content.to_vec() }));
    }

    pub(super) fn annotate(
        &mut self,
        path: &[u8],
        content: &[u8; 32],
        note: &[u8],
    ) -> Result<Committed, StoreFailure> {
        assert!(!self.edits.contains_key(path), "an annotation in the middle of an edit");
        let stored = self.store.get_mut(path).ok_or(StoreFailure::Corrupt)?;
        if blake3::hash(&stored.data).as_bytes() != content {
            return Err(StoreFailure::Stale);
        }
        assert_eq!(note, content, "somebody else's annotation");
        stored.generation += 1;
        let (generation, size) = (stored.generation, stored.data.len() as u64);
        Ok(Committed { generation, new: true, size, changed_tiles: Some(vec![]), face: None })
    }

    pub(super) fn annotation_done(&mut self, ticket: u64, outcome: AnnotationOutcome) {
        assert!(self.annotator.open.remove(&ticket), "answered twice, or never asked: {ticket}");
        match outcome {
            AnnotationOutcome::Stored => self.annotator.stored += 1,
            AnnotationOutcome::Stale | AnnotationOutcome::Missing => self.annotator.late += 1,
        }
    }

    /// Nobody waits for an answer.
    pub(in super::super) fn assert_annotations_answered(&self) {
        assert!(self.annotator.open.is_empty(), "never answered: {:?}", self.annotator.open);
    }

    /// Kill -9: nobody waits any more.
    pub(super) fn forget_annotations(&mut self) {
        self.annotator.open.clear();
    }
}
